"""The example of an annotation backend: what it answers to wrong, hostile and unlucky requests."""

import io
import json
import signal
import socket
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from examples.annotation_backend.problems import of_service
from PIL import Image

from superpixel_service import client
from superpixel_service.errors import (
    DeadlineUnreachable,
    Draining,
    InternalError,
    InvalidRequest,
    OutOfMemory,
    Overloaded,
    Reason,
    ServiceError,
    TokenInvalid,
    to_status,
)
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.examples.annotations import (
    OTHER_PHOTO,
    PHOTO,
    PROGRAM,
    Answer,
    Backend,
    mask_of,
    running_backend,
    selection_of,
)
from tests.service.harness import PATIENCE_SECONDS, RunningServer, running_server

MAX_BYTES = 250_000
MAX_PIXELS = 150_000


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server(f"--max-image-bytes={MAX_BYTES}", f"--max-image-pixels={MAX_PIXELS}") as running:
        yield running


@pytest.fixture(scope="module")
def backend(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp("database")
    limits = {"MAX_UPLOADS": "1", "UPLOAD_IDLE_SECONDS": "1", "SUPERPIXEL_TIMEOUT": "3"}
    with running_backend(f"sqlite:///{folder}/annotations.db", server.listen, **limits) as running:
        yield running


def only_images_are(backend: Backend, *names: str) -> bool:
    return [image["name"] for image in backend.call("GET", "/images").json["images"]] == list(names)


def test_a_body_that_is_too_large_is_rejected_with_the_limit(backend: Backend) -> None:
    before = backend.call("GET", "/images").json
    for upload, limit, value in (
        (bytes(70_000_000), "max_image_bytes", 64 << 20),  # the backend's
        (bytes(MAX_BYTES + 1), "max_image_bytes", MAX_BYTES),  # the service's
        (OTHER_PHOTO, "max_image_pixels", MAX_PIXELS),
    ):
        problem = backend.upload(upload).problem
        assert (problem["status"], problem["limit"], problem["limitValue"]) == (413, limit, value)
    unannounced = backend.call(
        "POST", "/images?name=a", (bytes(1 << 20) for _ in range(65)), content_type="image/png"
    )
    assert (unannounced.status, unannounced.problem["limitValue"]) == (413, 64 << 20)
    path = backend.add_image()
    selection = backend.save(path, b" " * ((8 << 20) + 1), 0)
    assert (selection.status, selection.problem["limit"]) == (413, "max_selection_bytes")
    assert len(backend.call("GET", "/images").json["images"]) == len(before["images"]) + 1


def test_expect_100_continue_is_answered_with_413_before_the_body(backend: Backend) -> None:
    head = (
        "POST /images?name=a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
        "Content-Length: 70000000\r\nExpect: 100-continue\r\n\r\n"
    )
    with connected(backend) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("upload", [b"", b"no image", PHOTO[:5000]], ids=["empty", "text", "truncated"])
def test_a_bad_image_is_rejected_with_the_reason(backend: Backend, upload: bytes) -> None:
    before = backend.call("GET", "/images").json
    problem = backend.upload(upload).problem
    assert problem["status"] == 422
    assert problem["reason"] in {"IMAGE_MISSING", "IMAGE_FORMAT_NOT_ALLOWED", "IMAGE_UNDECODABLE"}
    assert problem["detail"].startswith(problem["field"])
    assert backend.call("GET", "/images").json == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/images/..%2f..%2fetc%2fpasswd/file", 404),
        ("GET", "/images/%00/file", 404),
        ("GET", f"/images/{'0' * 32}/map", 404),
        ("GET", f"/images/{'0' * 32}/versions", 404),
        ("GET", f"/images/{'0' * 32}/selection/versions", 404),
        ("GET", f"/images?after={'0' * 32}", 404),
        ("GET", "/images?after=%00", 422),
        ("GET", "/images?name=a%00b", 422),
        ("GET", "/images?limit=0", 422),
        ("GET", f"/images/{'0' * 32}?version=99999999999999999999", 422),
        ("GET", f"/images/{'0' * 32}?version=0", 422),
        ("POST", "/images?name=", 422),
        ("POST", "/images?name=a%0ab", 422),
        ("POST", f"/images?name={'a' * 201}", 422),
        ("POST", "/images?name=a&author=%00", 422),
        ("POST", "/images", 422),
        ("DELETE", "/images", 405),
        ("GET", "/nothing", 404),
    ],
)
def test_a_wrong_path_or_parameter_is_the_callers_error(
    backend: Backend, method: str, path: str, status: int
) -> None:
    body = PHOTO if method == "POST" else None
    assert backend.call(method, path, body, content_type="image/jpeg").problem["status"] == status


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"]
)
def test_content_types_that_a_form_can_send_are_rejected(backend: Backend, kind: str) -> None:
    path = backend.add_image()
    selection = json.dumps(selection_of(backend.label_map(path))).encode()
    upload = backend.call("POST", "/images?name=a", PHOTO, content_type=kind)
    assert upload.problem["status"] == 415
    saved = backend.call("PUT", f"{path}/selection", selection, content_type=kind, if_none_match="*")
    assert saved.problem["status"] == 415


def test_requests_from_pages_of_other_sites_are_rejected(backend: Backend) -> None:
    own = f"http://{backend.address}"
    assert backend.call("GET", "/images", origin=own).status == 200
    for foreign in ("http://evil.example", "null", "http://127.0.0.1:1"):
        assert backend.call("GET", "/images", origin=foreign).problem["status"] == 403
    # A name that its owner lets point to this machine.
    assert backend.call("GET", "/images", host="evil.example:80").problem["status"] == 421
    assert backend.call("GET", "/images", host="localhost:80").status == 200


OTHER_MAP = ("width = ", "height = ", "count = ", "map = ")


def hostile_selections(valid: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    def changed(**fields: Any) -> bytes:
        return json.dumps({**valid, **fields}).encode()

    size = valid["width"] * valid["height"]
    yield "empty", b""
    yield "not JSON", b"{"
    yield "not UTF-8", b'{"format": "\xff"}'
    yield "an array", b"[]"
    yield "null", b"null"
    yield "a number of 5,000 digits", b"9" * 5000
    yield "100,000 arrays in each other", b"[" * 100_000
    yield "100,000 arrays as regions", changed(regions=0).replace(b": 0", b": " + b"[" * 100_000)
    yield "8 MiB of wrong runs", changed(regions=["RUNS"]).replace(b'"RUNS"', b",".join([b'""'] * 2_700_000))
    yield "other format", changed(format="other")
    yield "other version", changed(version=3)
    yield "true as version", changed(version=True)
    yield "unknown member", changed(more=1)
    for value in ("x", 1, [], {"a": [1]}, {"": 1}, {"a": "b" * 101}):
        yield f"parameters = {value}", changed(parameters=value)
    for name in [name for name in valid if name != "parameters"]:  # it may be missing
        yield f"without {name}", json.dumps({k: v for k, v in valid.items() if k != name}).encode()
        for value in (None, "x", -1, 1.5, [], {}, [[]], [{}], [None], float("nan"), 2**70):
            if value != valid[name]:
                yield f"{name} = {value}", changed(**{name: value})
    # Lengths whose sum in 64 bits is right again after it has wrapped around.
    yield "regions that wrap", changed(regions=[0, 2**62, 0, 2**62, 0, 2**62, 0, 2**62 + valid["count"]])
    yield "pixels that wrap", changed(pixels=[0, 2**63 - 1, 1, 2**63 - 1, 0, size + 2])
    yield "negative length", changed(regions=[0, valid["count"] + 5, 1, -5])
    yield "length 0", changed(regions=[1, 0, 0, valid["count"]])
    yield "too short", changed(regions=[0, valid["count"] - 1])
    yield "too long", changed(regions=[0, valid["count"] + 1])
    yield "half a run", changed(regions=[0, valid["count"], 0])
    yield "no such class", changed(regions=[2, valid["count"]])
    yield "no such class of pixels", changed(pixels=[3, size])
    yield "255 classes", changed(classes=valid["classes"] * 255)
    yield "half a character", changed(classes=[{"name": "\ud800", "color": "#000000"}])
    yield "a colour that is none", changed(classes=[{"name": "a", "color": "red"}])
    yield "a colour with a line break", changed(classes=[{"name": "a", "color": "#000000\n"}])
    yield "a long name", changed(classes=[{"name": "a" * 201, "color": "#000000"}])


def test_malformed_selections_are_rejected_and_change_nothing(backend: Backend) -> None:
    path = backend.add_image()
    label_map = backend.label_map(path)
    valid = selection_of(label_map)
    assert backend.save(path, valid, 0).status == 201
    for name, body in hostile_selections(valid):
        answer = backend.save(path, body, 1)
        # 409: well-formed, but made on another map.
        assert answer.status == 422 or (answer.status == 409 and name.startswith(OTHER_MAP)), (name, answer)
        assert answer.problem["detail"]
    assert backend.call("GET", f"{path}/selection").json == valid
    assert backend.call("GET", f"{path}/mask").status == 200
    assert program().memory_info().rss < 600 << 20


def program() -> psutil.Process:
    own = [one for one in psutil.Process().children() if one.cmdline()[1:] == PROGRAM[1:]]
    return own[0]


def test_a_painted_selection_is_drawn(backend: Backend) -> None:
    path = backend.add_image()
    label_map = backend.label_map(path)
    size = label_map.labels.size
    painted = {**selection_of(label_map), "pixels": [0, size - 10, 2, 10]}
    assert backend.save(path, painted, 0).status == 201
    assert backend.call("GET", f"{path}/selection").json == painted
    mask = mask_of(label_map)
    mask.flat[-10:] = 1  # painted values are one above the class: 1 is no class
    png = backend.call("GET", f"{path}/mask").body
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), mask)


@contextmanager
def connected(backend: Backend) -> Iterator[socket.socket]:
    host, port = backend.address.split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
        yield connection


def test_a_stalled_upload_ends_and_gives_its_room_back(backend: Backend) -> None:
    head = (
        "POST /images?name=a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
        "Content-Length: 1000\r\n\r\nabc"
    )
    busy: Answer | None = None
    while busy is None:  # on a slow machine the stalled upload may end before another one arrives
        with connected(backend) as stalled:
            stalled.sendall(head.encode())
            answers = [backend.upload() for _ in range(2)]
            status = stalled.recv(100).split()[1]
        if status == b"503":  # an earlier upload still had the room
            continue
        assert status == b"408"
        busy = next((answer for answer in answers if answer.status != 201), None)
    assert (busy.status, int(busy.headers["retry-after"]) >= 1) == (503, True)
    assert backend.upload().status == 201


def test_a_service_that_hangs_is_a_504_and_one_that_is_gone_a_503(tmp_path: Path) -> None:
    with (
        running_server() as server,
        running_backend(
            f"sqlite:///{tmp_path}/annotations.db", server.listen, SUPERPIXEL_TIMEOUT="1"
        ) as backend,
    ):
        assert backend.upload().status == 201
        server.signal(signal.SIGSTOP)
        assert backend.upload().problem["status"] == 504
        server.signal(signal.SIGKILL)
        server.exit_code()
        gone = backend.upload()
        assert (gone.problem["status"], int(gone.headers["retry-after"]) >= 1) == (503, True)
        assert only_images_are(backend, "cat.jpg")


class Failing(pb_grpc.SuperpixelServiceServicer):
    """A service that answers each image with one error."""

    def __init__(self) -> None:
        self.error: ServiceError = Draining()
        self.peers: set[str] = set()

    def GetServerInfo(  # noqa: N802
        self,
        request: object,  # noqa: ARG002
        context: grpc.ServicerContext,
    ) -> pb.GetServerInfoResponse:
        self.peers.add(context.peer())
        return pb.GetServerInfoResponse(limits=pb.ServerLimits(max_image_bytes=1 << 30))

    def Segment(self, request: object, context: grpc.ServicerContext) -> pb.SegmentResponse:  # noqa: ARG002, N802
        self.peers.add(context.peer())
        context.abort_with_status(to_status(self.error, "the-id"))
        raise AssertionError


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Failing, Backend]]:
    servicer, server = Failing(), grpc.server(futures.ThreadPoolExecutor(2))
    pb_grpc.add_SuperpixelServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    url = f"sqlite:///{tmp_path_factory.mktemp('database')}/annotations.db"
    with running_backend(url, f"127.0.0.1:{port}", SUPERPIXEL_ATTEMPTS="1") as backend:
        yield servicer, backend
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (Overloaded(Reason.QUEUE_FULL, "the queue is full", 6.5), 503, "7"),
        (OutOfMemory(), 503, "1"),
        (Draining(), 503, "1"),
        (DeadlineUnreachable(), 504, None),
        (TokenInvalid(), 502, None),
        (InternalError("the-id"), 502, None),
        (InvalidRequest(Reason.AREA_OUT_OF_RANGE, "must be above 0", field="target_areas[0]"), 422, None),
        (
            InvalidRequest(Reason.IMAGE_TOO_MANY_PIXELS, "x", metadata={"limit_pixels": "5"}),
            413,
            None,
        ),
    ],
    ids=lambda value: value.reason.value if isinstance(value, ServiceError) else "",
)
def test_each_error_of_the_service_has_its_status(
    failing: tuple[Failing, Backend], error: ServiceError, status: int, retry_after: str | None
) -> None:
    servicer, backend = failing
    servicer.error = error
    answer = backend.upload()
    assert (answer.status, answer.headers.get("retry-after")) == (status, retry_after), answer
    assert answer.problem["reason"] == error.reason.value
    assert answer.problem["requestId"] == "the-id"


def test_all_requests_share_one_connection_to_the_service(failing: tuple[Failing, Backend]) -> None:
    servicer, backend = failing
    servicer.error = InvalidRequest(Reason.IMAGE_UNDECODABLE, "x")
    with futures.ThreadPoolExecutor(4) as callers:
        answers = [backend.upload() for _ in range(3)]  # gRPC closes a connection that no client uses
        answers += callers.map(lambda _: backend.upload(), range(12))
    assert {answer.status for answer in answers} == {422}
    assert len(servicer.peers) == 1


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (client.InvalidRequest, 422),
        (client.MessageTooLarge, 413),
        (client.NotServed, 502),
        (client.NotAllowed, 502),
        (client.Overloaded, 503),
        (client.Unavailable, 503),
        (client.DeadlineExceeded, 504),
        (client.Cancelled, 503),
        (client.ServerError, 502),
    ],
)
def test_each_error_of_the_client_has_its_status(kind: type[client.SegmentError], status: int) -> None:
    answer = of_service(kind(grpc.StatusCode.UNKNOWN, "secret")).response()
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)
    shown = kind is client.InvalidRequest
    assert (b"secret" in bytes(answer.body)) == shown


def test_a_slow_service_delays_no_reader(server: RunningServer, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/annotations.db"
    with running_backend(url, server.listen, MAX_SEGMENTING="1", SUPERPIXEL_TIMEOUT="20") as backend:
        path = backend.add_image()
        server.signal(signal.SIGSTOP)
        try:
            with futures.ThreadPoolExecutor(2) as uploaders:
                uploads = [uploaders.submit(backend.upload) for _ in range(2)]
                assert backend.call("GET", f"{path}/map").status == 200
                assert backend.call("GET", f"{path}/file").status == 200
                assert not any(upload.done() for upload in uploads)
                server.signal(signal.SIGCONT)
                assert [upload.result().status for upload in uploads] == [201, 201]
        finally:
            server.signal(signal.SIGCONT)
