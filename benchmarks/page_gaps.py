"""How long the annotation page stands still: its longest task on large photographs, with the real server.

Wall time is the longest gap between two frames. Processor time is that of the longest task of the page's main
thread; other programs on the machine do not disturb it.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from benchmarks.page_tools import mirrored_photograph, running_app, running_chromium
from benchmarks.report import Goal, make_parser, say_goals, say_table, write_json

SIZES = {"12 MP": (4000, 3000), "24 MP": (6000, 4000)}
LIMIT_MS = 100.0
CATEGORIES = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"]
WAIT_MS = 300_000

GAPS = """() => {
  window.gap = 0;
  let before = performance.now();
  const frame = (now) => {
    window.gap = Math.max(window.gap, now - before);
    before = now;
    if (window.gap >= 0) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""

EDGES = """(stage) => {
  const { left, top, right, bottom } = stage.getBoundingClientRect();
  return [left, top, right, bottom];
}"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested file."""
    parser = make_parser("page_gaps", __doc__)
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="(default: %(default)s)")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="(default: all)")
    given = parser.parse_args(arguments)
    rows, goals = [], []
    with (
        tempfile.TemporaryDirectory() as name,
        running_app() as address,
        running_chromium(given.chromium) as browser,
    ):
        for size in given.sizes:
            path = Path(name) / f"{SIZES[size][0]}.jpg"
            Image.fromarray(mirrored_photograph(*SIZES[size])).save(path, quality=90)
            for what, (gap, task) in _measure(browser, address, path).items():
                rows.append((what, size, gap, task))
                goals.append(Goal.at_most(f"{what}, {size}", task, LIMIT_MS, " ms"))
    say_table("Milliseconds", ("", "photograph", "longest frame gap", "longest task (processor)"), rows)
    say_goals(goals)
    if given.json:
        write_json(given.json, {"rows": rows, "load": os.getloadavg()[0]}, goals)


def _measure(browser: Browser, address: str, path: Path) -> dict[str, tuple[float, float]]:
    page = browser.new_page(viewport={"width": 1920, "height": 1080})
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    page.goto(address)
    page.locator("html[data-ready]").wait_for(state="attached")
    page.locator("#file-input").set_input_files(path)
    expect(page.locator("#status")).to_contain_text(f"{path.name}: ")
    left, top, right, bottom = page.locator("#stage").evaluate(EDGES)
    middle = ((left + right) / 2, (top + bottom) / 2)

    def hover() -> None:
        page.mouse.move(left + 150, top + 150)
        page.mouse.move(*middle, steps=10)

    def flood() -> None:
        page.keyboard.press("f")
        page.mouse.click(*middle)

    def wheel() -> None:
        for delta in [-120] * 6 + [120] * 6:
            page.mouse.wheel(0, delta)
            page.wait_for_timeout(30)

    def rectangle() -> None:
        page.keyboard.press("r")
        page.mouse.move(left + 2, top + 2)
        page.mouse.down()
        page.mouse.move(right - 2, bottom - 2, steps=10)
        page.mouse.up()

    def undo() -> None:
        page.keyboard.press("Control+z")

    def stroke() -> None:
        page.keyboard.press("b")
        page.mouse.move(left + 260, top + 260)
        page.mouse.down()
        page.mouse.move(*middle, steps=15)
        page.mouse.up()

    def compactness() -> None:
        page.locator("#compactness").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#status")).to_contain_text("Compactness ")
        expect(page.locator("#progress")).to_be_hidden()

    actions: dict[str, Callable[[], None]] = {
        "first hover": hover,
        "first flood": flood,
        "wheel": wheel,
        "rectangle over the whole": rectangle,
        "undo of it": undo,
        "stroke": stroke,
        "change of compactness": compactness,
        "first stroke after it": stroke,
    }
    results = {what: _traced(browser, page, run) for what, run in actions.items()}
    page.close()
    return results


def _traced(browser: Browser, page: Page, run: Callable[[], None]) -> tuple[float, float]:
    """The longest gap between frames and the longest task of the page's main thread, in milliseconds."""
    browser.start_tracing(page=page, categories=CATEGORIES)
    page.evaluate(GAPS)
    run()
    page.wait_for_timeout(1500)
    gap = page.evaluate("() => { const worst = window.gap; window.gap = -1; return worst; }")
    events = json.loads(browser.stop_tracing())["traceEvents"]
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and re.search("CrRendererMain", event["args"]["name"])
    }
    tasks = [
        event.get("tdur", 0)
        for event in events
        if event.get("ph") == "X" and (event["pid"], event["tid"]) in main and "RunTask" in event["name"]
    ]
    return gap, max(tasks, default=0) / 1000


if __name__ == "__main__":
    main()
