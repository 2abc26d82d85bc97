"""A user of the page: what tests do in Chromium, and read from the page."""

import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.service.harness import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "photos"
COFFEE = PHOTOS / "coffee.jpg"
COFFEE_SHAPE = (400, 600)
SCREENSHOTS = ROOT / "test-output" / "page"
PATIENCE_MILLISECONDS = 1000 * PATIENCE_SECONDS

expect.set_options(timeout=PATIENCE_MILLISECONDS)


@contextmanager
def running_chromium(*arguments: str) -> Iterator[Browser]:
    """A browser. Until it ends, Playwright occupies the event loop of this thread."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "chromium is missing: run `make system-packages`"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", *arguments])
        yield running
        running.close()


@dataclass
class Annotator:
    """A user with one page open, and what the console complained about."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MILLISECONDS)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{error}"))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def __call__(self, selector: str) -> Locator:
        return self.page.locator(selector)

    # ---- the page and its image

    def arrive(self) -> None:
        self.page.goto(self.address)
        self.wait_until_ready()
        expect(self("#empty")).to_be_visible()  # nothing is left of other tests
        self.press("b")  # the tool of most tests

    def reload(self) -> None:
        self.page.reload()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        self("html[data-ready]").wait_for(state="attached")

    def wait_until_saved(self) -> None:
        self("html[data-saved=true]").wait_for(state="attached")

    def open(self, path: Path) -> None:
        self("#file-input").set_input_files(path)
        self.wait_for_status(f"{path.name}: ")

    def reopen(self, path: Path) -> None:
        """Open an image that the browser keeps."""
        self("#file-input").set_input_files(path)
        self.wait_for_status("opened before")

    def wait_for_status(self, text: str) -> None:
        expect(self("#status")).to_contain_text(text)
        expect(self("#progress")).to_be_hidden()

    def actual_size(self) -> Callable[[float, float], tuple[float, float]]:
        """Show one pixel of the image per screen pixel; returns where the corner x, y of a pixel is."""
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

    # ---- what the user does

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def drag(self, *points: tuple[float, float], steps: int = 8, button: str = "left") -> None:
        self.begin_drag(*points, steps=steps, button=button)
        self.page.mouse.up(button=button)  # type: ignore[arg-type]

    def begin_drag(self, *points: tuple[float, float], steps: int = 8, button: str = "left") -> None:
        """Drag, and keep the button pressed."""
        self.page.mouse.move(*points[0])
        self.page.mouse.down(button=button)  # type: ignore[arg-type]
        for point in points[1:]:
            self.page.mouse.move(*point, steps=steps)

    def click_all(self, selector: str, times: int) -> None:
        """Click the last element of a selector again and again: quicker than with the mouse."""
        script = "([all, n]) => { for (; n; n--) [...document.querySelectorAll(all)].at(-1).click(); }"
        self.page.evaluate(script, [selector, times])

    # ---- what the page has

    def count(self) -> int:
        """Superpixels at the size slider's stop."""
        return int(self("#size-count").inner_text().split()[0].replace(",", ""))

    def class_names(self) -> list[str]:
        """The names in the list of classes."""
        script = "(all) => all.map((one) => one.value)"
        found: list[str] = self("#classes input[type=text]").evaluate_all(script)
        return found

    def tool(self) -> str | None:
        return self("input[name=tool]:checked").get_attribute("value")

    def export(self, format_name: str) -> tuple[str, bytes]:
        """Name and content of a file, by the export menu."""
        self("#export-button").click()
        with self.page.expect_download() as download:
            self(f"#export-menu [data-format='{format_name}']").click()
        return download.value.suggested_filename, Path(download.value.path()).read_bytes()

    def mask(self) -> NDArray[np.uint8]:
        """The exported mask. The menu is clicked by script, which is quicker than with the mouse."""
        with self.page.expect_download() as download:
            self.click_all("#export-menu [data-format=png]", 1)
        return read_mask(download.value.path())

    def wait_until_drawn(self, layer: str, place: tuple[float, float], *, drawn: bool = True) -> None:
        """Until a canvas has (or has not) a colour at that place of the screen."""
        # Through another canvas: Chromium warns if one on the screen is read twice.
        script = """([layer, x, y, wanted]) => {
          const canvas = document.querySelector(`#layer-${layer}`);
          const { left, top } = canvas.getBoundingClientRect();
          const ratio = devicePixelRatio;
          const copy = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
          copy.drawImage(canvas, Math.round((left - x) * ratio), Math.round((top - y) * ratio));
          return (copy.getImageData(0, 0, 1, 1).data[3] > 0) === wanted;
        }"""
        self.page.wait_for_function(script, arg=[layer, *place, drawn])

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def pixels(self, place: tuple[float, float], width: int, height: int) -> NDArray[np.uint8]:
        """What the screen shows there, as RGB."""
        clip = {"x": place[0], "y": place[1], "width": width, "height": height}
        shot = self.page.screenshot(clip=clip)  # type: ignore[arg-type]
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))


def read_mask(path: str | Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        assert image.mode == "P"
        return np.asarray(image)


class Fingers:
    """Touches, through the browser's own input."""

    def __init__(self, page: Page) -> None:
        self._session = page.context.new_cdp_session(page)

    def put(self, *places: tuple[float, float]) -> None:
        self._send("touchStart", places)

    def move(self, *places: tuple[float, float]) -> None:
        self._send("touchMove", places)

    def lift(self) -> None:
        self._send("touchEnd", ())

    def _send(self, kind: str, places: tuple[tuple[float, float], ...]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
