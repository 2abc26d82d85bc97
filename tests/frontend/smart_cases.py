"""Clicks of smart select, with what Python finds: frontend/test/smart.test.js must find the same regions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import SegmentParams, codec, segment
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


def write(folder: Path) -> list[dict[str, Any]]:
    """Write the maps and pictures; return the cases."""
    rng = np.random.default_rng(11)
    return [
        case for name, image, compactness in images() for case in cases(folder, name, image, compactness, rng)
    ]


def cases(
    folder: Path, name: str, image: NDArray[np.uint8], compactness: float, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """One object per way to see the image: the whole, without colours, a part, a part made smaller."""
    hierarchy = segment(image, SegmentParams(compactness=compactness), threads=1)
    spx = hierarchy.encode(hierarchy.base_count, include_hierarchy=True, include_regions=True)
    (folder / f"smart-{name}.spx").write_bytes(spx)
    source = codec.decode(spx)
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
            "clicks": list(clicks(smart, source, count, rng)),
        }


def clicks(
    smart: SmartSelect, source: codec.LabelMap, count: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Clicks and strokes at random, each with what it finds; two of three are accepted."""
    lut = source.cut(count)
    for number in range(CLICKS):
        x, y = float(rng.uniform(0, source.width)), float(rng.uniform(0, source.height))
        region = int(lut[source.labels[int(y), int(x)]])
        chosen = region in smart.chosen
        positive = chosen == (rng.random() < 0.2)
        grow, regrow = (float(rng.uniform(-each, each)) for each in (1.5, 5))
        stroke = [region, *rng.integers(0, count, 3).tolist()] if number % 4 == 3 else None
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
