"""Exports: both languages write the same bytes, and the tools for these formats read the same pixels."""

import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superpixel_service.client import exports
from superpixel_service.client.classes import class_table
from superpixel_service.client.exports import Annotation, Class, Instance
from superpixel_service.client.exports.groups import values_of
from tests.frontend.conftest import ROOT, node
from tests.frontend.export_cases import TABLE, by_formula, exported

TWO = (Class("x", "#000000"), Class("y", "#ffffff"))
TOOLS = ROOT / ".venv-frontend" / "bin" / "python"


@pytest.fixture(scope="module")
def by_javascript(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    done = node(fixtures, "test/export-cases.js", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_both_languages_write_the_same_bytes(
    by_javascript: Path, cases: list[tuple[str, Annotation]]
) -> None:
    assert len(list(by_javascript.iterdir())) == len(cases) > 30
    for number, (name, annotation) in enumerate(cases):
        folder = by_javascript / str(number)
        assert json.loads((folder / "name.json").read_text()) == name
        for file, data in exported(annotation).items():
            theirs = (folder / file).read_bytes()
            if file.endswith(".png"):
                # Compression may differ between platforms.
                mine, image = (Image.open(io.BytesIO(one)) for one in (data, theirs))
                assert np.array_equal(np.asarray(mine), np.asarray(image)), (name, file)
                assert data[24:26] == theirs[24:26], "bits and kind"
                used = 3 * (1 + len(annotation.classes))
                assert (mine.getpalette() or [])[:used] == (image.getpalette() or [])[:used], name
            else:
                assert theirs == data, (name, file)


def test_tools_read_the_same_pixels(by_javascript: Path, cases: list[tuple[str, Annotation]]) -> None:
    assert TOOLS.exists(), ".venv-frontend is missing: run `make frontend-install`"
    (by_javascript / "table.json").write_text(json.dumps(TABLE))
    for number, (_, annotation) in enumerate(cases):
        np.save(by_javascript / str(number) / "values.npy", values_of(annotation))
        np.save(by_javascript / str(number) / "classes.npy", class_table(annotation.objects))
    done = subprocess.run(
        [TOOLS, "-W", "ignore", ROOT / "tests" / "frontend" / "load_exports.py", by_javascript],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tally = json.loads(done.stdout.splitlines()[-1])
    assert tally["PNG"] == len(cases)
    assert tally["COCO polygons"] == tally["COCO rle"] == tally["YOLO"] > 3000, tally
    assert tally["GeoJSON"] > 4000, tally
    assert tally["COCO classes"] == tally["COCO class-rle"] == tally["Label Studio"] > 120, tally
    assert tally["panoptic"] == tally["COCO classes"] <= tally["instances"] + 3 * len(cases), tally


def test_datumaro_reads_coco_as_a_whole_and_as_a_stream(tmp_path: Path) -> None:
    annotation = by_formula(width=90, height=70, classes=3, seed=10, of256=200, cell=6, objects=4)
    instances = exports.to_coco(annotation, file_name="a.png", rle=True, split=False)
    panoptic = exports.to_panoptic_json(annotation, file_name="a.png", mask_name="a.png")
    for name in ("images", "annotations/panoptic_default"):
        (tmp_path / name).mkdir(parents=True)
    Image.fromarray(np.zeros((*annotation.mask.shape, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "annotations" / "instances_default.json").write_text(json.dumps(instances))
    (tmp_path / "annotations" / "panoptic_default.json").write_text(json.dumps(panoptic))
    (tmp_path / "annotations" / "panoptic_default" / "a.png").write_bytes(exports.to_panoptic_png(annotation))
    np.save(tmp_path / "values.npy", values_of(annotation))
    done = subprocess.run(
        [TOOLS, "-W", "ignore", ROOT / "tests" / "frontend" / "load_datumaro.py", tmp_path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    number = len(instances["annotations"])
    assert json.loads(done.stdout.splitlines()[-1]) == {"whole": number, "stream": number, "panoptic": number}
    assert number > 10


def test_run_lengths_take_one_pass_over_the_picture() -> None:
    """With a pass per object, or memory as large as the picture for each, this would not end."""
    number, height = 12_000, 150_000
    rows = np.arange(height) // 3
    upper = np.stack([np.where(rows < number, rows + 1, 0), np.zeros(height, int)], axis=1)
    instances = (upper + upper[::-1, ::-1]).astype(np.uint16)  # each object has two pieces, far apart
    mask = (instances > 0).astype(np.uint8)
    annotation = Annotation(mask, (Class("x", "#000000"),), instances, (Instance(1),) * number)
    coco = exports.to_coco(annotation, rle=True)["annotations"]
    assert (len(coco), {one["area"] for one in coco}) == (number, {6})
    assert len({one["segmentation"]["counts"] for one in coco}) == number
    pieces = exports.to_coco(Annotation(mask * (1 + rows % 2)[:, None].astype(np.uint8), TWO), rle=True)
    assert len(pieces["annotations"]) == 2 * number
