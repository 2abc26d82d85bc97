"""A real server, the real gateway in front of it, and a real Chromium."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.page.annotator import Annotator, running_chromium
from tests.service.command import started
from tests.service.harness import PATIENCE_SECONDS, RunningServer, program_with, running_server

MAX_PIXELS = 4_000_000


@contextmanager
def running_app(*arguments: str, constants: Mapping[str, object] | None = None) -> Iterator[str]:
    """`superpixel app` on a free port, with these values of constants; yields the address of its page.

    The page has no engine of its own, whether the package has been built with one or not.
    """
    program = program_with({"web.files.HAS_ENGINE": False, **(constants or {})})
    process = started("app", "--listen", "127.0.0.1:0", *arguments, stdout=-1, program=program)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("page:"):
                yield line.split()[1]
                break
        else:
            raise AssertionError(f"it ended with status {process.wait()}")
    finally:
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a large image."""
    from tests.page.large_page import make_scene

    return make_scene(tmp_path_factory.mktemp("large"))


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    limits = {"max-image-pixels": MAX_PIXELS, "max-image-bytes": 3_000_000, "refinement-max-pixels": 20_000}
    with running_server(*(f"--{name}={value}" for name, value in limits.items())) as running:
        yield running


@pytest.fixture(scope="session")
def address(server: RunningServer) -> Iterator[str]:
    """A gateway whose files the browser keeps: else each page asks 150 times whether they are new."""
    constants = {"http.guard._CACHE_CONTROL": "max-age=3600"}
    with running_app("--server", server.listen, constants=constants) as page:
        yield page


@pytest.fixture(scope="package")  # not longer: other packages use the thread's event loop
def browser() -> Iterator[Browser]:
    flags = (
        # With StaticStorageQuota a page sees 10 GB free, whatever quota a test sets. A spare process for the
        # next page costs much processor time.
        "--disable-features=StaticStorageQuota,SpareRendererForSitePerProcess",
        "--process-per-site",  # pages of one context share a process; see usual_context
    )
    with running_chromium(*flags) as running:
        yield running


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    return browser.new_context(
        **{"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"} | options
    )


@pytest.fixture(scope="package")
def contexts(browser: Browser, address: str) -> Iterator[Callable[..., BrowserContext]]:
    """Contexts by options, for many tests: one has the page's files in its cache, and keeps its process."""
    made: dict[str, BrowserContext] = {}

    def context(**options: Any) -> BrowserContext:
        name = repr(sorted(options.items()))
        if name not in made:
            made[name] = new_context(browser, **options)
            made[name].new_page().goto(f"{address}favicon.ico")  # a process ends with its last page
        return made[name]

    yield context
    for one in made.values():
        one.close()


@pytest.fixture(scope="package")
def usual_context(contexts: Callable[..., BrowserContext]) -> BrowserContext:
    return contexts()


@pytest.fixture
def visit(contexts: Callable[..., BrowserContext], address: str) -> Iterator[Callable[..., Annotator]]:
    """Makes annotators. Each begins with an empty storage, and ends with an empty console."""
    visits: list[Annotator] = []

    def arrive(**options: Any) -> Annotator:
        page = contexts(**options).new_page()
        session = page.context.new_cdp_session(page)
        session.send("Storage.clearDataForOrigin", {"origin": address.rstrip("/"), "storageTypes": "all"})
        visits.append(Annotator(page, address))
        visits[-1].arrive()
        return visits[-1]

    yield arrive
    for annotator in visits:
        _, *pages = annotator.page.context.pages
        for page in pages:
            page.close()
        assert annotator.complaints == []


@pytest.fixture
def annotator(visit: Callable[..., Annotator]) -> Annotator:
    return visit()
