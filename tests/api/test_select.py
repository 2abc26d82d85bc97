"""POST /v1/select: smart select on kept maps."""

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import codec
from superpixel_service.api import kept
from superpixel_service.api.kept import KeptMaps
from superpixel_service.client import Client
from superpixel_service.client.smart import SmartSelect
from tests.api.conftest import HEIGHT, IMAGE, WIDTH, Api, running_api
from tests.service.harness import RunningServer
from tests.service.images import encoded, scene

CLICKS: list[dict[str, Any]] = [
    {"x": 60.5, "y": 40},
    {"x": 20, "y": 20, "positive": False},
    {"x": 90, "y": 70, "grow": 1.5},
]


@pytest.fixture(scope="module")
def map_id(api: Api) -> str:
    answer = api.segment("counts=200&keep=true")
    assert answer.status == 200
    return answer.headers["superpixel-map"]


def chosen_by(server: RunningServer, clicks: list[dict[str, Any]], count: int) -> np.ndarray:
    """What the Python tool chooses, on the same map."""
    with Client(server.listen) as client:
        result = client.segment(IMAGE, counts=200, include_regions=True)
    smart = SmartSelect(result, count)
    for click in clicks:
        smart.click(**click)
        smart.accept()
    return np.isin(result.labels_at(count), smart.chosen)


@pytest.mark.parametrize("count", [200, 120])
def test_clicks_select_what_the_python_tool_selects(
    api: Api, server: RunningServer, map_id: str, count: int
) -> None:
    # More clicks, fewer, others: no request depends on an earlier one.
    for clicks in (CLICKS[:1], CLICKS[:2], CLICKS, CLICKS[:1], CLICKS[1:]):
        expected = chosen_by(server, clicks, count)
        answer = api.select({"map": map_id, "clicks": clicks, "count": count}).json()
        assert (answer["map"], answer["count"]) == (map_id, count)
        assert answer["area"] == expected.sum()
        assert np.array_equal(mask_of(answer["mask"]), expected)
        rows, columns = np.nonzero(expected)
        if rows.size:
            assert answer["box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        else:
            assert answer["box"] is None
        png = api.select({"map": map_id, "clicks": clicks, "count": count, "encoding": "png"})
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(png.content))), np.where(expected, 255, 0))


def mask_of(mask: dict[str, Any]) -> np.ndarray:
    counts = np.array(mask["counts"])
    flat = np.repeat(np.arange(counts.size) % 2, counts)
    return flat.reshape(mask["size"][::-1]).T.astype(bool)


def test_a_box_and_the_default_count(api: Api, map_id: str) -> None:
    answer = api.select({"map": map_id, "clicks": CLICKS[:1]}).json()
    assert answer["count"] == 200
    boxed = api.select({"map": map_id, "clicks": [{"x": 60, "y": 40}], "box": [30, 20, 90, 70]}).json()
    assert boxed["area"] > 0


def test_a_map_with_a_mask_selects_inside(api: Api) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[10:70, 20:80] = True
    mask[:, 50] = False  # two parts
    form = api.form("counts=60&keep=true", image=IMAGE, mask=encoded(mask.astype(np.uint8)))
    label_map = codec.decode(form.content)
    body: dict[str, Any] = {"map": form.headers["superpixel-map"]}
    clicks: list[dict[str, Any]] = [{"x": 30.5, "y": 40, "grow": 5}, {"x": 50, "y": 40}, {"x": 5, "y": 5}]
    smart = SmartSelect(label_map, 60)
    for click in clicks:
        smart.click(**click)
        smart.accept()
    expected = np.isin(label_map.labels, smart.chosen)
    answer = api.select(body | {"clicks": clicks}).json()
    found = mask_of(answer["mask"])
    assert np.array_equal(found, expected)
    assert found[40, 30]
    assert not (found & ~mask).any()
    assert not found[:, 50:].any()
    assert answer["area"] == found.sum()
    png = api.select(body | {"clicks": clicks, "encoding": "png"})
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png.content))), np.where(expected, 255, 0))
    outside = api.select(body | {"clicks": clicks[1:]}).json()
    assert (outside["regions"], outside["area"], outside["box"]) == ([], 0, None)
    view = api.select(body | {"clicks": clicks, "box": [0, 0, 10, 10]}).json()  # wholly outside
    assert view["regions"] == []


def test_a_kept_map_has_hierarchy_and_regions(api: Api, map_id: str) -> None:
    answer = api.segment("counts=200&keep=true&encoding=json&hierarchy=false&regions=false").json()
    assert answer["tree"]
    assert answer["regions"]
    assert answer["map"] != map_id  # another encoding
    label_map = codec.decode(api.segment("counts=200&keep=true&regions=false&hierarchy=false").content)
    assert label_map.regions is not None


@pytest.mark.parametrize(
    ("request_body", "reason", "field"),
    [
        ("", "BODY_MALFORMED", ""),
        ("[1]", "BODY_MALFORMED", ""),
        ("{", "BODY_MALFORMED", ""),
        ({}, "PARAMETER_INVALID", "map"),
        ({"map": "x", "clicks": []}, "PARAMETER_INVALID", "clicks"),
        ({"map": "x", "clicks": [{"x": 1}]}, "PARAMETER_INVALID", "clicks[0].y"),
        ({"map": "x", "clicks": [{"x": 1, "y": "2"}]}, "PARAMETER_INVALID", "clicks[0].y"),
        ({"map": "x", "clicks": [{"x": 1, "y": 2, "z": 3}]}, "PARAMETER_UNKNOWN", "clicks[0].z"),
        ('{"map": "x", "clicks": [{"x": NaN, "y": 2}]}', "PARAMETER_INVALID", "clicks[0].x"),
        ({"map": "x", "clicks": [{"x": 1, "y": 2, "grow": 6}]}, "PARAMETER_INVALID", "clicks[0].grow"),
        ({"map": "x", "clicks": [{"x": 1, "y": 2}] * 65}, "PARAMETER_INVALID", "clicks"),
        ({"map": "x", "clicks": CLICKS, "count": 5001}, "PARAMETER_INVALID", "count"),
        ({"map": "x", "clicks": CLICKS, "box": [1, 2, 3]}, "PARAMETER_INVALID", "box[3]"),
        ({"map": "x", "clicks": CLICKS, "clicked": 1}, "PARAMETER_UNKNOWN", "clicked"),
    ],
)
def test_a_wrong_request_is_named(api: Api, request_body: object, reason: str, field: str) -> None:
    details = api.select(request_body).problem(400, reason)
    assert details.get("field", "") == field
    assert "pydantic" not in json.dumps(details)


def test_what_the_map_does_not_have_is_rejected(api: Api, map_id: str) -> None:
    api.select({"map": map_id, "clicks": CLICKS, "count": 201}).problem(400, "PARAMETER_INVALID")
    api.select({"map": map_id, "clicks": CLICKS, "box": [50, 0, 10, 10]}).problem(400, "PARAMETER_INVALID")
    details = api.select({"map": "0" * 32, "clicks": CLICKS}).problem(404, "MAP_NOT_KEPT")
    assert "keep=true" in details["detail"]
    api.call("POST", "/v1/select", "{}", {"content-type": "text/plain"}).problem(415)
    api.select(" " * 2_000_000).problem(413)


def test_a_known_answer_is_computed_again_if_its_map_is_gone(api: Api) -> None:
    picture = encoded(scene(100, 80, seed=9))
    first = api.segment("counts=50&keep=true", picture)
    tag = {"if_none_match": first.headers["etag"]}
    again = api.segment("counts=50&keep=true", picture, **tag)
    assert (again.status, again.headers["superpixel-map"]) == (304, first.headers["superpixel-map"])
    large = scene(900, 900, seed=1)
    for compactness in (5, 6, 7):  # each takes half of the memory
        assert api.segment(f"counts=9&keep=true&compactness={compactness}", encoded(large)).status == 200
    api.select({"map": first.headers["superpixel-map"], "clicks": CLICKS}).problem(404, "MAP_NOT_KEPT")
    assert api.segment("counts=50&keep=true", picture, **tag).status == 200
    assert api.select({"map": first.headers["superpixel-map"], "clicks": CLICKS}).status == 200


@pytest.mark.slow
def test_without_memory_no_map_is_kept(server: RunningServer) -> None:
    with running_api("--server", server.listen, "--keep-bytes", 0) as api:
        api.segment("counts=5&keep=true").problem(501, "KEEPING_OFF")
        assert api.segment("counts=5").status == 200
        assert api.call("GET", "/v1/info").json()["api"]["keep_bytes"] == 0


class Result:
    def __init__(self, size: int) -> None:
        self.spx, self.width, self.height = bytes(size), 0, 0


def test_the_oldest_maps_go_first_and_unused_ones_after_a_while() -> None:
    now = [0.0]
    maps = KeptMaps(100, clock=lambda: now[0])
    assert maps.put("a", "1", Result(40))
    assert maps.put("a", "2", Result(40))
    assert maps.get("a", "1")
    assert maps.put("b", "1", Result(40))
    assert maps.get("a", "2") is None
    assert maps.get("a", "1")
    assert maps.get("b", "1")
    assert maps.byte_count == 80
    assert not maps.put("a", "3", Result(101))
    assert len(maps) == 2
    now[0] = kept.SECONDS - 1
    assert maps.get("b", "1")
    now[0] = kept.SECONDS + 1
    assert maps.get("a", "1") is None
    assert maps.get("b", "1")
    assert maps.put("b", "1", Result(10))
    assert maps.byte_count == 10
