"""Reads mask files: PNG files whose values are classes or labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from superpixel_service.client.exports import MAX_CLASSES, Annotation, Class
from superpixel_service.client.imports.canvas import Canvas, Classes, Mask
from superpixel_service.client.imports.checks import fail, shown
from superpixel_service.client.imports.colors import unused_color
from superpixel_service.client.imports.options import Options
from superpixel_service.client.imports.png import MAX_16_BITS, Picture

_MOST_CLASSES_OF_GRAY = 32
"""A gray picture with more values than this is an edge map or a soft mask, not a mask of classes."""

_SOFT_THRESHOLD = 0.5
"""A pixel of a soft mask belongs to the object from this share of the largest gray on."""

_VOID_INDEX = 255
"""Data sets such as Pascal VOC mark pixels without a class by this index."""


def read_mask(picture: Picture, options: Options) -> Annotation:
    """Read a mask. The palette's index is the class; else gray from a threshold on, or each value, is one."""
    found, index = np.unique(picture.values, return_inverse=True)
    values = [int(one) for one in found if one]
    classes = list(options.classes)
    value_of: dict[int, int] = {}
    is_soft = 0 < picture.most < MAX_16_BITS and len(values) > _MOST_CLASSES_OF_GRAY
    if picture.palette is not None:
        value_of = {value: value for value in values if value != _VOID_INDEX}
        _number(classes, max(value_of, default=0), picture.palette)
    elif is_soft or len(values) == 1:
        at = next((i for i, one in enumerate(classes) if one.name == options.unnamed.name), None)
        if at is None:
            classes.append(options.unnamed)
            at = len(classes) - 1
        least = _SOFT_THRESHOLD * picture.most if is_soft else 0
        value_of = {value: at + 1 for value in values if value >= least}
    elif len(values) > MAX_CLASSES:
        fail(
            "png",
            f"must have at most {MAX_CLASSES} values for classes; a file of objects needs its legend, too",
        )
    elif all(value <= len(classes) for value in values):
        value_of = {value: value for value in values}
    else:
        value_of = {value: number for number, value in enumerate(values, 1)}
        _number(classes, len(values), [])
    table = np.array([value_of.get(int(one), 0) for one in found], np.uint8)
    return Annotation(table[index].reshape(picture.values.shape), tuple(classes))


def _number(classes: list[Class], wanted: int, palette: Sequence[str]) -> None:
    """Append classes until there are as many as wanted."""
    if wanted > MAX_CLASSES:
        fail("png", f"must have indexes up to {MAX_CLASSES}, got {wanted}")
    for number in range(len(classes) + 1, wanted + 1):
        color = palette[number] if number < len(palette) else unused_color(classes)
        classes.append(Class(f"Class {number}", color))


def is_legend(content: Any) -> bool:
    """Whether it is the legend of an instance mask."""
    return isinstance(content, dict) and all(
        isinstance(content.get(key), list) for key in ("classes", "objects")
    )


def read_instances(legend: dict[str, list[Any]], picture: Picture | None, options: Options) -> Annotation:
    """Read an instance mask: its values are those of the legend's classes and objects."""
    if picture is None:
        fail("legend", "needs its PNG file, too")
    height, width = picture.values.shape
    canvas = Canvas(width, height)
    classes = Classes(options.classes)
    owner_of: dict[int, int] = {}
    for field in ("classes", "objects"):
        is_object = field == "objects"
        for i, one in enumerate(legend[field]):
            row: dict[str, Any] = one if isinstance(one, dict) else {}
            name, number = row.get("name"), row.get("value")
            value = row.get("class")
            if not is_object:
                value = classes.add(i, str(name), color=row.get("color"), number=row.get("id"))
            valid = isinstance(name, str) and type(number) is int and 1 <= number <= MAX_16_BITS
            if (
                not valid
                or number in owner_of
                or type(value) is not int
                or not 1 <= value <= len(classes.all)
            ):
                and_class = " and a class" if is_object else ""
                fail(f"{field}[{i}]", f"must have a value, a name{and_class}, got {shown(one)}")
            canvas.masks.append(Mask(value, is_object and options.objects, str(name)))
            owner_of[int(number or 0)] = len(canvas.masks)
    return canvas.annotation(canvas.label(picture.values, owner_of, "the legend"), classes.all)
