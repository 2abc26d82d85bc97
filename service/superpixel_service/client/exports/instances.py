"""A 16-bit gray PNG of objects, and what its values mean."""

from typing import Any

import numpy as np

from superpixel_service.client.classes import FIRST_OBJECT
from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.groups import find_groups, values_of
from superpixel_service.client.exports.png import write_png


def to_instance_png(annotation: Annotation) -> bytes:
    """A 16-bit gray PNG.

    0 for no class, 1 to 254 for a class without an object, 256 + the index of the object.
    """
    return write_png(values_of(annotation).astype(np.uint16), 0)


def to_instance_legend(annotation: Annotation) -> dict[str, Any]:
    """What the values of `to_instance_png` mean, ready for JSON."""
    _, _, groups = find_groups(annotation, split=False)
    areas = {group.value: group.area for group in groups}
    return {
        "classes": [
            {"value": value, "name": one.name, "color": one.color}
            | ({} if one.id is None else {"id": one.id})
            | {"area": areas.get(value, 0)}
            for value, one in enumerate(annotation.classes, 1)
        ],
        "objects": [
            {"value": value, "class": one.class_value, "name": one.name, "area": areas.get(value, 0)}
            for value, one in enumerate(annotation.objects, FIRST_OBJECT)
        ],
    }
