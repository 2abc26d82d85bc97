"""The gateway and callers that are not its page: other sites, other names, stalled and ambiguous requests."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.page.annotator import PHOTOS, running_chromium
from tests.page.conftest import new_context, running_app
from tests.page.test_gateway import call, problem
from tests.service.harness import PATIENCE_SECONDS, RunningServer

PHOTO = (PHOTOS / "chelsea.jpg").read_bytes()


@pytest.fixture(scope="module")
def hasty(server: RunningServer) -> Iterator[str]:
    """A gateway with shorter times, and a name."""
    constants = {
        "http.uploads._SILENT_SECONDS": 1.0,
        "http.uploads._SECONDS": 3.0,
        "http.protocol._HEAD_SECONDS": 1.0,
    }
    with running_app("--server", server.listen, "--allow-host=Page.Example", constants=constants) as page:
        yield page


# ---- names and origins -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8080", 200),
        ("LOCALHOST.", 200),
        ("app.localhost:8080", 200),
        ("192.0.2.7:8080", 200),
        ("[::1]:8080", 200),
        ("[2001:db8::1]", 200),
        (socket.gethostname(), 200),
        ("page.example", 200),
        ("PAGE.example:443", 200),
        ("attacker.example", 421),
        ("127.0.0.1.attacker.example:8080", 421),
        ("page.example.attacker.example", 421),
        ("notlocalhost", 421),
        ("", 421),
    ],
)
def test_only_names_of_the_gateway_are_answered(hasty: str, host: str, status: int) -> None:
    answer = call(hasty, "GET", "/", Host=host)
    assert answer[0] == status
    if status == 421:
        assert "--allow-host" in problem(answer)["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser
        ({"Origin": "http://localhost:1"}, 200),
        ({"Origin": "https://page.example"}, 200),  # a proxy has replaced the name
        ({"Origin": "http://attacker.example"}, 403),
        ({"Origin": "http://localhost:2"}, 403),
        ({"Origin": "null"}, 403),
        (
            {"Origin": "http://attacker.example", "Sec_Fetch_Site": "same-origin"},
            200,
        ),  # by the browser's word
        ({"Origin": "http://attacker.example", "Sec_Fetch_Site": "none"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 403),  # a form
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"}, 403),
    ],
)
def test_only_the_own_page_may_post(hasty: str, headers: dict[str, str], status: int) -> None:
    assert call(hasty, "POST", "/api/segment", PHOTO, Host="localhost:1", **headers)[0] == status


class Attacker(BaseHTTPRequestHandler):
    """A page that sends a form to the gateway, and one that calls it by `fetch`."""

    gateway = ""

    def do_GET(self) -> None:
        content = f"""<!doctype html><form method=post enctype=text/plain action="{self.gateway}api/segment">
            <input name=a value=b></form>
            <script>
              const form = document.querySelector('form');
              if (location.hash === '#form') form.submit();
            </script>"""
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def attacker(address: str) -> Iterator[int]:
    """The port of the attacker's site."""
    Attacker.gateway = address
    with ThreadingHTTPServer(("127.0.0.1", 0), Attacker) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_chromium_and_a_form_of_another_site(browser: Browser, address: str, attacker: int) -> None:
    context = new_context(browser)
    page = context.new_page()
    with page.expect_response(f"{address}api/segment") as response:
        page.goto(f"http://localhost:{attacker}/#form")
    assert response.value.status == 403
    assert response.value.request.method == "POST"
    page.goto(f"http://localhost:{attacker}/")
    sent = "address => fetch(address, {method: 'POST', mode: 'no-cors', body: 'x'}).then(() => 0, () => 1)"
    assert page.evaluate(sent, f"{address}api/segment") == 1
    context.close()


def test_chromium_and_a_name_that_is_rebound_to_the_gateway(address: str) -> None:
    """The attacker's name resolves to the gateway: for the browser, page and gateway are one site."""
    with ThreadPoolExecutor(1) as thread:  # Playwright's event loop is not to meet the one of this thread
        assert thread.submit(statuses_of_a_rebound_name, urlsplit(address).port).result() == [421, 421]


def statuses_of_a_rebound_name(port: int | None) -> list[int]:
    rule = "--host-resolver-rules=MAP attacker.example 127.0.0.1"
    with running_chromium(rule) as chromium:
        page = chromium.new_page()
        answer = page.goto(f"http://attacker.example:{port}/")
        assert answer is not None
        fetched = page.evaluate("fetch('/api/segment', {method: 'POST', body: 'x'}).then(a => a.status)")
    return [answer.status, fetched]


# ---- requests that do not arrive ---------------------------------------------------------------------------


def connect(page: str) -> socket.socket:
    parts = urlsplit(page)
    return socket.create_connection((parts.hostname or "", parts.port or 0), PATIENCE_SECONDS)


def rest_of(connection: socket.socket) -> bytes:
    """All that the gateway still sends."""
    received = b""
    while data := connection.recv(1 << 16):
        received += data
    return received


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


UPLOAD = b"POST /api/segment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n"


def test_stalled_uploads_hold_no_slot_and_end(hasty: str) -> None:
    with ExitStack() as stack:
        stalled = [stack.enter_context(connect(hasty)) for _ in range(40)]
        for connection in stalled:
            connection.sendall(UPLOAD + b"part")
        assert call(hasty, "POST", "/api/segment", PHOTO)[0] == 200
        for connection in stalled:
            assert rest_of(connection).startswith(b"HTTP/1.1 408 ")


def test_an_upload_that_trickles_ends(hasty: str) -> None:
    with connect(hasty) as connection:
        connection.sendall(UPLOAD)
        connection.settimeout(0.2)
        received = b""
        while not received:
            connection.sendall(b"x")
            try:
                received = connection.recv(100)
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "part", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: local", b"GET / HTTP/1.1\r\nHost: localhost\r\n"]
)
def test_a_head_that_does_not_arrive_ends_the_connection(hasty: str, part: bytes) -> None:
    with connect(hasty) as connection:
        connection.sendall(part)
        assert rest_of(connection) == b""


def test_the_second_head_of_a_connection_must_arrive_too(hasty: str) -> None:
    with connect(hasty) as connection:
        connection.sendall(b"GET /favicon.ico HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        connection.sendall(b"GET / HT")
        rest_of(connection)


def test_a_head_that_trickles_ends_the_connection(hasty: str) -> None:
    with connect(hasty) as connection:
        connection.settimeout(0.1)
        end = time.monotonic() + PATIENCE_SECONDS
        while not is_closed(connection):
            connection.sendall(b"a")
            assert time.monotonic() < end


@pytest.mark.parametrize("order", [0, 1])
def test_a_body_with_two_lengths_is_rejected(hasty: str, order: int) -> None:
    lengths = [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]
    first, second = lengths if order == 0 else reversed(lengths)
    with connect(hasty) as connection:
        head = b"POST /api/segment HTTP/1.1\r\nHost: localhost\r\n" + first + second + b"\r\n"
        connection.sendall(head + b"0\r\n\r\nGET /favicon.ico HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = rest_of(connection)
        assert received.startswith(b"HTTP/1.1 400 ")
        assert received.count(b"HTTP/1.1") == 1


def test_uploads_in_memory_are_bounded(hasty: str) -> None:
    """Each is within the limit of 3 MB and a slack of 1 MiB; together they may take eight times as much."""
    head = UPLOAD.replace(b"999999", b"3900000")
    with ExitStack() as stack:
        stalled = [stack.enter_context(connect(hasty)) for _ in range(12)]
        for connection in stalled:
            connection.sendall(head + bytes(3_500_000))
        statuses = [rest_of(connection)[9:12] for connection in stalled]
    assert statuses.count(b"408") <= 9
    assert statuses.count(b"503") >= 3
    assert call(hasty, "POST", "/api/segment", PHOTO)[0] == 200
