"""Tools with the mouse: what the page exports equals Python's own superpixels, pixel for pixel."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.page.annotator import COFFEE, COFFEE_SHAPE, Annotator
from tests.page.expected import at_least_half, brushed, labels_of, swept

NOTHING = np.zeros(COFFEE_SHAPE, np.uint8)


def test_upload_slide_brush_undo_export_reload(annotator: Annotator) -> None:
    annotator.screenshot("empty")
    annotator.open(COFFEE)
    at = annotator.actual_size()
    assert annotator.mask().max() == 0

    # A stroke over whole superpixels.
    first = annotator.count()
    annotator.drag(at(200, 150), at(330, 150))
    touched = swept(COFFEE_SHAPE, (200, 150), (330, 150), 3)
    expected = brushed(NOTHING, labels_of(COFFEE, first), touched, 1)
    assert np.array_equal(annotator.mask(), expected)

    # Another size: the selection stays, and a stroke adds larger superpixels to it.
    annotator.press("Escape", ",", ",", ",", ",")
    second = annotator.count()
    assert second < first / 2
    assert np.array_equal(annotator.mask(), expected)
    annotator.press("2")
    annotator.drag(at(420, 80), at(420, 300))
    touched = swept(COFFEE_SHAPE, (420, 80), (420, 300), 3)
    expected = brushed(expected, labels_of(COFFEE, second), touched, 2)
    before_rectangle = expected
    annotator.screenshot("brush")

    # A rectangle of the smallest superpixels.
    annotator.press("r", *40 * ".")
    finest = annotator.count()
    assert finest == 400 * 600 // 64
    annotator.press("3")
    annotator.drag(at(60, 250), at(180, 360))
    inside = np.zeros(COFFEE_SHAPE, bool)
    inside[250:360, 60:180] = True
    expected = np.where(at_least_half(labels_of(COFFEE, finest), inside), 3, expected).astype(np.uint8)
    assert np.array_equal(annotator.mask(), expected)

    # Undo and redo, by keys and by buttons.
    annotator.press("Control+z")
    assert np.array_equal(annotator.mask(), before_rectangle)
    annotator("#redo").click()
    assert np.array_equal(annotator.mask(), expected)

    # The eraser and the pixel brush.
    annotator.press("e")
    annotator.drag(at(210, 150), at(230, 150))
    touched = swept(COFFEE_SHAPE, (210, 150), (230, 150), 3)
    expected = brushed(expected, labels_of(COFFEE, finest), touched, 0)
    annotator.press("p", "1")
    annotator.drag(at(500, 350), at(560, 350))
    expected = np.where(swept(COFFEE_SHAPE, (500, 350), (560, 350), 3), 1, expected).astype(np.uint8)
    annotator("#pixelMode-section label:has-text('Erase')").click()
    annotator.drag(at(520, 340), at(520, 370))
    expected = np.where(swept(COFFEE_SHAPE, (520, 340), (520, 370), 3), 0, expected).astype(np.uint8)
    assert np.array_equal(annotator.mask(), expected)
    annotator.screenshot("pixels")

    # After a reload everything is there again, at the same size.
    annotator.wait_until_saved()
    annotator.reload()
    assert annotator.count() == finest
    assert np.array_equal(annotator.mask(), expected)
    assert annotator.tool() == "pixel"
    # So are the steps to undo, back to the start.
    annotator.press(*4 * ["Control+z"])
    assert np.array_equal(annotator.mask(), before_rectangle)
    annotator.wait_until_saved()
    annotator.reload()
    annotator.press(*4 * ["Control+Shift+z"])
    assert np.array_equal(annotator.mask(), expected)
    annotator.press(*6 * ["Control+z"])
    assert annotator.mask().max() == 0
    expect(annotator("#undo")).to_be_disabled()


@pytest.mark.slow
def test_tools_for_superpixels_replace_painted_pixels(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.press("p")
    annotator.drag(at(200, 150), at(260, 150))
    painted = annotator.mask()
    assert set(np.unique(painted)) == {0, 1}
    left, right, top, bottom = 180, 280, 130, 170
    corners = [at(left, top), at(right, top), at(right, bottom), at(left, bottom)]
    for key, erase in {
        "e": lambda: annotator.drag(at(200, 150), at(260, 150)),
        "r": lambda: annotator.drag(corners[0], corners[2], button="right"),
        "l": lambda: annotator.drag(*corners, button="right"),
    }.items():
        annotator.press(key)
        erase()
        assert annotator.mask().max() == 0, key
        annotator.press("Control+z")
        assert np.array_equal(annotator.mask(), painted), key
    annotator.press("2")
    labels = labels_of(COFFEE, annotator.count())
    for key in "bfrl":
        annotator.press(key)
        annotator.page.mouse.click(*at(230, 150))
        mask = annotator.mask()
        assert mask[150, 230] == 2, key
        assert np.all(mask[labels == labels[150, 230]] == 2), key
        annotator.press("Control+z")
        assert np.array_equal(annotator.mask(), painted), key


@pytest.mark.slow
def test_restore_removes_painted_pixels(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(200, 150), at(330, 150))
    brushed_alone = annotator.mask()
    annotator.press("p", "2")
    annotator.drag(at(210, 150), at(400, 150))
    assert np.count_nonzero(annotator.mask() == 2) > 1000
    annotator("#pixelMode-section label:has-text('Restore')").click()
    annotator.drag(at(205, 150), at(405, 150))
    assert np.array_equal(annotator.mask(), brushed_alone)


@pytest.mark.slow
def test_a_cancelled_stroke_cannot_be_redone(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(100, 100), at(160, 100))
    one = annotator.mask()
    annotator.press("Control+z")
    annotator.begin_drag(at(300, 200), at(400, 250), steps=5)
    annotator.press("Escape")
    annotator.page.mouse.up()
    assert annotator.mask().max() == 0
    expect(annotator("#undo")).to_be_disabled()
    annotator.press("Control+y")
    assert np.array_equal(annotator.mask(), one)  # the stroke that was undone before
    expect(annotator("#redo")).to_be_disabled()


@pytest.mark.slow
def test_the_size_can_change_during_a_stroke(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    first = annotator.count()
    annotator.begin_drag(at(100, 100), at(200, 100), steps=6)
    annotator.press(*5 * ".")
    second = annotator.count()
    assert second > 2 * first
    annotator.page.mouse.move(*at(300, 100), steps=6)
    annotator.page.mouse.up()
    coarse = swept(COFFEE_SHAPE, (100, 100), (200, 100), 3)
    fine = swept(COFFEE_SHAPE, (200, 100), (300, 100), 3)
    expected = brushed(NOTHING, labels_of(COFFEE, first), coarse, 1)
    assert np.array_equal(annotator.mask(), brushed(expected, labels_of(COFFEE, second), fine, 1))
    annotator.press("Control+z")
    assert annotator.mask().max() == 0


def test_flood_takes_similar_neighbours(annotator: Annotator, tmp_path: Path) -> None:
    image = np.full((160, 240, 3), (200, 60, 60), np.uint8)
    image[40:120, 60:180] = (60, 60, 200)
    path = tmp_path / "two.png"
    Image.fromarray(image).save(path)
    annotator.open(path)
    at = annotator.actual_size()
    annotator.press("f")
    annotator.page.mouse.click(*at(120, 80))
    expected = np.zeros((160, 240), np.uint8)
    expected[40:120, 60:180] = 1
    assert np.array_equal(annotator.mask(), expected)
    annotator.page.mouse.click(*at(120, 80), button="right")
    assert annotator.mask().max() == 0
    # The screen shows each pixel of the image at the place that the pointer maps to it.
    annotator.press("v")
    annotator.page.mouse.move(0, 0)
    assert np.array_equal(annotator.pixels(at(0, 0), 240, 160), image)


def test_transparent_pixels_are_white_as_on_the_server(annotator: Annotator, tmp_path: Path) -> None:
    image = np.full((160, 240, 4), 255, np.uint8)
    image[:, 120:] = (200, 0, 0, 0)
    image[60:100, 60:180] = (0, 0, 200, 255)
    path = tmp_path / "alpha.png"
    Image.fromarray(image).save(path)
    annotator.open(path)
    at = annotator.actual_size()
    annotator.press("f")
    annotator.page.mouse.click(*at(20, 20))
    expected = np.ones((160, 240), np.uint8)
    expected[60:100, 60:180] = 0
    assert np.array_equal(annotator.mask(), expected)
    annotator.press("v", "m")
    annotator.page.mouse.move(0, 0)
    shown = np.where(expected[..., None] == 1, 255, image[..., :3])
    assert np.array_equal(annotator.pixels(at(0, 0), 240, 160), shown)
