"""The list of classes: choosing, naming, undo, locks, and what tools paint over."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.page.annotator import COFFEE, COFFEE_SHAPE, Annotator
from tests.page.expected import brushed, labels_of, swept

NOTHING = np.zeros(COFFEE_SHAPE, np.uint8)


def test_the_whole_row_chooses_and_a_double_click_renames(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    rows = annotator("#classes li")
    name = rows.nth(2).locator("input[type=text]").bounding_box()
    assert name is not None
    middle = (name["x"] + name["width"] / 2, name["y"] + name["height"] / 2)
    annotator.page.mouse.click(*middle)
    expect(rows.nth(2).get_by_role("radio")).to_be_checked()
    # A digit chooses a class, wherever the row was clicked.
    annotator.press("2")
    expect(rows.nth(1).get_by_role("radio")).to_be_checked()
    assert annotator.class_names() == ["Class 1", "Class 2", "Class 3"]
    annotator.page.mouse.dblclick(*middle)
    expect(rows.nth(2).locator("input[type=text]")).to_be_focused()
    annotator.page.keyboard.type("Cup 2")
    annotator.press("Enter")
    assert annotator.class_names() == ["Class 1", "Class 2", "Cup 2"]
    annotator.press("1")
    expect(rows.nth(0).get_by_role("radio")).to_be_checked()
    # By keyboard: F2 on the row renames, Escape keeps the name.
    rows.nth(0).get_by_role("radio").focus()
    annotator.press("F2")
    annotator.page.keyboard.type("x")
    annotator.press("Escape", "2")
    assert annotator.class_names() == ["Class 1", "Class 2", "Cup 2"]
    expect(rows.nth(1).get_by_role("radio")).to_be_checked()


@pytest.mark.slow
def test_space_pans_after_any_click(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(300, 200), at(310, 200))
    for selector in ("#classes li", "#tools label", "#undo", "#paint-over", "#size", "#add-class"):
        annotator(selector).first.click()
        annotator.press("Escape")
        classes = annotator("#classes li").count()
        at = annotator.actual_size()
        annotator.page.keyboard.down(" ")
        annotator.drag(at(300.5, 200.5), at(280.5, 210.5))
        annotator.page.keyboard.up(" ")
        annotator.page.mouse.move(*at(300.5, 200.5))
        expect(annotator("#hover")).to_have_text(re.compile("320, 190$"))
        assert annotator("#classes li").count() == classes, selector  # nothing was pressed again
    # With the focus by Tab, Space presses.
    annotator("#add-class").focus()
    annotator.press("Tab", "Shift+Tab", " ")
    expect(annotator("#classes li")).to_have_count(5)


def test_undo_covers_edits_of_classes(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator("#add-class").click()
    annotator.page.keyboard.type("Spoon")
    annotator.press("Enter")
    annotator.drag(at(200, 150), at(260, 150))
    annotator("#classes input[type=color]").nth(3).fill("#112233")
    assert set(np.unique(annotator.mask())) == {0, 4}
    steps = [
        lambda: annotator("#classes input[type=color]").nth(3).input_value() == "#cc79a7",
        lambda: annotator.mask().max() == 0,
        lambda: annotator.class_names()[3:] == ["Class 4"],
        lambda: len(annotator.class_names()) == 3,
    ]
    for step in steps:
        annotator.press("Control+z")
        assert step()
    expect(annotator("#undo")).to_be_disabled()
    annotator.press(*4 * ["Control+y"])
    assert annotator.class_names()[3] == "Spoon"
    assert annotator("#classes input[type=color]").nth(3).input_value() == "#112233"
    assert set(np.unique(annotator.mask())) == {0, 4}
    annotator.wait_until_saved()
    annotator.reload()
    annotator.press(*4 * ["Control+z"])
    assert annotator.class_names() == ["Class 1", "Class 2", "Class 3"]
    # Merged into the chosen class.
    annotator.press(*4 * ["Control+y"], "2")
    annotator("#classes li").nth(3).hover()
    annotator("#classes").get_by_role("button", name="Merge Spoon into the chosen class").click()
    assert annotator.class_names() == ["Class 1", "Class 2", "Class 3"]
    assert set(np.unique(annotator.mask())) == {0, 2}
    annotator.press("Control+z")
    assert set(np.unique(annotator.mask())) == {0, 4}


def test_locks_and_what_to_paint_over(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.press("b")
    labels = labels_of(COFFEE, annotator.count())
    across = swept(COFFEE_SHAPE, (150, 150), (350, 150), 3)
    annotator.drag(at(150, 150), at(250, 150))
    one = brushed(NOTHING, labels, swept(COFFEE_SHAPE, (150, 150), (250, 150), 3), 1)
    assert np.array_equal(annotator.mask(), one)
    painted = brushed(one, labels, across, 2)

    def stroke() -> np.ndarray:
        """The mask after a stroke of class 2, which is undone."""
        annotator.press("2")
        annotator.drag(at(150, 150), at(350, 150))
        mask = annotator.mask()
        if not np.array_equal(mask, one):
            annotator.press("Control+z")
        return mask

    assert np.array_equal(stroke(), painted)
    over = annotator("#paint-over")
    over.select_option("none")
    assert np.array_equal(stroke(), np.where(one, one, painted))
    over.select_option(label="Class 1 only")
    assert np.array_equal(stroke(), np.where(one, painted, one))
    over.select_option(label="Class 3 only")
    assert np.array_equal(stroke(), one)
    over.select_option("all")
    lock = annotator("#classes").get_by_role("button", name="Lock Class 1")
    lock.click()
    expect(lock).to_have_attribute("aria-pressed", "true")
    assert np.array_equal(stroke(), np.where(one, one, painted))
    # Single pixels, and an eraser: the locked class stays.
    annotator.press("p")
    annotator.drag(at(150, 150), at(350, 150))
    assert np.array_equal(annotator.mask(), np.where(across & (one == 0), 2, one))
    annotator.press("e")
    annotator.drag(at(150, 150), at(350, 150))
    assert np.array_equal(annotator.mask(), one)
    lock.click()
    annotator.drag(at(150, 150), at(350, 150))
    assert annotator.mask().max() == 0
