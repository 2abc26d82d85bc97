"""Stores that a server offers: contract, clients, limits; stores that are missing, damaged or replaced."""

import asyncio
import functools
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import SegmentParams, codec, segment
from superpixel_service.cli import main
from superpixel_service.client import (
    AsyncClient,
    Client,
    InvalidRequest,
    NotServed,
    RetryPolicy,
    StoreUnusable,
)
from superpixel_service.contract import STORE_SERVICE
from superpixel_service.large.layout import ATTRIBUTES
from superpixel_service.large.readers.arrays import ArraySource
from superpixel_service.large.run import Plan, make_store
from superpixel_service.large.source import Facts, Window
from superpixel_service.large.store import Store
from superpixel_service.pb.superpixel.v1 import stores_pb2, stores_pb2_grpc
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.security.tokens import line_of, new_token
from tests.service.certificates import write_private
from tests.service.harness import Refusal, RunningServer, refused, running_server
from tests.service.large_files import TRANSFORM, smooth
from tests.service.test_refusals import check_form

HEIGHT, WIDTH = 600, 900
LIMIT = 300_000
IMAGE = smooth(HEIGHT, WIDTH)


def make(path: Path, image: Any = IMAGE) -> None:
    facts = Facts("array", crs="LOCAL_CS", transform=TRANSFORM)
    make_store(
        Plan(ArraySource(image, facts=facts), "array://secret", counts=[], compactness=20.0), str(path)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores")
    make(folder / "scene.zarr")
    return folder


def flags(folder: Path) -> list[str]:
    return [f"--stores={folder}", f"--max-window-pixels={LIMIT}", "--store-cache-bytes=4000000"]


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    with running_server(*flags(folder)) as server:
        yield server


@pytest.fixture
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.listen, retry=RetryPolicy(max_attempts=1), timeout=120) as client:
        yield client


def window(server: RunningServer, store: str = "scene.zarr", **fields: Any) -> stores_pb2.GetWindowResponse:
    rectangle = fields.pop("window", (10, 20, 200, 100))
    x, y, width, height = rectangle
    request = stores_pb2.GetWindowRequest(
        store=store, window=pb.Rectangle(x=x, y=y, width=width, height=height), **fields
    )
    return stores_pb2_grpc.StoreServiceStub(server.channel).GetWindow(request, timeout=120)


def test_what_a_store_says(client: Client) -> None:
    found = client.store("scene.zarr")
    assert (found.width, found.height, found.scales) == (WIDTH, HEIGHT, (1, 2))
    assert found.base_count == segment(IMAGE, SegmentParams(20.0)).base_count
    assert (found.crs, found.transform, found.compactness) == ("LOCAL_CS", TRANSFORM, 20.0)
    assert (found.max_window_pixels, found.max_regions) == (LIMIT, 1024)


def test_windows_are_parts_of_one_cut_and_agree_across_seams(client: Client) -> None:
    whole = segment(IMAGE, SegmentParams(20.0)).cut(500)
    seen: dict[int, set[int]] = {}
    for x, width in ((0, 450), (450, 450), (300, 400)):
        part = client.store_window("scene.zarr", (x, 0, width, HEIGHT), count=500, include_image=True)
        assert part.count == 500
        pairs = np.unique(np.stack([part.ids[part.labels].ravel(), whole[:, x : x + width].ravel()]), axis=1)
        for id_, label in pairs.T.tolist():
            seen.setdefault(id_, set()).add(label)
        assert part.image is not None
        assert np.array_equal(part.image, IMAGE[:, x : x + width])
    assert sorted(label for labels in seen.values() for label in labels) == list(range(500))
    assert len(seen) == 500


def test_a_window_is_that_of_the_store(client: Client, folder: Path) -> None:
    store = Store(str(folder / "scene.zarr"))
    found = client.store_window("scene.zarr", (3, 5, 100, 60), scale=2, include_regions=True)
    assert found.spx == store.window(3, 5, 100, 60, scale=2, include_regions=True)
    assert found.count == store.count_for(2)
    assert found.image is None
    plain = client.store_window("scene.zarr", (3, 5, 100, 60), count=7, include_hierarchy=False)
    assert plain.label_map.tree is None
    assert plain.label_map.regions is None


def test_regions_are_measured_over_the_whole_image(client: Client, folder: Path) -> None:
    store = Store(str(folder / "scene.zarr"))
    ids = client.store_window("scene.zarr", (0, 0, 300, 300), count=90).ids
    found, expected = client.store_regions("scene.zarr", ids), store.regions(ids.tolist())
    for name in ("ids", "area", "box", "centroid", "mean_color"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    root = 2 * store.info.base_count - 2
    assert client.store_regions("scene.zarr", [root]).area.tolist() == [WIDTH * HEIGHT]
    assert len(client.store_regions("scene.zarr", []).area) == 0
    for wrong in (2.7, 2.0, np.float64(1)):  # not truncated
        with pytest.raises(TypeError):
            client.store_regions("scene.zarr", [wrong])  # type: ignore[list-item]
        with pytest.raises(TypeError):
            client.store_window("scene.zarr", (0, 0, wrong, 5))  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            store.regions([wrong])  # type: ignore[list-item]


def test_asyncio(server: RunningServer, client: Client) -> None:
    async def ask() -> None:
        async with AsyncClient(server.listen) as other:
            assert await other.store("scene.zarr") == client.store("scene.zarr")
            found = await other.store_window("scene.zarr", (0, 0, 50, 50), count=40)
            assert found.spx == client.store_window("scene.zarr", (0, 0, 50, 50), count=40).spx
            measured = await other.store_regions("scene.zarr", found.ids)
            assert measured.area.sum() >= 2500

    asyncio.run(ask())


def test_info_of_a_store(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--server", server.listen, "--store", "scene.zarr", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["width"] == WIDTH
    assert main(["info", "--server", server.listen, "--store", "none.zarr"]) == 1
    assert "no store of this name" in capsys.readouterr().err
    assert main(["info", "--store", "scene.zarr"]) == 2


NAMES = [
    "", ".", "..", "../scene.zarr", "scene.zarr/", "/scene.zarr", "a/b", "a\\b", "s3://b/a", "scene..zarr",
    ".hidden", "-x", "a b", "a\n", "a\0b", "ä", "x" * 129, "file:", "scene.zarr?x", "a#x", "%2e%2e", "~",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_paths_are_no_names(server: RunningServer, name: str) -> None:
    refusal = refused(lambda: window(server, name))
    check_form(refusal)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "STORE_NAME_INVALID")
    assert set(refusal.fields) == {"store"}


BASE = segment(IMAGE, SegmentParams(20.0)).base_count


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"window": (0, 0, WIDTH + 1, 5)}, "WINDOW_OUTSIDE_STORE", "window"),
        ({"window": (0, 0, 0, 5)}, "WINDOW_OUTSIDE_STORE", "window"),
        ({"window": (2**32 - 1, 0, 2, 5)}, "WINDOW_OUTSIDE_STORE", "window"),
        ({"window": (0, 0, WIDTH, 5), "scale": 2}, "WINDOW_OUTSIDE_STORE", "window"),
        ({"window": (0, 0, WIDTH, HEIGHT)}, "WINDOW_TOO_MANY_PIXELS", "window"),
        ({"scale": 3}, "SCALE_UNKNOWN", "scale"),
        ({"scale": 2**32 - 1}, "SCALE_UNKNOWN", "scale"),
        ({"count": 0}, "COUNT_OUT_OF_RANGE", "count"),
        ({"count": BASE + 1}, "COUNT_ABOVE_BASE", "count"),
    ],
)
def test_windows_that_are_not_there(
    server: RunningServer, fields: dict[str, Any], reason: str, field: str
) -> None:
    refusal = refused(lambda: window(server, **fields))
    check_form(refusal)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert set(refusal.fields) == {field}


@pytest.mark.parametrize(
    ("ids", "reason", "field"),
    [
        ([0, 2 * BASE - 1], "REGION_UNKNOWN", "ids[1]"),
        ([codec.NO_REGION], "REGION_UNKNOWN", "ids[0]"),
        ([0] * 1025, "REGIONS_TOO_MANY", "ids"),
        ([2 * BASE - 2, 0], "REGIONS_TOO_MANY", "ids"),
    ],
)
def test_regions_that_are_not_there(client: Client, ids: list[int], reason: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.store_regions("scene.zarr", ids)
    assert (caught.value.reason, caught.value.field) == (reason, field)


def change(store: Path, **attributes: object) -> None:
    file = store / "zarr.json"
    found = json.loads(file.read_text())
    found["attributes"][ATTRIBUTES].update(attributes)
    file.write_text(json.dumps(found))


def refusal_of(server: RunningServer, folder: Path, name: str) -> Refusal:
    refusal = refused(lambda: window(server, name))
    check_form(refusal)
    assert str(folder) not in refusal.text
    assert "secret" not in refusal.text
    return refusal


def test_stores_that_cannot_be_served(server: RunningServer, folder: Path) -> None:
    small = smooth(100, 120)
    for name in ("half", "other", "broken", "chunk"):
        make(folder / name, small)
    change(folder / "half", complete=False)
    change(folder / "other", version=2)
    change(folder / "broken", width="wide")
    (folder / "chunk" / "base" / "0" / "c" / "0" / "0").write_bytes(b"broken")
    (folder / "empty").mkdir()
    (folder / "file").write_bytes(b"no store")
    expected = {
        "half": ("FAILED_PRECONDITION", "STORE_UNFINISHED"),
        "other": ("FAILED_PRECONDITION", "STORE_VERSION_UNKNOWN"),
        "broken": ("FAILED_PRECONDITION", "STORE_DAMAGED"),
        "chunk": ("FAILED_PRECONDITION", "STORE_DAMAGED"),
        "empty": ("NOT_FOUND", "STORE_NOT_FOUND"),
        "none": ("NOT_FOUND", "STORE_NOT_FOUND"),
    }
    found = {name: refusal_of(server, folder, name) for name in expected}
    # chunk's window (10, 20, 200, 100) is not inside: it must be read to be found damaged
    found["chunk"] = refused(lambda: window(server, "chunk", window=(0, 0, 50, 50)))
    assert {name: (each.code.name, each.reason) for name, each in found.items()} == expected
    assert refusal_of(server, folder, "file").code.name in {"NOT_FOUND", "UNAVAILABLE"}
    # Other callers and other stores are served as before.
    assert window(server).count > 1


def test_a_store_that_vanishes_and_one_that_is_replaced(server: RunningServer, folder: Path) -> None:
    make(folder / "moving", smooth(300, 300))
    before = window(server, "moving")
    (folder / "moving").rename(folder / "away")
    for _ in range(2):  # the kept window is not sent either
        assert refusal_of(server, folder, "moving").reason == "STORE_NOT_FOUND"
    make(folder / "moving", smooth(300, 300, seed=5))
    after = window(server, "moving")
    assert after.spx != before.spx
    assert after.spx == Store(str(folder / "moving")).window(10, 20, 200, 100, include_hierarchy=False)
    shutil.rmtree(folder / "moving")
    (folder / "away").rename(folder / "moving")
    assert window(server, "moving").spx == before.spx


def test_a_store_that_vanishes_while_it_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from superpixel_service.config import Settings
    from superpixel_service.errors import StoreNotFound
    from superpixel_service.stores.call import StoreCall
    from superpixel_service.stores.reader import StoreReader, WindowSpec

    make(folder / "fading", smooth(200, 200))
    reader = StoreReader(Settings(stores=str(folder)))
    spec = WindowSpec("fading", Window(0, 0, 64, 64), 1, 50, False, False, False)
    other = WindowSpec("fading", Window(100, 100, 50, 50), 1, 50, False, False, False)
    reader.window(other, StoreCall("fading"), "")  # so that its arrays are open
    kept = reader.cache_byte_count
    read = Store.base

    def gone(store: Store, *arguments: Any) -> Any:
        shutil.rmtree(folder / "fading")
        return read(store, *arguments)  # Zarr gives the fill value for files that are gone

    monkeypatch.setattr(Store, "base", gone)
    with pytest.raises(StoreNotFound):
        reader.window(spec, StoreCall("fading"), "")
    assert reader.cache_byte_count == kept


def test_cache_metrics_and_log(server: RunningServer) -> None:
    stub = stores_pb2_grpc.StoreServiceStub(server.channel)
    request = stores_pb2.GetWindowRequest(
        store="scene.zarr", window=pb.Rectangle(x=1, y=1, width=77, height=55), include_image=True
    )
    results = []
    for _ in range(2):
        answer, call = stub.GetWindow.with_call(request, metadata=(("x-request-id", "store-call"),))
        results.append((dict(call.trailing_metadata())["x-superpixel-cache"], answer))
    assert [use for use, _ in results] == ["miss", "hit"]
    assert results[0][1] == results[1][1]
    assert Image.open(io.BytesIO(results[0][1].image_png)).size == (77, 55)
    line = server.wait_for_line("call", request_id="store-call")
    assert (line["store"], line["pixels"], line["method"]) == ("scene.zarr", 77 * 55, "GetWindow")
    assert server.metric("superpixel_store_cache_requests_total", result="hit") >= 1
    assert server.metric("superpixel_store_stage_duration_seconds_count", stage="image") >= 1
    assert server.metric("superpixel_store_bytes") >= 72 * BASE
    assert server.metric("superpixel_store_cache_bytes") > 0
    handled = {"grpc_service": STORE_SERVICE, "grpc_method": "GetWindow", "grpc_code": "OK"}
    assert server.metric("grpc_server_handling_seconds_count", **handled) >= 2


def test_limits_and_tokens(folder: Path, tmp_path: Path) -> None:
    allowed, poor = new_token(), new_token()
    lines = [line_of("labeller", ["stores"], allowed), line_of("poor", ["segment", "info"], poor)]
    write_private(tmp_path / "tokens", "\n".join(lines))
    flags = (f"--stores={folder}", f"--token-file={tmp_path / 'tokens'}", "--max-store-bytes=2000")
    with running_server(*flags) as server:
        with Client(server.listen, token=allowed) as client:
            assert client.store("scene.zarr").width == WIDTH
            with pytest.raises(StoreUnusable) as caught:
                client.store_window("scene.zarr", (0, 0, 10, 10))
            assert caught.value.reason == "STORE_TOO_LARGE"
            assert caught.value.metadata == {"limit_bytes": "2000", "needed_bytes": str(72 * BASE)}
        stub = stores_pb2_grpc.StoreServiceStub(server.channel)
        calls: list[tuple[Any, Any]] = [
            (stub.GetStore, stores_pb2.GetStoreRequest(store="scene.zarr")),
            (stub.GetWindow, stores_pb2.GetWindowRequest(store="scene.zarr")),
            (stub.MeasureRegions, stores_pb2.MeasureRegionsRequest(store="scene.zarr")),
        ]
        for method, message in calls:
            refusal = refused(functools.partial(method, message))
            assert refusal.code is grpc.StatusCode.UNAUTHENTICATED
            bearer = (("authorization", f"Bearer {poor}"),)
            refusal = refused(functools.partial(method, message, metadata=bearer))
            assert refusal.code is grpc.StatusCode.PERMISSION_DENIED
            assert refusal.metadata == {"scope": "stores"}


def test_a_server_without_stores_and_one_whose_folder_is_gone(tmp_path: Path) -> None:
    with running_server() as server, Client(server.listen) as client, pytest.raises(NotServed):
        client.store("scene.zarr")
    flag = f"--stores={tmp_path / 'none'}"
    with running_server(flag) as server, Client(server.listen) as client, pytest.raises(StoreUnusable):
        client.store("scene.zarr")


def test_a_bucket_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    from superpixel_service.config import Settings
    from superpixel_service.errors import StoreUnreadable
    from superpixel_service.large import store as store_module
    from superpixel_service.large.zarr_store import failures_of
    from superpixel_service.stores.call import StoreCall
    from superpixel_service.stores.reader import StoreReader

    def refuse(address: str, *, writable: bool) -> Any:  # noqa: ARG001
        with failures_of(address):
            raise PermissionError(13, "Access Denied to s3://secret")

    monkeypatch.setattr(store_module, "open_group", refuse)
    with pytest.raises(StoreUnreadable) as caught:
        StoreReader(Settings(stores="s3://secret")).info(StoreCall("scene.zarr"))
    assert "secret" not in caught.value.text
