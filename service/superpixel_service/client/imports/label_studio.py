"""Reads Label Studio's JSON: brush masks and polygons of one task."""

import re
from typing import Any

from superpixel_service.client.exports import Annotation
from superpixel_service.client.imports.canvas import Canvas, Classes, Mask, Runs
from superpixel_service.client.imports.checks import as_list, as_text, check_size, fail, is_number, shown
from superpixel_service.client.imports.options import Options, pick
from superpixel_service.client.imports.polygons import check_points, even_odd
from superpixel_service.client.imports.rle import brush_runs


def is_label_studio(content: Any) -> bool:
    """Whether it is a list of tasks or results, or one task."""
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, dict):
        return False
    is_task = isinstance(first.get("data"), dict) and ("annotations" in first or "predictions" in first)
    return "from_name" in first or is_task


def read_label_studio(content: Any, options: Options) -> Annotation:
    """Read the masks of one image."""
    results, field = _results(content, options.name)
    classes = Classes(options.classes)
    canvas: Canvas | None = None
    runs: list[Runs] = []
    for i, one in enumerate(results):
        place = f"{field}[{i}]"
        if not isinstance(one, dict):
            fail(place, f"must be an object, got {shown(one)}")
        value = one["value"] if isinstance(one.get("value"), dict) else {}
        packed = value.get("rle", one.get("rle"))
        points = value["points"] if isinstance(value.get("points"), list) else []
        if not packed and not (points and isinstance(points[0], list)):
            if "x" not in value:  # a choice, a text, a relation: nothing that has pixels
                continue
            fail(f"{place}.type", f"must be brushlabels or polygonlabels, got {shown(one.get('type'))}")
        width, height = check_size(
            f"{place}.original_width", one.get("original_width"), one.get("original_height")
        )
        if one.get("image_rotation"):
            fail(f"{place}.image_rotation", f"must be 0, got {shown(one['image_rotation'])}")
        if canvas is None:
            canvas = Canvas(width, height)
        if (canvas.width, canvas.height) != (width, height):
            fail(
                f"{place}.original_width",
                f"must be {canvas.width} x {canvas.height} as before, got {width} x {height}",
            )
        number = len(canvas.masks)
        canvas.masks.append(_mask(one, value, classes, options))
        if packed:
            runs.append(brush_runs(f"{place}.value.rle", packed, width * height, number))
        else:
            ring = _in_pixels(f"{place}.value.points", points, width, height)
            runs += even_odd([[ring]], [number], width, height)
    if canvas is None:
        canvas = Canvas(*check_size("image", options.width, options.height))
    return canvas.annotation(canvas.paint(runs, by_columns=False), classes.all)


def _mask(one: dict[str, Any], value: dict[str, Any], classes: Classes, options: Options) -> Mask:
    labels = next(
        (found for key in ("brushlabels", "polygonlabels", "labels") if (found := value.get(key))),
        one.get("brushlabels"),
    )
    name = as_text(labels[0]) if isinstance(labels, list) and labels else None
    unnamed = options.unnamed
    known = classes.add(name, name or unnamed.name, color=unnamed.color if name is None else None)
    is_stuff = (as_text(one.get("id")) or "").startswith("class-")
    meta = one["meta"] if isinstance(one.get("meta"), dict) else {}
    given = meta.get("text")
    texts: list[Any] = given if isinstance(given, list) else [given]
    label = next((text for text in texts if isinstance(text, str)), "")
    return Mask(known, options.objects and not is_stuff, label)


def _in_pixels(field: str, points: list[Any], width: int, height: int) -> list[float]:
    """Corners in pixels of points in percent."""
    ring: list[Any] = []
    for point in points:
        if not isinstance(point, list) or len(point) < len("xy") or not all(map(is_number, point[:2])):
            fail(field, f"must be pairs of numbers, got {shown(point)}")
        ring += [point[0] * width / 100, point[1] * height / 100]
    return check_points(field, ring)


def _results(content: Any, name: str | None) -> tuple[list[Any], str]:
    """The results of the image's task: of its last annotation that was not cancelled, else prediction."""
    tasks = content if isinstance(content, list) else [content]
    if "from_name" in tasks[0]:
        return tasks, ""
    known = [one for one in tasks if isinstance(one, dict)]
    named = [one for one in known if name and _is_of(one.get("data"), name)]
    found = pick(named, tasks)
    if found is None:
        fail("data", f"must be of {shown(name)}; it has {len(tasks)} tasks, and none of that name")
    for field in ("annotations", "predictions"):
        versions = [
            one
            for one in as_list(field, found.get(field) or [])
            if isinstance(one, dict) and not one.get("was_cancelled")
        ]
        if versions:
            return as_list(f"{field}.result", versions[-1].get("result")), f"{field}.result"
    return [], "annotations"


def _is_of(data: Any, name: str) -> bool:
    """Whether the task is about the file. Label Studio puts a number before the name of an uploaded one."""
    if not isinstance(data, dict):
        return False
    last = [re.split(r"[/\\=]", value)[-1] for value in data.values() if isinstance(value, str)]
    return any(one == name or one.endswith(f"-{name}") for one in last)
