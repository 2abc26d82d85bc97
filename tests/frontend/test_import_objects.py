"""Imports of objects: instance masks with a legend, COCO, panoptic, stored selections, project files."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from superpixel_kernels import codec
from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client import exports
from superpixel_service.client.classes import Class, Instance
from superpixel_service.client.exports import Annotation
from superpixel_service.client.imports import read_annotation, scale_annotation
from superpixel_service.client.selection_json import fingerprint
from tests.frontend.test_imports import by_javascript

CAT, DOG = Class("cat", "#e6194b", 7), Class("dog", "#3cb44b", 9)


def png(values: Any, mode: str | None = None) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.array(values), mode).save(out, "PNG")
    return out.getvalue()


LEGEND = {
    "classes": [
        {"value": 1, "name": "cat", "color": "#e6194b", "id": 7},
        {"value": 2, "name": "dog", "color": "#3cb44b", "id": 9},
    ],
    "objects": [
        {"value": 256, "class": 2, "name": "Rex"},
        {"value": 257, "class": 1, "name": ""},
        {"value": 258, "class": 1, "name": "nowhere"},
    ],
}
VALUES = np.array([[0, 1, 2], [256, 257, 257]], np.uint16)


def test_an_instance_mask_is_read_with_its_legend(fixtures: Path) -> None:
    files = {"a.png": png(VALUES), "a.json": json.dumps(LEGEND).encode()}
    found = read_annotation(files)
    assert found.mask.tolist() == [[0, 1, 2], [2, 1, 1]]
    assert found.instances is not None
    assert found.instances.tolist() == [[0, 0, 0], [1, 2, 2]]
    assert found.classes == (CAT, DOG)
    assert found.objects == (Instance(2, "Rex"), Instance(1, ""))
    (theirs,) = by_javascript(fixtures, [(files, {})])
    assert theirs["mask"] == [0, 1, 2, 2, 1, 1]
    assert theirs["instances"] == [0, 0, 0, 1, 2, 2]
    assert theirs["objects"] == [{"class": 2, "name": "Rex"}, {"class": 1, "name": ""}]
    assert theirs["classes"][0] == {"name": "cat", "color": "#e6194b", "id": 7}
    assert scale_annotation(found, 6, 4).instances is not None
    assert read_annotation(files, objects=False).instances is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"objects": [{"value": 256, "class": 3, "name": ""}]},
            r"objects\[0\]: must have a value, a name and a",
        ),
        ({"objects": [{"value": 2, "class": 1, "name": ""}]}, r"objects\[0\]: must have a value"),
        ({"classes": [{"value": 1}]}, r"classes\[0\]: must have a value, a name, got"),
        ({"classes": [5]}, r"classes\[0\]: must have a value, a name, got 5"),
        ({"objects": []}, "png: has the value 256, which the legend must list"),
    ],
)
def test_a_damaged_legend_is_rejected(fixtures: Path, change: dict[str, Any], message: str) -> None:
    files = {"a.png": png(VALUES), "a.json": json.dumps({**LEGEND, **change}).encode()}
    with pytest.raises(InvalidParameter, match=message) as caught:
        read_annotation(files)
    (theirs,) = by_javascript(fixtures, [(files, {})])
    assert theirs["error"] == f"SuperpixelMapError: {caught.value}"


def test_a_legend_needs_its_png_and_a_png_of_objects_its_legend() -> None:
    with pytest.raises(InvalidParameter, match="legend: needs its PNG file, too"):
        read_annotation(json.dumps(LEGEND).encode())
    with pytest.raises(InvalidParameter, match="a file of objects needs its legend, too"):
        read_annotation(png(np.arange(300, dtype=np.uint16).reshape(2, 150)))


def test_panoptic_things_are_objects_and_stuff_is_not(fixtures: Path) -> None:
    values = np.zeros((2, 3, 3), np.uint8)
    values[0, 0] = (1, 1, 0)  # 257
    values[0, 1] = (2, 0, 0)
    values[1] = (3, 0, 0)
    content = {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 3, "height": 2}],
        "categories": [
            {"id": 7, "name": "cat", "isthing": 1, "color": [230, 25, 75]},
            {"id": 9, "name": "dog", "isthing": 0, "color": [60, 180, 75]},
        ],
        "annotations": [
            {
                "image_id": 5,
                "file_name": "a.png",
                "segments_info": [
                    {"id": 257, "category_id": 7},
                    {"id": 2, "category_id": 9},
                    {"id": 3, "category_id": 7, "iscrowd": 1},
                ],
            }
        ],
    }
    files = {"folder/a.png": png(values), "a.json": json.dumps(content).encode()}
    found = read_annotation(files, name="a.jpg")
    assert found.mask.tolist() == [[1, 2, 0], [1, 1, 1]]
    assert found.instances is not None
    assert found.instances.tolist() == [[1, 0, 0], [0, 0, 0]]
    assert found.classes == (CAT, DOG)
    (theirs,) = by_javascript(fixtures, [({"a.png": files["folder/a.png"], "a.json": files["a.json"]}, {})])
    assert theirs["instances"] == [1, 0, 0, 0, 0, 0]
    with pytest.raises(InvalidParameter, match=r'annotations\[0\]: needs its PNG file "a.png", too'):
        read_annotation(files["a.json"])


def stored(label_map: codec.LabelMap) -> dict[str, Any]:
    return {
        "format": "superpixel-selection",
        "version": 2,
        "width": label_map.width,
        "height": label_map.height,
        "count": label_map.count,
        "map": fingerprint(label_map.labels),
        "classes": [{"name": "cat", "color": "#e6194b"}],
        "objects": [{"class": 1, "name": "Tom"}],
        "regions": [256, 10, 1, label_map.count - 10],
        "pixels": [],
    }


def project(fixtures: Path, **changes: Any) -> bytes:
    spx = (fixtures / "maps" / "noise.spx").read_bytes()
    content = stored(codec.decode(spx))
    listed = {"name": "a.jpg", "map": "images/1/map.spx", "selection": "images/1/selection.json", **changes}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/1/map.spx", spx)
        archive.writestr("images/1/selection.json", json.dumps(content))
        index = {"format": "superpixel-project", "version": 1, "images": [listed, {"name": "b.jpg"}]}
        archive.writestr("project.json", json.dumps(index))
    return out.getvalue()


def test_a_stored_selection_is_read_with_its_map(fixtures: Path) -> None:
    spx = (fixtures / "maps" / "noise.spx").read_bytes()
    label_map = codec.decode(spx)
    files = {"a.json": json.dumps(stored(label_map)).encode(), "a.spx": spx}
    found = read_annotation(files)
    wanted = Annotation.of_selection(label_map, stored(label_map))
    assert np.array_equal(found.mask, wanted.mask)
    assert found.objects == (Instance(1, "Tom"),)
    (theirs,) = by_javascript(fixtures, [(files, {})])
    assert (
        theirs["instances"]
        == (wanted.instances if wanted.instances is not None else wanted.mask).ravel().tolist()
    )
    with pytest.raises(InvalidParameter, match="selection: needs the label map"):
        read_annotation(files["a.json"])
    with pytest.raises(InvalidParameter, match="spx: is not a valid label map"):
        read_annotation({**files, "a.spx": spx[:-30]})


def test_an_image_of_a_project_file_is_read(fixtures: Path) -> None:
    found = read_annotation(project(fixtures), name="a.jpg")
    assert found.objects == (Instance(1, "Tom"),)
    with pytest.raises(InvalidParameter, match=r'images: "b\.jpg" has no annotation yet'):
        read_annotation(project(fixtures), name="b.jpg")
    with pytest.raises(InvalidParameter, match=r'images: must list "c\.jpg"; it has 2 images'):
        read_annotation(project(fixtures), name="c.jpg")
    with pytest.raises(InvalidParameter, match='project: has no file "x"'):
        read_annotation(project(fixtures, map="x"), name="a.jpg")
    with pytest.raises(InvalidParameter, match="project: is a damaged ZIP file"):
        read_annotation(project(fixtures)[:-40], name="a.jpg")


@st.composite
def annotations_with_objects(draw: st.DrawFn) -> Annotation:
    """Small random annotations: objects of several pieces or without pixels, classes without objects."""
    width, height = draw(st.integers(1, 9)), draw(st.integers(1, 8))
    objects = draw(st.lists(st.builds(Instance, st.integers(1, 2), st.sampled_from(["", "Tom"])), max_size=4))
    size = width * height
    values = np.array(draw(st.lists(st.integers(0, 2 + len(objects)), min_size=size, max_size=size)))
    table = np.array([0, 1, 2, *(one.class_value for one in objects)], np.uint8)
    instances = np.maximum(values - 2, 0).astype(np.uint16).reshape(height, width) if objects else None
    return Annotation(table[values].reshape(height, width), (CAT, DOG), instances, tuple(objects))


def with_objects(annotation: Annotation) -> dict[str, dict[str, bytes]]:
    """Every export that keeps objects."""

    def text(value: Any) -> dict[str, bytes]:
        return {"a.json": json.dumps(value).encode()}

    brush = exports.to_label_studio(annotation)
    panoptic = exports.to_panoptic_json(annotation, mask_name="a.png")
    return {
        "COCO polygons": text(exports.to_coco(annotation)),
        "COCO RLE": text(exports.to_coco(annotation, rle=True, split=False)),
        "Label Studio": text([{"data": {"image": "a.jpg"}, "annotations": [{"result": brush}]}]),
        "GeoJSON": text(exports.to_geojson(annotation)),
        "instances": {
            **text(exports.to_instance_legend(annotation)),
            "a.png": exports.to_instance_png(annotation),
        },
        "panoptic": {**text(panoptic), "a.png": exports.to_panoptic_png(annotation)},
    }


def same_objects(found: Annotation, annotation: Annotation, what: str) -> None:
    names = [["", *(one.name for one in each.classes)] for each in (found, annotation)]
    assert [names[0][value] for value in found.mask.ravel()] == [
        names[1][value] for value in annotation.mask.ravel()
    ], what
    none = np.zeros(annotation.mask.shape, np.uint16)
    mine, theirs = (none if each.instances is None else each.instances for each in (annotation, found))
    # Objects without pixels are left out, and the others keep their order.
    kept = [number for number in range(1, 1 + len(annotation.objects)) if (mine == number).any()]
    table = np.zeros(1 + len(annotation.objects), np.uint16)
    table[kept] = np.arange(1, 1 + len(kept))
    assert np.array_equal(theirs, table[mine]), what
    if what != "panoptic":
        assert [one.name for one in found.objects] == [annotation.objects[i - 1].name for i in kept], what


@given(annotations_with_objects())
@settings(max_examples=60, deadline=None)
def test_every_export_of_objects_comes_back(annotation: Annotation) -> None:
    height, width = annotation.mask.shape
    for what, files in with_objects(annotation).items():
        same_objects(read_annotation(files, name="a.jpg", width=width, height=height), annotation, what)


def test_javascript_reads_the_same_objects(fixtures: Path) -> None:
    rng = np.random.default_rng(8)
    objects = tuple(Instance(1 + i % 2, "Tom" if i == 1 else "") for i in range(5))
    values = rng.integers(0, 7, (6, 8))
    table = np.array([0, 1, 2, *(one.class_value for one in objects)], np.uint8)
    instances = np.maximum(values - 2, 0).astype(np.uint16)
    annotation = Annotation(table[values], (CAT, DOG), instances, objects)
    cases = [(files, {"width": 8, "height": 6}) for files in with_objects(annotation).values()]
    for (files, options), theirs in zip(cases, by_javascript(fixtures, cases), strict=True):
        mine = read_annotation(files, **options)
        assert mine.instances is not None
        assert theirs["mask"] == mine.mask.ravel().tolist()
        assert theirs["instances"] == mine.instances.ravel().tolist()
        assert theirs["objects"] == [{"class": one.class_value, "name": one.name} for one in mine.objects]


def test_classes_without_objects_come_back_without_objects() -> None:
    annotation = Annotation(np.array([[1, 0, 1], [2, 2, 0]], np.uint8), (CAT, DOG))
    for what, files in with_objects(annotation).items():
        found = read_annotation(files, width=3, height=2)
        assert found.instances is None, what
        assert found.objects == (), what
