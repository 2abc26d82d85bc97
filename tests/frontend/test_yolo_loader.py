"""A YOLO data set in Ultralytics' own loader, as training would read it."""

import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superpixel_service.client.classes import class_table
from superpixel_service.client.exports import Annotation, Class, Dataset, Schema
from superpixel_service.client.exports.groups import values_of
from tests.frontend.conftest import ROOT
from tests.frontend.export_cases import CLASSES, by_formula

READERS = ROOT / ".venv-readers"


def annotations() -> dict[str, Annotation]:
    """Objects of many pieces, pieces with holes, single pixels, and an image without labels."""
    found = {
        "train/a.png": by_formula(width=96, height=70, classes=3, seed=1, of256=200, cell=6, objects=2),
        "train/b.png": by_formula(width=50, height=96, classes=3, seed=2, of256=120, cell=1),
        "val/c.png": by_formula(width=96, height=96, classes=3, seed=3, of256=235, cell=4, objects=5),
        "train/empty.png": Annotation(np.zeros((60, 96), np.uint8), CLASSES),
    }
    rings = np.zeros((96, 96), np.uint8)
    for number, inset in enumerate(range(0, 46, 3)):
        rings[inset : 96 - inset, inset : 96 - inset] = number % 4
    found["val/rings.png"] = Annotation(rings, CLASSES)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not (READERS / ".tools").exists(), reason="run `make readers-install` (1 to 5 GB)")
def test_ultralytics_loads_a_data_set(tmp_path: Path) -> None:
    classes = (CLASSES[0], Class("dog \u201cRex\u201d: #1", "#3cb44b"), *CLASSES[2:])
    values = {}
    with Dataset(tmp_path / "set", Schema(classes), formats=["yolo"]) as dataset:
        for path, annotation in annotations().items():
            split, name = path.split("/")
            named = Annotation(annotation.mask, classes, annotation.instances, annotation.objects)
            picture = io.BytesIO()
            Image.fromarray(annotation.mask * 60).convert("RGB").save(picture, "PNG")
            dataset.add(name, named, image=picture.getvalue(), split=split)
            values[name] = values_of(annotation)
    table = class_table(max((one.objects for one in annotations().values()), key=len))
    with (tmp_path / "set" / "values.npz").open("wb") as out:
        np.savez(out, classes=table, **values)
    script = ROOT / "tests" / "frontend" / "load_yolo.py"
    done = subprocess.run(
        [READERS / "bin" / "python", "-W", "ignore", script, tmp_path / "set"],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = json.loads(done.stdout.splitlines()[-1])
    labels = {split: (tmp_path / "set" / "yolo" / "labels" / split).glob("*.txt") for split in lines}
    written = {
        split: sum(len(one.read_text().splitlines()) for one in files) for split, files in labels.items()
    }
    assert lines == written
    assert min(lines.values()) > 30
