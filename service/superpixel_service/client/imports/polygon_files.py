"""Reads GeoJSON and YOLO's segmentation labels."""

import math
import re
from typing import Any

import numpy as np

from superpixel_service.client.classes import FIRST_OBJECT, MAX_CLASSES
from superpixel_service.client.exports import Annotation
from superpixel_service.client.imports.canvas import Canvas, Classes, Mask
from superpixel_service.client.imports.checks import as_list, as_text, check_size, fail, shown
from superpixel_service.client.imports.colors import hex_of
from superpixel_service.client.imports.options import Options
from superpixel_service.client.imports.polygons import check_points, even_odd, filled_with_outlines

_SHOWN = 20


def read_geojson(content: dict[str, Any], options: Options) -> Annotation:
    """Read features with polygons in pixels."""
    canvas = Canvas(*check_size("image", options.width, options.height))
    classes = Classes(options.classes)
    is_one = content.get("type") == "Feature"
    polygons: list[list[list[float]]] = []
    numbers: list[int] = []
    for i, one in enumerate([content] if is_one else as_list("features", content.get("features"))):
        place = f"features[{i}].geometry"
        given = one.get("geometry") if isinstance(one, dict) else None
        geometry: dict[str, Any] = given if isinstance(given, dict) else {}
        kind = geometry.get("type")
        if kind not in ("Polygon", "MultiPolygon"):
            fail(f"{place}.type", f"must be Polygon or MultiPolygon, got {shown(kind)}")
        canvas.masks.append(_feature(one, classes, options))
        coordinates = geometry.get("coordinates")
        is_single = kind == "Polygon"
        for p, rings in enumerate(
            as_list(f"{place}.coordinates", [coordinates] if is_single else coordinates)
        ):
            at = f"{place}.coordinates" + ("" if is_single else f"[{p}]")
            polygons.append([_ring(f"{at}[{r}]", ring) for r, ring in enumerate(as_list(at, rings))])
            numbers.append(i)
    runs = even_odd(polygons, numbers, canvas.width, canvas.height)
    return canvas.annotation(canvas.paint(runs, by_columns=False), classes.all)


def _feature(one: dict[str, Any], classes: Classes, options: Options) -> Mask:
    properties = one["properties"] if isinstance(one.get("properties"), dict) else {}
    inside = properties.get("classification")
    inside = inside if isinstance(inside, dict) else {}
    name = as_text(inside.get("name", properties.get("class")))
    if name is None:
        value = classes.add(None, options.unnamed.name, color=options.unnamed.color)
    else:
        value = classes.add(name, name, color=hex_of(inside.get("color")) or properties.get("color"))
    # The exports' own features have the class or object as a number.
    is_stuff = type(one.get("id")) is int and one["id"] < FIRST_OBJECT and "area" in properties
    return Mask(value, options.objects and not is_stuff, as_text(properties.get("name")) or "")


def _ring(field: str, ring: Any) -> list[float]:
    points: list[Any] = []
    for point in as_list(field, ring):
        points += point[:2] if isinstance(point, list) and len(point) >= len("xy") else [math.nan] * 2
    return check_points(field, points)


def is_yolo(text: str) -> bool:
    """Whether the first line is one of YOLO's segmentation labels."""
    return not text.strip() or bool(re.match(r"\d+( +[0-9.eE+-]+){6,}\s*(\n|$)", text[: 1 << 20]))


def read_yolo(text: str, options: Options) -> Annotation:
    """Read the labels of an image. Class 0 is the first of `options.classes`."""
    canvas = Canvas(*check_size("image", options.width, options.height))
    classes = Classes(options.classes)

    def value_of(index: int) -> int:
        known = options.classes[index] if index < len(options.classes) else None
        return classes.add(
            index, known.name if known else f"Class {index + 1}", color=known.color if known else None
        )

    for index in range(len(options.classes)):
        value_of(index)
    polygons: list[list[float]] = []
    size = (canvas.width, canvas.height)
    for i, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words:
            continue
        if not re.fullmatch(r"\d{1,3}", words[0]) or int(words[0]) >= MAX_CLASSES:
            fail(f"line {i}", f"must begin with a class from 0 to 253, got {shown(line[:_SHOWN])}")
        index = int(words[0])
        for following in range(len(classes.all), index):
            value_of(following)
        shares = check_points(f"line {i}", [_number(word) for word in words[1:]])
        wrong = next((share for share in shares if not 0 <= share <= 1), None)
        if wrong is not None:
            fail(f"line {i}", f"must be shares from 0 to 1, got {shown(wrong)}")
        pixels = np.array(shares, np.float32).reshape(-1, 2) * np.array(size, np.float32)
        polygons.append(np.trunc(pixels).ravel().tolist())
        canvas.masks.append(Mask(value_of(index), options.objects))
    runs = filled_with_outlines(polygons, range(len(polygons)), *size)
    return canvas.annotation(canvas.paint(runs, by_columns=False), classes.all)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan
