"""The page as people use it; what it exports is held against Python's own cuts, pixel for pixel."""

import base64
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, expect

from superpixel_kernels import SegmentParams, segment
from superpixel_service.client import Client, SegmentError
from superpixel_service.client.exports import (
    Annotation,
    Class,
    to_coco,
    to_geojson,
    to_indexed_png,
    to_label_studio,
    to_yolo,
)
from tests.page.conftest import PHOTOS, ROOT, Annotator
from tests.service.harness import RunningServer

COFFEE = PHOTOS / "coffee.jpg"
AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
COLORS = ["#e69f00", "#56b4e9", "#009e73"]

Mask = NDArray[np.uint8]


def labels_of(path: Path, count: int, compactness: float = 10.0) -> NDArray[np.int32]:
    return segment(np.asarray(Image.open(path)), SegmentParams(compactness=compactness)).cut(count)


def swept(
    shape: tuple[int, ...], start: tuple[int, int], end: tuple[int, int], radius: float
) -> NDArray[np.bool_]:
    """Pixels whose centres a circle covers on its way from corner to corner, along a row or a column."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    (x0, y0), (x1, y1) = np.minimum(start, end), np.maximum(start, end)
    dx = columns - np.clip(columns, x0, x1)
    dy = rows - np.clip(rows, y0, y1)
    return np.asarray(dx**2 + dy**2 <= radius**2)


def brushed(mask: Mask, labels: NDArray[np.int32], where: NDArray[np.bool_], value: int) -> Mask:
    return np.where(np.isin(labels, np.unique(labels[where])), value, mask).astype(np.uint8)


def at_least_half(labels: NDArray[np.int32], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    areas = np.bincount(labels.ravel())
    shares = np.bincount(labels[inside], minlength=len(areas)) / areas
    return np.asarray((shares >= 0.5)[labels])


def test_upload_slide_brush_undo_export_reload(annotator: Annotator) -> None:
    page = annotator.page
    annotator.screenshot("empty")
    annotator.open(COFFEE)
    shape = (400, 600)
    at = annotator.actual_size()
    assert annotator.mask().max() == 0

    # A stroke over whole superpixels.
    first = annotator.count()
    annotator.drag(at(200, 150), at(330, 150))
    expected = brushed(
        np.zeros(shape, np.uint8), labels_of(COFFEE, first), swept(shape, (200, 150), (330, 150), 3), 1
    )
    assert np.array_equal(annotator.mask(), expected)

    # Another size: what is chosen stays; coarser ones are chosen beside it.
    page.keyboard.press("Escape")
    for _ in range(4):
        page.keyboard.press(",")
    second = annotator.count()
    assert second < first / 2
    assert np.array_equal(annotator.mask(), expected)
    page.keyboard.press("2")
    annotator.drag(at(420, 80), at(420, 300))
    expected = brushed(expected, labels_of(COFFEE, second), swept(shape, (420, 80), (420, 300), 3), 2)
    before_rectangle = expected
    annotator.screenshot("brush")

    # A rectangle of the finest ones.
    page.keyboard.press("r")
    for _ in range(40):
        page.keyboard.press(".")
    finest = annotator.count()
    assert finest == 400 * 600 // 64
    page.keyboard.press("3")
    annotator.drag(at(60, 250), at(180, 360))
    inside = np.zeros(shape, bool)
    inside[250:360, 60:180] = True
    expected = np.where(at_least_half(labels_of(COFFEE, finest), inside), 3, expected).astype(np.uint8)
    assert np.array_equal(annotator.mask(), expected)

    # Undo and redo, by keys and by buttons.
    page.keyboard.press("Control+z")
    assert np.array_equal(annotator.mask(), before_rectangle)
    annotator("#redo").click()
    assert np.array_equal(annotator.mask(), expected)

    # The eraser, and pixels by hand.
    page.keyboard.press("e")
    annotator.drag(at(210, 150), at(230, 150))
    touched = swept(shape, (210, 150), (230, 150), 3)
    expected = brushed(expected, labels_of(COFFEE, finest), touched, 0)
    page.keyboard.press("p")
    page.keyboard.press("1")
    annotator.drag(at(500, 350), at(560, 350))
    expected = np.where(swept(shape, (500, 350), (560, 350), 3), 1, expected).astype(np.uint8)
    annotator("#pixelMode-section label:has-text('Erase')").click()
    annotator.drag(at(520, 340), at(520, 370))
    expected = np.where(swept(shape, (520, 340), (520, 370), 3), 0, expected).astype(np.uint8)
    assert np.array_equal(annotator.mask(), expected)
    annotator.screenshot("pixels")

    # All of it is there again after a reload, at the same size.
    page.wait_for_timeout(600)
    page.reload()
    annotator("html[data-ready]").wait_for(state="attached")
    assert annotator.count() == finest
    assert np.array_equal(annotator.mask(), expected)
    assert annotator("input[name=tool]:checked").get_attribute("value") == "pixel"
    # And so is the way back, to the very beginning.
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert np.array_equal(annotator.mask(), before_rectangle)
    page.wait_for_timeout(600)
    page.reload()
    annotator("html[data-ready]").wait_for(state="attached")
    for _ in range(4):
        page.keyboard.press("Control+Shift+z")
    assert np.array_equal(annotator.mask(), expected)
    for _ in range(6):
        page.keyboard.press("Control+z")
    assert annotator.mask().max() == 0
    expect(annotator("#undo")).to_be_disabled()


def test_whoever_leaves_at_once_loses_nothing(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    annotator.page.wait_for_timeout(600)
    at = annotator.actual_size()
    annotator.drag(at(200, 150), at(330, 150))
    annotator.page.reload()
    annotator("html[data-ready]").wait_for(state="attached")
    shape, labels = (400, 600), labels_of(COFFEE, annotator.count())
    expected = brushed(np.zeros(shape, np.uint8), labels, swept(shape, (200, 150), (330, 150), 3), 1)
    assert np.array_equal(annotator.mask(), expected)


def test_tools_for_superpixels_go_over_painted_pixels(annotator: Annotator) -> None:
    page = annotator.page
    annotator.open(COFFEE)
    at = annotator.actual_size()
    page.keyboard.press("p")
    annotator.drag(at(200, 150), at(260, 150))
    painted = annotator.mask()
    assert set(np.unique(painted)) == {0, 1}
    box = (at(180, 130), at(280, 170))
    for key, erase in {
        "e": lambda: annotator.drag(at(200, 150), at(260, 150)),
        "r": lambda: erase_along(page, *box),
        "l": lambda: erase_along(page, box[0], (box[1][0], box[0][1]), box[1], (box[0][0], box[1][1])),
    }.items():
        page.keyboard.press(key)
        erase()
        assert annotator.mask().max() == 0, key
        page.keyboard.press("Control+z")
        assert np.array_equal(annotator.mask(), painted), key
    page.keyboard.press("2")
    labels = labels_of(COFFEE, annotator.count())
    for key in "bfrl":
        page.keyboard.press(key)
        page.mouse.click(*at(230, 150))
        mask = annotator.mask()
        assert mask[150, 230] == 2, key
        assert np.all(mask[labels == labels[150, 230]] == 2), key
        page.keyboard.press("Control+z")
        assert np.array_equal(annotator.mask(), painted), key


def erase_along(page: Page, *points: tuple[float, float]) -> None:
    page.mouse.move(*points[0])
    page.mouse.down(button="right")
    for point in points[1:]:
        page.mouse.move(*point, steps=5)
    page.mouse.up(button="right")


def test_a_stroke_that_is_given_up_cannot_be_redone(annotator: Annotator) -> None:
    page = annotator.page
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(100, 100), at(160, 100))
    one = annotator.mask()
    page.keyboard.press("Control+z")
    page.mouse.move(*at(300, 200))
    page.mouse.down()
    page.mouse.move(*at(400, 250), steps=5)
    page.keyboard.press("Escape")
    page.mouse.up()
    assert annotator.mask().max() == 0
    expect(annotator("#undo")).to_be_disabled()
    page.keyboard.press("Control+y")
    assert np.array_equal(annotator.mask(), one)  # what had been undone before
    expect(annotator("#redo")).to_be_disabled()


def test_classes_are_added_named_coloured_and_removed(annotator: Annotator) -> None:
    page = annotator.page
    annotator.open(COFFEE)
    at = annotator.actual_size()
    for number in (1, 2, 3):
        page.keyboard.press(str(number))
        annotator.drag(at(100 * number, 100), at(100 * number + 60, 100))
    page.keyboard.press("p")
    page.keyboard.press("2")
    annotator.drag(at(100, 300), at(160, 300))
    before = annotator.mask()
    assert set(np.unique(before)) == {0, 1, 2, 3}
    annotator("#classes input[type=text]").nth(1).fill("Saucer")
    annotator("#classes input[type=text]").nth(1).press("Enter")
    annotator("#classes input[type=color]").nth(2).fill("#112233")
    annotator("button[aria-label='Remove Saucer']").click()
    expect(annotator("#classes li")).to_have_count(2)
    after = np.array([0, 1, 0, 2], np.uint8)[before]
    assert np.array_equal(annotator.mask(), after)
    with Image.open(io.BytesIO(annotator.export("png")[1])) as image:
        assert (image.getpalette() or [])[6:9] == [0x11, 0x22, 0x33]
    annotator("#undo").click()
    expect(annotator("#classes li")).to_have_count(3)
    assert annotator("#classes input[type=text]").nth(1).input_value() == "Saucer"
    assert np.array_equal(annotator.mask(), before)
    annotator("#redo").click()
    page.wait_for_timeout(600)
    page.reload()
    annotator("html[data-ready]").wait_for(state="attached")
    assert np.array_equal(annotator.mask(), after)
    annotator("#undo").click()
    assert np.array_equal(annotator.mask(), before)
    # Many classes: each in a colour of its own, and the size slider stays where it is.
    slider = annotator("#size").bounding_box()
    for _ in range(27):
        annotator("#add-class").click()
    colors = annotator("#classes input[type=color]").evaluate_all("(all) => all.map((one) => one.value)")
    assert len(set(colors)) == len(colors) == 30
    assert annotator("#size").bounding_box() == slider
    expect(annotator("#classes li").last).to_be_in_viewport()
    annotator.screenshot("classes")
    for _ in range(29):
        annotator("#classes .remove").last.click()
    expect(annotator("#classes .remove")).to_be_disabled()


def test_another_size_amid_a_stroke(annotator: Annotator) -> None:
    page = annotator.page
    annotator.open(COFFEE)
    at = annotator.actual_size()
    first = annotator.count()
    page.mouse.move(*at(100, 100))
    page.mouse.down()
    page.mouse.move(*at(200, 100), steps=6)
    for _ in range(5):
        page.keyboard.press(".")
    second = annotator.count()
    assert second > 2 * first
    page.mouse.move(*at(300, 100), steps=6)
    page.mouse.up()
    shape = (400, 600)
    coarse, fine = swept(shape, (100, 100), (200, 100), 3), swept(shape, (200, 100), (300, 100), 3)
    expected = brushed(np.zeros(shape, np.uint8), labels_of(COFFEE, first), coarse, 1)
    assert np.array_equal(annotator.mask(), brushed(expected, labels_of(COFFEE, second), fine, 1))
    page.keyboard.press("Control+z")
    assert annotator.mask().max() == 0


def test_an_image_that_comes_amid_a_stroke_waits_for_it(annotator: Annotator) -> None:
    page = annotator.page
    annotator.open(COFFEE)
    at = annotator.actual_size()
    page.mouse.move(*at(200, 150))
    page.mouse.down()
    with page.expect_response("**/api/segment*") as answered:
        annotator("#file-input").set_input_files(PHOTOS / "chelsea.jpg")
    answered.value.finished()
    page.wait_for_timeout(500)
    expect(annotator("#progress")).to_be_visible()
    expect(annotator("#status")).not_to_be_empty()
    page.mouse.move(*at(330, 150), steps=5)
    page.mouse.up()
    annotator.is_told("chelsea.jpg: ")
    assert annotator.mask().shape == (300, 451)
    # The first image: the stroke was kept.
    annotator("#file-input").set_input_files(COFFEE)
    annotator.is_told("opened before")
    shape, labels = (400, 600), labels_of(COFFEE, annotator.count())
    expected = brushed(np.zeros(shape, np.uint8), labels, swept(shape, (200, 150), (330, 150), 3), 1)
    assert np.array_equal(annotator.mask(), expected)


def test_the_image_is_moved_and_zoomed_and_shown_through(annotator: Annotator) -> None:
    page = annotator.page
    annotator.open(COFFEE)
    at = annotator.actual_size()

    def there() -> tuple[int, ...]:
        page.mouse.move(*at(300.5, 200.5))  # amid a pixel
        return tuple(map(int, (annotator("#hover").text_content() or "").rsplit("· ", 1)[1].split(", ")))

    assert there() == (300, 200)
    page.keyboard.press("h")
    annotator.drag(at(300, 200), at(340, 170))
    assert there() == (260, 230)
    # Space moves it with any tool, wherever the focus was left by the last setting.
    page.keyboard.press("b")
    annotator("#size").focus()
    page.keyboard.down(" ")
    annotator.drag(at(300, 200), at(260, 230))
    page.keyboard.up(" ")
    assert there() == (300, 200)
    assert annotator.mask().max() == 0
    there()
    page.mouse.wheel(0, -400)
    expect(annotator("#zoom-actual")).not_to_have_text("100 %")
    assert there() == (300, 200)
    opacity = "(canvas) => Number(getComputedStyle(canvas).opacity)"
    annotator("#fill-opacity").fill("80")
    assert annotator("#layer-fill").evaluate(opacity) == 0.8
    annotator("#line-opacity").fill("0")
    assert annotator("#layer-lines").evaluate(opacity) == 0
    page.keyboard.press("m")
    assert annotator("#layer-fill").evaluate(opacity) == 0


def test_the_image_that_is_worked_on_is_not_forgotten(annotator: Annotator) -> None:
    page = annotator.page
    others = """async (number) => {
      const { Store } = await import('/page/store.js');
      const store = await Store.open();
      const blob = new Blob([]);
      for (let i = 0; i < 12; i++) {
        const key = `${number}-${i}`;
        const image = { key, name: key, blob, spx: new ArrayBuffer(0), compactness: 10, opened: Date.now() };
        await store.write({ key, selection: null, count: 1 }, image);
      }
    }"""
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(200, 150), at(330, 150))
    mask = annotator.mask()
    for number in (1, 2, 3):
        page.wait_for_timeout(600)
        page.evaluate(others, number)
        page.reload()
        annotator("html[data-ready]").wait_for(state="attached")
        assert np.array_equal(annotator.mask(), mask)


def test_a_file_too_large_is_not_read(annotator: Annotator, tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    with path.open("wb") as file:
        file.truncate(600_000_000)
    sent: list[str] = []
    annotator.page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    annotator("#file-input").set_input_files(path)
    expect(annotator("#problem-detail")).to_have_text(
        "the image is too large: 600 MB, at most 3 MB are accepted"
    )
    expect(annotator("#problem-facts")).to_contain_text("IMAGE_TOO_MANY_BYTES")
    assert sent == []


def test_what_is_transparent_is_white_as_for_the_server(annotator: Annotator, tmp_path: Path) -> None:
    image = np.full((160, 240, 4), 255, np.uint8)
    image[:, 120:] = (200, 0, 0, 0)
    image[60:100, 60:180] = (0, 0, 200, 255)
    path = tmp_path / "alpha.png"
    Image.fromarray(image).save(path)
    annotator.open(path)
    at = annotator.actual_size()
    annotator.page.keyboard.press("f")
    annotator.page.mouse.click(*at(20, 20))
    expected = np.ones((160, 240), np.uint8)
    expected[60:100, 60:180] = 0
    assert np.array_equal(annotator.mask(), expected)
    annotator.page.keyboard.press("v")
    annotator.page.keyboard.press("m")
    annotator.page.mouse.move(0, 0)
    left, top = at(0, 0)
    shot = annotator.page.screenshot(clip={"x": left, "y": top, "width": 240, "height": 160})
    shown = np.where(expected[..., None] == 1, 255, image[..., :3])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")), shown)


@pytest.mark.parametrize("size", [(1, 1), (900, 1), (2, 7)])
def test_very_small_images(annotator: Annotator, tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "small.png"
    Image.new("RGB", size, (10, 200, 30)).save(path)
    annotator.open(path)
    box = annotator("#stage").bounding_box()
    assert box is not None
    annotator.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mask = annotator.mask()
    assert mask.shape == size[::-1]
    assert mask.max() == 1
    for kind in ("coco", "coco-rle", "label-studio", "geojson", "yolo"):
        assert annotator.export(kind)[1]


def test_the_size_slider(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    slider = annotator("#size")
    stops = []
    slider.focus()
    annotator.page.keyboard.press("Home")
    for _ in range(int(slider.get_attribute("max") or 0) + 1):
        count = annotator.count()
        stops.append(count)
        words = slider.get_attribute("aria-valuetext") or ""
        area = 400 * 600 / count
        shown = f"{area:,.0f}" if area >= 100 else f"{area:.1f}"
        assert words == f"{count:,} superpixels, {shown} px each on average"
        assert annotator("#size-area").inner_text() == f"≈ {shown} px each"
        annotator.page.keyboard.press("ArrowRight")
    ratios = [b / a for a, b in itertools.pairwise(stops)]
    assert len(stops) > 20
    assert all(1.1 < ratio < 1.4 for ratio in ratios), ratios
    areas = np.bincount(labels_of(COFFEE, stops[-1]).ravel())
    assert np.mean(areas <= 4) < 0.02


def test_another_compactness_keeps_every_pixel(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(150, 100), at(400, 100))
    before = annotator.mask()
    count = annotator.count()
    annotator("#compactness").focus()
    annotator.page.keyboard.press("ArrowRight")
    annotator.page.keyboard.press("ArrowRight")
    annotator.is_told("Compactness 20")
    assert np.array_equal(annotator.mask(), before)
    assert annotator.count() == count

    # The new superpixels are those of the new compactness; the brush lays them over the kept pixels.
    annotator.page.keyboard.press("2")
    annotator.drag(at(300, 200), at(300, 300))
    touched = swept(before.shape, (300, 200), (300, 300), 3)
    chosen = brushed(before * 0, labels_of(COFFEE, count, 20.0), touched, 2)
    kept = (before > 0) & (annotator.mask() == before)
    assert np.array_equal(annotator.mask(), np.where(kept, before, chosen))
    assert np.array_equal(annotator.mask()[before == 0], chosen[before == 0])

    annotator.page.keyboard.press("Control+z")
    annotator.page.keyboard.press("Control+z")
    expect(annotator("#compactness-value")).to_have_text("10")
    assert np.array_equal(annotator.mask(), before)
    annotator.page.keyboard.press("Control+y")
    expect(annotator("#compactness-value")).to_have_text("20")
    annotator.page.wait_for_timeout(600)
    annotator.page.reload()
    annotator("html[data-ready]").wait_for(state="attached")
    expect(annotator("#compactness-value")).to_have_text("20")
    assert np.array_equal(annotator.mask(), before)


def test_every_export_is_what_python_writes(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(150, 100), at(400, 100))
    annotator.page.keyboard.press("2")
    annotator.page.keyboard.press("l")
    annotator.drag(at(250, 220), at(400, 220), at(330, 350))
    name = annotator("#classes input[type=text]").first
    name.fill("Cup, rim")
    name.press("Enter")
    classes = tuple(
        Class(text, color) for text, color in zip(["Cup, rim", "Class 2", "Class 3"], COLORS, strict=True)
    )
    annotation = Annotation(annotator.mask(), classes)
    assert set(np.unique(annotation.mask)) == {0, 1, 2}
    wanted: dict[str, tuple[str, Any]] = {
        "coco": ("coffee-coco.json", to_coco(annotation, file_name="coffee.jpg")),
        "coco-rle": ("coffee-coco-rle.json", to_coco(annotation, file_name="coffee.jpg", rle=True)),
        "label-studio": (
            "coffee-label-studio.json",
            [{"data": {"image": "coffee.jpg"}, "annotations": [{"result": to_label_studio(annotation)}]}],
        ),
        "geojson": ("coffee.geojson", to_geojson(annotation)),
    }
    for kind, (file, content) in wanted.items():
        exported, data = annotator.export(kind)
        assert (exported, json.loads(data)) == (file, json.loads(json.dumps(content))), kind
    assert annotator.export("yolo") == ("coffee.txt", to_yolo(annotation).encode())
    exported, data = annotator.export("png")
    assert exported == "coffee-mask.png"
    with Image.open(io.BytesIO(data)) as mine, Image.open(io.BytesIO(to_indexed_png(annotation))) as theirs:
        assert mine.getpalette() == theirs.getpalette()
        assert np.array_equal(np.asarray(mine), np.asarray(theirs))


def test_a_refused_image_shows_the_servers_words(
    annotator: Annotator, server: RunningServer, tmp_path: Path
) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(150, 100), at(200, 100))
    before = annotator.mask()
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(COFFEE.read_bytes()[:9000])
    huge = tmp_path / "huge.png"
    Image.new("L", (4000, 1001)).save(huge)
    for path in (broken, huge):
        with Client(server.listen) as client, pytest.raises(SegmentError) as refused:
            client.segment(path, areas=64.0)
        annotator("#file-input").set_input_files(path)
        expect(annotator("#problem-detail")).to_have_text(refused.value.message)
        expect(annotator("#problem-facts")).to_contain_text(refused.value.reason)
        expect(annotator("#progress")).to_be_hidden()
    annotator.screenshot("refused")
    annotator("#problem-close").click()
    expect(annotator("#problem")).to_be_hidden()
    assert np.array_equal(annotator.mask(), before)
    # The browser itself notes answers that are errors.
    assert all("status of 400" in complaint for complaint in annotator.complaints)
    annotator.complaints.clear()


def test_by_keyboard_alone(annotator: Annotator) -> None:
    page = annotator.page
    press = page.keyboard.press

    def tab_to(selector: str) -> None:
        for _ in range(60):
            press("Tab")
            if annotator(selector).evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"{selector} cannot be reached")

    tab_to("#samples button:has-text('Coffee')")
    press("Enter")
    annotator.is_told("coffee.jpg: ")
    tab_to("#tools input:checked")
    press("ArrowDown")
    assert annotator("input[name=tool]:checked").get_attribute("value") == "eraser"
    press("b")
    for _ in range(9):
        press("[")
    expect(annotator("#radius-value")).to_have_text("one superpixel")
    tab_to("#stage")
    press("ArrowRight")
    for _ in range(4):
        press("Shift+ArrowDown")
    told = annotator("#status").inner_text()
    expect(annotator("#status")).to_contain_text("not chosen")
    x, y = (int(part) for part in told.rsplit("· ", 1)[1].split(", "))
    press("Enter")
    expect(annotator("#status")).to_contain_text("Class 1")
    mask = annotator_mask_by_keys(annotator)
    labels = labels_of(COFFEE, annotator.count())
    assert mask[y, x] == 1
    assert set(np.unique(labels[mask == 1])) == set(np.unique(labels[brush_of_one(labels.shape, x, y)]))

    # A rectangle from corner to corner, and one given up.
    annotator("#stage").focus()
    press("2")
    press("r")
    press("Enter")
    for key in ("ArrowRight",) * 5 + ("ArrowDown",) * 5:
        press(key)
    annotator.screenshot("keyboard")
    press("Escape")
    assert np.array_equal(annotator_mask_by_keys(annotator), mask)
    annotator("#stage").focus()
    press("Enter")
    for key in ("ArrowRight",) * 5 + ("ArrowDown",) * 5:
        press(key)
    press("Enter")
    assert np.count_nonzero(annotator_mask_by_keys(annotator) == 2) > 2000
    press("?")
    expect(annotator("#help")).to_be_visible()
    annotator.screenshot("help")
    press("Escape")
    expect(annotator("#help")).to_be_hidden()


def brush_of_one(shape: tuple[int, ...], x: int, y: int) -> NDArray[np.bool_]:
    """The pixel at the cursor; the brush is as small as it gets, and may touch the next one."""
    where = np.zeros(shape, bool)
    where[y, x] = True
    return where


def annotator_mask_by_keys(annotator: Annotator) -> Mask:
    page = annotator.page
    page.keyboard.press("Control+e")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    with Image.open(download.value.path()) as image:
        return np.asarray(image)


class Fingers:
    """Touches, by the browser's own input."""

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


def test_touch(visit: Callable[..., Annotator]) -> None:
    annotator = visit(viewport={"width": 820, "height": 1100}, has_touch=True)
    annotator.open(COFFEE)
    at = annotator.actual_size()
    shape, count = (400, 600), annotator.count()
    fingers = Fingers(annotator.page)

    # Two fingers zoom and choose nothing, even where one was down first.
    x, y = at(300, 200)
    fingers.put((x - 50, y))
    fingers.put((x - 50, y), (x + 50, y))
    for wide in range(50, 101, 10):
        fingers.move((x - wide, y), (x + wide, y))
    fingers.lift()
    expect(annotator("#zoom-actual")).to_have_text("200 %")
    assert annotator.mask().max() == 0
    for button in ("#undo", "#redo"):
        expect(annotator(button)).to_be_disabled()  # not done and undone, but never done
    # A stroke that has begun is taken back.
    fingers.put((x - 50, y))
    for column in range(-50, 50, 10):
        fingers.move((x + column, y))
    annotator.page.wait_for_timeout(150)
    fingers.put((x + 40, y), (x + 100, y))
    fingers.lift()
    assert annotator.mask().max() == 0

    # One finger brushes; a tap takes one place.
    annotator("#zoom-fit").click()
    at = annotator.actual_size()
    fingers.put(at(200, 150))
    for column in range(200, 301, 20):
        fingers.move(at(column, 150))
    fingers.lift()
    expected = brushed(
        np.zeros(shape, np.uint8), labels_of(COFFEE, count), swept(shape, (200, 150), (300, 150), 3), 1
    )
    assert np.array_equal(annotator.mask(), expected)
    annotator.page.touchscreen.tap(*at(400, 300))
    expected = brushed(expected, labels_of(COFFEE, count), swept(shape, (400, 300), (400, 300), 3), 1)
    assert np.array_equal(annotator.mask(), expected)
    annotator.screenshot("touch")


def test_pen(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    session = annotator.page.context.new_cdp_session(annotator.page)

    def pen(kind: str, place: tuple[int, int], button: str = "left", buttons: int = 1) -> None:
        x, y = at(*place)
        event = {"type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "pointerType": "pen"}
        session.send("Input.dispatchMouseEvent", event)

    pen("mousePressed", (200, 150))
    pen("mouseMoved", (300, 150))
    pen("mouseReleased", (300, 150), buttons=0)
    shape, labels = (400, 600), labels_of(COFFEE, annotator.count())
    expected = brushed(np.zeros(shape, np.uint8), labels, swept(shape, (200, 150), (300, 150), 3), 1)
    assert np.array_equal(annotator.mask(), expected)


def test_drop_and_paste(annotator: Annotator) -> None:
    script = """([kind, data, name]) => {
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], name, { type: 'image/jpeg' }));
      const options = { bubbles: true, cancelable: true };
      const event = kind === 'paste'
        ? new ClipboardEvent('paste', { ...options, clipboardData: transfer })
        : new DragEvent(kind, { ...options, dataTransfer: transfer });
      document.querySelector('#stage').dispatchEvent(event);
    }"""
    page = annotator.page
    coffee, cat = (
        base64.b64encode((PHOTOS / name).read_bytes()).decode() for name in ("coffee.jpg", "chelsea.jpg")
    )
    page.evaluate(script, ["dragover", coffee, "dropped.jpg"])
    expect(annotator("#drop")).to_be_visible()
    page.evaluate(script, ["drop", coffee, "dropped.jpg"])
    annotator.is_told("dropped.jpg: ")
    expect(annotator("#drop")).to_be_hidden()
    at = annotator.actual_size()
    annotator.drag(at(100, 100), at(200, 100))
    mask = annotator.mask()
    page.evaluate(script, ["paste", cat, "pasted.jpg"])
    annotator.is_told("pasted.jpg: ")
    assert annotator.mask().shape == (300, 451)
    # The same image again: the work on it was kept.
    page.evaluate(script, ["paste", coffee, "again.jpg"])
    annotator.is_told("opened before")
    assert np.array_equal(annotator.mask(), mask)


def test_flood_takes_what_looks_alike(annotator: Annotator, tmp_path: Path) -> None:
    image = np.full((160, 240, 3), (200, 60, 60), np.uint8)
    image[40:120, 60:180] = (60, 60, 200)
    path = tmp_path / "two.png"
    Image.fromarray(image).save(path)
    annotator.open(path)
    at = annotator.actual_size()
    annotator.page.keyboard.press("f")
    annotator.page.mouse.click(*at(120, 80))
    expected = np.zeros((160, 240), np.uint8)
    expected[40:120, 60:180] = 1
    assert np.array_equal(annotator.mask(), expected)
    annotator.page.mouse.click(*at(120, 80), button="right")
    assert annotator.mask().max() == 0
    # The pixels lie on the screen where the pointer takes them to be.
    annotator.page.keyboard.press("v")
    annotator.page.mouse.move(0, 0)
    left, top = at(0, 0)
    shot = annotator.page.screenshot(clip={"x": left, "y": top, "width": 240, "height": 160})
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")), image)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(visit: Callable[..., Annotator], scheme: str) -> None:
    annotator = visit(color_scheme=scheme)
    assert AXE.exists(), f"{AXE} is missing: run `make frontend-install`"
    annotator.page.evaluate(AXE.read_text())

    def check(state: str) -> None:
        # Only colours differ between the schemes.
        only = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}
        result = annotator.page.evaluate("(options) => axe.run(options)", only)
        assert len(result["passes"]) >= (1 if only else 15)
        faults = [
            f"{fault['id']} ({fault['impact']}): {node['html']}"
            for fault in result["violations"]
            for node in fault["nodes"]
            if fault["impact"] in {"serious", "critical"}
        ]
        assert faults == [], state

    check("empty")
    annotator("#samples button").last.click()
    annotator.is_told("chelsea.jpg: ")
    for tool in "bfp":
        annotator.page.keyboard.press(tool)
        check(f"tool {tool}")
    at = annotator.actual_size()
    annotator.page.keyboard.press("b")
    annotator.drag(at(150, 100), at(300, 150))
    annotator.screenshot(f"cat-{scheme}")
    annotator("#export-button").click()
    check("export menu")
    annotator.screenshot(f"export-{scheme}")
    annotator.page.keyboard.press("Escape")
    annotator.page.keyboard.press("?")
    check("help")
    annotator.page.keyboard.press("Escape")
    annotator("#file-input").set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"x"})
    expect(annotator("#problem")).to_be_visible()
    check("problem")
    annotator.complaints.clear()


def test_on_a_fine_screen_and_on_a_small_one(visit: Callable[..., Annotator]) -> None:
    for name, options in {
        "fine": {"device_scale_factor": 2},
        "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 3, "has_touch": True},
    }.items():
        annotator = visit(**options)
        annotator("#samples button").first.click()
        annotator.is_told("astronaut.jpg: ")
        annotator.page.keyboard.press("+")
        annotator.page.wait_for_timeout(300)
        annotator.screenshot(name)
        export = annotator("#export-button").bounding_box()
        assert export is not None
        assert export["x"] + export["width"] <= annotator.page.evaluate("innerWidth")
        # Canvases have the screen's own pixels, but the outlines: theirs are one of CSS wide.
        measure = "(all) => all.map((canvas) => [canvas.width, canvas.getBoundingClientRect().width])"
        sizes = annotator("canvas").evaluate_all(measure)
        ratio = options["device_scale_factor"]
        assert [wide / css for wide, css in sizes] == pytest.approx([ratio, ratio, 1, ratio], rel=0.01)
