"""Fuzzing of the page's gateway: malformed requests, odd headers, queries and bodies, several in one piece.

`python -m tests.page.fuzz_gateway --seconds 600 --seed 1`: a real gateway before a real server. Every status
must be one that docs/app.md lists for a sound server, no response may show the program's insides, each
connection must end, and the gateway must serve afterwards without having logged an error.
"""

import argparse
import random
import re
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tests.service.command import started
from tests.service.fuzz_service import FILES, mutated
from tests.service.harness import PATIENCE_SECONDS, running_server
from tests.service.images import encoded, scene

DOCS = Path(__file__).parents[2] / "docs" / "app.md"
NEVER = {"500", "502", "503", "504"}
"""Not with a server that is sound and has room."""

LEAKS = re.compile(rb'Traceback|File "|\.py\b|site-packages|superpixel_service|starlette|uvicorn|h11')
IMAGE = encoded(scene(32, 24), "JPEG")
_QUIET_SECONDS = 0.1

METHODS = (
    "GET",
    "POST",
    "HEAD",
    "PUT",
    "OPTIONS",
    "DELETE",
    "TRACE",
    "CONNECT",
    "get",
    "P\0ST",
    "",
    "A" * 300,
)
PATHS = (
    "/",
    "/api/segment",
    "/api/server",
    "/page/main.js",
    "/src/index.js",
    "/favicon.ico",
    "/page/../../x",
    "/src/%2e%2e/%2e%2e/gateway.py",
    "/page/%00",
    "/%ff%fe",
    "//elsewhere.example/",
    "http://elsewhere.example/api/server",
    "*",
    "",
    "/api/segment/",
    "/\x01",
    "/\xe9",
    "/" + "a" * 5_000,
    "/" + "a" * 70_000,
)
NUMBERS = (
    "1",
    "64",
    "1e3",
    "-1",
    "0",
    "nan",
    "inf",
    "1e999",
    "0x10",
    "",
    "%00",
    "%ff",
    "\xb2",
    "\u0661",
    "9" * 400,
)
VERSIONS = (
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "HTTP/9",
    "http/1.1",
    "",
    "HTTP/1.1 more",
)
HEADERS = {
    "Host": ("elsewhere.example", "", "a b", "[::1", "127.0.0.1:99999"),
    "Origin": ("null", "https://elsewhere.example", "", "\xff"),
    "Content-Length": ("0", "5", "-1", "+5", "5, 5", "5, 6", "99999999999999999999", "x", "", "0x5"),
    "Transfer-Encoding": (
        "chunked",
        "gzip, chunked",
        "chunked, chunked",
        "identity",
        "xchunked",
        "",
        "\x0bchunked",
    ),
    "Content-Type": ("image/png", "multipart/form-data; boundary=x", "", "\xff", "text/html;;;"),
    "Content-Encoding": ("gzip", "identity", "br", ""),
    "Connection": ("close", "keep-alive", "upgrade", "x, close", ""),
    "Upgrade": ("websocket", "h2c", ""),
    "Expect": ("100-continue", "200-ok", ""),
    "Range": ("bytes=0-1", "bytes=-9", "x"),
    "If-None-Match": ("*", '"x"', "\xff"),
    "X-Request-Id": ("mine", "", "a" * 200, "a b", "\xff"),
    "X-Forwarded-For": ("1.2.3.4", "\xff"),
    "X-Forwarded-Proto": ("https", "\x7f"),
    "Sec-Fetch-Site": ("cross-site", "same-origin", "none", "x"),
    "Accept-Encoding": ("gzip", "*;q=0"),
    "Cookie": ("a=b; " * 50,),
    "Bad Name": ("x",),
    "": ("x",),
    "X-Long": ("a" * 9_000, "a" * 80_000),
    "X-Null": ("a\0b", "a\rb"),
}


def statuses() -> set[str]:
    """What the gateway may answer: successes, and the errors that the documents list."""
    rows = re.findall(r"^\| ([\d, ]+) \|", DOCS.read_text(), re.MULTILINE)
    found = set(re.findall(r"\d{3}", " ".join(rows)))
    assert {"400", "404", "413"} < found
    return ({"200", "304"} | found) - NEVER


def a_query(chance: random.Random) -> str:
    """Numbers of the page, sound or not."""
    names = ("area", "compactness", "area", "x", "")
    if chance.random() < 0.6:
        return ""
    pairs = [f"{chance.choice(names)}={chance.choice(NUMBERS)}" for _ in range(chance.randrange(4))]
    return "?" + chance.choice(("&", "&", ";", "&&")).join(pairs) if pairs or chance.random() < 0.1 else ""


def chunked(chance: random.Random, body: bytes) -> bytes:
    """The body in chunks, mostly sound."""
    out = b""
    piece = chance.choice((1, 7, 500, 4000)) if len(body) < 5_000 else 4_000
    for start in range(0, len(body), piece):
        part = body[start : start + piece]
        size = f"{len(part):x}" if chance.random() < 0.98 else chance.choice(("x", "-1", "f" * 17, "", "0x5"))
        extension = chance.choice(("", "", "", ";a=b", ";" + "a" * 3_000))
        out += f"{size}{extension}\r\n".encode() + part + (b"\r\n" if chance.random() < 0.99 else b"")
    end = chance.choice(
        (b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nTrailer: x\r\n\r\n", b"0\r\n", b"", b"00000\r\n\r\n")
    )
    return out + end


def a_request(chance: random.Random, netloc: str) -> bytes:
    """One request, sound but for some of its parts."""
    sound = chance.random() < 0.5
    method = "POST" if sound or chance.random() < 0.5 else chance.choice(METHODS)
    path = "/api/segment" if sound or chance.random() < 0.3 else chance.choice(PATHS)
    version = "HTTP/1.1" if sound else chance.choice(VERSIONS)
    body = b""
    if method == "POST" or chance.random() < 0.1:
        kind = chance.randrange(4)
        body = (
            chance.choice((b"", bytes(100_000), IMAGE, IMAGE))
            if kind < 2
            else mutated(chance, chance.choice(FILES))
        )
    lines = [("Host", netloc)]
    if chance.random() < 0.3:
        lines.append(("Transfer-Encoding", "chunked"))
        body = chunked(chance, body)
    elif body or chance.random() < 0.2:
        lines.append(("Content-Length", str(len(body))))
    for name in chance.sample(list(HEADERS), chance.choice((0, 0, 0, 1, 1, 3))):
        value = chance.choice(HEADERS[name])
        if chance.random() < 0.3:
            lines = [line for line in lines if line[0] != name]
        lines.append((name, value))
    if chance.random() < 0.05:
        lines += [("X-Many", str(number)) for number in range(chance.choice((100, 3_000)))]
    if chance.random() < 0.05:
        chance.shuffle(lines)
    between = "\r\n" if chance.random() < 0.95 else chance.choice(("\n", "\r", "\r\n "))
    head = between.join(
        [f"{method} {path}{a_query(chance)} {version}", *(f"{name}: {value}" for name, value in lines)]
    )
    return head.encode("utf-8" if chance.random() < 0.5 else "latin-1", "replace") + b"\r\n\r\n" + body


def known(netloc: str) -> list[bytes]:
    """Requests that once left a traceback or another error in the log."""
    head = f"/api/segment?area=x HTTP/1.1\r\nHost: {netloc}\r\nTransfer-Encoding: chunked\r\n"
    return [
        f"{method} {head}\r\n{chunks}".encode()
        for method in ("POST", "HEAD")
        for chunks in ("x\r\n", "1\r\nab\r\n", "1\r\na\r\n0\r\nbad\r\n\r\n")
    ]


def an_attempt(chance: random.Random, netloc: str) -> bytes:
    """What is sent over one connection."""
    if chance.random() < 0.05:
        return chance.randbytes(chance.randrange(2_000))
    data = b"".join(a_request(chance, netloc) for _ in range(chance.choice((1, 1, 1, 2, 5))))
    return mutated(chance, data) if chance.random() < 0.2 else data


def responses_to(netloc: str, data: bytes) -> bytes:
    """Send the bytes and read all responses.

    Raises:
        AssertionError: the connection does not end although nothing more is sent.
    """
    host, port = netloc.split(":")
    received = b""
    with (
        suppress(ConnectionError),
        socket.create_connection((host, int(port)), PATIENCE_SECONDS) as connection,
    ):
        with suppress(ConnectionError, BrokenPipeError):
            connection.sendall(data)
        connection.settimeout(_QUIET_SECONDS)
        try:
            while piece := connection.recv(1 << 16):
                received += piece
        except TimeoutError:  # it waits for more
            connection.settimeout(PATIENCE_SECONDS)
            connection.shutdown(socket.SHUT_WR)
            try:
                while piece := connection.recv(1 << 16):
                    received += piece
            except TimeoutError:
                raise AssertionError("the connection never ends") from None
    return received


def check(received: bytes, allowed: set[str]) -> str:
    """The statuses of the responses.

    Raises:
        AssertionError: one must not be, or shows the program's insides.
    """
    codes = [code.decode() for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
    if not set(codes) <= allowed | {"100"}:
        raise AssertionError(f"statuses {codes}: {received[:400]!r}")
    for start in (match.end() for match in re.finditer(rb"\r\n\r\n(?=[{I])", received)):
        # Bodies of errors; those of files show what they must.
        if leak := LEAKS.search(received, start, start + 2_000):
            raise AssertionError(f"shows {leak[0]!r}: {received[start : start + 400]!r}")
    return " ".join(sorted(set(codes))) or "none"


@contextmanager
def gateway(server: str) -> Iterator[tuple[str, list[str]]]:
    """`superpixel app`: its HOST:PORT, and the lines that it writes to standard error."""
    process = started(
        "app", "--listen", "127.0.0.1:0", "--server", server, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    lines: list[str] = []
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
        reader.start()
        try:
            page = next(line for line in process.stdout if line.startswith("page:"))
            yield urlsplit(page.split()[1]).netloc, lines
            assert process.poll() is None, f"the gateway ended: {lines}"
        finally:
            process.kill()
            reader.join(PATIENCE_SECONDS)


def fuzz(count: int, seed: int, seconds: float = float("inf")) -> Counter[str]:
    """Make `count` attempts, or as many as fit in the time; how often each outcome came.

    Raises:
        AssertionError: an outcome that must not be, or a gateway that does not serve at the end.
    """
    tally: Counter[str] = Counter()
    end = time.monotonic() + seconds
    allowed = statuses()
    with running_server("--max-image-bytes=1000000") as server, gateway(server.listen) as (netloc, lines):
        for data in known(netloc):
            check(responses_to(netloc, data), allowed)
        for attempt in range(count):
            if time.monotonic() > end:
                break
            # Each attempt by a seed of its own, so that a bad one can be made again alone.
            chance = random.Random(f"{seed}/{attempt}")
            try:
                tally[check(responses_to(netloc, an_attempt(chance, netloc)), allowed)] += 1
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, attempt {attempt}: {error}") from error
        request = Request(f"http://{netloc}/api/segment", IMAGE, {"Content-Type": "image/jpeg"})
        with urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 200
        server.wait_until(lambda: server.metric("superpixel_inflight_bytes") == 0)
        said = "".join(lines)
        assert "Traceback" not in said, said[-4_000:]
        wrong = [line for line in lines if '"level": "error"' in line]
        assert not wrong, "".join(wrong)[-4_000:]
    return tally


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for outcome, count in sorted(fuzz(arguments.count, arguments.seed, arguments.seconds).items()):
        print(f"{count:7} {outcome}")


if __name__ == "__main__":
    main()
