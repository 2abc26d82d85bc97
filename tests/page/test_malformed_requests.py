"""The gateway's HTTP: bodies that turn out to be malformed, before or after their response has begun."""

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from superpixel_service.http.guard import Guard
from superpixel_service.http.origin import Site
from superpixel_service.http.protocol import ImpatientProtocol
from tests.service.harness import PATIENCE_SECONDS, wait_until

BAD_CHUNK = b"x\r\n"
BAD_TRAILER = b"1\r\na\r\n0\r\nno trailer\r\n\r\n"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers before the body has arrived, after it, or before and after."""
    kind = scope["path"]
    if kind == "/before":
        await Response("early")(scope, receive, send)
    elif kind == "/after":
        with suppress(ClientDisconnect):
            await Request(scope, receive).body()
        await Response("late")(scope, receive, send)
    else:
        length = [(b"content-length", b"6")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b"two"})


@pytest.fixture(scope="module")
def server() -> Iterator[uvicorn.Server]:
    site = Site(frozenset(), "")
    guard = Guard(
        application, site=site, policy=lambda _path: "", event="request", report=lambda _ended: None
    )
    config = uvicorn.Config(guard, log_config=None, ws="none", lifespan="off", http=ImpatientProtocol)
    server = uvicorn.Server(config)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        wait_until(lambda: server.started)
        yield server
        server.should_exit = True
        thread.join()


def received(server: uvicorn.Server, path: str, method: str, *pieces: bytes) -> bytes:
    """All that the gateway sends until it closes the connection. A second piece waits for some of it."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    first, *others = pieces
    address = server.servers[0].sockets[0].getsockname()
    with socket.create_connection(address, PATIENCE_SECONDS) as connection:
        connection.sendall(head + first)
        data = b""
        for piece in others:
            while not data.endswith((b"early", b"one")):
                data += connection.recv(1000)
            connection.sendall(piece)
        while part := connection.recv(1000):
            data += part
    return data


def errors(server: uvicorn.Server, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What uvicorn has logged as an error, by the end of its requests."""
    wait_until(lambda: not server.server_state.tasks)
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
@pytest.mark.parametrize("bad", [BAD_CHUNK, BAD_TRAILER])
@pytest.mark.parametrize("path", ["/before", "/after", "/around"])
def test_a_body_malformed_from_the_start_is_rejected_once(
    server: uvicorn.Server, method: str, bad: bytes, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = received(server, path, method, bad)
    assert data.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert data.count(b"HTTP/1.1") == 1
    body = data.partition(b"\r\n\r\n")[2]
    assert body == b"" if method == "HEAD" else b"Invalid HTTP request received." in body
    assert errors(server, caplog) == []


@pytest.mark.parametrize("bad", [BAD_CHUNK, BAD_TRAILER])
@pytest.mark.parametrize(("path", "body"), [("/before", b"early"), ("/around", b"one")])
def test_a_body_malformed_after_its_response_began_only_ends_the_connection(
    server: uvicorn.Server, path: str, body: bytes, bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    data = received(server, path, "POST", b"1\r\na\r\n", bad)
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert data.endswith(b"\r\n\r\n" + body)
    assert errors(server, caplog) == []
