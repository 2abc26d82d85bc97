"""Keyboard alone, touch, and pen."""

from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.page.annotator import COFFEE, COFFEE_SHAPE, Annotator, Fingers, read_mask
from tests.page.expected import Mask, at_least_half, brushed, labels_of, swept


def test_by_keyboard_alone(annotator: Annotator) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(60):
            annotator.press("Tab")
            if annotator(selector).evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    tab_to("#samples button:has-text('Coffee')")
    annotator.press("Enter")
    annotator.wait_for_status("coffee.jpg: ")
    tab_to("#tools input:checked")
    annotator.press("ArrowDown")
    assert annotator.tool() == "eraser"
    annotator.press("b", *9 * "[")
    expect(annotator("#radius-value")).to_have_text("one superpixel")
    tab_to("#stage")
    annotator.press("ArrowRight", *4 * ["Shift+ArrowDown"])
    expect(annotator("#status")).to_contain_text("not chosen")
    status = annotator("#status").inner_text()
    x, y = (int(part) for part in status.rsplit("· ", 1)[1].split(", "))
    annotator.press("Enter")
    expect(annotator("#status")).to_contain_text("Class 1")
    mask = mask_by_keys(annotator)
    labels = labels_of(COFFEE, annotator.count())
    assert mask[y, x] == 1
    assert set(np.unique(labels[mask == 1])) == {labels[y, x]}

    # A rectangle from corner to corner: cancelled, then drawn.
    annotator("#stage").focus()
    annotator.press("2", "r", "Enter", *5 * ["ArrowRight"], *5 * ["ArrowDown"])
    annotator.screenshot("keyboard")
    annotator.press("Escape")
    assert np.array_equal(mask_by_keys(annotator), mask)
    annotator("#stage").focus()
    annotator.press("Enter", *5 * ["ArrowRight"], *5 * ["ArrowDown"], "Enter")
    assert np.count_nonzero(mask_by_keys(annotator) == 2) > 2000
    annotator.press("?")
    expect(annotator("#help")).to_be_visible()
    annotator.screenshot("help")
    annotator.press("Escape")
    expect(annotator("#help")).to_be_hidden()


@pytest.mark.slow
def test_a_lasso_by_keyboard_has_the_corners_that_enter_sets(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    annotator("#stage").focus()
    annotator.press("l")
    corners = []
    # On its way to each corner the cursor makes a detour.
    for way, detour, back in [
        ("ArrowUp", "ArrowLeft", "ArrowRight"),
        ("ArrowRight", "ArrowUp", "ArrowDown"),
        ("ArrowDown", "ArrowRight", "ArrowLeft"),
        ("ArrowLeft", "ArrowDown", "ArrowUp"),
    ]:
        annotator.press(*4 * [detour], *6 * [way], *4 * [back])
        status = annotator("#status").inner_text()
        corners.append([int(part) for part in status.rsplit("· ", 1)[1].split(", ")])
        annotator.press("Enter" if len(corners) < 4 else "Shift+Enter")
    (left, top), (right, bottom) = np.min(corners, axis=0), np.max(corners, axis=0)
    inside = np.zeros(COFFEE_SHAPE, bool)
    inside[top : bottom + 1, left : right + 1] = True
    assert inside.sum() > 4000
    expected = at_least_half(labels_of(COFFEE, annotator.count()), inside)
    # Corners lie within pixels: a superpixel at the edge may differ.
    assert np.count_nonzero((mask_by_keys(annotator) == 1) != expected) < 1000


def mask_by_keys(annotator: Annotator) -> Mask:
    annotator.press("Control+e")
    with annotator.page.expect_download() as download:
        annotator.press("Enter")
    return read_mask(download.value.path())


def test_touch(visit: Callable[..., Annotator]) -> None:
    annotator = visit(viewport={"width": 820, "height": 1100}, has_touch=True)
    annotator.open(COFFEE)
    at = annotator.actual_size()
    count = annotator.count()
    fingers = Fingers(annotator.page)

    # Two fingers zoom and select nothing, even if one was down first.
    x, y = at(300, 200)
    fingers.put((x - 50, y))
    fingers.put((x - 50, y), (x + 50, y))
    for wide in range(50, 101, 10):
        fingers.move((x - wide, y), (x + wide, y))
    fingers.lift()
    expect(annotator("#zoom-actual")).to_have_text("200 %")
    assert annotator.mask().max() == 0
    for button in ("#undo", "#redo"):
        expect(annotator(button)).to_be_disabled()  # nothing was done and then undone
    # A second finger cancels a stroke that has begun.
    fingers.put((x - 50, y))
    for column in range(-50, 50, 10):
        fingers.move((x + column, y))
    annotator.wait_until_drawn("fill", (x, y))
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
    labels = labels_of(COFFEE, count)
    touched = swept(COFFEE_SHAPE, (200, 150), (300, 150), 3)
    expected = brushed(np.zeros(COFFEE_SHAPE, np.uint8), labels, touched, 1)
    assert np.array_equal(annotator.mask(), expected)
    annotator.page.touchscreen.tap(*at(400, 300))
    expected = brushed(expected, labels, swept(COFFEE_SHAPE, (400, 300), (400, 300), 3), 1)
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
    labels = labels_of(COFFEE, annotator.count())
    touched = swept(COFFEE_SHAPE, (200, 150), (300, 150), 3)
    assert np.array_equal(annotator.mask(), brushed(np.zeros(COFFEE_SHAPE, np.uint8), labels, touched, 1))
