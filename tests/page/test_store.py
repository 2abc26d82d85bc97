"""`superpixel app --store`: the page of a large image, in a real Chromium."""

import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from playwright.sync_api import Browser, Page

from superpixel_kernels.codec import NO_REGION
from superpixel_service.cli import main
from superpixel_service.large.store import Store
from superpixel_service.web.store_work import PARTLY, StoreWork
from tests.page.conftest import running_app
from tests.page.large_page import HEIGHT, WIDTH, open_page, shown, steps, stroke, values, view_box
from tests.service.harness import PATIENCE_SECONDS
from tests.service.large_files import TRANSFORM


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work.json"


@pytest.fixture
def address(made: Path, work: Path) -> Iterator[str]:
    with running_app("--store", str(made), "--selection", str(work)) as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with open_page(browser, address) as page:
        yield page


def test_work_goes_across_seams_and_zooms_and_comes_back(page: Page, work: Path, made: Path) -> None:
    box = view_box(page)
    page.keyboard.press("Tab")
    stroke(page, (box["width"] * 0.25, 300), (box["width"] * 0.75, 300))
    steps(page, 1)
    coarse = values(work, made)
    # One stroke over several tiles of 256 pixels, without a gap at their seams.
    zoom = min(box["width"] / WIDTH, box["height"] / HEIGHT)
    left = (box["width"] - WIDTH * zoom) / 2
    y = round((300 - (box["height"] - HEIGHT * zoom) / 2) / zoom)
    x0, x1 = (round((box["width"] * part - left) / zoom) for part in (0.27, 0.73))
    assert x1 - x0 > 3 * 256
    assert (coarse[y - 2 : y + 2, x0:x1] == 1).all()
    assert 0 < np.count_nonzero(coarse) < coarse.size / 4

    for _ in range(3):
        page.click("#zoom-in")
    shown(page)
    page.keyboard.press("2")
    stroke(page, (200, 200), (400, 500))
    steps(page, 2)
    fine = values(work, made)
    assert np.count_nonzero(fine == 2) > 0
    assert np.count_nonzero(fine != coarse) < 400 * 400

    page.reload()
    shown(page)
    page.click("#zoom-fit")  # a reload shows the same place
    shown(page)
    steps_before = page.evaluate("document.documentElement.dataset.steps")
    assert int(steps_before) >= 2
    assert np.array_equal(values(work, made), fine)
    # The page shows what is kept: red where the stroke was.
    color = page.evaluate(
        "([x, y]) => [...document.getElementById('view').getContext('2d').getImageData(x, y, 1, 1).data]",
        [round(box["width"] * 0.5), 300],
    )
    assert color[0] > color[2]


@pytest.mark.slow
def test_undo_redo_and_the_eraser(page: Page, work: Path, made: Path) -> None:
    stroke(page, (400, 300), (500, 300))
    steps(page, 1)
    painted = values(work, made)
    page.click("#undo")
    steps(page, 0)
    assert not values(work, made).any()
    page.click("#redo")
    steps(page, 1)
    assert np.array_equal(values(work, made), painted)
    shown(page)
    page.check("input[value=eraser]")
    stroke(page, (380, 300), (520, 300))
    steps(page, 2)
    assert not values(work, made).any()


@pytest.mark.slow
def test_panning_loads_what_comes_into_view(page: Page) -> None:
    for _ in range(4):
        page.click("#zoom-in")
    shown(page)
    with page.expect_response(lambda response: "/api/window" in response.url and response.ok):
        page.locator("#overview").click(position={"x": 5, "y": 5})
    shown(page)
    page.check("input[value=pan]")
    with page.expect_response(lambda response: "/api/window" in response.url and response.ok) as found:
        stroke(page, (500, 400), (300, 300))
    assert "scale=1" in found.value.url
    shown(page)
    # About 64 pixels of the screen for each superpixel, but never finer than the base regions.
    box = view_box(page)
    regions = int(page.evaluate("document.documentElement.dataset.shown"))
    assert regions <= 3 * box["width"] * box["height"] / 64


@pytest.mark.slow
def test_exports_are_georeferenced(page: Page, address: str, made: Path, work: Path) -> None:
    stroke(page, (400, 300), (500, 300))
    steps(page, 1)
    with urllib.request.urlopen(f"{address}api/export?format=geotiff", timeout=PATIENCE_SECONDS) as answer:
        data = answer.read()
    with rasterio.open(io.BytesIO(data)) as file:
        assert file.crs.to_epsg() == 32633
        assert tuple(file.transform)[:6] == TRANSFORM
        assert np.array_equal(file.read(1), values(work, made))
    with urllib.request.urlopen(f"{address}api/export?format=geojson", timeout=PATIENCE_SECONDS) as answer:
        assert json.load(answer)["features"]


def test_a_region_that_is_painted_again_after_a_larger_one(made: Path, work: Path) -> None:
    store = Store(str(made))
    parent = int(store.tree.parent[7])
    steps = StoreWork(store, work)
    for id_, value in ((7, 1), (parent, 2), (7, 1)):
        steps.paint([id_], value)
    ids = np.array([7, parent, NO_REGION], np.uint32)
    assert steps.values_of(ids).tolist() == [1, PARTLY, 0]
    again = StoreWork(store, work)
    assert again.values_of(ids).tolist() == [1, PARTLY, 0]
    again.undo()
    assert again.values_of(ids).tolist() == [2, 2, 0]


def test_arguments_that_are_wrong(made: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "other.json"
    foreign.write_text("{}")
    assert main(["app", "--store", str(made), "--server", "127.0.0.1:1"]) == 2
    assert main(["app", "--store", str(tmp_path / "none.zarr")]) == 1
    assert main(["app", "--store", "memory://a.zarr"]) == 2
    assert main(["app", "--store", str(made), "--selection", str(foreign)]) == 1
    assert foreign.read_text() == "{}"


def refused(url: str, data: bytes | None = None) -> tuple[int, str]:
    try:
        urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=PATIENCE_SECONDS)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["detail"]
    raise AssertionError("the request was not refused")


def test_requests_that_are_wrong(address: str, work: Path) -> None:
    window = "x=0&y=0&width=10&height=10&scale=1"
    for query, text in (
        ("", "x: must be a whole number"),
        (window.replace("width=10", "width=0"), "is not inside"),
        (window.replace("x=0", "x=1995"), "is not inside"),
        (window.replace("scale=1", "scale=3"), "scale: must be one of"),
        (window, "area: must be a whole number"),
    ):
        status, detail = refused(f"{address}api/window?{query}")
        assert status == 400
        assert text in detail
    for body, text in (
        (b"{", "must be JSON"),
        (b'{"ids": [1.5], "value": 1}', "must be JSON"),
        (b'{"ids": [true], "value": 1}', "must be JSON"),
        (b'{"ids": [1], "value": 9}', "value: must be from 0 to 4"),
        (json.dumps({"ids": [NO_REGION], "value": 1}).encode(), "region 4294967295: the store has"),
    ):
        status, detail = refused(f"{address}api/paint", body)
        assert status == 400
        assert text in detail
    for body, text in (
        (b"[]", "must be JSON, an object"),
        (b'{"do": "x"}', "do: must be one of addClass"),
        (b'{"do": "removeClass", "value": 9}', "value: must be a class from 1 to 4"),
        (b'{"do": "removeObject", "value": 256, "lists": "0"}', "lists: must be a whole number"),
    ):
        status, detail = refused(f"{address}api/change", body)
        assert status == 400
        assert text in detail
    body = b'{"do": "removeClass", "value": 1, "lists": 7}'
    assert refused(f"{address}api/change", body)[0] == 409
    assert refused(f"{address}api/export?format=exe")[0] == 400
    assert not work.exists()
