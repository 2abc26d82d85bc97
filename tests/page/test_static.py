"""The page without a server: as plain files, and when its gateway has gone. It needs `make wasm`."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from superpixel_service import segment_file
from superpixel_service.web.files import HAS_ENGINE
from tests.page.annotator import COFFEE, COFFEE_SHAPE, PHOTOS, Annotator
from tests.page.conftest import new_context, running_app
from tests.service.command import superpixel
from tests.service.harness import RunningServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    """Fail rather than skip: `make test-slow` and `make test-wasm` build the module first."""
    assert HAS_ENGINE, "the package has no engine for browsers: run `make wasm install`"


CAT = PHOTOS / "chelsea.jpg"
PREFIX = "user/someone/proxy/8080"

KEPT_MAP = """async (name) => {
  const database = await new Promise((resolve) => {
    const request = indexedDB.open('superpixel-app');
    request.onsuccess = () => resolve(request.result);
  });
  const images = await new Promise((resolve) => {
    const request = database.transaction('images').objectStore('images').getAll();
    request.onsuccess = () => resolve(request.result);
  });
  database.close();
  const { spx } = images.find((image) => image.name === name);
  return Array.from(new Uint8Array(spx));
}"""


def kept_map(annotator: Annotator, name: str) -> bytes:
    annotator.wait_until_saved()
    return bytes(annotator.page.evaluate(KEPT_MAP, name))


def map_of_the_server(path: Path) -> bytes:
    return segment_file(path.read_bytes(), areas=64.0).spx


@contextmanager
def file_server(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A plain file server; yields its address, and what stops it."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    running = [True]

    def stop() -> None:
        if running.pop() if running else False:
            server.shutdown()
            server.server_close()
            thread.join()

    try:
        yield f"http://127.0.0.1:{server.server_port}/", stop
    finally:
        stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to serve, with the page below a path prefix."""
    folder = tmp_path_factory.mktemp("site")
    done = superpixel("app", "--static", folder / PREFIX)
    assert done.returncode == 0, done.stderr
    return folder


def test_an_image_is_labelled_with_the_network_cut_off(browser: Browser, site: Path) -> None:
    context = new_context(browser)
    asked: list[str] = []
    with file_server(site) as (address, stop):
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        annotator = Annotator(page, f"{address}{PREFIX}/")
        annotator.arrive()
        expect(annotator("#backend")).to_contain_text("in this browser")
        stop()
        context.set_offline(True)
        sent = len(asked)
        annotator.open(COFFEE)
        assert kept_map(annotator, COFFEE.name) == map_of_the_server(COFFEE)
        at = annotator.actual_size()
        annotator.drag(at(200, 150), at(300, 150))
        mask = annotator.mask()
        assert mask.shape == COFFEE_SHAPE
        assert mask.max() == 1
        # New superpixels, which follow a mask; what was chosen stays.
        edges = np.zeros(COFFEE_SHAPE, np.uint8)
        edges[100:200, 100:300] = 1
        guide = site / "guide.png"
        Image.fromarray(edges).save(guide)
        annotator("#mask-input").set_input_files(guide)
        annotator("#mask-guide").click()
        annotator.wait_for_status("Superpixels follow guide.png")
        assert np.array_equal(annotator.mask(), mask)
        annotator.press("Control+z")
        annotator.press("Control+z")
        assert annotator.mask().max() == 0
        annotator.open(CAT)
        assert kept_map(annotator, CAT.name) == map_of_the_server(CAT)
        gray16 = site / "gray16.png"
        deep = np.arange(60 * 90, dtype=np.uint16).reshape(60, 90) * 7 + 300
        deep[0, :3] = 0, 65535, 60000  # these do not count for the range
        Image.fromarray(deep).save(gray16)
        annotator.open(gray16)
        assert kept_map(annotator, gray16.name) == map_of_the_server(gray16)
        for kind in ("coco", "geojson", "project"):
            assert annotator.export(kind)[1], kind
        assert asked[sent:] == []
        assert all(url.startswith(f"{address}{PREFIX}/") for url in asked)
    assert annotator.complaints == []
    context.close()


def test_errors_of_the_static_page_name_the_browser(browser: Browser, site: Path, tmp_path: Path) -> None:
    context = new_context(browser)
    with file_server(site) as (address, _):
        annotator = Annotator(context.new_page(), f"{address}{PREFIX}/")
        annotator.arrive()
        broken = tmp_path / "broken.jpg"
        broken.write_bytes(COFFEE.read_bytes()[:2000].replace(b"\xff\xc0", b"\xff\xc9"))
        annotator("#file-input").set_input_files(broken)
        expect(annotator("#problem-title")).to_contain_text("broken.jpg is damaged or incomplete")
        annotator.open(COFFEE)
        annotator.wait_until_saved()
        annotator.reload()
        annotator.wait_for_status("coffee.jpg is open")
    assert annotator.complaints == []
    context.close()


def test_the_page_makes_superpixels_when_its_gateway_has_gone(
    browser: Browser, server: RunningServer
) -> None:
    context = new_context(browser)
    with running_app("--server", server.listen, constants={"web.files.HAS_ENGINE": True}) as address:
        annotator = Annotator(context.new_page(), address)
        with annotator.page.expect_response("**/superpixel.wasm") as loaded:
            annotator.arrive()
        assert loaded.value.ok
        annotator.open(CAT)
        annotator.wait_until_saved()
        annotator.page.wait_for_function(
            "async () => (await import('/page/engine.js')).engine.ready === true"
        )
    annotator("#file-input").set_input_files(COFFEE)
    annotator.wait_for_status("The server does not answer, so this browser made the superpixels")
    assert kept_map(annotator, COFFEE.name) == map_of_the_server(COFFEE)
    assert all("ERR_CONNECTION_REFUSED" in complaint for complaint in annotator.complaints)
    context.close()


def test_another_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("the only copy")
    done = superpixel("app", "--static", tmp_path)
    assert done.returncode == 1
    assert "holds other files" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    for _ in range(2):
        assert superpixel("app", "--static", tmp_path / "page").returncode == 0
