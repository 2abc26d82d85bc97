"""CVAT's function: called as CVAT calls it, read as CVAT's page reads it, and run under nuclio's SDK."""

import base64
import importlib.util
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from superpixel_service.interactive import ObjectFinder, Point

FOLDER = Path(__file__).parents[2] / "integrations" / "cvat"
PHOTO = (FOLDER.parents[1] / "examples" / "photos" / "coffee.jpg").read_bytes()
FINDER = ObjectFinder(count=1000)


def load():
    spec = importlib.util.spec_from_file_location("cvat_function", FOLDER / "main.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAIN = load()


def call(**changed):
    """What CVAT's server posts to an interactor."""
    body = {
        "image": base64.b64encode(PHOTO).decode(),
        "pos_points": [[290, 140]],
        "neg_points": [],
        "obj_bbox": [],
    }
    return body | changed


def as_cvat_reads(answer, shape=(400, 600)):
    """The mask of an answer, from its rows and its bounds."""
    left, top, right, bottom = answer["bounds"]
    rows = np.array(answer["mask"])
    assert rows.shape == (bottom - top + 1, right - left + 1)
    mask = np.zeros(shape, bool)
    mask[top : bottom + 1, left : right + 1] = rows
    return mask


class Response(SimpleNamespace):
    """As nuclio's."""


def context():
    made = SimpleNamespace(
        user_data=SimpleNamespace(), logger=SimpleNamespace(info=lambda *_: None), Response=Response
    )
    MAIN.init_context(made)
    made.user_data.finder = FINDER
    return made


def test_points_and_boxes_give_a_mask_and_a_polygon():
    answer = MAIN.select(FINDER, call())
    mask = as_cvat_reads(answer)
    assert np.array_equal(mask, FINDER.find(PHOTO, [Point(290, 140)]))
    # The polygon is that of the largest piece, without its holes.
    x, y = np.array(answer["points"]).T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert 0.9 * mask.sum() < area < 1.5 * mask.sum()
    points = [Point(290, 140), Point(290, 60), Point(300.5, 300.5, positive=False)]
    several = MAIN.select(FINDER, call(pos_points=[[290, 140], [290, 60]], neg_points=[[300.5, 300.5]]))
    assert np.array_equal(as_cvat_reads(several), FINDER.find(PHOTO, points))
    boxed = MAIN.select(FINDER, call(pos_points=[], obj_bbox=[[170, 15], [410, 285]]))
    assert np.array_equal(as_cvat_reads(boxed), FINDER.find(PHOTO, box=(170, 15, 410, 285)))
    nothing = MAIN.select(FINDER, call(pos_points=[]))
    assert not as_cvat_reads(nothing).any()
    assert nothing["points"] == []


def test_a_handler_answers_calls_and_errors():
    made = context()
    done = MAIN.handler(made, SimpleNamespace(body=call(obj_bbox=None)))
    assert (done.status_code, done.content_type) == (200, "application/json")
    assert json.loads(done.body) == MAIN.select(FINDER, call())
    for wrong in (
        {},
        [],
        call(image="?"),
        call(image=base64.b64encode(b"no image").decode()),
        call(pos_points=[[1]]),
        call(pos_points=[["a", "b"]]),
        call(obj_bbox=[[1, 2]]),
        call(pos_points=[], obj_bbox=[[900, 900], [999, 999]]),
    ):
        failed = MAIN.handler(made, SimpleNamespace(body=wrong))
        assert failed.status_code == 400
        assert json.loads(failed.body)["message"]


def test_turned_photographs_are_taken_as_they_are_sent():
    """CVAT turns frames before it sends them."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(io.BytesIO(PHOTO)).save(file, "JPEG", exif=exif)
    answer = MAIN.select(
        FINDER, call(image=base64.b64encode(file.getvalue()).decode(), pos_points=[[590, 10]])
    )
    assert as_cvat_reads(answer).any()


def test_the_function_is_described_as_cvat_reads_it():
    described = yaml.safe_load((FOLDER / "function.yaml").read_text())
    annotations = described["metadata"]["annotations"]
    # nuclio's annotations are strings; CVAT converts them.
    assert all(isinstance(value, str) for value in annotations.values())
    assert annotations["type"] == "interactor"
    assert (int(annotations["min_pos_points"]), int(annotations["min_neg_points"])) == (1, 0)
    assert json.loads(annotations["spec"] or "[]") == []
    assert described["metadata"]["namespace"] == "cvat"
    module, name = described["spec"]["handler"].split(":")
    assert (FOLDER / f"{module}.py").exists()
    assert callable(getattr(MAIN, name))
    variables = {each["name"]: each["value"] for each in described["spec"]["env"]}
    assert ObjectFinder.from_environment(variables).client is None


def test_the_handler_runs_under_nuclios_sdk():
    nuclio_sdk = pytest.importorskip("nuclio_sdk", reason="needs `make integrations-install`")
    logger = nuclio_sdk.Logger(20)
    logger.set_handler("default", io.StringIO(), nuclio_sdk.logger.HumanReadableFormatter())
    made = nuclio_sdk.Context(logger, nuclio_sdk.Platform("local", namespace="cvat"), worker_id=0)
    MAIN.init_context(made)
    made.user_data.finder = FINDER
    # The processor's message for an HTTP call, after msgpack.
    message = {
        "body": json.dumps(call()).encode(),
        "content_type": "application/json",
        "trigger": {"kind": "http", "name": "http"},
        "timestamp": 0,
        "fields": {},
        "headers": {},
        **dict.fromkeys(("id", "method", "path", "url", "type", "type_version", "version"), ""),
        **dict.fromkeys(("size", "shard_id", "num_shards"), 0),
    }
    event = nuclio_sdk.Event.deserialize(message, nuclio_sdk.event.EventDeserializerKinds.msgpack)
    made_response = MAIN.handler(made, event)
    sent = nuclio_sdk.Response.from_entrypoint_output(json.dumps, made_response)
    assert (sent["status_code"], sent["content_type"]) == (200, "application/json")
    assert np.array_equal(as_cvat_reads(json.loads(sent["body"])), FINDER.find(PHOTO, [Point(290, 140)]))
