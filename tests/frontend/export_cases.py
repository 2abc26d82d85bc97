"""The cases of export_cases.json as annotations, and their exports by Python."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from superpixel_kernels import codec
from superpixel_service.client import exports
from superpixel_service.client.exports import Annotation, Class, Instance

TABLE = json.loads((Path(__file__).parent / "export_cases.json").read_text())
CLASSES = tuple(Class(one["name"], one["color"]) for one in TABLE["classes"])


def annotations(fixtures: Path) -> Iterator[tuple[str, Annotation]]:
    for case in TABLE["masks"]:
        rows = [[0 if pixel == "." else int(pixel) for pixel in row] for row in case["rows"]]
        yield case["name"], Annotation(np.array(rows, np.uint8), CLASSES)
    for case in TABLE["formulas"]:
        yield case["name"], by_formula(**{key: value for key, value in case.items() if key != "name"})
    for case in TABLE["regions"]:
        label_map = codec.decode((fixtures / "maps" / f"{case['map']}.spx").read_bytes())
        count = case["count"] or label_map.count
        chosen = {one: range(value, count, case["every"]) for value, one in enumerate(CLASSES)}
        if case["every"] < len(CLASSES):  # no region has the last class
            chosen[CLASSES[-1]] = range(0)
        yield case["name"], Annotation.of_regions(label_map, count, chosen)


def by_formula(
    *,
    width: int,
    height: int,
    classes: int,
    seed: int,
    of256: int,
    cell: int,
    objects: int = 0,
    ids: tuple[int | None, ...] = (None, None, None),
) -> Annotation:
    y, x = (np.arange(size, dtype=np.uint32) // cell for size in (height, width))
    number = (x * 73856093)[None] ^ (y * 19349663)[:, None] ^ np.uint32(seed * 83492791 % 2**32)
    number = (number ^ (number >> 15)) * np.uint32(0x2C1B3C6D)
    number = (number ^ (number >> 12)) * np.uint32(0x297A2D39)
    number ^= number >> 15
    mask = np.where((number & 255) < of256, 1 + (number >> 8 & 255) % classes, 0).astype(np.uint8)
    named = tuple(Class(one.name, one.color, key) for one, key in zip(CLASSES, ids, strict=True))
    if not objects:
        return Annotation(mask, named)
    # Each class has `objects` objects. A quarter of its cells has none.
    number >>= 16
    has_object = (mask > 0) & (number % 4 > 0)
    instances = np.where(has_object, mask + classes * (number % objects), 0).astype(np.uint16)
    listed = (Instance(1 + i % classes, "" if i % 3 else f"no. {i}") for i in range(classes * objects))
    return Annotation(mask, named, instances, tuple(listed))


def compact(value: Any) -> bytes:
    """JSON as JavaScript writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def exported(annotation: Annotation) -> dict[str, bytes]:
    """All exports, by the file names of frontend/test/export-cases.js; the PNGs' bytes may differ."""
    return {
        "polygons.json": compact(exports.to_coco(annotation, file_name="a.jpg", image_id=7)),
        "classes.json": compact(exports.to_coco(annotation, split=False)),
        "rle.json": compact(exports.to_coco(annotation, rle=True)),
        "class-rle.json": compact(exports.to_coco(annotation, rle=True, split=False)),
        "label-studio.json": compact(exports.to_label_studio(annotation)),
        "geo.json": compact(exports.to_geojson(annotation)),
        "panoptic.json": compact(exports.to_panoptic_json(annotation, mask_name="panoptic.png")),
        "legend.json": compact(exports.to_instance_legend(annotation)),
        "yolo.txt": exports.to_yolo(annotation).encode(),
        "exact.svg": exports.to_svg(annotation).encode(),
        "smooth.svg": exports.to_svg(annotation, simplify=1).encode(),
        "smooth-polygons.json": compact(exports.to_coco(annotation, simplify=1)),
        "smooth-classes.json": compact(exports.to_coco(annotation, split=False, simplify=0.6)),
        "smooth-geo.json": compact(exports.to_geojson(annotation, simplify=1)),
        "smooth-yolo.txt": exports.to_yolo(annotation, simplify=1).encode(),
        "mask.png": exports.to_indexed_png(annotation),
        "panoptic.png": exports.to_panoptic_png(annotation),
        "instances.png": exports.to_instance_png(annotation),
    }
