"""Imports: Python and JavaScript read the same, exports come back, polygons are pycocotools'."""

import base64
import contextlib
import json
import math
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client import exports
from superpixel_service.client.exports import Annotation, Class
from superpixel_service.client.imports import read_annotation, scale_annotation
from tests.frontend.conftest import ROOT, node
from tests.frontend.test_exports import TOOLS

CLASSES = (Class("cat", "#e6194b"), Class("dog", "#3cb44b"), Class("sky", "#4363d8"))


@st.composite
def annotations(draw: st.DrawFn) -> Annotation:
    """Small random annotations: cells of 1 to 3 pixels, so that pieces have holes and touch by corners."""
    width, height = draw(st.integers(1, 13)), draw(st.integers(1, 11))
    cell = draw(st.integers(1, 3))
    cells = np.array(draw(st.lists(st.integers(0, 3), min_size=1, max_size=150)), np.uint8)
    y, x = np.mgrid[:height, :width] // cell
    return Annotation(cells[(y * math.ceil(width / cell) + x) % cells.size], CLASSES)


def written(annotation: Annotation) -> dict[str, bytes]:
    """Every export."""
    to_bytes: Callable[[Any], bytes] = lambda value: json.dumps(value).encode()  # noqa: E731
    brush = exports.to_label_studio(annotation)
    return {
        "PNG": exports.to_indexed_png(annotation),
        "COCO polygons": to_bytes(exports.to_coco(annotation, file_name="x/a.jpg")),
        "COCO classes": to_bytes(exports.to_coco(annotation, split=False)),
        "COCO RLE": to_bytes(exports.to_coco(annotation, rle=True)),
        "COCO class RLE": to_bytes(exports.to_coco(annotation, rle=True, split=False)),
        "Label Studio": to_bytes([{"data": {"image": "/data/1/a.jpg"}, "annotations": [{"result": brush}]}]),
        "GeoJSON": to_bytes(exports.to_geojson(annotation)),
        "YOLO": exports.to_yolo(annotation).encode(),
    }


def options_of(annotation: Annotation) -> dict[str, Any]:
    height, width = annotation.mask.shape
    return {"name": "a.jpg", "width": width, "height": height, "classes": annotation.classes}


def names(annotation: Annotation) -> list[list[str]]:
    table = ["", *(one.name for one in annotation.classes)]
    return [[table[value] for value in row] for row in annotation.mask.tolist()]


@given(annotations())
@settings(max_examples=40, deadline=None)
def test_every_export_comes_back_pixel_for_pixel(annotation: Annotation) -> None:
    for what, data in written(annotation).items():
        found = read_annotation(data, **options_of(annotation))
        assert names(found) == names(annotation), what


def by_javascript(
    fixtures: Path, cases: list[tuple[dict[str, bytes], dict[str, Any]]]
) -> list[dict[str, Any]]:
    listed = [
        {
            "files": [
                {"name": name, "base64": base64.b64encode(data).decode()} for name, data in files.items()
            ],
            "options": options,
        }
        for files, options in cases
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cases.json")
        path.write_text(json.dumps(listed))
        done = node(fixtures, "test/import-cases.js", path)
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


def outcome(files: dict[str, bytes], options: dict[str, Any]) -> dict[str, Any]:
    try:
        return plain(read_annotation(files, **options))
    except InvalidParameter as error:
        return {"error": f"SuperpixelMapError: {error}"}


def plain(annotation: Annotation) -> dict[str, Any]:
    height, width = annotation.mask.shape
    return {
        "width": width,
        "height": height,
        "mask": annotation.mask.ravel().tolist(),
        "classes": [{"name": one.name, "color": one.color} for one in annotation.classes],
    }


def test_both_languages_read_the_same(fixtures: Path) -> None:
    rng = np.random.default_rng(4)
    cases = []
    for cell in (1, 2, 3):
        mask = rng.integers(0, 4, (5, 7), np.uint8).repeat(cell, 0).repeat(cell, 1)
        annotation = Annotation(mask, CLASSES)
        size = {"name": "a.jpg", "width": mask.shape[1], "height": mask.shape[0]}
        cases += [({"a": data}, size) for data in written(annotation).values()]
    cases += [
        ({"a.json": json.dumps(content).encode()}, {"name": "a.jpg"}) for content in polygon_cases(rng, 20)
    ]
    for wrong in (
        "{",
        "{}",
        "[null]",
        "x",
        '[{"segmentation": [[1, 2, 3]]}]',
        '{"annotations": [], "images": 3}',
    ):
        cases.append(({"a": wrong.encode()}, {"width": 3, "height": 2}))
    results = by_javascript(fixtures, cases)
    for (files, options), theirs in zip(cases, results, strict=True):
        mine = outcome(files, options)
        for one in theirs.get("classes", []):
            one.pop("id", None)
        assert {key: theirs.get(key) for key in mine} == mine, (files, theirs)


def polygon_cases(rng: np.random.Generator, number: int) -> list[dict[str, Any]]:
    """Data sets of one image with random polygons: fractions, negative, beyond the image, repeated points."""
    cases = []
    for _ in range(number):
        width, height = (int(size) for size in rng.integers(1, 40, 2))
        rows = []
        for index in range(1, 6):
            points = rng.normal(0.5, 0.6, (rng.integers(3, 12), 2)) * (width, height)
            how = rng.integers(0, 4)
            if how == 0:
                points = np.round(points)
            elif how == 1:
                points = np.round(points * 2) / 2
            elif how == 2:
                points = np.repeat(np.round(points, 1), 2, axis=0)
            parts = [points.ravel().tolist()]
            if index == 2:
                parts.append((points + 3).ravel().tolist())
            rows.append({"id": index, "image_id": 1, "category_id": 1 + index % 2, "segmentation": parts})
        cases.append(
            {
                "images": [{"id": 1, "file_name": "a.jpg", "width": width, "height": height}],
                "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
                "annotations": rows,
            }
        )
    return cases


def owners(content: dict[str, Any]) -> NDArray[np.int64]:
    """1 + the index of the annotation of each pixel, by a category per annotation."""
    rows = [{**one, "category_id": 1 + i} for i, one in enumerate(content["annotations"])]
    categories = [{"id": 1 + i, "name": str(i)} for i in range(len(rows))]
    data = json.dumps({**content, "annotations": rows, "categories": categories})
    return read_annotation(data.encode()).mask.astype(np.int64)


@pytest.mark.parametrize("number", [150, pytest.param(5000, marks=pytest.mark.slow)])
def test_polygons_are_those_of_pycocotools(tmp_path: Path, number: int) -> None:
    assert TOOLS.exists(), ".venv-frontend is missing: run `make frontend-install`"
    cases = polygon_cases(np.random.default_rng(number), number)
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    script = ROOT / "tests" / "frontend" / "load_polygons.py"
    done = subprocess.run(
        [TOOLS, script, tmp_path / "cases.json", tmp_path / "masks.npz"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    wanted = np.load(tmp_path / "masks.npz")
    covered = 0
    for index, content in enumerate(cases):
        found = owners(content)
        assert np.array_equal(found, wanted[str(index)]), content
        covered += int((found > 0).sum())
    assert covered > 100 * number


def test_one_image_of_many_is_found_by_name_else_by_size() -> None:
    small, large = (Annotation(np.ones((3, width), np.uint8), CLASSES[:1]) for width in (4, 6))
    both = exports.to_coco(small, file_name="train/a.jpg", image_id=3)
    other = exports.to_coco(large, file_name="train/b.jpg", image_id=9)
    for key in ("images", "annotations"):
        both[key] += other[key]
    data = json.dumps(both).encode()
    assert read_annotation(data, name="b.jpg").mask.shape == (3, 6)
    assert read_annotation(data, name="x.jpg", width=4, height=3).mask.shape == (3, 4)
    with pytest.raises(InvalidParameter, match="images: must list"):
        read_annotation(data, name="x.jpg", width=5, height=3)


def test_paths_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a-mask.png"
    path.write_bytes(exports.to_indexed_png(Annotation(np.array([[0, 1], [2, 3]], np.uint8), CLASSES)))
    for files in (path, str(path), [path]):
        assert read_annotation(files).mask.tolist() == [[0, 1], [2, 3]]
    with pytest.raises(FileNotFoundError):
        read_annotation(tmp_path / "none.png")


def test_an_annotation_is_scaled_by_the_nearest_pixel() -> None:
    large = scale_annotation(Annotation(np.array([[1, 2]], np.uint8), CLASSES), 5, 2)
    assert large.mask.tolist() == [[1, 1, 2, 2, 2], [1, 1, 2, 2, 2]]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_damage_is_rejected_or_read(data: st.DataObject) -> None:
    mask = np.zeros(30, np.uint8)
    mask[7:19] = 2
    annotation = Annotation(mask.reshape(5, 6), CLASSES)
    file = bytearray(data.draw(st.sampled_from([*written(annotation).values()])))
    for _ in range(data.draw(st.integers(1, 3))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3 * len(file)))
    with contextlib.suppress(InvalidParameter):
        found = read_annotation(bytes(file[:cut] if cut else file), name="a", width=6, height=5)
        assert found.mask.max(initial=0) <= len(found.classes)


BIG = {"size": [2**13, 2**14], "counts": [0, 2**27]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"segmentation": {"size": [2**14, 2**14], "counts": [2**28]}}], "must be 1 to 134217728 pixels"),
        ([{"segmentation": BIG}] * 17, "masks: cover over 2147483648 pixels"),
        ([{"segmentation": [[1e30, 0, 1, 1, 2, 2]]}], "must be numbers from -16777216 to 16777216, got 1e"),
        ([{"segmentation": [[float("nan"), 0, 1, 1, 2, 2]]}], "must be numbers from"),
        ([{"segmentation": [[True, 0, 1, 1, 2, 2]]}], "must be numbers from -16777216 to 16777216, got true"),
        ([{"segmentation": [[10**400, 0, 1, 1, 2, 2]]}], "must be numbers from"),
        ([{"segmentation": {"size": [4, 4], "counts": [2**70]}}], "must add up to 16 pixels, got more"),
        ([{"segmentation": {"size": [4, 4], "counts": [16.5]}}], "must be lengths of 0 or more, got 16.5"),
        ([{"segmentation": {"size": [4, 4], "counts": "\u20ac"}}], "counts: is damaged at character 0"),
        ([{"segmentation": {"size": [4, 4], "counts": "01o"}}], "counts: is damaged at character 2"),
        (
            {"annotations": [], "categories": [{"id": [1], "name": "x"}]},
            r"categories\[0\].id: must be a number",
        ),
        (
            {"annotations": [], "categories": [{"id": 1, "name": "x"}] * 2},
            "must be of one category, got 1 twice",
        ),
        (
            [{"from_name": "a", "value": {"rle": [1]}, "original_width": 1e99}],
            "must be 1 to 134217728 pixels",
        ),
    ],
)
def test_hostile_files_are_rejected(content: Any, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        read_annotation(json.dumps(content).encode(), width=4, height=4)
