"""A running HTTP API, and plain HTTP for it."""

import http.client
import json
import ssl
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.service.command import started
from tests.service.harness import RunningServer, program_with, running_server
from tests.service.images import encoded, scene

MAX_PIXELS = 4_000_000
MAX_BYTES = 3_000_000
KEEP_BYTES = 20_000_000

WIDTH, HEIGHT = 120, 90
PIXELS = scene(WIDTH, HEIGHT, seed=6)
IMAGE = encoded(PIXELS)


def slow_body() -> bytes:
    """An image of the largest size, which the server does not finish at once."""
    rng = np.random.default_rng(7)
    return encoded(rng.integers(0, 256, (MAX_PIXELS // 2000, 2000), np.uint8), "WEBP", quality=20)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json", self.content[:500]
        return json.loads(self.content)

    def problem(self, status: int, reason: str = "") -> dict[str, Any]:
        """The problem details, which must have this status and reason."""
        assert self.headers["content-type"] == "application/problem+json", (self.status, self.content[:500])
        details: dict[str, Any] = json.loads(self.content)
        assert (self.status, details["status"]) == (status, status), details
        assert details.get("reason", "") == reason, details
        assert details["detail"]
        assert details["title"]
        assert details["requestId"] == self.headers["x-request-id"]
        assert self.headers["cache-control"] == "no-store"
        return details


@dataclass(frozen=True)
class Api:
    address: str
    metrics: str
    context: ssl.SSLContext | None = None

    def call(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        netloc = urlsplit(self.address).netloc
        connection: http.client.HTTPConnection
        if self.address.startswith("https:"):
            connection = http.client.HTTPSConnection(netloc, timeout=300, context=self.context)
        else:
            connection = http.client.HTTPConnection(netloc, timeout=300)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            content = response.read()
            return Answer(
                response.status, {key.lower(): value for key, value in response.getheaders()}, content
            )
        finally:
            connection.close()

    def segment(self, query: str = "", body: bytes = IMAGE, **headers: str) -> Answer:
        """Segment an image file."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("POST", f"/v1/segment?{query}", body, {"content-type": "image/png"} | named)

    def form(self, query: str = "", **parts: "bytes | str") -> Answer:
        """Segment by a form; bytes become files."""
        body, kind = form_of(list(parts.items()))
        return self.call("POST", f"/v1/segment?{query}", body, {"content-type": kind})

    def select(self, request: object, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        body = request if isinstance(request, str) else json.dumps(request)
        return self.call("POST", "/v1/select", body, {"content-type": "application/json"} | named)


def form_of(parts: "list[tuple[str, bytes | str]]") -> tuple[bytes, str]:
    """A form's body and its Content-Type; bytes become files."""
    boundary = uuid.uuid4().hex
    pieces = []
    for name, value in parts:
        is_file = isinstance(value, bytes)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        head += f'; filename="{name}.bin"\r\nContent-Type: application/octet-stream' if is_file else ""
        pieces.append(head.encode() + b"\r\n\r\n" + (value if is_file else value.encode()) + b"\r\n")
    return b"".join(pieces) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


@contextmanager
def running_api(
    *arguments: object, constants: Mapping[str, object] | None = None, context: ssl.SSLContext | None = None
) -> Iterator[Api]:
    """`superpixel http` on free ports, with these values of constants."""
    program = {"program": program_with(constants)} if constants else {}
    ports = ("--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")
    process = started("http", *ports, *arguments, stdout=-1, **program)
    found = {}
    try:
        assert process.stdout is not None
        for line in process.stdout:
            name, _, value = line.partition(":")
            found[name] = value.split()[0]
            if name == "api":
                break
        else:
            raise AssertionError(f"it ended with status {process.wait()}")
        parts = urlsplit(found["api"])
        yield Api(f"{parts.scheme}://{parts.netloc}", found["metrics"], context)
    finally:
        process.terminate()
        assert process.wait(timeout=500) == 0
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    limits = {"max-image-pixels": MAX_PIXELS, "max-image-bytes": MAX_BYTES, "refinement-max-pixels": 20_000}
    with running_server(*(f"--{name}={value}" for name, value in limits.items())) as running:
        yield running


@pytest.fixture(scope="session")
def api(server: RunningServer) -> Iterator[Api]:
    with running_api("--server", server.listen, "--keep-bytes", KEEP_BYTES) as running:
        yield running
