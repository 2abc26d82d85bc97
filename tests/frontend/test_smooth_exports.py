"""Exports with `simplify`: polygons of all formats share the same borders.

test_exports.py compares the bytes of both languages.
"""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import shapely
import shapely.geometry

from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client import exports
from superpixel_service.client.exports import Annotation, Class
from tests.frontend.conftest import node
from tests.frontend.export_cases import CLASSES

Points = list[tuple[float, float]]


def geometries(data: dict[str, Any]) -> list[shapely.Geometry]:
    return [shapely.geometry.shape(feature["geometry"]) for feature in data["features"]]


@pytest.mark.parametrize("simplify", [1.5, *(pytest.param(one, marks=pytest.mark.slow) for one in (0.5, 8))])
def test_polygons_are_valid_and_meet_without_gaps(
    cases: list[tuple[str, Annotation]], simplify: float
) -> None:
    for name, annotation in cases:
        # With pixels of no class as a class, the polygons fill the frame.
        filled = Annotation(
            np.where(annotation.mask > 0, annotation.mask, len(CLASSES) + 1).astype(np.uint8),
            (*annotation.classes, Class("none", "#000000")),
            annotation.instances,
            annotation.objects,
        )
        data = exports.to_geojson(filled, simplify=simplify)
        shapes = geometries(data)
        height, width = annotation.mask.shape
        assert all(shape.is_valid for shape in shapes), name
        assert shapely.union_all(shapes).equals(shapely.box(0, 0, width, height)), name
        assert sum(shape.area for shape in shapes) == width * height, name
        areas = [feature["properties"]["area"] for feature in data["features"]]
        assert areas == [shape.area for shape in shapes], name
        # Pixels of no class have the same borders where they are not exported.
        alone = geometries(exports.to_geojson(annotation, simplify=simplify))
        assert all(any(one.equals(other) for other in shapes) for one in alone), name


def test_all_formats_have_the_same_polygons(cases: list[tuple[str, Annotation]]) -> None:
    for name, annotation in cases[::3]:
        height, width = annotation.mask.shape
        shapes = geometries(exports.to_geojson(annotation, simplify=1))
        assert paths(exports.to_svg(annotation, simplify=1)) == [
            [list(ring.coords) for polygon in shape.geoms for ring in (polygon.exterior, *polygon.interiors)]
            for shape in shapes
        ], name
        coco = exports.to_coco(annotation, split=False, simplify=1)["annotations"]
        for one, shape in zip(coco, shapes, strict=True):
            assert one["area"] == sum(map(area_of, one["segmentation"])) == shape.area, name
            x0, y0, x1, y1 = shape.bounds
            assert one["bbox"] == [x0, y0, x1 - x0, y1 - y0], name
        if annotation.instances is not None:
            continue
        rings = [
            ring
            for one in exports.to_coco(annotation, simplify=1)["annotations"]
            for ring in one["segmentation"]
        ]
        for line, ring in zip(exports.to_yolo(annotation, simplify=1).splitlines(), rings, strict=True):
            shares = np.array(line.split()[1:], float).reshape(-1, 2) * [width, height]
            assert abs(shares - np.reshape(ring, (-1, 2))).max() <= 1e-6 * max(width, height), name


def area_of(ring: list[float]) -> float:
    x, y = np.reshape(ring, (-1, 2)).T
    return float((np.roll(x, 1) * y - np.roll(y, 1) * x).sum()) / 2


def paths(text: str) -> list[list[Points]]:
    """The closed rings of each path."""
    found = []
    for path in ElementTree.fromstring(text).findall("{http://www.w3.org/2000/svg}path"):
        rings = []
        for part in path.attrib["d"].removeprefix("M").removesuffix("Z").split("ZM"):
            values = [float(value) for value in part.replace("L", " ").split()]
            points = list(zip(values[::2], values[1::2], strict=True))
            rings.append([*points, points[0]])
        found.append(rings)
    return found


def test_svg_has_names_and_colours() -> None:
    names = ('<b> & "c"', "Straße, 道", "bell \a")
    classes = tuple(Class(name, f"#0000{number}0") for number, name in enumerate(names))
    mask = np.array([[1, 1, 0], [2, 3, 3]], np.uint8)
    instances = np.array([[1, 1, 0], [0, 0, 0]], np.uint16)
    annotation = Annotation(mask, classes, instances, (exports.Instance(1, "first"),))
    root = ElementTree.fromstring(exports.to_svg(annotation))
    assert (root.attrib["width"], root.attrib["height"], root.attrib["viewBox"]) == ("3", "2", "0 0 3 2")
    assert root.attrib["fill-rule"] == "evenodd"
    assert [path[0].text for path in root] == ['<b> & "c": first', "Straße, 道", "bell \ufffd"]
    assert [path.attrib["fill"] for path in root] == ["#000000", "#000010", "#000020"]
    assert [path.attrib["d"] for path in root] == [
        "M0 0L2 0 2 1 0 1Z",
        "M0 1L1 1 1 2 0 2Z",
        "M1 1L3 1 3 2 1 2Z",
    ]


def test_wrong_tolerances_are_named(tmp_path: Path) -> None:
    annotation = Annotation(np.ones((2, 2), np.uint8), CLASSES[:1])
    for export in (exports.to_coco, exports.to_geojson, exports.to_yolo, exports.to_svg):
        with pytest.raises(InvalidParameter, match=r"simplify.*must be a number of pixels from 0 on"):
            export(annotation, simplify=-1)
    with pytest.raises(InvalidParameter, match=r"simplify.*run lengths are exact"):
        exports.to_coco(annotation, rle=True, simplify=1)
    script = """
        import { loadSimplify, toCOCO, toGeoJSON, toSVG, toYOLO } from './src/exports/index.js';
        const classes = [{ name: 'a', color: '#000000' }];
        const annotation = { width: 1, height: 1, mask: Uint8Array.of(1), classes };
        for (const make of [
          () => toSVG(annotation, { simplify: -1 }),
          () => toSVG(annotation, { simplify: NaN }),
          () => toCOCO(annotation, { rle: true, simplify: 1 }),
        ]) {
          try { make(); console.log('none'); } catch ({ code, message }) { console.log(code, message); }
        }
        for (const make of [toCOCO, toGeoJSON, toSVG, toYOLO]) {
          try { make(annotation, { simplify: 1 }); } catch ({ code, message }) { console.log(code, message); }
        }
        await Promise.all([loadSimplify(), loadSimplify()]);
        console.log(toSVG(annotation, { simplify: 1 }) === toSVG(annotation));
    """
    done = node(tmp_path, "--input-type=module", "--eval", script)
    number = "INVALID_ARGUMENT simplify: must be a number of pixels from 0 on, got"
    assert done.stdout.splitlines() == [
        f"{number} -1",
        f"{number} NaN",
        "INVALID_ARGUMENT simplify: run lengths are exact; leave it out with rle",
        *["INVALID_ARGUMENT simplify: its code is not loaded; first `await loadSimplify()`"] * 4,
        "true",
    ], done.stderr
