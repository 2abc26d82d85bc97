"""The gateway by plain HTTP: its responses and its errors."""

import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import SegmentParams, codec, segment
from superpixel_service.client import Client, SegmentError
from superpixel_service.http.problems import Problem
from tests.page.annotator import PHOTOS
from tests.page.conftest import MAX_PIXELS, running_app
from tests.service.command import messages, started, superpixel
from tests.service.harness import PATIENCE_SECONDS, RunningServer, running_server
from tests.service.images import saved, scene

PHOTO = (PHOTOS / "chelsea.jpg").read_bytes()


@pytest.fixture(scope="module")
def address(server: RunningServer) -> Iterator[str]:
    """A gateway as users have it."""
    with running_app("--server", server.listen) as page:
        yield page


def call(
    address: str, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=PATIENCE_SECONDS)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def problem(answer: tuple[int, dict[str, str], bytes]) -> dict[str, Any]:
    """The problem details of an error response."""
    status, headers, content = answer
    assert headers["content-type"] == "application/problem+json"
    details: dict[str, Any] = json.loads(content)
    assert details["status"] == status
    assert details["type"] == "about:blank"
    assert details["title"]
    assert details["detail"]
    assert details["requestId"] == headers["x-request-id"]
    assert headers["cache-control"] == "no-store"
    return details


def test_an_image_gives_its_label_map(address: str) -> None:
    status, headers, spx = call(address, "POST", "/api/segment?compactness=12.5", PHOTO)
    assert status == 200
    label_map = codec.decode(spx)
    photo = np.asarray(Image.open(PHOTOS / "chelsea.jpg"))
    hierarchy = segment(photo, SegmentParams(compactness=12.5))
    finest = round(photo.shape[0] * photo.shape[1] / 64)
    assert label_map.count == finest
    for count in (finest, 400, 17):
        assert np.array_equal(label_map.labels_at(count), hierarchy.cut(count))
    facts = json.loads(headers["superpixel-facts"])
    assert (facts["count"], facts["baseCount"]) == (finest, hierarchy.base_count)
    assert "segment;dur=" in headers["server-timing"]
    # Almost no tiny superpixels at the finest stop.
    areas = np.bincount(label_map.labels.ravel())
    assert np.mean(areas <= 4) < 0.02


def test_of_an_animation_the_first_frame_is_segmented(address: str) -> None:
    """The page draws it."""
    frames = [Image.fromarray(scene(80, 60, seed)) for seed in range(3)]
    animation = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, duration=100)
    status, headers, spx = call(address, "POST", "/api/segment", animation)
    assert status == 200
    assert np.array_equal(codec.decode(spx).labels_at(9), segment(np.asarray(frames[0])).cut(9))
    (notice,) = json.loads(headers["superpixel-facts"])["notices"]
    assert notice == "the file holds more frames; the first was segmented"


def test_a_count_above_the_base_gives_all_base_superpixels(address: str) -> None:
    status, headers, spx = call(address, "POST", "/api/segment?area=1", PHOTO)
    assert status == 200
    base = segment(np.asarray(Image.open(PHOTOS / "chelsea.jpg"))).base_count
    assert codec.decode(spx).count == json.loads(headers["superpixel-facts"])["count"] == base


def test_requests_have_ids(address: str, server: RunningServer) -> None:
    _, headers, _ = call(address, "POST", "/api/segment", PHOTO, X_Request_Id="mine-1")
    assert headers["x-request-id"] == "mine-1"
    server.wait_for_line("call", request_id="mine-1")
    for wrong in ("", "with blanks in it", "x" * 129):
        _, headers, _ = call(address, "GET", "/", X_Request_Id=wrong)
        assert len(headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        ("/api/segment", b"", {"field": "encoded_image"}),
        ("/api/segment", b"no image", {"reason": "IMAGE_FORMAT_NOT_ALLOWED", "field": "encoded_image"}),
        ("/api/segment", PHOTO[:5000], {"reason": "IMAGE_UNDECODABLE", "field": "encoded_image"}),
        (
            "/api/segment?compactness=101",
            PHOTO,
            {"reason": "COMPACTNESS_OUT_OF_RANGE", "field": "compactness"},
        ),
        ("/api/segment?area=0", PHOTO, {"reason": "AREA_OUT_OF_RANGE", "field": "target_areas[0]"}),
        ("/api/segment", PHOTO + bytes(3_000_000), {"reason": "IMAGE_TOO_MANY_BYTES"}),
    ],
)
def test_errors_of_the_server_keep_their_text_and_reason(
    address: str, server: RunningServer, path: str, body: bytes, wanted: dict[str, str]
) -> None:
    details = problem(call(address, "POST", path, body))
    assert details["status"] == 400
    assert wanted.items() <= details.items()
    query = dict(part.split("=") for part in urlsplit(path).query.split("&") if part)
    numbers = {"areas": float(query.get("area", 64.0))} | (
        {"compactness": float(query["compactness"])} if "compactness" in query else {}
    )
    with Client(server.listen) as client, pytest.raises(SegmentError) as rejected:
        client.segment(body, **numbers)  # type: ignore[arg-type]
    assert details["detail"] == rejected.value.message
    assert details["reason"] == rejected.value.reason


@pytest.mark.parametrize(
    ("method", "path", "status", "headers"),
    [
        ("GET", "/page", 404, {}),
        ("GET", "/page/", 404, {}),
        ("GET", "/page/%00", 404, {}),
        ("GET", "/page/%ff%fe", 404, {}),
        ("GET", "/page/" + 5000 * "a", 404, {}),
        ("GET", "//elsewhere.example/", 404, {}),
        ("POST", "/api/segment/", 404, {}),  # and no redirect to the Host that the caller names
        ("POST", "/page/main.js", 405, {}),
        ("PUT", "/api/segment", 405, {}),
        ("OPTIONS", "/api/segment", 405, {}),
        ("POST", "/api/segment", 415, {"Content_Type": "multipart/form-data; boundary=x"}),
        ("POST", "/api/segment", 415, {"Content_Encoding": "gzip"}),
    ],
)
def test_every_error_is_a_problem(
    address: str, method: str, path: str, status: int, headers: dict[str, str]
) -> None:
    answer = call(address, method, path, PHOTO if method == "POST" else None, **headers)
    assert problem(answer)["status"] == status
    assert str(PHOTOS) not in answer[2].decode()
    assert "superpixel_service" not in answer[2].decode()
    assert ("allow" in answer[1]) == (status == 405)
    assert "elsewhere" not in answer[1].get("location", "")


def test_a_range_request_gets_the_whole_file(address: str) -> None:
    whole = call(address, "GET", "/src/index.js")[2]
    for part in ("bytes=5-9", "bytes=999999999-", "much"):
        assert call(address, "GET", "/src/index.js", Range=part)[0::2] == (200, whole)


def test_aborted_uploads_leave_room_for_others(address: str) -> None:
    head = b"POST /api/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n"
    netloc = urlsplit(address).netloc.split(":")
    connections = [socket.create_connection(netloc, timeout=PATIENCE_SECONDS) for _ in range(20)]
    for connection in connections:
        connection.sendall(head + bytes(1000))
        connection.close()
    assert call(address, "POST", "/api/segment", PHOTO)[0] == 200


def test_the_page_works_without_a_server_and_the_gateway_finds_a_restarted_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
    with running_app("--server", listen) as page, ThreadPoolExecutor() as threads:
        # Each call waits for the server for a while: all wait at once.
        info = threads.submit(call, page, "GET", "/api/server")
        label_map = threads.submit(call, page, "POST", "/api/segment", PHOTO)
        assert call(page, "GET", "/")[0] == 200
        details = problem(info.result())
        assert details["status"] == 503
        assert "does not answer" in details["detail"]
        assert problem(label_map.result())["status"] == 503
        for _ in range(2):
            with running_server(f"--listen={listen}"):
                end = time.monotonic() + PATIENCE_SECONDS
                while (answer := call(page, "POST", "/api/segment", PHOTO))[0] != 200:
                    assert problem(answer)["status"] == 503
                    assert time.monotonic() < end
            details = problem(call(page, "POST", "/api/segment", PHOTO))
            assert (details["status"], details["code"]) == (503, "UNAVAILABLE")


def test_the_gateway_itself_rejects_paths_methods_and_numbers(address: str) -> None:
    assert problem(call(address, "GET", "/nowhere"))["status"] == 404
    assert problem(call(address, "GET", "/page/../gateway.py"))["status"] == 404
    assert problem(call(address, "GET", "/src/%2e%2e/%2e%2e/gateway.py"))["status"] == 404
    assert problem(call(address, "GET", "/api/segment"))["status"] == 405
    for number in ("much", "nan", "1e999"):
        details = problem(call(address, "POST", f"/api/segment?compactness={number}", PHOTO))
        assert (details["status"], details["field"]) == (400, "compactness")


def test_a_too_large_upload_is_rejected_before_it_is_read(address: str) -> None:
    with socket.create_connection(
        urlsplit(address).netloc.split(":"), timeout=PATIENCE_SECONDS
    ) as connection:
        connection.sendall(
            b"POST /api/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000000\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    # If the length is not announced: as soon as too much has arrived.
    with socket.create_connection(
        urlsplit(address).netloc.split(":"), timeout=PATIENCE_SECONDS
    ) as connection:
        connection.sendall(
            b"POST /api/segment HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(5):
            connection.sendall(b"%x\r\n" % 1_000_000 + bytes(1_000_000) + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_other_sites_cannot_use_the_gateway(address: str) -> None:
    foreign = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}
    assert problem(call(address, "POST", "/api/segment", PHOTO, **foreign))["status"] == 403
    assert call(address, "GET", "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    assert call(address, "POST", "/api/segment", PHOTO, Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/src/index.js", "/page/styles/base.css", "/nowhere"])
def test_every_response_has_the_security_headers(address: str, path: str) -> None:
    _, headers, _ = call(address, "GET", path)
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_unchanged_files_are_not_sent_again(address: str) -> None:
    status, headers, content = call(address, "GET", "/src/index.js")
    assert (status, headers["cache-control"]) == (200, "no-cache")
    assert content
    assert call(address, "GET", "/src/index.js", If_None_Match=headers["etag"])[0::2] == (304, b"")


def test_the_call_is_cancelled_if_the_browser_leaves(
    address: str, server: RunningServer, tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (MAX_PIXELS // 2000, 2000), np.uint8)
    path = tmp_path / "large.webp"
    Image.fromarray(noise).save(path, quality=20)
    body = path.read_bytes()
    with socket.create_connection(
        urlsplit(address).netloc.split(":"), timeout=PATIENCE_SECONDS
    ) as connection:
        head = [
            "POST /api/segment HTTP/1.1",
            "Host: localhost",
            "X-Request-Id: leaver",
            f"Content-Length: {len(body)}",
        ]
        connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
        end = time.monotonic() + PATIENCE_SECONDS
        while not server.metric("superpixel_inflight_bytes"):
            assert time.monotonic() < end
    server.wait_for_line("call", request_id="leaver", code="CANCELLED")


@pytest.mark.parametrize(("seconds", "header"), [(0.2, "1"), (1.0, "1"), (7.3, "8"), (None, None)])
def test_retry_after_is_rounded_up_to_seconds(seconds: float | None, header: str | None) -> None:
    answer = Problem(HTTPStatus.SERVICE_UNAVAILABLE, "full", retryAfterSeconds=seconds).response("id")
    assert answer.headers.get("retry-after") == header
    assert json.loads(answer.body).get("retryAfterSeconds") == seconds


def test_app_starts_its_own_server() -> None:
    with running_app() as page:
        assert json.loads(call(page, "GET", "/api/server")[2])["image_formats"]
        assert call(page, "POST", "/api/segment", PHOTO)[0] == 200


def test_its_own_server_ignores_addresses_tls_and_tokens_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "server.toml"
    config.write_text('listen = "0.0.0.0:50051"\nmax_image_pixels = 100_000\n')
    for name, value in {
        "SUPERPIXEL_CONFIG": str(config),
        "SUPERPIXEL_LISTEN": "0.0.0.0:50051",
        "SUPERPIXEL_METRICS_LISTEN": "0.0.0.0:9090",
        "SUPERPIXEL_TLS_CERT_FILE": "/nowhere/cert.pem",
        "SUPERPIXEL_TLS_KEY_FILE": "/nowhere/key.pem",
        "SUPERPIXEL_TLS_CLIENT_CA_FILE": "/nowhere/ca.pem",
        "SUPERPIXEL_TOKEN_FILE": "/nowhere/tokens",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    with running_app() as page:
        # Other settings of the environment apply.
        details = problem(call(page, "POST", "/api/segment", PHOTO))
        assert (details["status"], details["reason"]) == (400, "IMAGE_TOO_MANY_PIXELS")
        assert json.loads(call(page, "GET", "/api/server")[2])["max_image_pixels"] == 100_000


def test_app_says_why_it_cannot_listen(address: str) -> None:
    taken = urlsplit(address).netloc
    run = superpixel("app", "--listen", taken)
    assert run.returncode == 1
    assert messages(run)[-1].startswith(f"--listen: cannot listen on {taken}")


@contextmanager
def stalled_upload(page: str) -> Iterator[socket.socket]:
    netloc = urlsplit(page).netloc
    with socket.create_connection(netloc.split(":"), timeout=PATIENCE_SECONDS) as connection:
        head = f"POST /api/segment HTTP/1.1\r\nHost: {netloc}\r\nContent-Length: 9999\r\n\r\n"
        connection.sendall(head.encode() + b"part")
        time.sleep(0.5)
        yield connection


def test_a_second_signal_ends_the_app_at_once_and_without_a_word() -> None:
    process, page = started_app()
    with process, stalled_upload(page):
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # it waits for the upload
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=PATIENCE_SECONDS)[1]
    assert (process.returncode, said) == (128 + signal.SIGINT, "")


@pytest.mark.slow
def test_a_request_that_outlasts_the_app_is_told_so() -> None:
    process, page = started_app()
    with process, stalled_upload(page) as connection:
        process.send_signal(signal.SIGTERM)
        answer = connection.recv(1000)
        said = process.communicate(timeout=PATIENCE_SECONDS)[1]
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert process.returncode == 0
    assert "Traceback" not in said


def started_app() -> tuple["subprocess.Popen[str]", str]:
    process = started("app", "--listen", "127.0.0.1:0", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    page = next(line for line in process.stdout if line.startswith("page:"))
    return process, page.split()[1]
