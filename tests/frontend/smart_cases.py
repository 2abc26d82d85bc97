"""Clicks of smart select, with what Python finds: frontend/test/smart.test.js must find the same regions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import SegmentParams, codec, segment, tree_of_merges
from superpixel_service.client.smart import SmartSelect

ROOT = Path(__file__).parents[2]
CLICKS = 12


def images() -> Iterator[tuple[str, NDArray[np.uint8], float]]:
    """Name, pixels and compactness: bundled photographs, noise, flat areas, and the smallest images."""
    for name in sorted(path.stem for path in (ROOT / "examples" / "photos").glob("*.jpg"))[:3]:
        with Image.open(ROOT / "examples" / "photos" / f"{name}.jpg") as photo:
            yield name, np.array(photo.convert("RGB")), 10.0
    rng = np.random.default_rng(5)
    yield "noise", rng.integers(0, 256, (60, 47, 3), np.uint8), 3.0
    # Many equal colours: many ways cost the same.
    yield "steps", rng.integers(0, 3, (9, 12, 3), np.uint8).repeat(8, 0).repeat(8, 1) * np.uint8(100), 1.0
    yield "gray", np.full((40, 64, 3), 128, np.uint8), 10.0
    yield "line", rng.integers(0, 256, (1, 90, 3), np.uint8), 0.0
    yield "single", np.zeros((1, 1, 3), np.uint8), 10.0


def masks() -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.bool_]]]:
    """Name, pixels and mask. Each mask cuts the image into parts that only pixels outside connect."""
    with Image.open(ROOT / "examples" / "photos" / "astronaut.jpg") as photo:
        image = np.array(photo.convert("RGB"))[40:220, 140:380]
    rows, columns = np.indices(image.shape[:2])
    lines = (rows % 40 != 17) & (columns + rows // 3 != 100) & (columns != 171)  # one pixel wide
    yield "lines", image, lines
    disks = ((rows - 70) ** 2 + (columns - 70) ** 2 < 60**2) & (
        (rows - 60) ** 2 + (columns - 60) ** 2 > 15**2
    )
    yield "disks", image, disks | ((rows - 120) ** 2 + (columns - 180) ** 2 < 40**2)
    rng = np.random.default_rng(6)
    yield "specks", rng.integers(0, 256, (40, 50, 3), np.uint8), rng.random((40, 50)) < 0.55


def as_window(source: codec.LabelMap, image: NDArray[np.uint8]) -> bytes:
    """A map with a mask, written as a store writes its windows: one label stands for the pixels outside."""
    assert source.tree is not None
    assert source.heights is not None
    outside = source.count
    labels = np.where(source.labels < 0, outside, source.labels)
    numbers, first = np.unique(labels, return_index=True)
    rank = np.empty(len(numbers), np.int32)
    rank[np.argsort(first)] = np.arange(len(numbers))
    merged = np.argsort(source.tree.order) + 1
    a, b = np.append(source.tree.into[merged - 1], 0), np.append(merged, outside)
    ids = np.empty(len(numbers), np.int64)
    ids[rank] = np.where(numbers == outside, codec.NO_REGION, numbers)
    return codec.encode(
        rank[labels],
        tree=tree_of_merges(rank[a], rank[b]),
        heights=np.append(source.heights, source.heights[-1:] if source.count > 1 else np.float32(0)),
        regions=codec.measure_regions(rank[labels], image),
        global_ids=codec.GlobalIds(1, ids.astype(np.uint32)),
        connected=False,
        algorithm_version=source.algorithm_version,
    )


def write(folder: Path) -> list[dict[str, Any]]:
    """Write the maps and pictures; return the cases."""
    rng = np.random.default_rng(11)
    found: list[dict[str, Any]] = []
    for name, image, compactness in images():
        hierarchy = segment(image, SegmentParams(compactness=compactness), threads=1)
        spx = hierarchy.encode(hierarchy.base_count, include_hierarchy=True, include_regions=True)
        found += cases(folder, name, image, spx, rng)
    for name, image, mask in masks():
        masked = segment(image, mask=mask, threads=1)
        spx = masked.encode(masked.base_count, include_hierarchy=True, include_regions=True)
        found += cases(folder, f"mask-{name}", image, spx, rng)
        found += cases(folder, f"window-{name}", image, as_window(codec.decode(spx), image), rng)
    return found


def cases(
    folder: Path, name: str, image: NDArray[np.uint8], spx: bytes, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """One object per way to see the image: the whole, without colours, a part, a part made smaller."""
    (folder / f"smart-{name}.spx").write_bytes(spx)
    source = codec.decode(spx)
    ids = None if source.global_ids is None else source.global_ids.ids.tolist()
    height, width = image.shape[:2]
    part = (width // 5, height // 5, width - width // 4, height - height // 4)
    inner = image[part[1] : part[3], part[0] : part[2]]
    ways: dict[str, tuple[tuple[int, int, int, int] | None, NDArray[np.uint8] | None, str | None]] = {
        "whole": (None, image, "default"),
        "part": (part, inner, "default"),
        "small": (part, np.ascontiguousarray(inner[::2, ::3]), "default"),
        "colorless": (None, None, "default"),
        "tree": (None, image, None),
    }
    for way, (box, picture, weights) in ways.items():
        count = min(source.count, 2400 if way != "part" else 900)
        smart = SmartSelect(source, count, picture, box=box, weights=weights)
        file = None
        if picture is not None:
            file = f"smart-{name}-{way}.rgba"
            opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
            np.concatenate([picture, opaque], axis=2).tofile(folder / file)
        yield {
            "name": f"{name}, {way}",
            "map": f"smart-{name}.spx",
            "count": count,
            "box": box,
            "picture": file,
            "size": None if picture is None else picture.shape[1::-1],
            "scored": weights is not None,
            "outside": None if ids is None else ids.index(codec.NO_REGION),
            "clicks": list(clicks(smart, source, count, rng)),
        }


def clicks(
    smart: SmartSelect, source: codec.LabelMap, count: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Clicks and strokes at random, each with what it finds; two of three are accepted."""
    lut = source.cut(count)
    for number in range(CLICKS):
        x, y = float(rng.uniform(0, source.width)), float(rng.uniform(0, source.height))
        region = int(codec.with_outside(lut, codec.OUTSIDE)[source.labels[int(y), int(x)]])
        chosen = region in smart.chosen
        positive = chosen == (rng.random() < 0.2)
        grow, regrow = (float(rng.uniform(-each, each)) for each in (1.5, 5))
        others = rng.integers(0, count, 3).tolist() if number % 4 == 3 else None
        stroke = None if others is None else [region, *others] if region >= 0 else others
        if stroke is None:
            found = smart.click(x, y, positive=positive, grow=grow)
        else:
            found = smart.touch(stroke, positive=positive, grow=grow)
        grown = smart.regrow(regrow)
        accepted = number % 3 < 2
        again = None
        if accepted:
            again = smart.regrow(grow)
            smart.accept()
        yield {
            "at": [x, y],
            "stroke": stroke,
            "positive": positive,
            "grow": grow,
            "found": found.tolist(),
            "regrow": regrow,
            "grown": grown.tolist(),
            "accepted": accepted,
            "again": None if again is None else again.tolist(),
            "chosen": smart.chosen.tolist(),
        }
        if number == CLICKS // 2:
            smart.reset()
