"""Smooth outlines: the borders as an export with `simplify` shows them."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from playwright.sync_api import expect

from tests.page.annotator import COFFEE, Annotator


def lines(annotator: Annotator) -> NDArray[np.uint8]:
    """How opaque the outlines' canvas is."""
    url = annotator("#layer-lines").evaluate("(canvas) => canvas.toDataURL()")
    image = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))
    return np.asarray(image)[..., 3]


def near(drawn: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """What lies within a number of pixels of something that is drawn."""
    return np.asarray(Image.fromarray(drawn).convert("L").filter(ImageFilter.MaxFilter(2 * pixels + 1))) > 0


def wait_for_frame(annotator: Annotator) -> None:
    annotator.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def wait_until_smooth(annotator: Annotator) -> None:
    wait_for_frame(annotator)
    expect(annotator("html")).to_have_attribute("data-smooth", "true")
    wait_for_frame(annotator)


def test_smooth_outlines_follow_the_borders(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    annotator.actual_size()
    annotator("#size").fill("9")
    wait_for_frame(annotator)
    exact = lines(annotator) > 0
    annotator("input[name=line-style][value=smooth]").check(force=True)
    wait_until_smooth(annotator)
    smooth = lines(annotator)
    # Slanted lines have soft edges; lines along pixel edges have none.
    assert np.count_nonzero((smooth > 20) & (smooth < 235)) > np.count_nonzero(exact) / 4
    assert near(exact, 3)[smooth > 0].all()
    assert near(smooth > 100, 3)[exact].mean() > 0.99
    # They follow the size slider, and return with the page.
    annotator("#size").fill("5")
    wait_until_smooth(annotator)
    fewer = lines(annotator)
    annotator.screenshot("smooth")
    assert np.count_nonzero(fewer) < 0.75 * np.count_nonzero(smooth)
    annotator.reload()
    wait_until_smooth(annotator)
    expect(annotator("input[name=line-style][value=smooth]")).to_be_checked()
    annotator("input[name=line-style][value=pixels]").check(force=True)
    wait_for_frame(annotator)
    assert set(np.unique(lines(annotator))) <= {0, 255}


def test_smooth_outlines_of_small_superpixels_show_pixels(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    annotator("input[name=line-style][value=smooth]").check(force=True)
    annotator("#size").fill(annotator("#size").get_attribute("max") or "")
    for _ in range(4):
        annotator.press("-")
    wait_for_frame(annotator)
    drawn = lines(annotator)
    assert drawn.any()
    assert set(np.unique(drawn)) <= {0, 255}
