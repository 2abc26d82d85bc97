"""Areas: previews, the polygon by clicks, touch, pen and keys, exact pixels, the live flood."""

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import expect

from tests.page.annotator import COFFEE, COFFEE_SHAPE, Annotator, Fingers
from tests.page.expected import at_least_half, labels_of

CORNERS = [(150, 120), (350, 120), (350, 260), (150, 260)]
INSIDE = np.zeros(COFFEE_SHAPE, bool)
INSIDE[120:260, 150:350] = True


def shown_on_top(
    annotator: Annotator, at: Callable[[float, float], tuple[float, float]]
) -> NDArray[np.uint8]:
    """RGBA of the topmost canvas, a pixel of the image each."""
    x, y = at(0, 0)
    script = """([x, y, width, height]) => {
      const canvas = document.querySelector('#layer-top');
      const { left, top } = canvas.getBoundingClientRect();
      const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
      copy.drawImage(canvas, Math.round(left - x), Math.round(top - y));
      const { data } = copy.getImageData(0, 0, width, height);
      return btoa(Array.from(data, (value) => String.fromCharCode(value)).join(''));
    }"""
    height, width = COFFEE_SHAPE
    data = base64.b64decode(annotator.page.evaluate(script, [x, y, width, height]))
    return np.frombuffer(data, np.uint8).reshape(height, width, 4)


@pytest.mark.parametrize("key", [pytest.param("r", marks=pytest.mark.slow), "l"])
def test_the_preview_shows_what_will_be_taken(annotator: Annotator, key: str) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.press(key, "2")
    path = [CORNERS[0], CORNERS[2]] if key == "r" else [*CORNERS, CORNERS[0]]
    annotator.begin_drag(*(at(*corner) for corner in path))
    annotator.wait_until_drawn("top", at(250, 190))
    annotator.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shown = shown_on_top(annotator, at)
    annotator.page.mouse.up()
    taken = annotator.mask() == 2
    assert np.array_equal(taken, at_least_half(labels_of(COFFEE, annotator.count()), INSIDE))
    # The colour of class 2 is blue. The shape's own line and shade, and the cursor, are drawn above.
    blue = (shown[..., 2] > shown[..., 0].astype(int) + 20) & (shown[..., 3] > 100)
    assert np.mean(blue == taken) > 0.98
    assert np.mean(blue[taken]) > 0.95


def test_a_polygon_by_clicks(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    page = annotator.page
    annotator.press("o")
    expected = at_least_half(labels_of(COFFEE, annotator.count()), INSIDE)

    def corners() -> None:
        for corner in CORNERS:
            page.mouse.click(*at(*corner))

    corners()
    page.mouse.move(*at(250, 300))
    annotator.wait_until_drawn("top", at(200, 280))  # the line to the pointer
    assert annotator.mask().max() == 0
    page.mouse.click(*at(*CORNERS[0]))  # the first corner closes it
    assert np.array_equal(annotator.mask() == 1, expected)
    expect(annotator("#redo")).to_be_disabled()
    annotator.press("Control+z")
    assert annotator.mask().max() == 0

    # A wrong corner is taken back, by Backspace or by undo; Enter closes.
    page.mouse.click(*at(*CORNERS[0]))
    page.mouse.click(*at(*CORNERS[1]))
    page.mouse.click(*at(500, 350))
    page.mouse.click(*at(520, 30))
    annotator.press("Backspace", "Control+z")
    page.mouse.click(*at(*CORNERS[2]))
    page.mouse.click(*at(*CORNERS[3]))
    annotator.press("Enter")
    assert np.array_equal(annotator.mask() == 1, expected)
    annotator.press("Control+z")

    # A double click closes it, too; the right button erases. Escape and another tool cancel.
    corners()
    page.mouse.dblclick(*at(CORNERS[3][0] + 1, CORNERS[3][1]))
    after = annotator.mask() == 1
    assert np.mean(after == expected) > 0.995
    for end in ("Escape", "b"):
        annotator.press("o")
        corners()
        annotator.press(end)
        page.mouse.move(*at(10, 10))
        annotator.wait_until_drawn("top", at(250, 190), drawn=False)
        assert np.array_equal(annotator.mask() == 1, after)


def test_exact_pixels(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    for key, setting in (("l", "lassoTakes"), ("o", "polygonTakes")):
        annotator.press(key, "3")
        annotator(f"#{setting}-section label:has-text('Exact pixels')").click()
        if key == "l":
            annotator.drag(*(at(*corner) for corner in CORNERS), at(*CORNERS[0]))
        else:
            for corner in [*CORNERS, CORNERS[0]]:
                annotator.page.mouse.click(*at(*corner))
        assert np.array_equal(annotator.mask() == 3, INSIDE), key
        annotator.press("Control+z")
        assert annotator.mask().max() == 0


@pytest.mark.slow
def test_a_polygon_by_fingers_and_by_keys(visit: Callable[..., Annotator]) -> None:
    annotator = visit(viewport={"width": 820, "height": 1100}, has_touch=True)
    annotator.open(COFFEE)
    at = annotator.actual_size()
    expected = at_least_half(labels_of(COFFEE, annotator.count()), INSIDE)
    annotator.press("o")
    fingers = Fingers(annotator.page)
    for corner in CORNERS[:2]:
        annotator.page.touchscreen.tap(*at(*corner))
    # Two fingers move the image between corners, and set none.
    x, y = at(300, 200)
    fingers.put((x - 50, y))
    fingers.put((x - 50, y), (x + 50, y))
    fingers.move((x - 50, y + 20), (x + 50, y))
    fingers.move((x - 50, y + 20), (x + 50, y + 20))
    fingers.lift()
    moved = lambda column, row: (at(column, row)[0], at(column, row)[1] + 20)  # noqa: E731
    for corner in [*CORNERS[2:], CORNERS[0]]:
        annotator.page.touchscreen.tap(*moved(*corner))
    assert np.array_equal(annotator.mask() == 1, expected)
    annotator.press("Control+z")
    # By keys: Enter sets a corner, Backspace takes it back, Shift Enter closes the shape.
    annotator("#stage").focus()
    annotator.press("Enter", *3 * ["ArrowRight"], "Enter", "Backspace", *3 * ["ArrowRight"], "Enter")
    annotator.press(*6 * ["ArrowDown"], "Enter", *6 * ["ArrowLeft"], "Shift+Enter")
    assert 1000 < np.count_nonzero(annotator.mask() == 1) < 100_000


@pytest.mark.slow
def test_a_polygon_by_pen(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.press("o")
    session = annotator.page.context.new_cdp_session(annotator.page)
    for corner in [*CORNERS, CORNERS[0]]:
        x, y = at(*corner)
        for kind, buttons in (("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)):
            event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "pointerType": "pen"}
            session.send("Input.dispatchMouseEvent", event)
    expected = at_least_half(labels_of(COFFEE, annotator.count()), INSIDE)
    assert np.array_equal(annotator.mask() == 1, expected)


def test_the_slider_changes_the_last_flood(annotator: Annotator, tmp_path: Path) -> None:
    image = np.full((160, 240, 3), (200, 60, 60), np.uint8)
    image[40:120, 60:180] = (190, 75, 60)
    path = tmp_path / "close.png"
    Image.fromarray(image).save(path)
    annotator.open(path)
    at = annotator.actual_size()
    annotator.press("f")
    slider = annotator("#similarity")
    slider.fill("3")
    annotator.page.mouse.click(*at(10, 10))
    outside = np.ones((160, 240), np.uint8)
    outside[40:120, 60:180] = 0
    assert np.array_equal(annotator.mask(), outside)
    slider.fill("30")
    assert annotator.mask().min() == 1
    slider.fill("4")
    assert np.array_equal(annotator.mask(), outside)
    annotator.press("Control+z")  # all of it is one step
    assert annotator.mask().max() == 0
    slider.fill("30")  # the flood is gone: the slider changes nothing
    assert annotator.mask().max() == 0
    expect(annotator("#undo")).to_be_disabled()
    # After another step, the flood is no longer the last one.
    annotator.page.mouse.click(*at(10, 10))
    annotator.press("e")
    annotator.page.mouse.click(*at(120, 80))
    before = annotator.mask()
    annotator.press("f")
    slider.fill("3")
    assert np.array_equal(annotator.mask(), before)


@pytest.mark.slow
def test_the_brush_radius_is_in_pixels_of_the_screen(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.press("p")
    page = annotator.page
    expect(annotator("#radius-value")).to_have_text("3 px")
    page.mouse.move(*at(300, 200))
    page.keyboard.down("Shift")
    for _ in range(5):
        page.mouse.wheel(0, -100)
    expect(annotator("#radius-value")).to_have_text("10 px")
    page.mouse.wheel(0, 100)
    expect(annotator("#radius-value")).to_have_text("8 px")
    page.keyboard.up("Shift")
    expect(annotator("#zoom-actual")).to_have_text("100 %")
    page.mouse.click(*at(300, 200))
    whole = np.count_nonzero(annotator.mask())
    assert whole == pytest.approx(np.pi * 8**2, rel=0.05)
    annotator.press("Control+z")
    box = annotator("#stage").bounding_box()
    assert box is not None
    for _ in range(3):
        annotator.press("+")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    scale = int(annotator("#zoom-actual").inner_text().split()[0]) / 100
    assert scale > 3
    assert np.count_nonzero(annotator.mask()) == pytest.approx(np.pi * (8 / scale) ** 2, rel=0.25)
