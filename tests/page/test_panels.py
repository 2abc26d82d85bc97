"""The settings panel and the export menu: size, compactness, classes, files."""

import io
import itertools
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Route, expect

from superpixel_service.client.exports import (
    Annotation,
    Class,
    to_coco,
    to_geojson,
    to_indexed_png,
    to_label_studio,
    to_yolo,
)
from tests.page.annotator import COFFEE, Annotator
from tests.page.expected import brushed, labels_of, swept

COLORS = ["#e69f00", "#56b4e9", "#009e73"]


def test_the_size_slider(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    slider = annotator("#size")
    stops = []
    slider.focus()
    annotator.press("Home")
    for _ in range(int(slider.get_attribute("max") or 0) + 1):
        count = annotator.count()
        stops.append(count)
        words = slider.get_attribute("aria-valuetext") or ""
        area = 400 * 600 / count
        shown = f"{area:,.0f}" if area >= 100 else f"{area:.1f}"
        assert words == f"{count:,} superpixels, {shown} px each on average"
        assert annotator("#size-area").inner_text() == f"≈ {shown} px each"
        annotator.press("ArrowRight")
    ratios = [b / a for a, b in itertools.pairwise(stops)]
    assert len(stops) > 20
    assert all(1.1 < ratio < 1.4 for ratio in ratios), ratios
    areas = np.bincount(labels_of(COFFEE, stops[-1]).ravel())
    assert np.mean(areas <= 4) < 0.02


HOLD_TIMERS = """() => {
  const { setTimeout, clearTimeout } = window;
  window.held = new Map();
  window.setTimeout = (call, wait) => {
    if (wait <= 100) return setTimeout(call, wait);
    const timer = -1 - held.size;
    held.set(timer, call);
    return timer;
  };
  window.clearTimeout = (timer) => {
    if (timer < 0) held.set(timer, () => {});
    else clearTimeout(timer);
  };
  window.goOn = () => {
    Object.assign(window, { setTimeout, clearTimeout });
    for (const call of held.values()) call();
  };
}"""


def test_a_compactness_chosen_while_another_is_made_is_not_forgotten(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    routes: list[Route] = []
    annotator.page.route(
        "**/api/segment?*", lambda route: route.continue_() if routes else routes.append(route)
    )
    annotator("#compactness").focus()
    annotator.press("ArrowRight")
    expect(annotator("#status")).to_contain_text("Making superpixels of compactness 14")
    annotator.page.evaluate(HOLD_TIMERS)
    annotator.press("ArrowRight")
    routes[0].continue_()
    annotator.wait_for_status("Compactness 14")
    expect(annotator("#compactness-value")).to_have_text("20")
    annotator.page.evaluate("goOn()")
    annotator.wait_for_status("Compactness 20")


MOVE_AND_OPEN = """() => {
  const slider = document.querySelector('#compactness');
  slider.stepUp();
  slider.dispatchEvent(new Event('input'));
  document.querySelector('#samples-menu button').click();
}"""


def test_an_image_opened_right_after_a_compactness_was_chosen_is_opened(annotator: Annotator) -> None:
    """The new image gets that compactness, and the old one keeps its own."""
    annotator.open(COFFEE)
    asked: list[Route] = []
    annotator.page.route("**/api/segment?*", lambda route: asked.append(route))
    annotator.page.evaluate(HOLD_TIMERS)
    with annotator.page.expect_request("**/api/segment?*"):
        annotator.page.evaluate(MOVE_AND_OPEN)
    annotator.page.evaluate("goOn()")  # the time after which the server would be asked for the old image
    assert [route.request.url.partition("?")[2] for route in asked] == ["compactness=14"]
    asked[0].continue_()
    annotator.wait_for_status("astronaut.jpg: ")
    expect(annotator("#compactness-value")).to_have_text("14")
    annotator.reopen(COFFEE)
    expect(annotator("#compactness-value")).to_have_text("10")


def test_the_compactness_is_the_image_s_own_again_if_no_other_is_opened(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    annotator.page.route("**/api/segment?*", lambda route: route.fulfill(status=500))
    annotator.page.evaluate(MOVE_AND_OPEN)
    expect(annotator("#problem")).to_be_visible()
    expect(annotator("#compactness-value")).to_have_text("10")
    assert all("status of 500" in complaint for complaint in annotator.complaints)
    annotator.complaints.clear()


@pytest.mark.slow
def test_another_compactness_keeps_every_pixel(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(150, 100), at(400, 100))
    before = annotator.mask()
    count = annotator.count()
    annotator("#compactness").focus()
    annotator.press("ArrowRight", "ArrowRight")
    annotator.wait_for_status("Compactness 20")
    assert np.array_equal(annotator.mask(), before)
    assert annotator.count() == count

    # The brush takes superpixels of the new compactness; pixels selected before keep their class.
    annotator.press("2")
    annotator.drag(at(300, 200), at(300, 300))
    touched = swept(before.shape, (300, 200), (300, 300), 3)
    chosen = brushed(before * 0, labels_of(COFFEE, count, 20.0), touched, 2)
    after = annotator.mask()
    kept = (before > 0) & (after == before)
    assert np.array_equal(after, np.where(kept, before, chosen))
    assert np.array_equal(after[before == 0], chosen[before == 0])

    annotator.press("Control+z", "Control+z")
    expect(annotator("#compactness-value")).to_have_text("10")
    assert np.array_equal(annotator.mask(), before)
    annotator.press("Control+y")
    expect(annotator("#compactness-value")).to_have_text("20")
    annotator.wait_until_saved()
    annotator.reload()
    expect(annotator("#compactness-value")).to_have_text("20")
    assert np.array_equal(annotator.mask(), before)


@pytest.mark.slow
def test_classes_are_added_named_coloured_and_removed(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    for number in (1, 2, 3):
        annotator.press(str(number))
        annotator.drag(at(100 * number, 100), at(100 * number + 60, 100))
    annotator.press("p", "2")
    annotator.drag(at(100, 300), at(160, 300))
    before = annotator.mask()
    assert set(np.unique(before)) == {0, 1, 2, 3}
    annotator("#classes input[type=text]").nth(1).fill("Saucer")
    annotator("#classes input[type=text]").nth(1).press("Enter")
    annotator("#classes input[type=color]").nth(2).fill("#112233")
    annotator("button[aria-label='Remove Saucer']").click()
    expect(annotator("#classes li")).to_have_count(2)
    after = np.array([0, 1, 0, 2], np.uint8)[before]
    assert np.array_equal(annotator.mask(), after)
    with Image.open(io.BytesIO(annotator.export("png")[1])) as image:
        assert (image.getpalette() or [])[6:9] == [0x11, 0x22, 0x33]
    annotator("#undo").click()
    expect(annotator("#classes li")).to_have_count(3)
    assert annotator("#classes input[type=text]").nth(1).input_value() == "Saucer"
    assert np.array_equal(annotator.mask(), before)
    annotator("#redo").click()
    annotator.wait_until_saved()
    annotator.reload()
    assert np.array_equal(annotator.mask(), after)
    annotator("#undo").click()
    assert np.array_equal(annotator.mask(), before)


@pytest.mark.slow
def test_many_classes_have_different_colours_and_leave_the_slider_in_place(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    slider = annotator("#size").bounding_box()
    annotator("#add-class").click()
    annotator.click_all("#add-class", 26)
    colors = annotator("#classes input[type=color]").evaluate_all("(all) => all.map((one) => one.value)")
    assert len(set(colors)) == len(colors) == 30
    assert annotator("#size").bounding_box() == slider
    expect(annotator("#classes li").last).to_be_in_viewport()
    annotator.screenshot("classes")
    annotator.click_all("#classes .remove", 28)
    annotator("#classes .remove").last.click()
    expect(annotator("#classes .remove")).to_be_disabled()


def test_every_export_equals_that_of_the_python_package(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(150, 100), at(400, 100))
    annotator.press("2", "l")
    annotator.drag(at(250, 220), at(400, 220), at(330, 350))
    name = annotator("#classes input[type=text]").first
    name.fill("Cup, rim")
    name.press("Enter")
    classes = tuple(
        Class(text, color) for text, color in zip(["Cup, rim", "Class 2", "Class 3"], COLORS, strict=True)
    )
    annotation = Annotation(annotator.mask(), classes)
    assert set(np.unique(annotation.mask)) == {0, 1, 2}
    wanted: dict[str, tuple[str, Any]] = {
        "coco": ("coffee-coco.json", to_coco(annotation, file_name="coffee.jpg")),
        "coco-rle": ("coffee-coco-rle.json", to_coco(annotation, file_name="coffee.jpg", rle=True)),
        "label-studio": (
            "coffee-label-studio.json",
            [{"data": {"image": "coffee.jpg"}, "annotations": [{"result": to_label_studio(annotation)}]}],
        ),
        "geojson": ("coffee.geojson", to_geojson(annotation)),
    }
    for kind, (file, content) in wanted.items():
        exported, data = annotator.export(kind)
        assert (exported, json.loads(data)) == (file, json.loads(json.dumps(content))), kind
    assert annotator.export("yolo") == ("coffee.txt", to_yolo(annotation).encode())
    exported, data = annotator.export("png")
    assert exported == "coffee-mask.png"
    with Image.open(io.BytesIO(data)) as mine, Image.open(io.BytesIO(to_indexed_png(annotation))) as theirs:
        assert mine.getpalette() == theirs.getpalette()
        assert np.array_equal(np.asarray(mine), np.asarray(theirs))
