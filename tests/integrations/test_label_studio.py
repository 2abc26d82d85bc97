"""The backend under the real label-studio-ml, before a real server, asked as Label Studio asks.

label-studio-ml pins an old Flask, so it is in the environment of the exports' readers, and takes this
project's packages from the tests' own.
"""

import http.client
import http.server
import importlib.util
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import superpixel_service
from superpixel_kernels import segment
from superpixel_service.client.exports import Annotation, Class, to_label_studio
from superpixel_service.client.smart import SmartSelect
from superpixel_service.interactive import ObjectFinder, Point
from tests.examples.process import running_example
from tests.service.harness import running_server

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-frontend" / "bin" / "python"
PHOTO = ROOT / "examples" / "photos" / "coffee.jpg"
TOUCHED = """
<View>
  <Image name="picture" value="$photo"/>
  <BrushLabels name="mask" toName="picture" smart="true" superpixelMode="touched" superpixelCount="400">
    <Label value="Cup"/><Label value="Spoon"/>
  </BrushLabels>
  <KeyPointLabels name="point" toName="picture" smart="true"><Label value="Cup"/></KeyPointLabels>
</View>
"""
SMART = TOUCHED.replace('superpixelMode="touched" superpixelCount="400"', "")
COUNT = 1200


@contextmanager
def running_backend(folder: Path, **variables: str) -> Iterator[str]:
    """The backend with a server of its own; HOST:PORT."""
    assert PYTHON.exists(), f"{PYTHON} is missing: run `make frontend-install`"
    home, site = folder / "home", folder / "site"
    home.mkdir()
    site.mkdir()
    for package in Path(superpixel_service.__file__).parents[1].glob("superpixel_*"):
        (site / package.name).symlink_to(package)
    with running_server() as server:
        command = [PYTHON, "-W", "ignore", ROOT / "integrations" / "label_studio" / "backend.py"]
        environment = {
            "SUPERPIXEL_SERVER": server.listen,
            "SUPERPIXEL_COUNT": str(COUNT),
            "PORT": "0",
            "HOME": str(home),
            "PYTHONPATH": str(site),
        }
        with running_example(command, {**os.environ, **environment, **variables}) as listening:
            yield listening


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_backend(tmp_path_factory.mktemp("backend")) as listening:
        yield listening


def post(address: str, path: str, body: dict[str, Any]) -> Any:
    connection = http.client.HTTPConnection(address, timeout=300)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status == 200, content
    return json.loads(content)


def predicted(
    address: str,
    marks: list[dict[str, Any]],
    config: str = TOUCHED,
    url: str = f"/data/local-files/?d={PHOTO}",
) -> list[dict[str, Any]]:
    post(address, "/setup", {"project": "1.1700000000", "schema": config})
    answer = post(
        address,
        "/predict",
        {
            "tasks": [{"id": 1, "data": {"photo": url}}],
            "project": "1.1700000000",
            "label_config": config,
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


def rectangle(x0: float, y0: float, x1: float, y1: float) -> dict[str, Any]:
    value = {"x": x0 / 6, "y": y0 / 4, "width": (x1 - x0) / 6, "height": (y1 - y0) / 4}
    return {
        "type": "rectanglelabels",
        "to_name": "picture",
        "value": value | {"rectanglelabels": ["Cup"]},
        "is_positive": True,
    }


def test_a_rectangle_takes_the_superpixels_that_it_touches(address: str, labels: NDArray[np.int32]) -> None:
    inside = np.isin(labels, np.unique(labels[100:200, 150:300]))
    assert predicted(address, [rectangle(150, 100, 300, 200)]) == as_result(inside, "Cup")


def test_clicks_and_rectangles_take_objects(address: str) -> None:
    data = PHOTO.read_bytes()
    finder = ObjectFinder(count=COUNT)
    clicks = [Point(290.5, 140.5), Point(290.5, 60.5), Point(20.5, 30.5, positive=False)]
    marks = [click(each.x, each.y, is_positive=each.positive) for each in clicks]
    assert predicted(address, marks, SMART) == as_result(finder.find(data, clicks), "Cup")
    box = finder.find(data, box=(170, 15, 410, 285))
    assert predicted(address, [rectangle(170, 15, 410, 285)], SMART) == as_result(box, "Cup")


def test_a_stroke_takes_the_object_below_it(address: str) -> None:
    stroke = np.zeros((400, 600), bool)
    stroke[130:140, 250:330] = True
    (mark,) = as_result(stroke, "Spoon")
    picture = ObjectFinder(count=COUNT).open(PHOTO.read_bytes())
    smart = SmartSelect(picture.label_map, COUNT, picture.image)
    smart.touch(np.unique(picture.label_map.labels[stroke]))
    smart.accept()
    chosen = np.isin(picture.label_map.labels, smart.chosen)
    assert chosen[stroke].all()
    assert predicted(address, [mark], SMART) == as_result(chosen, "Spoon")


class _LabelStudio(http.server.BaseHTTPRequestHandler):
    """Gives the photograph to callers with the token."""

    def do_GET(self) -> None:
        allowed = "a-token" in self.headers.get("Authorization", "")
        self.send_response(200 if allowed and self.path.startswith("/data/upload/7/") else 401)
        self.end_headers()
        self.wfile.write(PHOTO.read_bytes() if allowed else b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.slow
def test_uploaded_images_are_fetched_with_the_token(tmp_path: Path, labels: NDArray[np.int32]) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _LabelStudio) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_address[1]}"
        variables = {"LABEL_STUDIO_URL": host, "LABEL_STUDIO_API_KEY": "a-token"}
        with running_backend(tmp_path, **variables) as listening:
            for url in ("/data/upload/7/coffee.jpg", f"{host}/data/upload/7/coffee.jpg"):
                found = predicted(listening, [click(200.5, 150.5)], url=url)
                assert found == as_result(labels == labels[150, 200], "Cup")
        server.shutdown()


def test_a_labelling_interface_is_generated() -> None:
    path = ROOT / "integrations" / "label_studio" / "label_config.py"
    spec = importlib.util.spec_from_file_location("label_config", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.label_config(["Cat", "Dog & <co>"], image="photo", count=400, mode="touched")
    done = subprocess.run([PYTHON, "-c", CHECK], input=made, capture_output=True, text=True)
    assert all(name in done.stdout for name in ("brush", "point", "box")), done.stderr
    assert 'value="Dog &amp; &lt;co&gt;"' in made
    assert 'superpixelCount="400" superpixelMode="touched"' in made
    assert "superpixel" not in module.label_config(["Cat"])
    with pytest.raises(ValueError, match="classes"):
        module.label_config(["Cat", "Cat"])


CHECK = """
import sys
from label_studio_sdk.label_interface import LabelInterface
print([control.name for control in LabelInterface(sys.stdin.read()).controls])
"""

FORGED = """
import sys, tracemalloc
import numpy as np
import backend
tracemalloc.start()
try:
    backend.stroke_of({"value": {"rle": [255] * 4 + [0] * 60}}, (2, 3))
except ValueError as error:
    print(tracemalloc.get_traced_memory()[1] < 100_000, error)
"""


def test_a_forged_stroke_allocates_nothing(tmp_path: Path) -> None:
    for package in Path(superpixel_service.__file__).parents[1].glob("superpixel_*"):
        (tmp_path / package.name).symlink_to(package)
    path = f"{tmp_path}:{ROOT / 'integrations' / 'label_studio'}"
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", FORGED],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "True rle: 4294967295 values, must be 24\n", done.stderr
