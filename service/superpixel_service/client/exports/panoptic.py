"""COCO's panoptic format."""

from typing import Any

import numpy as np

from superpixel_service.client.classes import Class
from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.coco import coco_head
from superpixel_service.client.exports.groups import bytes_of, category_ids, find_groups, values_of
from superpixel_service.client.exports.png import write_png


def to_panoptic_png(annotation: Annotation) -> bytes:
    """The picture: red + 256 * green is the id of the pixel's segment, 0 for none."""
    values = values_of(annotation).astype(np.uint16)
    rgb = np.stack([values & 255, values >> 8, np.zeros_like(values)], axis=2)
    return write_png(rgb.astype(np.uint8), 2)


def to_panoptic_json(
    annotation: Annotation,
    *,
    file_name: str = "image",
    mask_name: str = "image.png",
    image_id: int = 1,
) -> dict[str, Any]:
    """A segment per object, and one per class of its pixels without an object; ready for JSON.

    A class that has objects is a thing; its pixels without an object are a crowd.

    Args:
        annotation: a class and an object per pixel.
        file_name: of the image.
        mask_name: of the picture that `to_panoptic_png` gives.
        image_id: of the image.
    """
    height, width = annotation.mask.shape
    ids = category_ids(annotation.classes)
    things = {one.class_value for one in annotation.objects}
    _, _, groups = find_groups(annotation, split=False)
    segments = [
        {
            "id": group.value,
            "category_id": ids[group.class_value - 1],
            "area": group.area,
            "bbox": group.bbox,
            "iscrowd": int(group.value == group.class_value and group.class_value in things),
        }
        for group in groups
    ]
    return {
        **coco_head(),
        "images": [{"id": image_id, "file_name": file_name, "width": width, "height": height}],
        "annotations": [{"image_id": image_id, "file_name": mask_name, "segments_info": segments}],
        "categories": [
            panoptic_category(one, ids[value - 1], is_thing=value in things)
            for value, one in enumerate(annotation.classes, 1)
        ],
    }


def panoptic_category(one: Class, number: int | None, *, is_thing: bool) -> dict[str, Any]:
    """A class, as the format lists it."""
    return {
        "id": number,
        "name": one.name,
        "supercategory": one.name,
        "isthing": int(is_thing),
        "color": bytes_of(one.color),
    }
