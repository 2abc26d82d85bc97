"""Annotations from the files of other tools. frontend/src/imports reads the same files.

```
annotation = read_annotation("instances.json", name="photo.jpg")
annotation = read_annotation(["panoptic.json", "photo.png"], name="photo.jpg")
annotation = read_annotation("mask.png", classes=[Class("cat", "#e6194b"), Class("dog", "#3cb44b")])
```
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from superpixel_service.client.exports import Annotation, Class
from superpixel_service.client.exports.png import SIGNATURE
from superpixel_service.client.imports.apply import import_annotation
from superpixel_service.client.imports.checks import MAX_PIXELS, check_size, fail, shown
from superpixel_service.client.imports.coco import base_name, read_coco, read_panoptic
from superpixel_service.client.imports.label_studio import is_label_studio, read_label_studio
from superpixel_service.client.imports.masks import is_legend, read_instances, read_mask
from superpixel_service.client.imports.options import Options
from superpixel_service.client.imports.png import Picture, read_png
from superpixel_service.client.imports.polygon_files import is_yolo, read_geojson, read_yolo
from superpixel_service.client.imports.project import (
    MAP_MAGIC,
    ZIP_MAGIC,
    is_selection,
    read_project,
    read_selection,
)
from superpixel_service.client.sampling import positions

__all__ = ["MAX_PIXELS", "File", "import_annotation", "read_annotation", "scale_annotation"]

File: TypeAlias = str | os.PathLike[str] | bytes
"""A path, or the content of a file."""

_OBJECT = Class("Object", "#e69f00")


def read_annotation(
    files: File | Iterable[File] | Mapping[str, bytes],
    *,
    name: str | None = None,
    width: int | None = None,
    height: int | None = None,
    classes: Iterable[Class] = (),
    unnamed: Class = _OBJECT,
    objects: bool = True,
) -> Annotation:
    """Read the annotation of one image.

    The content decides what the file is: a mask or an instance mask (PNG; its legend goes with it), COCO
    instances or panoptic segmentation (its PNG file goes with it), a list of masks as SAM writes it, Label
    Studio's tasks or results, GeoJSON, YOLO's labels, a stored selection with its label map, or a project
    file of the page.

    Args:
        files: one file, or all that belong together; a mapping gives names to their contents.
        name: of the image's file: finds it in a file of many images. Else it is the only one, else the only
            one of that size.
        width: of the image in pixels: needed for files that do not say it.
        height: of the image in pixels.
        classes: classes of the file with the same name get the same colour; they name the classes of files
            that only have numbers (PNG, YOLO).
        unnamed: class of masks that have none.
        objects: False: classes alone.

    Returns:
        An annotation of the file's size, which may differ from `width` and `height`.

    Raises:
        InvalidParameter: a file is damaged, or is not about the image. The text names the field, and says
            what would be right.
        OSError: a file cannot be read.
    """
    options = Options(name, width, height, tuple(classes), unnamed, objects)
    opened = _opened(files)
    if len(opened) == 1 and next(iter(opened.values())).startswith(ZIP_MAGIC):
        return read_project(next(iter(opened.values())), options)
    maps = [data for data in opened.values() if data.startswith(MAP_MAGIC)]
    rest = {key: data for key, data in opened.items() if not data.startswith(MAP_MAGIC)}
    contents, pictures, texts = _sorted(rest)
    if len(contents) > 1 or len(texts) > 1 or (not contents and len(pictures) > 1):
        fail("files", "must be one annotation: one file, or a JSON file with its PNG file")
    if contents and is_selection(contents[0]):
        return read_selection(contents[0], maps)
    if contents:
        return _read_json(contents[0], pictures, options)
    if pictures:
        return read_mask(next(iter(pictures.values())), options)
    return read_yolo(texts[0] if texts else "", options)


def _read_json(content: Any, pictures: Mapping[str, Picture], options: Options) -> Annotation:
    if is_label_studio(content):
        return read_label_studio(content, options)
    if isinstance(content, list):
        return read_coco(content, options)
    if content.get("type") in ("FeatureCollection", "Feature"):
        return read_geojson(content, options)
    if is_legend(content):
        return read_instances(content, next(iter(pictures.values()), None), options)
    rows = content.get("annotations")
    if not isinstance(rows, list):
        fail(
            "json",
            "must be a list of masks, COCO (`annotations`), GeoJSON (`features`), or tasks of Label Studio",
        )
    if any(isinstance(one, dict) and "segments_info" in one for one in rows):
        return read_panoptic(content, pictures, options)
    return read_coco(content, options)


def _opened(files: File | Iterable[File] | Mapping[str, bytes]) -> dict[str, bytes]:
    """The content of each file by its name, without folders."""
    if isinstance(files, Mapping):
        return {base_name(name): data for name, data in files.items()}
    listed = [files] if isinstance(files, str | os.PathLike | bytes) else list(files)
    contents = {}
    for number, file in enumerate(listed):
        if isinstance(file, bytes):
            contents[str(number)] = file
        else:
            contents[Path(file).name] = Path(file).read_bytes()
    return contents


def _sorted(files: dict[str, bytes]) -> tuple[list[Any], dict[str, Picture], list[str]]:
    contents, pictures, texts = [], {}, []
    for name, data in files.items():
        if data.startswith(SIGNATURE):
            pictures[name] = read_png(data)
            continue
        text = data.decode("utf-8", "replace").removeprefix("\ufeff")
        if text.lstrip()[:1] in ("{", "["):
            try:
                contents.append(json.loads(text))
            except (ValueError, RecursionError):
                fail("json", "is not valid JSON")
        elif is_yolo(text):
            texts.append(text)
        else:
            fail(
                "file",
                f"must be PNG, JSON, or labels of YOLO, got a file that begins with {shown(text[:16])}",
            )
    return contents, pictures, texts


def scale_annotation(annotation: Annotation, width: int, height: int) -> Annotation:
    """The annotation in another size: the nearest pixel counts, as on the server (docs/algorithm.md).

    Args:
        annotation: of any size.
        width: pixels.
        height: pixels.
    """
    check_size("width", width, height)
    rows, columns = (
        positions(size, own) for size, own in zip((height, width), annotation.mask.shape, strict=True)
    )
    instances = annotation.instances
    return replace(
        annotation,
        mask=annotation.mask[rows][:, columns],
        instances=None if instances is None else instances[rows][:, columns],
    )
