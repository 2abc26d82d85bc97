"""Marks that are seen on any image: outlines, the hovered superpixel, edges of classes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.page.annotator import Annotator


def open_plain(annotator: Annotator, folder: Path, gray: int) -> None:
    path = folder / f"gray{gray}.png"
    Image.new("RGB", (240, 160), (gray, gray, gray)).save(path)
    annotator.open(path)


@pytest.mark.slow
def test_outlines_and_hover_are_seen_on_white_and_on_black(annotator: Annotator, tmp_path: Path) -> None:
    for gray in (255, 0):
        open_plain(annotator, tmp_path, gray)
        at = annotator.actual_size()
        annotator.page.mouse.move(0, 0)
        annotator.page.evaluate("new Promise((done) => setTimeout(done, 300))")
        lines = annotator.pixels(at(0, 0), 240, 160).astype(int)
        contrast = np.abs(lines - gray).max(axis=2)
        assert np.count_nonzero(contrast > 25) > 500, gray
        annotator.press("v", "h", "b")  # without outlines
        annotator.page.mouse.move(*at(120.5, 80.5))
        annotator.wait_until_drawn("top", at(120.5, 80.5))
        hover = annotator.pixels(at(0, 0), 240, 160).astype(int)
        # An edge that is dark and light, around the superpixel.
        assert np.count_nonzero(hover.max(axis=2) < 100 if gray else hover.min(axis=2) > 180) > 30, gray
        annotator.press("v")


def test_with_the_fill_hidden_classes_keep_their_edges(annotator: Annotator, tmp_path: Path) -> None:
    open_plain(annotator, tmp_path, 128)
    at = annotator.actual_size()
    annotator.press("l", "2")
    annotator("#lassoTakes-section label:has-text('Exact pixels')").click()
    annotator.drag(at(60, 40), at(180, 40), at(180, 120), at(60, 120), at(60, 40))
    annotator.page.mouse.move(0, 0)
    annotator.press("m")
    expect(annotator("#fill-opacity-value")).to_have_text("hidden (M)")
    annotator.wait_until_drawn("fill", at(120, 80), drawn=False)
    annotator.wait_until_drawn("fill", at(60.5, 80.5))
    blue = np.array([0x56, 0xB4, 0xE9])
    annotator("#line-opacity").fill("5")  # outlines hardly cover them
    shown = annotator.pixels(at(0, 0), 240, 160).astype(int)
    edge = np.abs(shown - blue).max(axis=2) < 30
    inner = np.zeros((160, 240), bool)
    inner[44:116, 64:176] = True
    ring = np.zeros((160, 240), bool)
    ring[40:120, 60:180] = True
    ring[42:118, 62:178] = False
    assert np.mean(edge[ring]) > 0.95
    assert not edge[inner].any()
    # A stroke renews the edges where it passes.
    annotator.press("p", "1")
    annotator.drag(at(150, 80), at(210, 80))
    annotator.wait_until_drawn("fill", at(210.5, 78.5))
    annotator.wait_until_drawn("fill", at(165.5, 80.5), drawn=False)
    # Outlines hidden, too: the image alone.
    annotator.press("v")
    annotator.page.mouse.move(0, 0)
    annotator.page.evaluate("new Promise((done) => setTimeout(done, 300))")
    assert np.all(annotator.pixels(at(0, 0), 240, 160) == 128)
