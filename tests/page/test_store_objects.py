"""`superpixel app --store`: classes, objects and smart select on a large image, in a real Chromium."""

import io
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from playwright.sync_api import Browser, Locator, Page, expect

from tests.page.annotator import ROOT
from tests.page.conftest import running_app
from tests.page.large_page import (
    HEIGHT,
    LAKE,
    NODATA,
    WIDTH,
    on_screen,
    open_page,
    shown,
    steps,
    stroke,
    values,
    view_box,
)
from tests.service.harness import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work") / "work.json"


@pytest.fixture(scope="module")
def address(made: Path, work: Path) -> Iterator[str]:
    with running_app("--store", str(made), "--selection", str(work)) as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    while post(address, "undo", {})["undo"]:
        pass
    with open_page(browser, address) as page:
        yield page


def post(address: str, path: str, body: object) -> Any:
    request = urllib.request.Request(f"{address}api/{path}", data=json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return json.load(answer)


def kept(work: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(work.read_text())
    return found


def names(page: Page) -> list[str]:
    script = "(all) => all.map((one) => one.value || one.placeholder)"
    found: list[str] = page.locator("#objects input[type=text]").evaluate_all(script)
    return found


def row(page: Page, kind: str, number: int) -> Locator:
    return page.locator(f"#{kind} li").nth(number)


@pytest.mark.slow
def test_objects_have_names_and_areas_and_are_exported(
    page: Page, address: str, work: Path, made: Path
) -> None:
    for number, y in enumerate((100, 250)):
        page.keyboard.press("n")
        stroke(page, (200, y), (420, y))
        steps(page, 2 * number + 2)
    assert names(page) == ["class 1 #1", "class 1 #2"]
    found = values(work, made)
    for number in (0, 1):
        area = int((found == 256 + number).sum())
        assert area > 0
        expect(row(page, "objects", number).locator(".share")).to_have_text(f"{area:,} px")
    # A region belongs to one object: the second one takes from the first.
    stroke(page, (300, 90), (300, 120))
    steps(page, 5)
    taken = values(work, made)
    assert ((taken == 257) & (found == 256)).any()
    area = int((taken == 256).sum())
    expect(row(page, "objects", 0).locator(".share")).to_have_text(f"{area:,} px")

    row(page, "objects", 1).get_by_role("radio").focus()
    page.keyboard.press("F2")
    page.keyboard.type("House n")
    page.keyboard.press("Enter")
    steps(page, 6)
    row(page, "objects", 1).get_by_role("combobox").select_option("class 3")
    steps(page, 7)
    page.reload()
    shown(page)
    assert names(page) == ["class 1 #1", "House n"]
    assert kept(work)["objects"] == [{"class": 1, "name": ""}, {"class": 3, "name": "House n"}]

    with urllib.request.urlopen(f"{address}api/export?format=geotiff", timeout=PATIENCE_SECONDS) as answer:
        raster = answer.read()
    with rasterio.open(io.BytesIO(raster)) as file:
        assert np.array_equal(file.read(2), np.where(taken >= 256, taken - 255, 0))
        assert np.array_equal(file.read(1), np.where(taken == 257, 3, np.where(taken == 256, 1, 0)))
    with page.expect_download() as download:
        page.keyboard.press("Control+e")
        page.locator("#export-menu [data-format=geojson]").click()
    features = [
        each["properties"] for each in json.loads(Path(download.value.path()).read_text())["features"]
    ]
    assert [(each["object"], each["object_name"], each["class"], each["pixels"]) for each in features] == [
        (1, "", 1, int((taken == 256).sum())),
        (2, "House n", 3, int((taken == 257).sum())),
    ]

    # Joined, taken back, removed.
    row(page, "objects", 1).get_by_role("radio").check()
    expect(row(page, "objects", 0).locator(".split")).to_have_count(0)
    row(page, "objects", 0).locator(".join").click()
    steps(page, 8)
    assert np.array_equal(values(work, made) == 256, taken >= 256)
    page.keyboard.press("Control+z")
    steps(page, 7)
    assert np.array_equal(values(work, made), taken)
    assert names(page) == ["class 1 #1", "House n"]
    row(page, "objects", 0).get_by_role("button", name="Remove").click()
    steps(page, 8)
    assert names(page) == ["House n"]
    assert np.array_equal(values(work, made) == 256, taken == 257)


@pytest.mark.slow
def test_classes_are_added_named_coloured_merged_and_removed(page: Page, work: Path, made: Path) -> None:
    stroke(page, (300, 150), (420, 150))
    steps(page, 1)
    page.keyboard.press("c")
    page.keyboard.type("Roof")
    page.keyboard.press("Enter")
    stroke(page, (300, 300), (420, 300))
    steps(page, 4)
    before = values(work, made)
    assert set(np.unique(before)) == {0, 1, 5}
    color = row(page, "classes", 4).locator("input[type=color]")
    color.evaluate("""(one) => {
      one.value = '#102030';
      for (const name of ['input', 'change']) one.dispatchEvent(new Event(name));
    }""")
    steps(page, 5)
    assert kept(work)["classes"][4] == {"name": "Roof", "color": "#102030"}
    share = (before == 5).sum() / before.size
    expect(row(page, "classes", 4).locator(".share")).to_have_text(f"{100 * share:.1f} %")

    # Class 1 goes into Roof, which becomes class 4; then Roof is removed.
    row(page, "classes", 0).hover()
    row(page, "classes", 0).locator(".join").click()
    steps(page, 6)
    assert np.array_equal(values(work, made), np.where(before > 0, 4, 0))
    row(page, "classes", 3).locator(".remove").click()
    steps(page, 7)
    assert not values(work, made).any()
    for count in (6, 5):
        page.keyboard.press("Control+z")
        steps(page, count)
    assert np.array_equal(values(work, made), before)
    page.keyboard.press("5")
    page.reload()
    shown(page)
    script = "(all) => all.map((one) => one.value)"
    found = page.locator("#classes input[type=text]").evaluate_all(script)
    assert found == ["class 1", "class 2", "class 3", "class 4", "Roof"]
    expect(row(page, "classes", 4).get_by_role("radio")).to_be_checked()


@pytest.mark.slow
def test_another_page_that_changes_the_classes(page: Page, address: str, work: Path, made: Path) -> None:
    stroke(page, (300, 150), (420, 150))
    steps(page, 1)
    post(address, "change", {"do": "addClass", "class": {"name": "Theirs", "color": "#000000"}})
    stroke(page, (300, 300), (420, 300))
    expect(page.locator("#problem-detail")).to_contain_text("another page has changed the classes")
    steps(page, 2)
    expect(page.locator("#classes li")).to_have_count(5)
    before = values(work, made)
    stroke(page, (300, 300), (420, 300))
    steps(page, 3)
    assert (values(work, made) == 1).sum() > (before == 1).sum()


def ready_for_smart(page: Page) -> None:
    shown(page)
    page.locator("html[data-smart][data-picture=whole]").wait_for(state="attached")


def smart_click(page: Page, x: float, y: float, button: Any = "left") -> None:
    box = view_box(page)
    page.mouse.click(box["x"] + x, box["y"] + y, button=button)


def test_smart_select_takes_an_object_and_goes_on_in_the_next_window(
    page: Page, work: Path, made: Path
) -> None:
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url))
    for _ in range(2):
        page.click("#zoom-in")
    shown(page)
    assert not any("/smart/" in url for url in loaded)
    with page.expect_response(lambda response: "hierarchy=1" in response.url):
        page.keyboard.press("s")
    ready_for_smart(page)
    assert any("/src/smart/weights.json" in url for url in loaded)
    page.keyboard.press("n")
    steps(page, 1)
    smart_click(page, 400, 300)
    steps(page, 2)
    first = values(work, made) == 256
    assert first.sum() > 64
    # Grown by a drag, in place of the click: one step.
    page.keyboard.press("Control+z")
    steps(page, 1)
    ready_for_smart(page)
    stroke(page, (400, 300), (560, 300))
    steps(page, 2)
    grown = values(work, made) == 256
    assert (grown & first).sum() == first.sum()
    assert grown.sum() > first.sum()
    # A negative click takes away, and undo brings it back.
    smart_click(page, 400, 300, button="right")
    steps(page, 3)
    less = values(work, made) == 256
    assert less.sum() < grown.sum()
    assert not (less & ~grown).any()
    page.keyboard.press("Control+z")
    steps(page, 2)
    assert np.array_equal(values(work, made) == 256, grown)

    # In the next window the object goes on, across the border of the first one.
    shown(page)
    page.locator("#stage").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    ready_for_smart(page)
    # The mark of the first window is where it belongs in this one, 200 pixels further left.
    mark = (
        """() => document.getElementById('layer-top').getContext('2d').getImageData(200, 300, 1, 1).data[3]"""
    )
    page.wait_for_function(mark)
    smart_click(page, 600, 300)
    steps(page, 3)
    both = values(work, made) == 256
    assert (both & grown).sum() == grown.sum()
    assert both.sum() > grown.sum()
    # A click here takes away what was taken in the first one.
    smart_click(page, 210, 300, button="right")
    steps(page, 4)
    less = values(work, made) == 256
    assert not (less & ~both).any()
    assert (grown & ~less).any()


def test_smart_select_stays_inside_the_mask(page: Page, work: Path, made: Path) -> None:
    page.keyboard.press("s")
    ready_for_smart(page)
    top = "document.getElementById('layer-top').getContext('2d')"
    drawn = f"([x, y]) => {top}.getImageData(x, y, 1, 1).data[3] > 0"
    outside = on_screen(page, NODATA.start + 6, 700)
    inside = on_screen(page, 1600, 700)
    box = view_box(page)
    # No preview, no message, no step, no mark.
    page.mouse.move(box["x"] + outside[0], box["y"] + outside[1])
    page.wait_for_timeout(200)
    assert not page.evaluate(drawn, [round(place) for place in outside])
    for button in ("left", "right"):
        smart_click(page, *outside, button=button)
    page.mouse.move(box["x"] + inside[0], box["y"] + inside[1])
    page.wait_for_function(drawn, arg=[round(inside[0]), round(inside[1]) + 3])
    assert not page.evaluate(drawn, [round(place) for place in outside])
    assert page.locator("html").get_attribute("data-steps") == "0"
    expect(page.locator("#problem")).to_be_hidden()
    # Grown as far as it can, an object ends at the mask.
    stroke(page, inside, (inside[0] + 250, inside[1]))
    steps(page, 1)
    found = values(work, made) == 1
    lake = np.zeros_like(found)
    lake[LAKE] = True
    lake[:, NODATA.start :] = False
    assert found[lake].mean() > 0.9
    assert not found[:, NODATA.start :].any()


@pytest.mark.slow
def test_the_keyboard_and_the_help_sheet(page: Page, work: Path, made: Path) -> None:
    page.keyboard.press("?")
    table = page.locator("#help-table")
    for text in ("Smart select: an object per click", "New object of the class", "use the tool there"):
        expect(table).to_contain_text(text)
    for text in ("Lasso", "Polygon", "Kept images", "Next gap"):
        expect(table).not_to_contain_text(text)
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    steps(page, 1)
    page.evaluate((ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js").read_text())
    result = page.evaluate("axe.run()")
    faults = [fault for fault in result["violations"] if fault["impact"] in {"serious", "critical"}]
    assert faults == []
    page.keyboard.press("Control+z")
    steps(page, 0)
    page.locator("#stage").focus()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    steps(page, 1)
    found = values(work, made)
    assert found[HEIGHT // 2, WIDTH // 2] == 2
    page.keyboard.press("e")
    page.keyboard.press("Enter")
    steps(page, 2)
    assert not values(work, made).any()
