"""What is labelled: shares, gaps, holes, specks, and the warning at export."""

import re

import numpy as np
from playwright.sync_api import expect

from tests.page import masks
from tests.page.annotator import COFFEE, COFFEE_SHAPE, Annotator

ROWS, COLUMNS = np.mgrid[: COFFEE_SHAPE[0], : COFFEE_SHAPE[1]]


def start_from(annotator: Annotator, mask: np.ndarray) -> None:
    """Paint a mask of classes, pixel by pixel."""
    masks.drop(annotator, "start.png", masks.indexed(mask.astype(np.uint8), [10 * i for i in range(18)]))
    annotator("#mask-pixels").click()
    annotator.wait_for_status("start.png: painted")


def test_shares_gaps_holes_and_specks(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    expect(annotator("#unlabelled")).to_have_text("100 %")
    mask = np.where(COLUMNS < 300, 1, 2)
    mask[100:104, 100:110] = 0  # a hole of 40 pixels
    mask[200:230, 290:310] = 0  # a gap of 600
    mask[300:306, 500:506] = 3  # a speck of 36 ...
    mask[310:330, 500:520] = 3  # ... and a piece of 400
    start_from(annotator, mask)
    expect(annotator("#unlabelled")).to_have_text("0.3 %")
    shares = annotator("#classes .share")
    expect(shares).to_have_text(["49 %", "49 %", "0.2 %"])

    # Each gap comes into view, the largest first.
    annotator.press("u")
    expect(annotator("#status")).to_have_text("Gap 1 of 2: 600 px without a class")
    box = annotator("#stage").bounding_box()
    assert box is not None
    annotator.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(annotator("#hover")).to_have_text(re.compile(r"not chosen.* (299|300|301), (214|215|216)$"))
    annotator("#next-gap").click()
    expect(annotator("#status")).to_have_text("Gap 2 of 2: 40 px without a class")
    annotator.press("u")
    expect(annotator("#status")).to_have_text("Gap 1 of 2: 600 px without a class")

    # The warning at export, and the way from it to the gap.
    annotator("#export-button").click()
    expect(annotator("#export-unlabelled")).to_have_text("0.3 % of the image has no class.")
    annotator("#export-gap").click()
    expect(annotator("#export-menu")).to_be_hidden()
    expect(annotator("#status")).to_contain_text("Gap 2 of 2")
    annotator.export("yolo")
    expect(annotator("#status")).to_contain_text("; 0.3 % of the image has no class")

    before = annotator.mask()
    assert np.array_equal(before, mask)
    annotator("#fill-holes").click()
    annotator.wait_for_status("Holes of at most 64 px: 40 px have the class around them")
    filled = mask.copy()
    filled[100:104, 100:110] = 1
    assert np.array_equal(annotator.mask(), filled)
    # A locked class keeps its specks.
    lock = annotator("#classes").get_by_role("button", name="Lock Class 3")
    lock.click()
    annotator("#remove-specks").click()
    annotator.wait_for_status("No specks of at most 64 px")
    lock.click()
    annotator("#remove-specks").click()
    annotator.wait_for_status("Specks of at most 64 px: 36 px")
    clean = filled.copy()
    clean[300:306, 500:506] = 2
    assert np.array_equal(annotator.mask(), clean)
    annotator("#speck-size").select_option("1024")
    annotator("#remove-specks").click()
    annotator.wait_for_status("Specks of at most 1024 px: 400 px")
    annotator("#fill-holes").click()
    annotator.wait_for_status("Holes of at most 1024 px: 600 px")
    assert np.array_equal(annotator.mask() == 0, np.zeros(COFFEE_SHAPE, bool))
    annotator.press("u")
    expect(annotator("#status")).to_have_text("No gap: every pixel has a class")
    expect(annotator("#unlabelled")).to_have_text("0 %")
    annotator("#export-button").click()
    expect(annotator("#export-warning")).to_be_hidden()
    annotator.press("Escape", *4 * ["Control+z"])
    assert np.array_equal(annotator.mask(), mask)
    expect(annotator("#unlabelled")).to_have_text("0.3 %")
