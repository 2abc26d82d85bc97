"""The page of a large image: a store for the tests, and what they do with the page."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from playwright.sync_api import Browser, Page

from superpixel_service.large.readers.arrays import ArraySource
from superpixel_service.large.run import Plan, make_store
from superpixel_service.large.selection import read_selection
from superpixel_service.large.source import Facts, Window
from superpixel_service.large.store import Store
from tests.page.annotator import PATIENCE_MILLISECONDS
from tests.page.conftest import new_context
from tests.service.large_files import TRANSFORM, smooth

WIDTH, HEIGHT = 2000, 1500
NODATA = slice(1700, 1712)
"""Columns that are not valid: they cut the image in two."""
LAKE = (slice(500, 900), slice(1500, 1900))
"""An object on both sides of them."""


def make_scene(folder: Path) -> Path:
    crs = rasterio.CRS.from_epsg(32633).to_wkt()
    valid = np.ones((HEIGHT, WIDTH), np.bool_)
    valid[:, NODATA] = False
    facts = Facts("array", crs=crs, transform=TRANSFORM)
    image = smooth(HEIGHT, WIDTH)
    image[LAKE] = image[LAKE] // 8 + np.array([20, 80, 190], np.uint8)
    source = ArraySource(image, facts=facts, mask=valid)
    make_store(Plan(source, "array://", counts=[], tile=256), str(folder / "scene.zarr"))
    return folder / "scene.zarr"


@contextlib.contextmanager
def open_page(browser: Browser, address: str) -> Iterator[Page]:
    context = new_context(browser)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(address)
    shown(page)
    yield page
    context.close()
    assert not problems


def shown(page: Page) -> None:
    page.wait_for_selector("html[data-shown]", state="attached")


def steps(page: Page, count: int) -> None:
    page.wait_for_selector(f'html[data-steps="{count}"]', state="attached")


def view_box(page: Page) -> dict[str, float]:
    box = page.locator("#view").bounding_box()
    assert box is not None
    return dict(box)


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a point of the image is in the view, if the whole image is in view."""
    box = view_box(page)
    zoom = min(box["width"] / WIDTH, box["height"] / HEIGHT)
    return (box["width"] - WIDTH * zoom) / 2 + x * zoom, (box["height"] - HEIGHT * zoom) / 2 + y * zoom


def stroke(page: Page, *points: tuple[float, float]) -> None:
    box = view_box(page)
    page.mouse.move(box["x"] + points[0][0], box["y"] + points[0][1])
    page.mouse.down()
    for x, y in points[1:]:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=8)
    page.mouse.up()


def values(work: Path, made: Path) -> np.ndarray:
    store = Store(str(made))
    return read_selection(work.read_bytes(), store).values(store, Window(0, 0, WIDTH, HEIGHT))
