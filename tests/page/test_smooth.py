"""Smooth outlines: the borders as an export with `simplify` shows them."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from playwright.sync_api import expect

from superpixel_service.client import exports
from superpixel_service.client.exports import Annotation, Class
from tests.page.annotator import COFFEE, Annotator

SIDE = 0x8C
"""Opacity of the dark side of pixel outlines (frontend/page/marks.js)."""


def picture(annotator: Annotator) -> Image.Image:
    url = annotator("#layer-lines").evaluate("(canvas) => canvas.toDataURL()")
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))


def lines(annotator: Annotator) -> NDArray[np.uint8]:
    """How opaque the outlines' canvas is."""
    return np.asarray(picture(annotator))[..., 3]


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
    lines_before = lines(annotator)
    exact = lines_before > 0
    annotator("input[name=line-style][value=smooth]").check(force=True)
    wait_until_smooth(annotator)
    smooth = lines(annotator)
    # Slanted lines have soft edges; lines along pixel edges have none.
    assert np.unique(smooth).size > 20 >= np.unique(lines_before).size
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
    assert set(np.unique(lines(annotator))) <= {0, SIDE, 255}


@pytest.mark.slow
def test_smooth_outlines_of_small_superpixels_show_pixels(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    annotator("input[name=line-style][value=smooth]").check(force=True)
    annotator("#size").fill(annotator("#size").get_attribute("max") or "")
    for _ in range(4):
        annotator.press("-")
    wait_for_frame(annotator)
    drawn = lines(annotator)
    assert drawn.any()
    assert set(np.unique(drawn)) <= {0, SIDE, 255}


@pytest.mark.slow
def test_borders_of_classes_have_their_colours(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator("#size").fill("9")
    annotator("input[name=line-style][value=smooth]").check(force=True)
    wait_until_smooth(annotator)

    def colored() -> NDArray[np.bool_]:
        drawn = np.asarray(picture(annotator)).astype(int)
        return (abs(drawn - [0xE6, 0x9F, 0x00, 255]) < 12).all(axis=2)

    assert not colored().any()
    annotator.press("b")
    annotator.drag(at(200, 200), at(260, 200))
    wait_until_smooth(annotator)
    contour = colored()
    assert contour.any()
    # The contour runs around the chosen pixels, not through them.
    mask = annotator.mask() > 0
    left, top = map(round, at(0, 0))
    box = annotator("#layer-lines").bounding_box()
    assert box is not None
    part = contour[top - round(box["y"]) :, left - round(box["x"]) :][: mask.shape[0], : mask.shape[1]]
    edge = near(mask, 3) & near(~mask, 3)
    assert edge[part].all()
    assert near(part, 4)[edge].mean() > 0.9
    annotator.press("Control+z")
    wait_until_smooth(annotator)
    assert not colored().any()


@pytest.mark.slow
def test_smooth_polygons_are_exported_if_chosen(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator("#size").fill("9")
    annotator.press("b")
    annotator.drag(at(200, 200), at(260, 200))
    exact = json.loads(annotator.export("geojson")[1])
    annotator("#export-button").click()
    annotator("#export-menu .smooth-polygons").check()
    with annotator.page.expect_download() as download:
        annotator("#export-menu [data-format=geojson]").click()
    smooth = json.loads(Path(download.value.path()).read_bytes())
    name, svg = annotator.export("svg")
    assert name == "coffee.svg"

    def points(data: dict[str, Any]) -> list[list[float]]:
        return [
            point
            for polygon in data["features"][0]["geometry"]["coordinates"]
            for ring in polygon
            for point in ring
        ]

    mask = Annotation((annotator.mask() > 0).astype(np.uint8), (Class("", "#000000"),))
    for data, simplify in ((exact, 0), (smooth, 1)):
        assert points(data) == points(exports.to_geojson(mask, simplify=simplify))
    assert len(points(smooth)) < len(points(exact)) / 2
    assert b"M%g %g" % tuple(points(smooth)[0]) in svg
