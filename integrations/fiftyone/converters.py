"""Superpixels and annotations as FiftyOne's labels, and back.

```
sample["superpixels"] = superpixels(sample.filepath, 400)          # fo.Segmentation
sample["objects"] = to_detections(annotation)                      # fo.Detections with masks
annotation = from_detections(sample["objects"], width, height)     # for superpixel_service.client.exports
```
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fiftyone as fo
from superpixel_kernels.codec import LabelMap, snap_mask
from superpixel_service.client.exports import Annotation, Class, Instance
from superpixel_service.client.pieces import find_pieces
from superpixel_service.interactive import ObjectFinder

COLOR = "#000000"
"""Of classes that come from FiftyOne, which has no colours of its own."""


def superpixels(path: str, count: int, finder: ObjectFinder | None = None) -> fo.Segmentation:
    """The superpixels of an image file: pixel values 1 to `count`, since 0 is the background in FiftyOne.

    Raises:
        superpixel_service.client.SegmentError: the file is no image, or the call failed.
        ValueError: `count` is above 65,535, the most values of a mask.
    """
    if not 1 <= count <= 65535:
        raise ValueError(f"count: must be from 1 to 65535, got {count}")
    picture = (finder or ObjectFinder.from_environment()).open(Path(path).read_bytes(), count)
    return fo.Segmentation(mask=(picture.label_map.labels + 1).astype(np.uint16))


def to_segmentation(annotation: Annotation) -> tuple[fo.Segmentation, dict[int, str]]:
    """The classes of an annotation per pixel, and the mask targets for the data set: {1: "cat", ...}."""
    targets = {value: one.name for value, one in enumerate(annotation.classes, 1)}
    return fo.Segmentation(mask=annotation.mask.copy()), targets


def to_detections(annotation: Annotation) -> fo.Detections:
    """The objects of an annotation with their masks; of pixels without an object each connected piece."""
    named = [(each.name, annotation.classes[each.class_value - 1].name) for each in annotation.objects]
    found = []
    instances = annotation.instances
    if instances is not None:
        for value, (name, label) in enumerate(named, 1):
            found += _detections(instances == value, label, name)
    rest = annotation.mask if instances is None else np.where(instances > 0, 0, annotation.mask)
    ids, pieces = find_pieces(rest)
    for piece in pieces:
        found += _detections(ids[1:-1, 1:-1] == piece.id, annotation.classes[piece.value - 1].name, "")
    return fo.Detections(detections=found)


def from_detections(detections: fo.Detections, width: int, height: int) -> Annotation:
    """An annotation with an object per detection; later ones lie above earlier ones.

    Args:
        detections: with masks; those without a mask fill their box.
        width: of the image in pixels.
        height: of the image in pixels.
    """
    labels = list(dict.fromkeys(each.label for each in detections.detections))
    mask = np.zeros((height, width), np.uint8)
    instances = np.zeros((height, width), np.uint16)
    objects = []
    for value, each in enumerate(detections.detections, 1):
        place, inside = _pixels(each, width, height)
        mask[place][inside] = 1 + labels.index(each.label)
        instances[place][inside] = value
        objects.append(
            Instance(1 + labels.index(each.label), str(each.get_attribute_value("name", "") or ""))
        )
    classes = tuple(Class(label, COLOR) for label in labels)
    return Annotation(mask, classes, instances, tuple(objects))


def snapped(detections: fo.Detections, label_map: LabelMap, count: int) -> fo.Detections:
    """Detections whose masks are whole superpixels: those that lie in the mask for at least a half."""
    height, width = label_map.labels.shape
    labels = label_map.labels_at(count)

    def snap(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return snap_mask(labels, mask, count) > 0

    return _each_mask(detections, width, height, snap)


def _each_mask(
    detections: fo.Detections,
    width: int,
    height: int,
    change: Callable[[NDArray[np.bool_]], NDArray[np.bool_]],
) -> fo.Detections:
    found = []
    for each in detections.detections:
        place, inside = _pixels(each, width, height)
        mask = np.zeros((height, width), np.bool_)
        mask[place] = inside
        found += _detections(change(mask), each.label, "", each)
    return fo.Detections(detections=found)


def _detections(
    mask: NDArray[Any], label: str, name: str, like: fo.Detection | None = None
) -> list[fo.Detection]:
    """A list of one detection; empty for an empty mask."""
    y, x = np.nonzero(mask)
    if len(x) == 0:
        return []
    height, width = mask.shape
    x0, y0, x1, y1 = int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1
    made = fo.Detection() if like is None else like.copy()
    made.label = label
    made.bounding_box = [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height]
    made.mask = np.ascontiguousarray(mask[y0:y1, x0:x1]).astype(np.bool_)
    if name:
        made["name"] = name
    return [made]


def _pixels(
    detection: fo.Detection, width: int, height: int
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """The place of a detection, and its mask there."""
    x, y, box_width, box_height = detection.bounding_box
    x0, y0 = max(round(x * width), 0), max(round(y * height), 0)
    x1, y1 = min(round((x + box_width) * width), width), min(round((y + box_height) * height), height)
    shape = (max(y1 - y0, 0), max(x1 - x0, 0))
    mask = detection.get_mask() if hasattr(detection, "get_mask") else detection.mask
    if mask is None:
        return np.s_[y0 : y0 + shape[0], x0 : x0 + shape[1]], np.ones(shape, np.bool_)
    # FiftyOne's masks are stretched to their boxes.
    rows = (2 * np.arange(shape[0]) + 1) * mask.shape[0] // (2 * max(shape[0], 1))
    columns = (2 * np.arange(shape[1]) + 1) * mask.shape[1] // (2 * max(shape[1], 1))
    inside: NDArray[np.bool_] = np.asarray(mask)[rows][:, columns] > 0
    return np.s_[y0 : y0 + shape[0], x0 : x0 + shape[1]], inside
