"""Reads COCO's instances and panoptic segmentation, and lists of masks as SAM writes them."""

import re
from collections.abc import Mapping
from typing import Any

from superpixel_service.client.exports import MAX_CLASSES, Annotation
from superpixel_service.client.imports.canvas import Canvas, Classes, Mask
from superpixel_service.client.imports.checks import as_list, as_text, check_size, fail, shown
from superpixel_service.client.imports.colors import hex_of
from superpixel_service.client.imports.options import Options, pick
from superpixel_service.client.imports.png import Picture
from superpixel_service.client.imports.polygons import check_points, coco_polygons
from superpixel_service.client.imports.rle import coco_runs

_MOST_SEGMENT = 2**24 - 1


def read_coco(content: Any, options: Options) -> Annotation:
    """Read the instances of one image, or a list of masks."""
    listed = {} if isinstance(content, list) else content
    rows = as_list("annotations", content if isinstance(content, list) else content.get("annotations"))
    found, width, height = _choose_image(listed.get("images"), options, rows)
    own = []
    for i, one in enumerate(rows):
        field = f"[{i}]" if isinstance(content, list) else f"annotations[{i}]"
        if not isinstance(one, dict):
            fail(field, f"must be an object, got {shown(one)}")
        if found is None or one.get("image_id") == found.get("id"):
            own.append((field, one))
    categories = _Categories(listed.get("categories"), [one.get("category_id") for _, one in own], options)
    canvas = Canvas(width, height)
    polygons: list[list[float]] = []
    of_polygons, fields, masks, of_masks = [], [], [], []
    for number, (place, one) in enumerate(own):
        canvas.masks.append(categories.mask_of(one, options))
        field, mask = f"{place}.segmentation", one.get("segmentation")
        if isinstance(mask, list):
            polygons += [check_points(f"{field}[{i}]", points) for i, points in enumerate(mask)]
            of_polygons += [number] * len(mask)
        elif isinstance(mask, dict):
            fields.append(field)
            masks.append(mask)
            of_masks.append(number)
        else:
            fail(field, f"must be polygons, or run lengths with size and counts, got {shown(mask)}")
    runs = [*coco_polygons(polygons, of_polygons, width, height)]
    if masks:
        runs.append(coco_runs(fields, masks, of_masks, width, height))
    return canvas.annotation(canvas.paint(runs, by_columns=True), categories.classes.all)


def read_panoptic(content: dict[str, Any], pictures: Mapping[str, Picture], options: Options) -> Annotation:
    """Read the panoptic segmentation of one image.

    Args:
        content: the JSON file; untrusted.
        pictures: the PNG files by name.
        options: what to read.
    """
    rows = as_list("annotations", content.get("annotations"))
    found = _choose_image(content.get("images"), options, ())[0]
    at = next(
        (
            i
            for i, one in enumerate(rows)
            if isinstance(one, dict) and (found is None or one.get("image_id") == found.get("id"))
        ),
        None,
    )
    if at is None:
        fail("annotations", f"must list the image {shown(found.get('id') if found else None)}")
    field, one = f"annotations[{at}]", rows[at]
    picture = pictures.get(base_name(one.get("file_name")))
    if picture is None and len(pictures) == 1:
        (picture,) = pictures.values()
    if picture is None:
        fail(field, f"needs its PNG file {shown(one.get('file_name'))}, too")
    height, width = picture.values.shape
    if found is not None and (found.get("width"), found.get("height")) != (width, height):
        wanted = f"{shown(found.get('width'))} x {shown(found.get('height'))}"
        fail("png", f"must be {wanted} pixels, got {width} x {height}")
    segments = as_list(f"{field}.segments_info", one.get("segments_info"))
    used = [segment.get("category_id") for segment in segments if isinstance(segment, dict)]
    categories = _Categories(content.get("categories"), used, options)
    canvas = Canvas(width, height)
    owner_of: dict[int, int] = {}
    for i, segment in enumerate(segments):
        place = f"{field}.segments_info[{i}]"
        if not isinstance(segment, dict):
            fail(place, f"must be an object, got {shown(segment)}")
        number = segment.get("id")
        if type(number) is not int or not 0 < number <= _MOST_SEGMENT or number in owner_of:
            fail(
                f"{place}.id",
                f"must be an integer from 1 to {_MOST_SEGMENT} that no other has, got {shown(number)}",
            )
        canvas.masks.append(categories.mask_of(segment, options))
        owner_of[number] = i + 1
    owners = canvas.label(picture.values, owner_of, f"{field}.segments_info")
    return canvas.annotation(owners, categories.classes.all)


class _Categories:
    """The classes that a file calls categories."""

    def __init__(self, listed: Any, used: list[Any], options: Options) -> None:
        self.classes = Classes(options.classes)
        self._unnamed = options.unnamed
        self._stuff: set[Any] = set()
        rows = as_list("categories", [] if listed is None else listed)
        for i, one in enumerate(rows):
            if not isinstance(one, dict) or as_text(one.get("name")) is None:
                fail(f"categories[{i}]", f"must have an id and a name, got {shown(one)}")
            number = one.get("id")
            if not isinstance(number, int | float | str):
                fail(f"categories[{i}].id", f"must be a number, got {shown(number)}")
            if self.classes.find(number) is not None:
                fail(f"categories[{i}].id", f"must be of one category, got {shown(number)} twice")
            # A data set may have more categories than an image can have classes.
            if len(rows) > MAX_CLASSES and number not in used:
                continue
            color = hex_of(one.get("color")) or one.get("color")
            self.classes.add(number, one["name"], color=color, number=number)
            if one.get("isthing") in (0, False):
                self._stuff.add(number)

    def mask_of(self, one: dict[str, Any], options: Options) -> Mask:
        """The mask that an annotation or a segment begins."""
        number = one.get("category_id")
        value = self.classes.find(number)
        if value is None and "category_id" not in one:
            value = self.classes.add(None, self._unnamed.name, color=self._unnamed.color)
        if value is None:
            value = self.classes.add(shown(number), f"Category {shown(number)}", number=number)
        is_thing = not (isinstance(number, int | float | str) and number in self._stuff)
        is_object = options.objects and is_thing and not one.get("iscrowd") and one.get("isthing") != 0
        attributes = one["attributes"] if isinstance(one.get("attributes"), dict) else {}
        return Mask(value, is_object, as_text(attributes.get("name")) or "")


def _choose_image(listed: Any, options: Options, masks: Any) -> tuple[dict[str, Any] | None, int, int]:
    """The image of that name, else the only one, else the only one of that size; None: the file lists none.

    Args:
        listed: images of the file; untrusted.
        options: what to read.
        masks: of images that are not listed, their run lengths give the size; untrusted.

    Returns:
        The image, its width and its height.
    """
    rows = as_list("images", [] if listed is None else listed)
    images = [one for one in rows if isinstance(one, dict)]
    named = [one for one in images if options.name and one.get("file_name") == options.name]
    if options.name and not named:
        base = base_name(options.name)
        named = [one for one in images if base_name(one.get("file_name")) == base]
    size = (options.width, options.height)
    sized = [one for one in images if (one.get("width"), one.get("height")) == size]
    found = pick(named, images, sized)
    if rows and found is None:
        fail("images", f"must list {shown(options.name)}; it has {len(rows)} images, and none of that name")
    if found is not None and found.get("width") and found.get("height"):
        return found, *check_size("images", found["width"], found["height"])
    for one in masks:
        mask = one.get("segmentation") if isinstance(one, dict) else None
        own = mask.get("size") if isinstance(mask, dict) else None
        if isinstance(own, list):
            height, width = own if len(own) == len("hw") else (None, None)
            return found, *check_size("size", width, height)
    return found, *check_size("size", options.width, options.height)


def base_name(path: Any) -> str:
    """The file's name without folders."""
    return re.split(r"[/\\]", str(path))[-1]
