"""Puts an annotation into a selection. frontend/src/imports/apply.js does the same."""

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client.classes import FIRST_OBJECT, MAX_CLASSES, MAX_OBJECTS, Class
from superpixel_service.client.exports import Annotation
from superpixel_service.client.selection import Selection


def import_annotation(
    selection: Selection, annotation: Annotation, *, count: int | None = None, threshold: float = 0.5
) -> None:
    """Put an annotation into a selection. Pixels without a class stay as they are.

    A class is found in the selection by its `id`, else by its name; classes that are used and missing are
    appended. If the annotation's classes begin with all classes of the selection, they keep their places.
    Objects are appended, too.

    Args:
        selection: is changed.
        annotation: of the map's size: see `scale_annotation`.
        count: snap to the superpixels of the level with this count: each gets the class or object that most
            of its pixels have; objects without a superpixel are left out. None: paint pixels.
        threshold: with `count`: from 0 to 1: the least share of a superpixel's pixels.

    Raises:
        InvalidParameter: the annotation has another size, the map has no such level, or there would be too
            many classes or objects. Then nothing is changed.
    """
    label_map = selection.label_map
    if annotation.mask.shape != label_map.labels.shape:
        height, width = annotation.mask.shape
        raise InvalidParameter(
            "annotation",
            f"must be of {label_map.width} x {label_map.height} pixels, got {width} x {height}",
        )
    if not 0 <= threshold <= 1:
        raise InvalidParameter("threshold", f"must be from 0 to 1, got {threshold}")
    classes, table = _classes(selection, annotation)
    values = table[annotation.mask].astype(np.int64)
    if annotation.instances is not None:
        values = np.where(
            annotation.instances > 0, FIRST_OBJECT - 1 + annotation.instances.astype(np.int64), values
        )
    values[label_map.labels < 0] = 0
    winners = None
    if count is not None:
        winners = _winners(label_map.labels_at(count), values, count, threshold)
    used = np.unique(values if winners is None else winners)
    objects = used[used >= FIRST_OBJECT].tolist()
    first = len(selection.objects)
    if first + len(objects) > MAX_OBJECTS:
        raise InvalidParameter(
            "objects", f"a selection has at most {MAX_OBJECTS}, this needs {first + len(objects)}"
        )
    selection.classes.extend(classes[len(selection.classes) :])
    final = np.arange(FIRST_OBJECT + len(annotation.objects))
    for value in objects:
        one = annotation.objects[value - FIRST_OBJECT]
        final[value] = selection.add_object(int(table[one.class_value]), one.name)
    if winners is None:
        if selection.pixels is None:
            selection.pixels = np.zeros(values.shape, np.uint16)
        inside = values > 0
        selection.pixels[inside] = 1 + final[values[inside]]
        return
    for value in used[used > 0].tolist():
        selection.choose(int(count or 0), np.flatnonzero(winners == value).tolist(), int(final[value]))


def _winners(
    labels: NDArray[np.int32], values: NDArray[np.int64], count: int, threshold: float
) -> NDArray[np.int64]:
    """(count,) the value that most pixels of each region have, of equal ones the smallest; 0 for none."""
    areas = np.bincount(labels[labels >= 0], minlength=count)
    inside = values > 0
    pairs = np.stack([labels[inside], values[inside]])
    (regions, found), pixels = np.unique(pairs, axis=1, return_counts=True)
    order = np.lexsort((found, -pixels, regions))
    regions, found, pixels = regions[order], found[order], pixels[order]
    best = np.concatenate([[True], regions[1:] != regions[:-1]]) if regions.size else np.zeros(0, bool)
    best &= pixels / areas[regions] >= threshold
    winners = np.zeros(count, np.int64)
    winners[regions[best]] = found[best]
    return winners


def _classes(selection: Selection, annotation: Annotation) -> tuple[list[Class], NDArray[np.uint8]]:
    """The selection's classes with the missing ones; and the selection's value of each class value."""
    classes = list(selection.classes)
    table = np.zeros(1 + MAX_CLASSES, np.uint8)
    used = np.unique(annotation.mask).tolist()
    listed = annotation.classes[: used[-1]]
    # An annotation of numbers continues the selection's classes: class 5 stays class 5.
    continues = list(annotation.classes[: len(classes)]) == classes
    for value, one in enumerate(listed, 1):
        if continues:
            if value > len(classes):
                classes.append(one)
            table[value] = value
        elif value in used:
            table[value] = _place(classes, one)
    if len(classes) > MAX_CLASSES:
        raise InvalidParameter("classes", f"must be at most {MAX_CLASSES}, this needs {len(classes)}")
    return classes, table


def _place(classes: list[Class], one: Class) -> int:
    """The class value there; a missing class is appended."""
    if one.id is not None:
        for value, known in enumerate(classes, 1):
            if known.id == one.id:
                return value
    for value, known in enumerate(classes, 1):
        if known.name == one.name:
            return value
    classes.append(one)
    return len(classes)
