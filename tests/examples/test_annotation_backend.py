"""The example of an annotation backend, as a browser would use it."""

import http.client
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import codec
from superpixel_service.client.exports import fingerprint
from tests.examples.process import running_example
from tests.service.harness import RunningServer, running_server

ROOT = Path(__file__).parents[2]
PHOTO = (ROOT / "examples" / "photos" / "chelsea.jpg").read_bytes()


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def address(server: RunningServer, tmp_path: Path) -> Iterator[str]:
    command = [sys.executable, ROOT / "examples" / "annotation_backend" / "app.py", tmp_path]
    environment = {**os.environ, "SUPERPIXEL_SERVER": server.listen, "PORT": "0"}
    with running_example(command, environment) as listening:
        yield listening


def call(address: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_maps_are_stored_next_to_images(address: str, tmp_path: Path) -> None:
    status, told = call(address, "PUT", "/images/cat.jpg", PHOTO)
    assert status == 201
    assert json.loads(told) == {"width": 451, "height": 300, "superpixels": 2114}
    assert {path.name for path in tmp_path.iterdir()} == {"cat.jpg", "cat.jpg.spx"}
    assert call(address, "GET", "/images/cat.jpg") == (200, PHOTO)
    label_map = codec.decode(call(address, "GET", "/images/cat.jpg/map")[1])
    assert label_map.labels.shape == (300, 451)

    chosen = np.zeros(2114, np.uint8)
    chosen[100:150] = 1
    selection = {
        "format": "superpixel-selection",
        "version": 1,
        "width": 451,
        "height": 300,
        "count": 2114,
        "map": fingerprint(label_map.labels),
        "classes": [{"name": "cat", "color": "#e69f00"}],
        "regions": [0, 100, 1, 50, 0, 1964],
        "pixels": [],
    }
    assert call(address, "PUT", "/images/cat.jpg/selection", json.dumps(selection).encode())[0] == 204
    status, png = call(address, "GET", "/images/cat.jpg/mask")
    assert status == 200
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), chosen[label_map.labels])


def test_what_does_not_fit_is_not_stored(address: str, tmp_path: Path) -> None:
    status, told = call(address, "PUT", "/images/cat.jpg", b"no image")
    assert status == 422
    assert json.loads(told)["detail"] == "encoded_image: must be a JPEG, PNG or WebP file"
    assert call(address, "GET", "/images/cat.jpg/map")[0] == 404
    assert call(address, "GET", "/images/..%2f..%2fetc/map")[0] == 404
    assert call(address, "PUT", "/images/.hidden", PHOTO)[0] == 404
    assert list(tmp_path.iterdir()) == []
    call(address, "PUT", "/images/cat.jpg", PHOTO)
    assert call(address, "PUT", "/images/cat.jpg/selection", b'{"format": "other"}')[0] == 422
