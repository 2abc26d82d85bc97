"""How long a pan and a smart click take on the page of a store in Chromium.

    python -m benchmarks.store_page [--width 8000 --height 6000] [--pans 30] [--clicks 12]

A pan ends when its superpixels are on the screen, which has 1920 x 1080 pixels. The store is a mosaic of
the photographs in examples/photos, in a temporary folder.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page

from benchmarks.page_tools import ROOT, running_app, running_chromium
from superpixel_service.large.readers.arrays import ArraySource
from superpixel_service.large.run import Plan, make_store

PHOTOS = ROOT / "examples" / "photos"


def mosaic(height: int, width: int) -> NDArray[np.uint8]:
    """(height, width, 3): the photographs side by side, repeated."""
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(PHOTOS.glob("*.jpg"))]
    rows = min(photo.shape[0] for photo in photos)
    band = np.concatenate([photo[:rows] for photo in photos], axis=1)
    band = np.tile(band, (1, -(-width // band.shape[1]) + 1, 1))
    found = np.empty((height, width, 3), np.uint8)
    for index, y in enumerate(range(0, height, rows)):
        shift = 211 * index % (band.shape[1] - width)
        found[y : y + rows] = band[: min(rows, height - y), shift : shift + width]
    return found


WATCH = """() => {
  const began = {};
  window.spent = [];
  for (const name of ['pointerdown', 'pointerup']) {
    document.addEventListener(name, () => (began[name] = performance.now()), { capture: true });
    document.addEventListener(name, () => window.spent.push(performance.now() - began[name]));
  }
}"""


def clicks(page: Page, count: int) -> list[float]:
    """Milliseconds that the page works per click of smart select, after the pointer has rested there."""
    page.keyboard.press("s")
    page.wait_for_selector("html[data-smart][data-shown][data-picture]", state="attached", timeout=120_000)
    box = page.evaluate("() => document.getElementById('stage').getBoundingClientRect().toJSON()")
    times = []
    for index in range(count):
        x = box["x"] + box["width"] * (0.2 + 0.6 * (index * 0.618 % 1))
        y = box["y"] + box["height"] * (0.2 + 0.6 * index / count)
        page.mouse.move(x, y)
        page.wait_for_timeout(1500)  # prepares the view
        page.evaluate("() => (window.spent = [])")
        page.mouse.click(x, y)
        times.append(float(page.evaluate("() => window.spent.reduce((sum, one) => sum + one, 0)")))
    page.keyboard.press("b")
    return sorted(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=8000)
    parser.add_argument("--height", type=int, default=6000)
    parser.add_argument("--pans", type=int, default=30)
    parser.add_argument("--clicks", type=int, default=12)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder, "mosaic.zarr"))
        source = ArraySource(mosaic(arguments.height, arguments.width))
        make_store(Plan(source, "array://", counts=[]), address)
        with running_app("--store", address) as page_address, running_chromium() as browser:
            page = browser.new_page(viewport={"width": 1920, "height": 1080})
            page.goto(page_address)
            page.wait_for_selector("html[data-shown]", state="attached", timeout=120_000)
            page.evaluate(WATCH)
            for zooms in (0, 2, 2, 2):
                for _ in range(zooms):
                    page.click("#zoom-in")
                page.wait_for_selector("html[data-shown]", state="attached", timeout=120_000)
                page.focus("#stage")
                times = []
                for index in range(arguments.pans):
                    page.keyboard.press("ArrowRight" if index % 8 < 4 else "ArrowDown")
                    page.wait_for_selector("html[data-shown]", state="attached", timeout=120_000)
                    times.append(float(page.evaluate("document.documentElement.dataset.milliseconds")))
                scale = page.evaluate("document.documentElement.dataset.scale")
                shown = page.evaluate("document.documentElement.dataset.shown")
                times.sort()
                print(  # noqa: T201
                    f"level 1:{scale}, {shown} superpixels: median {statistics.median(times):.0f} ms, "
                    f"slowest of {len(times)} {times[-1]:.0f} ms"
                )
                spent = clicks(page, arguments.clicks)
                print(  # noqa: T201
                    f"  smart click: median {statistics.median(spent):.1f} ms, slowest {spent[-1]:.1f} ms"
                )


if __name__ == "__main__":
    main()
