"""Data sets of many images: both languages write the same files, and the tools for the formats read them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client import exports
from superpixel_service.client.classes import Class, Instance
from superpixel_service.client.exports import Annotation, Dataset, Schema
from superpixel_service.client.imports import read_annotation
from tests.frontend.conftest import ROOT, node
from tests.frontend.export_cases import CLASSES, by_formula
from tests.frontend.test_exports import TOOLS

CAT, DOG = Class("cat", "#e6194b", 7), Class("dog \u201cRex\u201d: #1", "#3cb44b", 9)
SKY = Class("sky", "#4363d8")


def images() -> dict[str, tuple[Annotation, str]]:
    """Classes in another order for each image; some images have objects, which are one piece each."""
    rng = np.random.default_rng(5)
    found = {}
    lists = [(CAT, DOG), (DOG, SKY), (SKY, CAT, DOG), (Class("dog \u201cRex\u201d: #1", "#000000"),)]
    for number in range(20):
        classes = lists[number % len(lists)]
        shape = tuple(int(size) for size in rng.integers(3, 14, 2))
        mask = rng.integers(0, len(classes) + 1, shape).astype(np.uint8)
        instances, objects = None, ()
        if number % 2:
            instances = np.zeros(shape, np.uint16)
            instances[0, 0], instances[2, 2] = 2, 1
            mask[0, 0] = mask[2, 2] = 1
            objects = (Instance(1, "one"), Instance(1))
        name = f"{'a/' if number % 3 else ''}{number}.jpg"
        found[name] = (Annotation(mask, classes, instances, objects), "val" if number % 5 == 0 else "train")
    return found


def in_schema(annotation: Annotation, schema: Schema) -> NDArray[np.uint8]:
    names = [one.name for one in schema.classes]
    table = np.array([0, *(1 + names.index(one.name) for one in annotation.classes)], np.uint8)
    return table[annotation.mask]


def plain(name: str, annotation: Annotation, split: str) -> dict[str, Any]:
    height, width = annotation.mask.shape
    classes = [
        {"name": one.name, "color": one.color} | ({"id": one.id} if one.id else {})
        for one in annotation.classes
    ]
    instances = annotation.instances
    return {
        "name": name,
        "split": split,
        "width": width,
        "height": height,
        "mask": annotation.mask.ravel().tolist(),
        "classes": classes,
        "instances": None if instances is None else instances.ravel().tolist(),
        "objects": [{"class": one.class_value, "name": one.name} for one in annotation.objects],
    }


def write_by_both(
    fixtures: Path,
    tmp_path: Path,
    given: dict[str, tuple[Annotation, str]],
    classes: tuple[Class, ...] = (DOG,),
    **options: Any,
) -> tuple[Path, Schema]:
    """Write the data set in both languages, and compare all files. Returns the folder and the schema."""
    mine, theirs = tmp_path / "python", tmp_path / "javascript"
    schema = Schema(classes)
    with Dataset(mine, schema, **options) as dataset:
        for name, (annotation, split) in given.items():
            dataset.add(name, annotation, image=name.encode(), split=split)
    cases = {
        "schema": Schema(classes).to_json(),
        "options": options,
        "images": [plain(name, *rest) for name, rest in given.items()],
    }
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    done = node(fixtures, "test/dataset-cases.js", tmp_path / "cases.json", theirs)
    assert done.returncode == 0, done.stderr
    files = {path.relative_to(mine) for path in mine.rglob("*") if path.is_file()}
    assert files == {path.relative_to(theirs) for path in theirs.rglob("*") if path.is_file()}
    for file in sorted(files):
        if file.suffix == ".png":
            same = [np.asarray(Image.open(folder / file)) for folder in (mine, theirs)]
            assert np.array_equal(*same), file
        else:
            assert (mine / file).read_bytes() == (theirs / file).read_bytes(), file
    return mine, schema


@pytest.mark.parametrize("rle", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_both_languages_write_the_same_files_and_tools_read_them(
    fixtures: Path, tmp_path: Path, *, rle: bool
) -> None:
    mine, schema = write_by_both(fixtures, tmp_path, images(), rle=rle)
    assert sum(path.is_file() for path in mine.rglob("*")) > 100

    masks = {name: in_schema(annotation, schema) for name, (annotation, _) in images().items()}
    with (mine / "masks.npz").open("wb") as out:
        np.savez(out, **masks)
    script = ROOT / "tests" / "frontend" / "load_dataset.py"
    read = subprocess.run([TOOLS, "-W", "ignore", script, mine], capture_output=True, text=True)
    assert read.returncode == 0, read.stdout + read.stderr
    tally = json.loads(read.stdout)
    assert tally["coco"] == tally["yolo"] > 300
    assert tally["panoptic"] > 40
    assert "hotcoco" in tally["panoptic quality"]
    assert tally.get("datumaro", tally["coco"]) == tally["coco"]
    assert ("datumaro" in tally) == rle
    # Each image comes back from the set, with its objects.
    for name, (annotation, _) in images().items():
        found = read_annotation(mine / "instances.json", name=name)
        assert np.array_equal(in_schema(found, schema), masks[name])
        stem = name.removesuffix(".jpg")
        panoptic = read_annotation([mine / "panoptic.json", mine / "panoptic" / f"{stem}.png"], name=name)
        assert (panoptic.instances is None) == (annotation.instances is None)
        if annotation.instances is not None:
            pair = [mine / "instances" / f"{stem}{suffix}" for suffix in (".png", ".json")]
            again = read_annotation(pair)
            assert np.array_equal(again.instances, annotation.instances)
            assert [one.name for one in again.objects] == [one.name for one in annotation.objects]


def test_borders_of_a_whole_data_set_stay_joined(fixtures: Path, tmp_path: Path) -> None:
    """Each image has the polygons of a single export with `simplify`; masks stay exact."""
    numbers = {"a.jpg": 10, "b/c.jpg": 11}
    given = {
        name: (by_formula(width=41, height=33, classes=3, seed=seed, of256=230, cell=5, objects=2), "train")
        for name, seed in numbers.items()
    }
    mine, _ = write_by_both(fixtures, tmp_path, given, classes=CLASSES, simplify=1)
    coco = json.loads((mine / "instances.json").read_text())
    for number, (name, (annotation, _)) in enumerate(given.items(), 1):
        rows = [row for row in coco["annotations"] if row["image_id"] == number]
        smooth = exports.to_coco(annotation, simplify=1)["annotations"]
        for key in ("segmentation", "area", "bbox"):
            assert [row[key] for row in rows] == [row[key] for row in smooth], name
        exact = exports.to_coco(annotation)["annotations"]
        assert [row["segmentation"] for row in rows] != [row["segmentation"] for row in exact]
        labels = (mine / "yolo" / "labels" / "train" / name).with_suffix(".txt").read_text()
        assert labels == exports.to_yolo(annotation, simplify=1)
        mask = np.asarray(Image.open((mine / "masks" / name).with_suffix(".png")))
        assert np.array_equal(mask, annotation.mask)


def test_wrong_tolerances_of_data_sets_are_named(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"simplify": -1}, "simplify: must be a number of pixels from 0 on, got -1"),
        ({"simplify": 1, "rle": True}, "simplify: run lengths are exact; leave it out with rle"),
    ]
    for options, text in wrong:
        with pytest.raises(InvalidParameter, match=text):
            Dataset(tmp_path / "set", **options)
    assert not (tmp_path / "set").exists()


def one(*classes: Class) -> Annotation:
    return Annotation(np.ones((1, 1), np.uint8), classes or (CAT,))


def test_a_contradiction_is_an_error_and_the_set_goes_on(tmp_path: Path) -> None:
    with Dataset(tmp_path / "set", Schema([CAT, SKY]), formats=["coco", "png"]) as dataset:
        assert dataset.add("a.jpg", one()) == 1
        for annotation, text in [
            (one(Class("cow", "#000000", 7)), 'classes: b.jpg: id 7 is "cow", and "cat" in the schema'),
            (one(Class("cat", "#000000", 3)), 'classes: b.jpg: "cat" has the id 3, and 7 in the schema'),
            (one(Class("x", "#000000"), Class("x", "#000000")), 'classes: b.jpg: two have the name "x"'),
        ]:
            with pytest.raises(InvalidParameter, match=re.escape(text)):
                dataset.add("b.jpg", annotation)
        for name in ("A.png", "../b.jpg", "/b.jpg", "", "c:\\d.jpg", "a\0.jpg"):
            with pytest.raises(InvalidParameter, match=r"^name: "):
                dataset.add(name, one())
        assert dataset.add("b.jpg", one()) == 2
    content = json.loads((tmp_path / "set" / "instances.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.jpg", "b.jpg"]
    files = [path.name for path in (tmp_path / "set").rglob("*") if path.is_file()]
    assert sorted(files) == ["a.png", "b.png", "classes.json", "instances.json", "legend.json"]


def test_an_error_in_the_block_leaves_no_files_about_the_set(tmp_path: Path) -> None:
    def add_twice() -> None:
        with Dataset(tmp_path / "set") as dataset:
            dataset.add("a.jpg", one())
            dataset.add("a.jpg", one())

    with pytest.raises(InvalidParameter, match="has the same name but for its suffix"):
        add_twice()
    assert not list((tmp_path / "set").glob("*.json"))
    with pytest.raises(InvalidParameter, match="must be empty"):
        Dataset(tmp_path / "set")
    with pytest.raises(InvalidParameter, match="formats: must be of coco, panoptic, yolo, png, got voc"):
        Dataset(tmp_path / "other", formats=["voc"])  # type: ignore[list-item]


def test_schemas() -> None:
    schema = Schema([CAT, SKY])
    assert [one.id for one in schema.classes] == [7, 8]
    assert schema.merge([Class("sky", "#000000"), DOG], "a").tolist() == [0, 2, 3]
    assert schema.merge([Class("new", "#123456")], "b").tolist() == [0, 4]
    assert schema.classes[3].id == 10
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))).classes == schema.classes
    with pytest.raises(InvalidParameter, match="is not in the schema"):
        Schema([CAT], fixed=True).merge([DOG], "a")
    assert Schema([CAT], ids_decide=True).merge([Class("cow", "#000000", 7)], "a").tolist() == [0, 1]
    rows: list[tuple[Any, str]] = [
        ({}, "schema: must be superpixel-classes of version 1"),
        ({"classes": 4}, "classes: must be a list"),
        ({"classes": [{"name": "x", "color": "red"}]}, r"classes\[0\]: must have a name"),
        ({"classes": [{"name": "x", "color": "#000000", "id": True}]}, r"classes\[0\]: must have a name"),
        ({"classes": [{"name": "x", "color": "#000000", "id": 7}] * 2}, "two have the name"),
    ]
    for data, text in rows:
        known = {"format": "superpixel-classes", "version": 1, **data} if data else data
        with pytest.raises(InvalidParameter, match=text):
            Schema.from_json(known)
