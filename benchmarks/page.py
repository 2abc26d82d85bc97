"""Response times of the annotation page in Chromium, measured on the page's own layers.

Times are of the page's main thread, from the event to the last call to the canvas, at one screen pixel per
image pixel; medians and quartiles. On a shared machine the lower quartile is less disturbed than the median.
"""

import functools
import http.server
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.page_tools import ROOT, mirrored_photograph, running_chromium
from benchmarks.report import Goal, make_parser, say_goals, say_table, write_json
from superpixel_kernels import segment

AREA = 64
"""Mean area of the finest superpixels in pixels, as the gateway requests them."""

SIZES = {"1080p": (1920, 1080), "4K": (3840, 2160)}
LIMITS_MS = {
    ("1080p", "decode"): 40.0,
    ("1080p", "slider step"): 16.0,
    ("4K", "slider step"): 40.0,
    ("1080p", "brush move"): 4.0,
    ("4K", "brush move"): 4.0,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested file."""
    parser = make_parser("page", __doc__)
    parser.add_argument(
        "--chromium", default=shutil.which("chromium"), help="the browser (default: %(default)s)"
    )
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, (width, height) in SIZES.items():
            _write(folder, size, width, height)
        with _site(folder) as address:
            results = {size: _measure(address, size, given.chromium) for size in SIZES}
    rows, goals = [], []
    for size, result in results.items():
        for what, times in result["rows"].items():
            quarter, median, three_quarters = statistics.quantiles(times, n=4)
            rows.append((what, size, median, quarter, three_quarters))
            if (size, what) in LIMITS_MS:
                goals.append(Goal.at_most(f"{what}, {size}", median, LIMITS_MS[size, what], " ms"))
    say_table(
        "Milliseconds of the page's main thread",
        ("", "map", "median", "lower quartile", "upper quartile"),
        rows,
    )
    say_goals(goals)
    if given.json:
        write_json(given.json, {"results": results}, goals)


def _write(folder: Path, name: str, width: int, height: int) -> None:
    """Write a photograph of that size, and its label map as the gateway requests it."""
    image = mirrored_photograph(width, height)
    Image.fromarray(image).save(folder / f"{name}.jpg", quality=92)
    data = segment(image).encode(round(width * height / AREA), include_hierarchy=True)
    (folder / f"{name}.spx").write_bytes(data)


class _Files(http.server.SimpleHTTPRequestHandler):
    """Serves frontend/, and a folder of data under /data/."""

    data = Path()

    def translate_path(self, path: str) -> str:
        if path.startswith("/data/"):
            return str(self.data / Path(path).name)
        return super().translate_path(path)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _site(data: Path) -> Iterator[str]:
    handler = functools.partial(type("Files", (_Files,), {"data": data}), directory=str(ROOT / "frontend"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _measure(address: str, name: str, chromium: str) -> dict[str, Any]:
    with running_chromium(chromium) as browser:
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.set_default_timeout(300_000)
        page.goto(f"{address}/bench/index.html?name={name}")
        result: dict[str, Any] = page.evaluate("window.result")
    return result


if __name__ == "__main__":
    main()
