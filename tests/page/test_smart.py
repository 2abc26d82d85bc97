"""Smart select on the page, with real pointer and key events."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from superpixel_kernels import segment
from tests.page.annotator import COFFEE, COFFEE_SHAPE, Annotator

CUP = (300, 200)


def begin(annotator: Annotator) -> Callable[[float, float], tuple[float, float]]:
    annotator.open(COFFEE)
    annotator.press("s")
    annotator("html[data-smart]").wait_for(state="attached")
    return annotator.actual_size()


@pytest.mark.slow
def test_it_is_the_first_tool_of_a_new_user(address: str, annotator: Annotator) -> None:
    page = annotator.page.context.browser.new_page()  # type: ignore[union-attr]
    page.goto(address)
    page.locator("html[data-smart]").wait_for(state="attached")
    assert page.locator("#tools input").first.get_attribute("value") == "smart"
    expect(page.locator("#tools input").first).to_be_checked()
    page.close()


def test_hover_previews_what_a_click_takes(annotator: Annotator) -> None:
    place = begin(annotator)
    annotator.page.mouse.move(*place(*CUP))
    annotator.wait_until_drawn("top", place(CUP[0], CUP[1] + 6))
    assert annotator.mask().max() == 0  # nothing has changed
    annotator.page.mouse.click(*place(*CUP))
    taken = annotator.mask() == 1
    assert taken[CUP[1], CUP[0]]
    assert taken.sum() > 200
    assert not taken.all()
    annotator.screenshot("smart")


def test_dragging_and_the_wheel_grow_and_shrink_in_one_step(annotator: Annotator) -> None:
    place = begin(annotator)
    x, y = place(*CUP)

    def area() -> int:
        return int(np.count_nonzero(annotator.mask()))

    annotator.page.mouse.click(x, y)
    plain = area()
    annotator.press("Control+z")
    assert area() == 0
    annotator.drag((x, y), (x + 120, y))
    larger = area()
    annotator.press("Control+z")
    assert area() == 0  # its mark is gone, too: the same click takes the same
    annotator.drag((x, y), (x - 160, y))
    smaller = area()
    assert smaller < plain < larger
    annotator.press("Control+z")
    zoom = annotator("#zoom-actual").inner_text()
    annotator.begin_drag((x, y))
    for _ in range(8):
        annotator.page.mouse.wheel(0, -100)
    annotator.page.mouse.up()
    assert area() > plain
    expect(annotator("#zoom-actual")).to_have_text(zoom)
    annotator.press("Control+z")
    assert area() == 0
    annotator.page.mouse.click(x, y)
    assert area() == plain


def test_marks_count_until_enter(annotator: Annotator) -> None:
    place = begin(annotator)
    annotator.page.mouse.click(*place(*CUP))
    first = annotator.mask()
    outside = tuple(int(v[0]) for v in np.nonzero(first == 0))
    annotator.page.mouse.click(*place(*CUP), button="right")
    away = annotator.mask()
    assert away[CUP[1], CUP[0]] == 0
    assert not (away & ~first).any()  # it only takes away
    annotator.page.mouse.move(*place(5, 5))
    annotator.wait_until_drawn("top", place(*CUP))  # the mark
    annotator.page.mouse.click(*place(outside[1], outside[0]))
    more = annotator.mask()
    assert more[outside] == 1
    assert more[CUP[1], CUP[0]] == 0
    annotator.press("Enter")
    annotator.page.mouse.move(*place(590, 395))
    annotator.wait_until_drawn("top", place(*CUP), drawn=False)
    annotator.press("2")
    annotator.page.mouse.click(*place(*CUP))
    assert annotator.mask()[CUP[1], CUP[0]] == 2


def test_it_stays_inside_a_mask(annotator: Annotator) -> None:
    mask = np.ones(COFFEE_SHAPE, bool)
    mask[:, 276:282] = False  # through the cup and its saucer: two parts
    mask[:50, 450:] = False
    masked = segment(np.asarray(Image.open(COFFEE).convert("RGB")), mask=mask)
    spx = masked.encode(min(4000, masked.base_count), include_hierarchy=True, include_regions=True)
    facts = {"superpixel-facts": '{"notices": []}'}
    annotator.page.route("**/api/segment?*", lambda route: route.fulfill(body=spx, headers=facts))
    place = begin(annotator)
    outside, saucer = place(279, 200), place(430, 200)
    # Outside there is no preview, no message, no step and no mark.
    annotator.page.mouse.move(*outside)
    annotator.page.wait_for_timeout(200)
    annotator.wait_until_drawn("top", outside, drawn=False)
    annotator.page.mouse.click(*outside)
    annotator.page.mouse.click(*outside, button="right")
    expect(annotator("#undo")).to_be_disabled()
    expect(annotator("#problem")).to_be_hidden()
    annotator.page.mouse.move(*saucer)
    annotator.wait_until_drawn("top", place(430, 206))
    annotator.wait_until_drawn("top", outside, drawn=False)
    annotator.drag(saucer, place(680, 200))
    taken = annotator.mask() == 1
    assert taken[200, 430]
    assert taken.sum() > 10_000
    assert not (taken & ~mask).any()
    assert not taken[:, :282].any()


@pytest.mark.slow
def test_a_new_object_has_no_marks_of_the_one_before(annotator: Annotator) -> None:
    place = begin(annotator)
    other = place(420, 330)
    annotator.press("n")
    annotator.page.mouse.click(*place(*CUP))
    first = annotator.mask() > 0
    annotator.press("n")
    annotator.page.mouse.click(*other)
    both = annotator.mask()
    annotator.press(*2 * ["Control+z"], "Enter", "n")  # the click and the object are undone
    annotator.page.mouse.click(*other)
    assert np.array_equal(annotator.mask(), both)
    # An object that is finished can be made smaller.
    annotator.press("Enter")
    annotator.page.mouse.click(*place(*CUP), button="right")
    left = annotator.mask() > 0
    assert not left[CUP[1], CUP[0]]
    assert np.array_equal(left | first, both > 0)


@pytest.mark.slow
def test_escape_drops_a_gesture(annotator: Annotator) -> None:
    place = begin(annotator)
    annotator.begin_drag(place(*CUP), place(CUP[0] + 60, CUP[1]))
    annotator.press("Escape")
    annotator.page.mouse.up()
    assert annotator.mask().max() == 0
    expect(annotator("#undo")).to_be_disabled()


@pytest.mark.slow
def test_strokes_take_what_they_touch(annotator: Annotator) -> None:
    place = begin(annotator)
    annotator("input[name=smartDrag][value=stroke]").check(force=True)
    expect(annotator("#radius-section")).to_be_visible()
    path = [(200, 60), (260, 70), (300, 60)]
    annotator.drag(*(place(*point) for point in path))
    taken = annotator.mask()
    assert all(taken[y, x] == 1 for x, y in path)
    annotator.press("Control+z")
    assert annotator.mask().max() == 0


@pytest.mark.slow
def test_what_other_tools_did_is_respected(annotator: Annotator) -> None:
    place = begin(annotator)
    annotator.page.mouse.click(*place(*CUP))
    annotator.press("e")
    annotator.page.mouse.click(*place(*CUP))
    assert annotator.mask()[CUP[1], CUP[0]] == 0
    annotator.press("s")
    annotator.page.mouse.click(*place(*CUP))
    assert annotator.mask()[CUP[1], CUP[0]] == 1
    # Something that the brush selected can be made smaller.
    annotator.press("b")
    annotator.page.mouse.click(*place(30, 30))
    assert annotator.mask()[30, 30] == 1
    annotator.press("s")
    annotator.page.keyboard.down("Alt")
    annotator.page.mouse.click(*place(30, 30))
    annotator.page.keyboard.up("Alt")
    assert annotator.mask()[30, 30] == 0


def test_the_keyboard_alone(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    annotator.press("s")
    annotator("html[data-smart]").wait_for(state="attached")
    annotator("#stage").focus()
    annotator.press("ArrowLeft", "Enter")
    assert annotator.mask().max() == 1
    annotator.press("Control+z")
    assert annotator.mask().max() == 0


@pytest.mark.slow
def test_it_works_on_what_is_in_view(annotator: Annotator) -> None:
    place = begin(annotator)
    annotator.page.mouse.click(*place(*CUP))
    before = annotator.mask()
    # Zoomed in, the object goes on: a click beside it adds to it, and the mark still counts.
    annotator.page.mouse.move(*place(*CUP))
    for _ in range(6):
        annotator.page.mouse.wheel(0, -200)
    annotator.page.wait_for_timeout(300)
    x, y = place(*CUP)
    annotator.page.mouse.click(x + 110, y, button="right")
    after = annotator.mask()
    assert not (after & ~before).any()
    assert after[CUP[1], CUP[0]] == 1
