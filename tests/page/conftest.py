"""A real server, the real gateway before it, and a real Chromium."""

import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.service.command import started
from tests.service.harness import RunningServer, running_server

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "photos"
SCREENSHOTS = ROOT / "test-output" / "page"

MAX_PIXELS = 4_000_000


@contextmanager
def running_app(*arguments: str) -> Iterator[str]:
    """`superpixel app` on a free port; the address of its page."""
    process = started("app", "--listen", "127.0.0.1:0", *arguments, stdout=-1)
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
        assert process.wait(timeout=30) == 0
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    limits = {"max-image-pixels": MAX_PIXELS, "max-image-bytes": 3_000_000, "refinement-max-pixels": 20_000}
    with running_server(*(f"--{name}={value}" for name, value in limits.items())) as running:
        yield running


@pytest.fixture(scope="session")
def address(server: RunningServer) -> Iterator[str]:
    with running_app("--server", server.listen) as page:
        yield page


@pytest.fixture(scope="module")  # Playwright holds this thread's event loop as long as it runs
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium is not None, "chromium is missing: run `make system-packages`"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@dataclass
class Annotator:
    """Someone at the page."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(20_000)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{error}"))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def __call__(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def arrive(self) -> None:
        self.page.goto(self.address)
        self("html[data-ready]").wait_for(state="attached")

    def open(self, path: Path) -> None:
        self("#file-input").set_input_files(path)
        self.is_told(f"{path.name}: ")

    def is_told(self, text: str) -> None:
        expect(self("#status")).to_contain_text(text)
        expect(self("#progress")).to_be_hidden()

    def actual_size(self) -> Callable[[float, float], tuple[float, float]]:
        """One pixel of the image on one of the screen; where on the screen the corner x, y of a pixel is."""
        self("#zoom-actual").click()
        expect(self("#zoom-actual")).to_have_text("100 %")
        box = self("#stage").bounding_box()
        assert box is not None
        x, y = round(box["x"] + box["width"] / 2), round(box["y"] + box["height"] / 2)
        self.page.mouse.move(x, y)
        there = re.search(r"(\d+), (\d+)$", self("#hover").text_content() or "")
        assert there is not None
        left, top = x - int(there[1]), y - int(there[2])
        return lambda column, row: (left + column, top + row)

    def drag(self, *points: tuple[float, float], steps: int = 8) -> None:
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*point, steps=steps)
        self.page.mouse.up()

    def count(self) -> int:
        return int(self("#size-count").inner_text().split()[0].replace(",", ""))

    def export(self, format_name: str) -> tuple[str, bytes]:
        """Name and content of the file that the export menu gives."""
        self("#export-button").click()
        with self.page.expect_download() as download:
            self(f"#export-menu [data-format='{format_name}']").click()
        return download.value.suggested_filename, Path(download.value.path()).read_bytes()

    def mask(self) -> NDArray[np.uint8]:
        with Image.open(io.BytesIO(self.export("png")[1])) as image:
            assert image.mode == "P"
            return np.asarray(image)

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., Annotator]]:
    """Makes annotators, each in a browser of their own; at the end nothing may stand in a console."""
    visits: list[Annotator] = []

    def arrive(**options: object) -> Annotator:
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"} | options
        )
        visits.append(Annotator(context.new_page(), address))
        visits[-1].arrive()
        return visits[-1]

    yield arrive
    for annotator in visits:
        annotator.page.context.close()
        assert annotator.complaints == []


@pytest.fixture
def annotator(visit: Callable[..., Annotator]) -> Annotator:
    return visit()
