"""The backend under the real label-studio-ml, before a real server, asked as Label Studio asks.

label-studio-ml pins a Flask that is old: it is in the environment of the exports' readers, and takes this
project's packages from the tests' own.
"""

import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import superpixel_service
from superpixel_kernels import segment
from superpixel_service.client.exports import Annotation, Class, to_label_studio
from tests.examples.process import running_example
from tests.service.harness import running_server

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-frontend" / "bin" / "python"
PHOTO = ROOT / "examples" / "photos" / "coffee.jpg"
CONFIG = """
<View>
  <Image name="picture" value="$photo"/>
  <BrushLabels name="mask" toName="picture" smart="true">
    <Label value="Cup"/><Label value="Spoon"/>
  </BrushLabels>
  <KeyPointLabels name="point" toName="picture" smart="true"><Label value="Cup"/></KeyPointLabels>
</View>
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert PYTHON.exists(), f"{PYTHON} is missing: run `make frontend-install`"
    home, site = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("site")
    for package in Path(superpixel_service.__file__).parents[1].glob("superpixel_*"):
        (site / package.name).symlink_to(package)
    with running_server() as server:
        command = [PYTHON, "-W", "ignore", ROOT / "examples" / "label_studio" / "backend.py"]
        environment = {
            "SUPERPIXEL_SERVER": server.listen,
            "PORT": "0",
            "HOME": str(home),
            "PYTHONPATH": str(site),
        }
        with running_example(command, {**os.environ, **environment}) as listening:
            yield listening


def post(address: str, path: str, body: dict[str, Any]) -> Any:
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status == 200, content
    return json.loads(content)


def predicted(address: str, marks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    post(address, "/setup", {"project": "1.1700000000", "schema": CONFIG})
    answer = post(
        address,
        "/predict",
        {
            "tasks": [{"id": 1, "data": {"photo": f"/data/local-files/?d={PHOTO}"}}],
            "project": "1.1700000000",
            "label_config": CONFIG,
            "params": {"context": {"result": marks}},
        },
    )
    (prediction,) = answer["results"]
    result: list[dict[str, Any]] = prediction["result"]
    return result


def click(x: float, y: float, *, is_positive: bool = True) -> dict[str, Any]:
    value = {"x": 100 * x / 600, "y": 100 * y / 400, "width": 0.3, "keypointlabels": ["Cup"]}
    return {"type": "keypointlabels", "to_name": "picture", "value": value, "is_positive": is_positive}


@pytest.fixture(scope="module")
def labels() -> NDArray[np.int32]:
    return segment(np.asarray(Image.open(PHOTO))).cut(400 * 600 // 600)


def as_result(mask: NDArray[np.bool_], label: str) -> list[dict[str, Any]]:
    annotation = Annotation(mask.astype(np.uint8), (Class(label, "#000000"),))
    return to_label_studio(annotation, from_name="mask", to_name="picture")


def test_clicks_come_back_as_superpixels(address: str, labels: NDArray[np.int32]) -> None:
    assert predicted(address, []) == []
    one = labels == labels[150, 200]
    two = one | (labels == labels[300, 500])
    assert predicted(address, [click(200.5, 150.5)]) == as_result(one, "Cup")
    assert predicted(address, [click(200.5, 150.5), click(500.5, 300.5)]) == as_result(two, "Cup")
    taken_back = [click(200.5, 150.5), click(500.5, 300.5), click(500.5, 300.5, is_positive=False)]
    assert predicted(address, taken_back) == as_result(one, "Cup")
    assert predicted(address, [click(600, 400)]) == as_result(labels == labels[-1, -1], "Cup")


def test_a_stroke_of_the_brush_comes_back_as_the_superpixels_it_meets(
    address: str, labels: NDArray[np.int32]
) -> None:
    stroke = np.zeros(labels.shape, bool)
    stroke[200:206, 100:300] = True
    (mark,) = as_result(stroke, "Spoon")
    assert predicted(address, [mark]) == as_result(np.isin(labels, np.unique(labels[stroke])), "Spoon")


FORGED = """
import sys, tracemalloc
import numpy as np
import backend
tracemalloc.start()
try:
    backend.touched(np.zeros((2, 3), np.int32), {"value": {"rle": [255] * 4 + [0] * 60}})
except ValueError as error:
    print(tracemalloc.get_traced_memory()[1] < 100_000, error)
"""


def test_a_forged_stroke_allocates_nothing(tmp_path: Path) -> None:
    for package in Path(superpixel_service.__file__).parents[1].glob("superpixel_*"):
        (tmp_path / package.name).symlink_to(package)
    path = f"{tmp_path}:{ROOT / 'examples' / 'label_studio'}"
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", FORGED],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "True rle: 4294967295 values, must be 24\n", done.stderr
