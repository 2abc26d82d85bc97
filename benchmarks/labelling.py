"""Label a photograph wholly on the annotation page, with real pointer and key events; count the gestures.

The photograph is one of the data: of all people's segmentations with 4 to 8 segments that each cover more
than 1 % of the image, the one with the fewest segments; of equal ones the first by the photograph's name,
then by the person. Each segment becomes an object, the largest first: N begins it, the robot of
`benchmarks.clicks` says where smart select clicks (with Alt to take away), and Enter ends it. An object gets
at most 6 clicks. A click that makes the object worse is undone, and ends it. Then "next gap" shows each large
gap, and the robot clicks it into the object that the person has there. "Fill holes" fills the others. The
menu exports COCO, and the figures come from that file.

The robot sees the labels in an exported PNG file. It drags instead of clicking if that gains more than 0.05
intersection over union. The page shows a person what each drag would take; the robot tries them and undoes
them. Both count as no gesture.
"""

import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

from benchmarks.click_methods import GROWTHS, WORTH, Click, Mask
from benchmarks.clicks import RIGHT, next_click
from benchmarks.data import Photograph, add_data_arguments, photographs
from benchmarks.metrics import Labels, count_labels
from benchmarks.page_tools import running_app, running_chromium
from benchmarks.report import make_parser, say, say_table, write_json
from superpixel_service.client.imports import read_annotation

FEWEST_SEGMENTS, MOST_SEGMENTS = 4, 8
SMALLEST = 0.01
MOST_CLICKS = 6
MOST_GAPS = 20
HOLES = 4096
"""The largest holes that the page fills, in pixels."""

FIRST_OBJECT = 256
"""The value of the first object in the PNG file of objects."""

WAIT_MS = 300_000

DRAG_UNIT, DRAG_SLACK = 40, 6
"""Pixels of the screen per unit of growth, and those that count as none."""

PAUSE_MS = 120
"""Chromium drops downloads beyond ten per second."""

Robot = Callable[[Mask, Mask, Mask], Click | None]
"""Finds the next click from the wanted pixels, the selected ones, and those that were clicked."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run took, and how well its file agrees with the wanted segments.

    Attributes:
        gestures: number by kind; an Alt click is one gesture.
        seconds: of the run, with the robot's own work.
        objects: in the exported file.
        right: the share of pixels in the object that is matched to their segment.
        overlaps: the intersection over union of each segment with its object, in the order of `truth`.
        unlabelled: the share of pixels without an object.
    """

    gestures: dict[str, int]
    seconds: float
    objects: int
    right: float
    overlaps: list[float]
    unlabelled: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Label, print, and write the requested file."""
    parser = make_parser("labelling", __doc__)
    add_data_arguments(parser)
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="(default: %(default)s)")
    parser.add_argument("--clicks-only", action="store_true", help="never drag")
    parser.add_argument("--photograph", help="name of the photograph (default: chosen by the rule above)")
    given = parser.parse_args(arguments)
    photo, person = choose(given.data, given.photograph)
    truth = photo.truths[person]
    say(f"{photo.name}, person {person + 1}: {count_labels(truth)} segments")
    with running_app() as address, running_chromium(given.chromium) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        page.goto(address)
        page.locator("html[data-ready]").wait_for(state="attached")
        path = photo.folder / "images" / f"{photo.name}.jpg"
        result = label_photograph(page, path, truth, drags=not given.clicks_only)
    say_table(
        "gestures", ("kind", "number"), [*result.gestures.items(), ("all", sum(result.gestures.values()))]
    )
    agreement = (
        ("pixels right", result.right),
        ("mean IoU of an object", float(np.mean(result.overlaps))),
        ("worst IoU of an object", min(result.overlaps)),
        ("pixels without an object", result.unlabelled),
    )
    say_table("agreement with the person", ("", "share"), agreement)
    say(f"\n{result.seconds:.0f} seconds, {result.objects} objects in the file")
    write_json(given.json, {"photograph": photo.name, "person": person + 1, **asdict(result)}, [])


def choose(folder: Path, name: str | None = None) -> tuple[Photograph, int]:
    """Return the photograph and the index of the person, by the rule of this module.

    Args:
        folder: of the data.
        name: of the photograph; None: of all.

    Raises:
        SystemExit: nobody's segmentation fits.
    """
    best: tuple[int, Photograph, int] | None = None
    for photo in photographs(folder):
        if name not in (None, photo.name):
            continue
        for person, truth in enumerate(photo.truths):
            number = count_labels(truth)
            fits = FEWEST_SEGMENTS <= number <= MOST_SEGMENTS
            if not fits or np.bincount(truth.ravel()).min() <= SMALLEST * truth.size:
                continue
            if best is None or number < best[0]:
                best = number, photo, person
    if best is None:
        raise SystemExit(f"no segmentation with {FEWEST_SEGMENTS} to {MOST_SEGMENTS} large segments")
    return best[1:]


def label_photograph(
    page: Page,
    path: Path,
    truth: Labels,
    robot: Robot = next_click,
    enough: float = RIGHT,
    *,
    drags: bool = True,
) -> Result:
    """Open a photograph on the page, label it wholly, and export it.

    Args:
        page: the annotation page, ready, without an image.
        path: of the photograph.
        truth: (height, width): the wanted segment of each pixel, from 0.
        robot: finds the next click.
        enough: the intersection over union that ends an object.
        drags: whether the labeller drags if that is better than a click.
    """
    begun = time.perf_counter()
    page.locator("#file-input").set_input_files(path)
    expect(page.locator("#status")).to_contain_text(f"{path.name}: ")
    expect(page.locator("#progress")).to_be_hidden()
    labeller = _Labeller(page, robot, enough, drags)
    if page.locator("input[name=tool]:checked").get_attribute("value") != "smart":
        labeller.press("s")
    page.locator("html[data-smart]").wait_for(state="attached")
    order = np.argsort(-np.bincount(truth.ravel()), kind="stable").tolist()
    for number, label in enumerate(order):
        labeller.take_object(number, truth == label)
    labeller.fill_gaps([truth == label for label in order])
    found = _read(labeller.export(), path.name, truth.shape)
    matches = _match(truth, found)
    right = sum(int(((truth == label) & mask).sum()) for label, mask in matches.items())
    return Result(
        gestures=dict(labeller.gestures),
        seconds=time.perf_counter() - begun,
        objects=len(found),
        right=right / truth.size,
        overlaps=[
            _overlap(truth == label, matches[label]) if label in matches else 0.0
            for label in range(count_labels(truth))
        ],
        unlabelled=1 - float(np.any(found, axis=0).mean()) if found else 1.0,
    )


class _Labeller:
    """A user of the page, who counts gestures."""

    def __init__(self, page: Page, robot: Robot, enough: float, drags: bool) -> None:
        self._page = page
        self._robot = robot
        self._enough = enough
        self._drags = drags
        self.gestures = Counter(dict.fromkeys(("clicks", "Alt clicks", "drags", "keys", "menu"), 0))
        self._look()

    # ---- the steps of the work

    def take_object(self, number: int, wanted: Mask) -> None:
        """Select a new object."""
        self.press("n")
        clicked = np.zeros_like(wanted)
        selected = np.zeros_like(wanted)
        before = 0.0
        for _ in range(MOST_CLICKS):
            click = self._robot(wanted, selected, clicked)
            if click is None:
                break
            clicked[click.y, click.x] = True
            selected = self._select(click, wanted, FIRST_OBJECT + number)
            now = _overlap(wanted, selected)
            if now < before:
                self.press("Control+z")
                break
            before = now
            if now >= self._enough:
                break
        self.press("Enter")

    def fill_gaps(self, wanted: Sequence[Mask]) -> None:
        """Click large gaps into the object that the person has there, then fill holes."""
        for _ in range(MOST_GAPS):
            self.press("u")
            expect(self._page.locator("#status")).to_have_text(re.compile("^(Gap|No gap)"))
            gap = re.search(r": ([\d,]+) px", self._text("#status"))
            if gap is None:
                return
            if int(gap[1].replace(",", "")) <= HOLES:
                break
            empty = self._values() == 0
            click = self._robot(empty, np.zeros_like(empty), np.zeros_like(empty))
            if click is None:
                break
            number = next(i for i, mask in enumerate(wanted) if mask[click.y, click.x])
            self.menu(f"#objects li[data-value='{FIRST_OBJECT + number}'] .swatch")
            self._look()
            self.click(click)
            self.press("Enter")
        self._page.locator("#speck-size").select_option(str(HOLES))
        self.gestures["menu"] += 1
        self.menu("#fill-holes", re.compile(f"oles of at most {HOLES} px"))

    def export(self) -> bytes:
        """Return COCO, with masks as run lengths."""
        self.menu("#export-button")
        with self._page.expect_download() as download:
            self.menu("#export-menu [data-format='coco-rle']")
        return Path(download.value.path()).read_bytes()

    # ---- gestures

    def press(self, key: str) -> None:
        self._page.keyboard.press(key)
        self.gestures["keys"] += 1

    def menu(self, selector: str, answer: re.Pattern[str] | None = None) -> None:
        """Click a control, and wait for the page's message."""
        self._page.locator(selector).click()
        self.gestures["menu"] += 1
        if answer:
            expect(self._page.locator("#status")).to_have_text(answer)

    def click(self, click: Click, growth: float = 0.0) -> None:
        """Click a pixel of the image; with growth, drag."""
        self._use(click, growth)
        kind = "drags" if growth else "clicks" if click.positive else "Alt clicks"
        self.gestures[kind] += 1

    def _select(self, click: Click, wanted: Mask, value: int) -> Mask:
        """Click, or drag if that gains enough; return the object's pixels."""
        before = self._values()
        growths: dict[float, float] = {}
        for growth in (0.0, *GROWTHS) if self._drags else ():
            self._use(click, growth)
            after = self._values()
            growths[growth] = _overlap(wanted, after == value)
            if not np.array_equal(before, after):
                self._page.keyboard.press("Control+z")
        best = max(growths, key=lambda growth: growths[growth], default=0.0)
        self.click(click, best if growths and growths[best] > growths[0.0] + WORTH else 0.0)
        selected: Mask = self._values() == value
        return selected

    def _use(self, click: Click, growth: float) -> None:
        """Press the button at a pixel, with Alt to take away; drag right or left; release."""
        self._point(click.x, click.y)
        if not click.positive:
            self._page.keyboard.down("Alt")
        self._page.mouse.down()
        if growth:
            x, y = self._pointer
            self._page.mouse.move(x + growth * DRAG_UNIT + np.sign(growth) * DRAG_SLACK, y, steps=4)
        self._page.mouse.up()
        if not click.positive:
            self._page.keyboard.up("Alt")

    # ---- what the user sees

    def _text(self, selector: str) -> str:
        return self._page.locator(selector).text_content() or ""

    def _look(self) -> None:
        """Learn which pixel of the image is in the middle of the screen, and the scale."""
        box = self._page.locator("#stage").bounding_box()
        if box is None:
            raise RuntimeError("the page shows no image")
        self._middle = round(box["x"] + box["width"] / 2), round(box["y"] + box["height"] / 2)
        self._page.mouse.move(self._middle[0] + 3, self._middle[1])
        self._page.mouse.move(*self._middle)
        self._pixel = self._under_pointer()
        self._scale = int(self._text("#zoom-actual").split()[0].replace(",", "")) / 100

    def _under_pointer(self) -> tuple[int, int]:
        shown = self._page.locator("#hover")
        expect(shown).to_have_text(re.compile(r"\d+, \d+$"))
        found = re.search(r"(\d+), (\d+)$", shown.text_content() or "")
        if found is None:
            raise RuntimeError("the pointer is outside the image")
        return int(found[1]), int(found[2])

    def _point(self, x: int, y: int) -> None:
        """Move the pointer to a pixel, and correct the move by what the page says is there."""
        (left, top), (column, row) = self._middle, self._pixel
        to = [left + (x - column) * self._scale, top + (y - row) * self._scale]
        for _ in range(10):
            self._page.mouse.move(*to)
            there = self._under_pointer()
            if there == (x, y):
                self._pointer = to
                return
            to = [
                old + (want - have) * self._scale / 2
                for old, want, have in zip(to, (x, y), there, strict=True)
            ]
        raise RuntimeError(f"no place on the screen shows the pixel {x}, {y}")

    def _values(self) -> NDArray[np.int32]:
        """The object of each pixel."""
        self._page.wait_for_timeout(PAUSE_MS)
        with self._page.expect_download() as download:
            self._page.evaluate("document.querySelector('#export-menu [data-format=instances]').click()")
        with Image.open(download.value.path()) as image:
            return np.array(image).astype(np.int32)


def _read(file: bytes, name: str, shape: Sequence[int]) -> list[Mask]:
    """Return the objects of an exported file."""
    annotation = read_annotation(file, name=name, width=shape[1], height=shape[0])
    instances: Any = annotation.instances
    if instances is None:
        return []
    return [instances == 1 + index for index in range(len(annotation.objects))]


def _match(truth: Labels, found: Sequence[Mask]) -> dict[int, Mask]:
    """Match segments and objects one to one: again and again the pair with the largest overlap."""
    pairs = sorted(
        (-_overlap(truth == label, mask), label, index)
        for label in range(count_labels(truth))
        for index, mask in enumerate(found)
    )
    matches: dict[int, int] = {}
    for overlap, label, index in pairs:
        if overlap < 0 and label not in matches and index not in matches.values():
            matches[label] = index
    return {label: found[index] for label, index in matches.items()}


def _overlap(wanted: Mask, selected: Mask) -> float:
    """Intersection over union."""
    return float((wanted & selected).sum() / max(1, int((wanted | selected).sum())))


if __name__ == "__main__":
    main()
