"""Exports: both languages write the same bytes, and the tools for these formats read the same pixels."""

import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superpixel_service.client.exports import Annotation
from tests.frontend.conftest import ROOT, node
from tests.frontend.export_cases import TABLE, annotations, exported

TOOLS = ROOT / ".venv-frontend" / "bin" / "python"


@pytest.fixture(scope="module")
def by_javascript(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    done = node(fixtures, "test/export-cases.js", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def cases(fixtures: Path) -> list[tuple[str, Annotation]]:
    return list(annotations(fixtures))


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
                used = 3 * (1 + len(annotation.classes))
                assert (mine.getpalette() or [])[:used] == (image.getpalette() or [])[:used], name
            else:
                assert theirs == data, (name, file)


def test_tools_read_the_same_pixels(by_javascript: Path, cases: list[tuple[str, Annotation]]) -> None:
    assert TOOLS.exists(), ".venv-frontend is missing: run `make frontend-install`"
    (by_javascript / "table.json").write_text(json.dumps(TABLE))
    for number, (_, annotation) in enumerate(cases):
        np.save(by_javascript / str(number) / "mask.npy", annotation.mask)
    done = subprocess.run(
        [TOOLS, "-W", "ignore", ROOT / "tests" / "frontend" / "load_exports.py", by_javascript],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tally = json.loads(done.stdout.splitlines()[-1])
    assert tally["PNG"] == len(cases)
    assert tally["COCO polygons"] == tally["COCO rle"] == tally["YOLO"] == tally["GeoJSON"] > 3000, tally
    assert tally["COCO classes"] == tally["COCO class-rle"] == tally["Label Studio"] > 40, tally
