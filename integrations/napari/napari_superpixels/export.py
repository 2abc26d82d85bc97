"""Writes a labels layer as an indexed PNG, as COCO or as GeoJSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.exports import Annotation, Class, to_coco, to_geojson, to_indexed_png

COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#9a6324")


def annotation_of(labels: NDArray[Any]) -> Annotation:
    """An annotation with a class for each label: 1 is "1", and so on; 0 is no class.

    Raises:
        ValueError: the layer is no image of two axes, or a label is above 254, the most classes.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2:
        raise ValueError(f"labels: must be a layer of two axes, got {labels.ndim}")
    most = int(labels.max(initial=0))
    if most > 254 or labels.min(initial=0) < 0:
        raise ValueError(f"labels: must be from 0 to 254, got {labels.min()} to {most}")
    classes = tuple(Class(str(value), COLORS[(value - 1) % len(COLORS)]) for value in range(1, most + 1))
    return Annotation(labels.astype(np.uint8), classes)


def write(path: str, labels: NDArray[Any], image_name: str = "image") -> None:
    """Write labels to a file; its ending chooses the format: .png, .json (COCO) or .geojson.

    Raises:
        ValueError: the ending is another one, or the labels cannot be exported.
    """
    annotation = annotation_of(labels)
    suffix = Path(path).suffix.lower()
    if suffix == ".png":
        Path(path).write_bytes(to_indexed_png(annotation))
    elif suffix == ".json":
        Path(path).write_text(json.dumps(to_coco(annotation, file_name=image_name)))
    elif suffix == ".geojson":
        Path(path).write_text(json.dumps(to_geojson(annotation)))
    else:
        raise ValueError(f"path: must end in .png, .json or .geojson, got {path}")


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write one labels layer for napari's save dialog."""
    write(path, data, str(meta.get("name", "image")))
    return [path]
