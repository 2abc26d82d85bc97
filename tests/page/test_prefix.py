"""The page below a path prefix, as JupyterHub and code-server serve it: a proxy strips the prefix."""

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.page.annotator import COFFEE, Annotator
from tests.page.conftest import new_context
from tests.service.harness import PATIENCE_SECONDS

PREFIX = "/user/someone/proxy/8080"


@pytest.fixture
def below_a_prefix(address: str) -> Iterator[str]:
    gateway = urlsplit(address).netloc

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            connection = http.client.HTTPConnection(gateway, timeout=PATIENCE_SECONDS)
            connection.request(self.command, self.path.removeprefix(PREFIX), body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"transfer-encoding", "content-length", "date", "server"}:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}/"
        server.shutdown()
        thread.join()


def test_the_page_works_below_a_prefix(browser: Browser, below_a_prefix: str) -> None:
    context = new_context(browser)
    annotator = Annotator(context.new_page(), below_a_prefix)
    annotator.arrive()
    sample = annotator("#samples button").first
    image = sample.locator("img")
    image.evaluate("image => image.decode()")
    name = image.get_attribute("src")
    assert name is not None
    sample.click()
    annotator.wait_for_status(f"{name.removeprefix('samples/')}: ")
    annotator.open(COFFEE)
    context.close()
    assert annotator.complaints == []
