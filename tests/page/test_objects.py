"""Objects of a class: new, choose, rename, join, split, class, remove; exports; a reload."""

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.page.annotator import COFFEE, COFFEE_SHAPE, Annotator
from tests.page.expected import brushed, labels_of, swept

NOTHING = np.zeros(COFFEE_SHAPE, np.uint8)


def annotations(annotator: Annotator) -> list[dict[str, Any]]:
    """COCO's annotations."""
    found: list[dict[str, Any]] = json.loads(annotator.export("coco")[1])["annotations"]
    return found


def facts(annotator: Annotator) -> list[tuple[int, float, int, str]]:
    """Of each annotation: category, area, number of pieces, name."""
    return [
        (one["category_id"], one["area"], len(one["segmentation"]), one.get("attributes", {}).get("name", ""))
        for one in annotations(annotator)
    ]


def names(annotator: Annotator) -> list[str]:
    script = "(all) => all.map((one) => one.value || one.placeholder)"
    found: list[str] = annotator("#objects input[type=text]").evaluate_all(script)
    return found


def row(annotator: Annotator, number: int) -> Locator:
    return annotator("#objects li").nth(number)


def stroke(annotator: Annotator, y: int) -> int:
    """Brush from (100, y) to (160, y); return the area of the superpixels there."""
    at = annotator.actual_size()
    annotator.drag(at(100, y), at(160, y))
    touched = swept(NOTHING.shape, (100, y), (160, y), 3)
    return int((brushed(NOTHING, labels_of(COFFEE, annotator.count()), touched, 1) > 0).sum())


def test_each_object_is_one_annotation(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    expect(annotator("#objects")).to_be_hidden()
    areas = []
    for y in (80, 200, 320):
        annotator.press("n")
        areas.append(stroke(annotator, y))
    assert names(annotator) == ["Class 1 #1", "Class 1 #2", "Class 1 #3"]
    assert facts(annotator) == [(1, area, 1, "") for area in areas]
    for number, area in enumerate(areas):
        expect(row(annotator, number).locator(".share")).to_have_text(f"{area:,} px")
    expect(row(annotator, 2).get_by_role("radio")).to_be_checked()
    expect(annotator("#object-count")).to_have_text("3")

    # A click on its row chooses an object; the class key paints the class without an object.
    row(annotator, 0).locator(".swatch").click()
    more = stroke(annotator, 140)
    assert facts(annotator)[0][:2] == (1, areas[0] + more)
    annotator.press("2")
    expect(annotator("#objects input[type=radio]:checked")).to_have_count(0)
    stuff = stroke(annotator, 380)
    assert facts(annotator)[3] == (2, stuff, 1, "")
    annotator.press("n")
    assert names(annotator)[3] == "Class 2 #1"

    # Undo and redo, also of the object itself.
    annotator.press("Control+z")
    expect(annotator("#objects li")).to_have_count(3)
    annotator.press("Control+y")
    expect(annotator("#objects li")).to_have_count(4)


@pytest.mark.slow
def test_objects_as_png_files_with_their_json(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    annotator.press("n")
    first = stroke(annotator, 80)
    annotator.press("2")
    stuff = stroke(annotator, 300)
    name, png = annotator.export("instances")
    assert name == "coffee-objects.png"
    values = np.asarray(Image.open(io.BytesIO(png)))
    assert [(values == value).sum() for value in (256, 2)] == [first, stuff]
    legend = json.loads(annotator.export("legend")[1])
    assert legend["objects"] == [{"value": 256, "class": 1, "name": "", "area": first}]
    (panoptic,) = json.loads(annotator.export("panoptic")[1])["annotations"]
    name, png = annotator.export("panoptic-png")
    assert panoptic["file_name"] == name
    ids = np.asarray(Image.open(io.BytesIO(png))).astype(int) @ [1, 256, 65536]
    assert np.array_equal(ids, values)
    assert [one["area"] for one in panoptic["segments_info"]] == [first, stuff]


@pytest.mark.slow
def test_objects_are_renamed_joined_split_and_removed(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    areas = []
    for y in (80, 200, 320):
        annotator.press("n")
        areas.append(stroke(annotator, y))
    before = annotator.mask()
    # Rename: double click, F2.
    box = row(annotator, 1).locator("input[type=text]").bounding_box()
    assert box is not None
    annotator.page.mouse.dblclick(box["x"] + 20, box["y"] + box["height"] / 2)
    expect(row(annotator, 1).locator("input[type=text]")).to_be_focused()
    annotator.page.keyboard.type("Saucer n")
    annotator.press("Enter")
    row(annotator, 2).get_by_role("radio").focus()
    annotator.press("F2")
    annotator.page.keyboard.type("x")
    annotator.press("Escape")
    assert names(annotator) == ["Class 1 #1", "Saucer n", "Class 1 #3"]

    # Join the first one into the chosen one, which keeps its name; one undo step.
    row(annotator, 1).get_by_role("radio").check()
    row(annotator, 0).get_by_role("button", name="Join").click()
    assert facts(annotator) == [(1, areas[0] + areas[1], 2, "Saucer n"), (1, areas[2], 1, "")]
    annotator.press("Control+z")
    assert facts(annotator) == [(1, areas[0], 1, ""), (1, areas[1], 1, "Saucer n"), (1, areas[2], 1, "")]
    annotator.press("Control+y")

    # Split it again.
    row(annotator, 0).get_by_role("radio").check()
    row(annotator, 0).get_by_role("button", name="Split").click()
    annotator.wait_for_status("Saucer n is 2 objects now")
    assert sorted(area for _, area, _, _ in facts(annotator)) == sorted(areas)
    assert np.array_equal(annotator.mask(), before)

    # Another class, and remove.
    row(annotator, 0).get_by_role("combobox").select_option("Class 3")
    expect(annotator("#classes input[type=radio]").nth(2)).to_be_checked()
    assert facts(annotator)[0][0] == 3
    row(annotator, 1).get_by_role("button", name="Remove").click()
    assert len(facts(annotator)) == 2
    annotator.press("Control+z", "Control+z")
    assert np.array_equal(annotator.mask(), before)


@pytest.mark.slow
def test_objects_survive_a_reload_and_another_compactness(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    annotator.press("n")
    area = stroke(annotator, 80)
    annotator.press("n")
    other = stroke(annotator, 300)
    annotator("#compactness").focus()
    annotator.press("ArrowRight")
    annotator.wait_for_status("Compactness")
    kept = [(1, area, 1, ""), (1, other, 1, "")]
    assert [(a, b, 1, d) for a, b, _, d in facts(annotator)] == kept
    annotator.wait_until_saved()
    annotator.reload()
    assert [(a, b, 1, d) for a, b, _, d in facts(annotator)] == kept
    expect(annotator("#objects li")).to_have_count(2)
    # Removing the class removes its objects; undo brings them back.
    annotator("#classes .remove").nth(0).click()
    expect(annotator("#objects li")).to_have_count(0)
    annotator.press("Control+z")
    expect(annotator("#objects li")).to_have_count(2)
    assert [(a, b, 1, d) for a, b, _, d in facts(annotator)] == kept


@pytest.mark.slow
def test_neighbouring_objects_have_shades_of_their_own(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator("#fill-opacity").fill("100")
    annotator.press("v")  # no outlines
    for y in (80, 200):
        annotator.press("n")
        annotator.drag(at(100, y), at(160, y))
        annotator.wait_until_drawn("fill", at(130, y))
    annotator.page.mouse.move(*at(500, 380))
    first, second = (annotator.pixels(at(130, y), 1, 1)[0, 0, :3].tolist() for y in (80, 200))
    assert first == [0xE6, 0x9F, 0x00]
    assert second != first
