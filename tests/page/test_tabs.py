"""Two tabs with the same image: one edits, the other follows."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.page.annotator import COFFEE, PHOTOS, Annotator
from tests.page.test_kept_work import stroke


@pytest.fixture
def tabs(annotator: Annotator) -> Iterator[tuple[Annotator, Annotator]]:
    annotator.open(COFFEE)
    stroke(annotator)
    annotator.wait_until_saved()
    second = Annotator(annotator.page.context.new_page(), annotator.address)
    second.page.goto(second.address)
    second.wait_until_ready()
    expect(second("#banner-follows")).to_contain_text("another tab")
    yield annotator, second
    second.page.close()
    assert second.complaints == []


def wait_for_mask(annotator: Annotator, wanted: np.ndarray) -> None:
    """Until the exported mask is this one."""
    for _ in range(100):
        if np.array_equal(annotator.mask(), wanted):
            return
        annotator.page.wait_for_timeout(100)
    raise AssertionError("the mask has not arrived")


def test_the_second_tab_follows_and_changes_nothing(tabs: tuple[Annotator, Annotator]) -> None:
    first, second = tabs
    second.page.bring_to_front()
    before = first.mask()
    at = second.actual_size()
    second.drag(at(200, 300), at(400, 300))  # pans
    second.press("Control+z", "c", "n")
    expect(second("#classes li")).to_have_count(3)
    expect(second("#objects li")).to_have_count(0)
    second("#compactness").focus()
    second.press("ArrowRight")
    expect(second("#compactness-value")).to_have_text("10")
    assert np.array_equal(second.mask(), before)

    first.page.bring_to_front()
    first("#classes input[type=text]").nth(1).fill("Saucer")
    first("#classes input[type=text]").nth(1).press("Enter")
    first.press("2")
    after = stroke(first, 250)
    wait_for_mask(second, after)
    assert second("#classes input[type=text]").nth(1).input_value() == "Saucer"
    # Other superpixels, too.
    first("#compactness").focus()
    first.press("ArrowRight")
    first.wait_for_status("Compactness")
    expect(second("#compactness-value")).to_have_text(first("#compactness-value").inner_text())
    assert np.array_equal(second.mask(), after)
    first("#undo").click()
    expect(second("#compactness-value")).to_have_text("10")
    first("#undo").click()
    wait_for_mask(second, before)


@pytest.mark.slow
def test_the_second_tab_takes_over_with_the_last_stroke(tabs: tuple[Annotator, Annotator]) -> None:
    first, second = tabs
    last = stroke(first, 250)  # not yet stored
    first.page.close()
    expect(second("#banner-follows")).to_have_count(0)
    second.page.bring_to_front()
    wait_for_mask(second, last)
    mask = stroke(second, 300)
    assert not np.array_equal(mask, last)
    second.press("Control+z")
    assert np.array_equal(second.mask(), last)
    second.press("Control+y")
    second.wait_until_saved()
    second.reload()
    assert np.array_equal(second.mask(), mask)


@pytest.mark.slow
def test_the_user_edits_in_the_other_tab(tabs: tuple[Annotator, Annotator]) -> None:
    first, second = tabs
    second.page.bring_to_front()
    second("#banner-follows").get_by_role("button", name="Edit here").click()
    expect(second("#banner-follows")).to_have_count(0)
    expect(first("#banner-follows")).to_be_visible()
    mask = stroke(second, 250)
    wait_for_mask(first, mask)
    assert first.complaints == []


@pytest.mark.slow
def test_an_image_is_free_once_its_tab_shows_another(tabs: tuple[Annotator, Annotator]) -> None:
    first, second = tabs
    mask = first.mask()
    first.open(PHOTOS / "chelsea.jpg")
    expect(second("#banner-follows")).to_have_count(0)
    assert np.array_equal(second.mask(), mask)
    # And the first one follows when it comes back.
    first("#file-input").set_input_files(COFFEE)
    expect(first("#banner-follows")).to_be_visible()
    second.page.bring_to_front()
    wait_for_mask(first, stroke(second, 250))


@pytest.mark.slow
def test_late_changes_of_two_tabs_are_both_kept(annotator: Annotator) -> None:
    """Each tab closes right after a stroke on an image of its own."""
    masks = {}
    pages = [annotator.page, annotator.page.context.new_page()]
    for page, name in zip(pages, ["coffee.jpg", "chelsea.jpg"], strict=True):
        tab = Annotator(page, annotator.address)
        page.goto(annotator.address)
        tab.wait_until_ready()
        tab.open(PHOTOS / name)
        tab.wait_until_saved()
    for page, name in zip(pages, ["coffee.jpg", "chelsea.jpg"], strict=True):
        page.bring_to_front()
        masks[name] = stroke(Annotator(page, annotator.address), 120)
        page.goto("about:blank")
    pages[1].close()
    annotator.page.goto(annotator.address)
    annotator.wait_until_ready()
    for name, mask in masks.items():
        annotator.reopen(PHOTOS / name)
        assert np.array_equal(annotator.mask(), mask), name
