"""Writes files that JavaScript must agree with, for the tests in frontend/test.

`python -m tests.frontend.fixtures FOLDER` writes:
    containers.json   valid, malformed and mutated label maps, each with the result of the Python decoder
    masks.json        rough masks of these maps, and what `snap_mask` makes of them
    smart.json        clicks of smart select, and what Python finds in smart-NAME.spx with smart-NAME-WAY.rgba
    selections.json   sound and damaged selections, each with the mask by the rules
    maps/NAME.spx     maps of the engine; NAME.labels: labels (int32); NAME.json: cuts, regions, heights;
                      NAME.rgba: the image
"""

import base64
import json
import random
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from superpixel_kernels import SegmentParams, codec, segment
from superpixel_kernels.errors import InvalidLabelMap
from tests.frontend import selection_cases, smart_cases
from tests.kernels import malformed
from tests.kernels.codec_tools import END, as_reference, section
from tests.kernels.fuzz_codec import MAX_PIXELS, masked, mutate, samples

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "photos"
MUTATIONS = 3000


def containers() -> Iterator[tuple[str, bytes]]:
    """The malformed containers of the codec's tests, and truncated ones."""
    for name, (data, _) in malformed.CONTAINERS.items():
        yield f"container: {name}", data
    for name, (payload, _) in malformed.LABELS.items():
        yield f"LABL: {name}", malformed.HEADER + section(b"LABL", payload) + END
    for name, (kind, payload, _) in malformed.SECTIONS.items():
        yield name, malformed.SIX + section(kind, payload) + END
    tree = section(b"TREE", malformed.INTO + bytes([0, 1, 2, 3, 4]))
    for name, (payload, _) in malformed.HEIGHTS.items():
        yield f"hght: {name}", malformed.SIX + tree + section(b"hght", payload) + END
    for number, data in enumerate(samples() + masked()):
        yield f"sound {number}", data
    for number, (data, _) in enumerate(odd_members()):
        yield f"gzip member {number}", data
    for kind, data in zip(("TREE", "LVLS"), malformed.everything(), strict=True):
        yield f"{kind}: whole", data
        for size in range(len(data)):
            yield f"{kind}: cut to {size} bytes", data[:size]


def odd_members() -> Iterator[tuple[bytes, str]]:
    """Payloads with unusual gzip framing: a few are valid, most are not."""
    raw = malformed.LABL_PAYLOAD
    member = malformed.MEMBER
    body, trailer = member[10:-8], member[-8:]
    fields = b"\x03\x00abc" + b"name\0" + b"comment\0"
    long_header = b"\x1f\x8b\x08\x1e" + bytes(6) + fields
    checked = long_header + struct.pack("<H", zlib.crc32(long_header) & 0xFFFF)
    stored = zlib.compress(raw, 0, 31)
    empty = zlib.compress(b"", 1, 31)
    for number, changed in enumerate(
        [
            stored,
            checked + body + trailer,
            long_header + b"\0\0" + body + trailer,
            member[:3] + b"\x20" + member[4:],
            member[:3] + b"\x80" + member[4:],
            member[:3] + b"\x08" + member[4:10] + b"no end",
            member[:3] + b"\x04" + member[4:10] + b"\xff\xff",
            member[:2] + b"\x07" + member[3:],
            member + trailer,
            member[:-8] + b"\0" + trailer,
            member[:-8] + bytes(8) + trailer,
            empty + member,
            member + empty,
            member[:10],
            member[:17],
            member[:18],
            member[:10] + b"\x07" + body[1:] + trailer,
        ]
    ):
        yield malformed.HEADER + section(b"LABL", raw, stored=changed) + END, str(number)


def verdict(data: bytes) -> dict[str, Any] | None:
    """The decoded map as lists; None if the decoder rejects it."""
    try:
        return as_reference(codec.decode(data, max_pixels=MAX_PIXELS))
    except InvalidLabelMap:
        return None


def write_containers(folder: Path) -> None:
    """Write containers.json."""
    rng = random.Random(20)
    valid = samples() + masked()
    cases = list(containers())
    cases += [(f"mutation {i}", mutate(rng, rng.choice(valid), valid)) for i in range(MUTATIONS)]
    rows = [
        {"name": name, "data": base64.b64encode(data).decode(), "decoded": verdict(data)}
        for name, data in cases
    ]
    (folder / "containers.json").write_text(json.dumps({"maxPixels": MAX_PIXELS, "cases": rows}))


def write_map(
    folder: Path,
    name: str,
    image: np.ndarray,
    count: int | None,
    levels: tuple[int, ...] = (),
    compactness: float = 10.0,
    mask: np.ndarray | None = None,
) -> None:
    """Write a map of the engine, with its labels, cuts and regions."""
    hierarchy = segment(image, SegmentParams(compactness=compactness), mask=mask)
    count = hierarchy.base_count if count is None else count
    spx = hierarchy.encode(count, include_hierarchy=not levels, include_regions=True, levels=levels)
    (folder / f"{name}.spx").write_bytes(spx)
    label_map = codec.decode(spx)
    (folder / f"{name}.labels").write_bytes(label_map.labels.astype("<i4").tobytes())
    rgb = np.broadcast_to(image.reshape(*image.shape[:2], -1)[..., :3], (*image.shape[:2], 3))
    rgba = np.concatenate([rgb, np.full((*image.shape[:2], 1), 255, np.uint8)], axis=2)
    (folder / f"{name}.rgba").write_bytes(rgba.tobytes())
    counts = levels or sorted({max(1, round(count ** (i / 49))) for i in range(50)} | {count - 1 or 1})
    assert label_map.regions is not None
    facts: dict[str, Any] = {
        "width": label_map.width,
        "height": label_map.height,
        "count": count,
        "cuts": {str(c): label_map.cut(c).tolist() for c in counts},
        "heights": None if label_map.heights is None else label_map.heights.tolist(),
        "areas": label_map.regions.area.tolist(),
        "boxes": label_map.regions.box.tolist(),
        "neighbors": neighbors_of(label_map),
    }
    (folder / f"{name}.json").write_text(json.dumps(facts))


def neighbors_of(label_map: codec.LabelMap) -> dict[str, list[list[int]]]:
    """By count, the neighbours of each region, computed from the pixels."""
    result = {}
    for count in {label_map.count, *(c for c in (2, 17, 100) if label_map.tree and c < label_map.count)}:
        labels = label_map.labels_at(count)
        found: list[set[int]] = [set() for _ in range(count)]
        for first, second in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
            inside = (first >= 0) & (second >= 0)
            pairs = first[inside].astype(np.int64) * count + second[inside]
            for a, b in zip(*(half.tolist() for half in np.divmod(np.unique(pairs), count)), strict=True):
                if a != b:
                    found[a].add(b)
                    found[b].add(a)
        result[str(count)] = [sorted(touching) for touching in found]
    return result


def write_masks(folder: Path) -> None:
    """Write masks.json: cases with map, count, threshold, mask and snapped mask."""
    rng = np.random.default_rng(11)
    cases = []
    for name, counts in {
        "photo": (700,),
        "levels": (200, 50, 7),
        "noise": (5, 40),
        "line": (300, 9),
        "masked": (150, 6),
    }.items():
        label_map = codec.decode((folder / "maps" / f"{name}.spx").read_bytes())
        for count in counts:
            for threshold in (0.0, 0.3, 0.5, 0.8, 1.0):
                mask = rough_mask(label_map.labels_at(count), rng)
                snapped = codec.snap_mask(label_map, mask, count, threshold)
                pixels = [base64.b64encode(one.tobytes()).decode() for one in (mask, snapped)]
                cases.append(
                    {
                        "map": name,
                        "count": count,
                        "threshold": threshold,
                        "mask": pixels[0],
                        "snapped": pixels[1],
                    }
                )
    (folder / "masks.json").write_text(json.dumps(cases))


def rough_mask(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Classes 0 to 3: whole regions, moved by some pixels, with blocks of noise. Ties are frequent."""
    height, width = labels.shape
    mask = rng.integers(0, 4, int(labels.max()) + 1, np.uint8)[labels]
    mask = np.roll(mask, rng.integers(-3, 4, 2), (0, 1))
    block = min(8, height)
    noise = rng.integers(0, 4, (height // block + 1, width // 8 + 1), np.uint8)
    noise = noise.repeat(block, 0).repeat(8, 1)[:height, :width]
    return np.where(rng.random((height, width)) < 0.3, noise, mask).astype(np.uint8)


def write(folder: Path) -> None:
    """Write all fixtures."""
    (folder / "maps").mkdir(parents=True, exist_ok=True)
    write_containers(folder)
    selection_cases.write(folder, 3000, 7)
    photo = np.asarray(Image.open(PHOTOS / "astronaut.jpg"))
    rng = np.random.default_rng(5)
    for name, image, count, levels in [
        ("photo", photo, None, ()),
        ("levels", photo[100:220, 150:300], 200, (150, 50, 7)),
        ("pixels", photo[:40, :60], 40 * 60, ()),
        ("noise", rng.integers(0, 256, (37, 53, 3), np.uint8), None, ()),
        ("single", np.zeros((1, 1, 3), np.uint8), 1, ()),
        ("line", rng.integers(0, 256, (1, 300, 3), np.uint8), 300, ()),
    ]:
        write_map(folder / "maps", name, np.ascontiguousarray(image), count, levels)
    write_map(folder / "maps", "other", photo, None, compactness=40.0)
    part = np.ascontiguousarray(photo[100:220, 150:300])
    inside = np.zeros(part.shape[:2], np.bool_)
    inside[10:80, 20:60] = inside[40:115, 70:140] = True
    write_map(folder / "maps", "masked", part, None, mask=inside)
    write_map(folder / "maps", "masked-levels", part, 90, (40, 7), mask=inside)
    write_masks(folder)
    (folder / "smart.json").write_text(json.dumps(smart_cases.write(folder)))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
