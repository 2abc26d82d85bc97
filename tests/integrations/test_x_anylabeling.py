"""The remote server for X-AnyLabeling: by HTTP, and by X-AnyLabeling's own client without a screen."""

import base64
import http.client
import importlib.util
import json
import os
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

uvicorn = pytest.importorskip("uvicorn", reason="needs the extra web")

from superpixel_service.interactive import ObjectFinder, Point, outlines  # noqa: E402

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "photos" / "coffee.jpg"
FINDER = ObjectFinder(count=1000)
KEY = "a key"


def load():
    path = ROOT / "integrations" / "x_anylabeling" / "server.py"
    spec = importlib.util.spec_from_file_location("x_anylabeling_server", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SERVER = load()


@pytest.fixture(scope="module")
def address():
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(SERVER.make_app(FINDER, KEY), log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    host, port = listening.getsockname()
    yield f"{host}:{port}"
    server.should_exit = True
    thread.join()


def ask(address, path, body=None, key=KEY):
    connection = http.client.HTTPConnection(address, timeout=300)
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Token": key}
    connection.request("POST" if body is not None else "GET", path, data, headers)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def call(model=SERVER.SMART, marks=(), **params):
    image = "data:image/jpeg;base64," + base64.b64encode(PHOTO.read_bytes()).decode()
    return {"model": model, "image": image, "params": {"epsilon_factor": 0, "marks": list(marks)} | params}


def point(x, y, label=1):
    return {"type": "point", "data": [x, y], "label": label}


def painted(shapes, size=(600, 400)):
    """The pixels whose centres lie in the polygons, by the even-odd rule."""
    mask = np.zeros(size[::-1], bool)
    for shape in shapes:
        points = np.array(shape["points"])
        x0, y0, x1, y1 = np.array([*points.min(axis=0), *points.max(axis=0) + 1], int)
        y, x = np.mgrid[y0:y1, x0:x1] + 0.5
        inside = np.zeros(x.shape, bool)
        for (x0_, y0_), (x1_, y1_) in zip(points, np.roll(points, -1, axis=0), strict=True):
            if y0_ != y1_:
                inside ^= ((y0_ > y) != (y1_ > y)) & (x < (x1_ - x0_) * (y - y0_) / (y1_ - y0_) + x0_)
        mask[y0:y1, x0:x1] |= inside[: size[1] - y0, : size[0] - x0]
    return mask


def filled(mask):
    """The mask with its holes."""
    return painted([{"points": ring} for ring in outlines(mask)])


def test_models_are_listed(address):
    assert ask(address, "/health", key="")[1]["status"] == "healthy"
    status, listed = ask(address, "/v1/models")
    assert (status, listed["success"]) == (200, True)
    assert set(listed["data"]) == {SERVER.SMART, *SERVER.SIZES}
    assert ask(address, f"/v1/models/{SERVER.SMART}/info")[1]["data"] == listed["data"][SERVER.SMART]
    for key in ("", "another key"):
        status, refused = ask(address, "/v1/models", key=key)
        assert (status, refused["success"], refused["error"]["code"]) == (401, False, "UNAUTHORIZED")
    assert ask(address, "/v1/models/none/info")[0] == 404


def test_marks_give_polygons_of_an_object(address):
    marks = [point(290, 140), point(290, 60), point(20, 30, 0)]
    status, answer = ask(address, "/v1/predict", call(marks=marks))
    assert (status, answer["success"], answer["data"]["replace"]) == (200, True, False)
    expected = FINDER.find(
        PHOTO.read_bytes(), [Point(290, 140), Point(290, 60), Point(20, 30, positive=False)]
    )
    assert np.array_equal(painted(answer["data"]["shapes"]), filled(expected))
    assert {shape["label"] for shape in answer["data"]["shapes"]} == {"AUTOLABEL_OBJECT"}
    box = {"type": "rectangle", "data": [170, 15, 410, 285], "label": 1}
    boxed = ask(address, "/v1/predict", call(marks=[box]))[1]["data"]["shapes"]
    assert np.array_equal(painted(boxed), filled(FINDER.find(PHOTO.read_bytes(), box=(170, 15, 410, 285))))
    coarse = ask(address, "/v1/predict", call(marks=marks, epsilon_factor=0.005))[1]["data"]["shapes"]
    corners = [sum(len(shape["points"]) for shape in shapes) for shapes in (coarse, answer["data"]["shapes"])]
    assert corners[0] < corners[1] / 3
    assert ask(address, "/v1/predict", call())[1]["data"]["shapes"] == []


def test_superpixels_of_a_size_are_polygons(address):
    status, answer = ask(address, "/v1/predict", call("superpixels-100"))
    assert status == 200
    assert len(answer["data"]["shapes"]) == 100
    assert painted(answer["data"]["shapes"]).all()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (call("another"), 404, "MODEL_NOT_FOUND"),
        (call() | {"image": "data:image/png;base64,AAAA"}, 400, "INVALID_IMAGE"),
        (call() | {"image": "?"}, 400, "INVALID_REQUEST"),
        (call() | {"params": []} | {"image": 5}, 400, "INVALID_REQUEST"),
        (call(marks=[{"type": "point", "data": [1], "label": 1}]), 400, "INVALID_REQUEST"),
        (call(marks=[{"type": "circle", "data": [1, 2], "label": 1}]), 400, "INVALID_REQUEST"),
        (call(marks=[{"type": "rectangle", "data": [900, 900, 950, 950]}]), 400, "INVALID_REQUEST"),
        (call(epsilon_factor="nan"), 400, "INVALID_REQUEST"),
        ([], 400, "INVALID_REQUEST"),
        (b"{", 400, "INVALID_REQUEST"),
        (b"[" * 100_000, 400, "INVALID_REQUEST"),
    ],
)
def test_errors_have_the_protocols_bodies(address, body, status, code):
    got, answer = ask(address, "/v1/predict", body)
    assert (got, answer["success"], answer["error"]["code"]) == (status, False, code)


def test_calls_that_are_too_large_are_rejected(address, monkeypatch):
    monkeypatch.setattr(SERVER, "MAX_BYTES", 1000)
    assert ask(address, "/v1/predict", call())[0] == 413


def test_x_anylabelings_client_gets_shapes(address, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    pytest.importorskip("anylabeling", reason="needs `make integrations-install`")
    from PyQt6.QtGui import QImage
    from PyQt6.QtWidgets import QApplication

    application = QApplication.instance() or QApplication([])
    from anylabeling import config
    from anylabeling.services.auto_labeling.remote_server import RemoteServer

    # As its command line does: the user's settings, here in a new home.
    monkeypatch.setattr(config, "current_config_file", "{}")
    messages = []
    client = RemoteServer({"type": "remote_server", "display_name": "Remote-Server"}, messages.append)
    client.server_url = f"http://{address}"
    client.predict_url = f"{client.server_url}/v1/predict"
    client.headers["Token"] = KEY
    assert set(client.get_available_models()) == {SERVER.SMART, *SERVER.SIZES}
    client.set_model_id(SERVER.SMART)
    assert client.get_batch_processing_mode() is None
    client.set_auto_labeling_marks([point(290, 140), point(290, 60)])
    client.set_mask_fineness(0)
    image = QImage(str(PHOTO))
    result = client.predict_shapes(image, str(PHOTO))
    expected = FINDER.find(PHOTO.read_bytes(), [Point(290, 140), Point(290, 60)])
    shapes = [{"points": [[at.x(), at.y()] for at in shape.points]} for shape in result.shapes]
    assert np.array_equal(painted(shapes), filled(expected))
    assert (result.replace, messages) == (False, [])
    assert {(shape.label, shape.shape_type) for shape in result.shapes} == {("AUTOLABEL_OBJECT", "polygon")}
    client.set_model_id("superpixels-400")
    client.set_auto_labeling_marks([])
    assert len(client.predict_shapes(image, str(PHOTO)).shapes) == 400
    client.set_model_id("another")
    assert client.predict_shapes(image, str(PHOTO)).shapes == []
    assert "404" in messages[-1]
    del application


def test_every_control_is_one_that_x_anylabeling_knows():
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    pytest.importorskip("anylabeling", reason="needs `make integrations-install`")
    from anylabeling.views.labeling.widgets.auto_labeling.auto_labeling import AutoLabelingWidget

    used = {widget["name"] for model in SERVER.models().values() for widget in model["widgets"]}
    assert used - set(AutoLabelingWidget.supported_remote_widgets) == set()
