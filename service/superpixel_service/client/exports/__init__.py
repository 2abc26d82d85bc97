"""Exports of an annotation. frontend/src/exports/ writes the same bytes, file by file.

```
chosen = {Class("cat", "#e6194b"): [17, 18], Class("dog", "#3cb44b"): [40]}
annotation = Annotation.of_regions(result, 400, chosen)
Path("mask.png").write_bytes(to_indexed_png(annotation))
Path("labels.txt").write_text(to_yolo(annotation))
```
"""

from superpixel_service.client.classes import MAX_CLASSES, MAX_OBJECTS, Class, Instance
from superpixel_service.client.exports.annotation import Annotation, HasCut
from superpixel_service.client.exports.coco import to_coco
from superpixel_service.client.exports.dataset import Dataset
from superpixel_service.client.exports.geojson import to_geojson
from superpixel_service.client.exports.instances import to_instance_legend, to_instance_png
from superpixel_service.client.exports.label_studio import to_label_studio
from superpixel_service.client.exports.panoptic import to_panoptic_json, to_panoptic_png
from superpixel_service.client.exports.png import to_indexed_png
from superpixel_service.client.exports.schema import Schema
from superpixel_service.client.exports.svg import to_svg
from superpixel_service.client.exports.yolo import to_yolo
from superpixel_service.client.selection_json import fingerprint

__all__ = [
    "MAX_CLASSES",
    "MAX_OBJECTS",
    "Annotation",
    "Class",
    "Dataset",
    "HasCut",
    "Instance",
    "Schema",
    "fingerprint",
    "to_coco",
    "to_geojson",
    "to_indexed_png",
    "to_instance_legend",
    "to_instance_png",
    "to_label_studio",
    "to_panoptic_json",
    "to_panoptic_png",
    "to_svg",
    "to_yolo",
]
