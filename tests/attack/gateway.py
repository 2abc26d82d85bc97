"""Attacks on the page's gateway over HTTP/1.1."""

import http.client
import itertools
import socket
from collections import Counter
from contextlib import suppress
from urllib.parse import urlsplit

from tests.attack.target import Facts, Target
from tests.attack.victim import photographs

CONNECTIONS = 64
HALF_HEADERS = 300


def _address(target: Target) -> tuple[str, int]:
    parts = urlsplit(target.gateway)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def cross_site_posts(target: Target) -> Facts:
    """Uploads as another site's page makes a browser send them, and as after a rebinding of a name."""
    photo = photographs()[0]
    host, port = _address(target)
    forged = itertools.cycle(
        [
            {"Host": f"evil.example:{port}"},
            {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
            {"Origin": "https://evil.example", "Content-Type": "text/plain"},
            {"Origin": "null", "Content-Type": "application/x-www-form-urlencoded"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        ]
    )
    statuses: Counter[str] = Counter()
    target.begin()
    while target.goes_on():
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request("POST", "/api/segment", photo, next(forged))
        statuses[str(connection.getresponse().status)] += 1
        connection.close()
        target.wait(0.05)
    return {"statuses": statuses}


def _raw(target: Target, data: bytes) -> socket.socket:
    connection = socket.create_connection(_address(target), 30)
    connection.sendall(data)
    return connection


def stalled_uploads(target: Target) -> Facts:
    """64 uploads that send a kilobyte and stop."""
    host, port = _address(target)
    head = f"POST /api/segment HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 900000\r\n\r\n".encode()
    target.begin()
    connections = [_raw(target, head + bytes(1000)) for _ in range(CONNECTIONS)]
    target.wait(target.seconds)
    for connection in connections:
        connection.close()
    return {"uploads": len(connections)}


def ambiguous_lengths(target: Target) -> Facts:
    """Uploads whose headers give two lengths, and that hide a second request in their body."""
    host, port = _address(target)
    head = f"POST /api/segment HTTP/1.1\r\nHost: {host}:{port}\r\n"
    hidden = f"GET /api/server HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"
    forms = itertools.cycle(
        [
            f"{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
            f"{head}Transfer-Encoding: chunked\r\nContent-Length: {5 + len(hidden)}\r\n\r\n0\r\n\r\n{hidden}",
            f"{head}Content-Length: 0\r\nContent-Length: {len(hidden)}\r\n\r\n{hidden}",
            f"{head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{hidden}",
        ]
    )
    answers: Counter[str] = Counter()
    target.begin()
    while target.goes_on():
        received = b""
        with suppress(OSError), _raw(target, next(forms).encode()) as connection:
            connection.settimeout(5)
            while data := connection.recv(1 << 16):
                received += data
        statuses = [part[:3].decode() for part in received.split(b"HTTP/1.1 ")[1:]]
        answers[" then ".join(statuses) or "none"] += 1
        target.wait(0.05)
    return {"answers": answers}


def half_headers(target: Target) -> Facts:
    """300 connections that send half a header, and then one more byte per second."""
    host, port = _address(target)
    head = f"POST /api/segment HTTP/1.1\r\nHost: {host}:{port}\r\nX-Half: ".encode()
    target.begin()
    connections = [_raw(target, head) for _ in range(HALF_HEADERS)]
    closed = 0
    while target.goes_on() and connections:
        target.wait(1)
        for connection in list(connections):
            try:
                connection.sendall(b"a")
                connection.setblocking(False)
                try:
                    gone = not connection.recv(1000)
                except BlockingIOError:
                    gone = False
                connection.settimeout(30)
            except OSError:
                gone = True
            if gone:
                closed += 1
                connections.remove(connection)
    for connection in connections:
        connection.close()
    return {"closed": closed, "open": len(connections)}
