"""Superpixels of the page that follow a mask or an edge map."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import expect

from superpixel_kernels import Guidance, SegmentParams, segment
from superpixel_service.client.exports import Annotation, Class, to_coco
from tests.page import masks
from tests.page.annotator import COFFEE, COFFEE_SHAPE, Annotator
from tests.page.expected import brushed, swept
from tests.page.test_masks import BAR, DISC, answer
from tests.page.test_view import AXE

IMAGE = np.asarray(Image.open(COFFEE))
MASK = np.where(DISC, np.uint8(255), np.where(BAR, np.uint8(7), np.uint8(0)))
FILE = masks.png(MASK)


def stroked(
    annotator: Annotator, before: NDArray[np.uint8], compactness: float = 10.0, **guidance: Any
) -> NDArray[np.uint8]:
    """The mask after a stroke of class 3 over superpixels that follow this guidance."""
    params = SegmentParams(compactness=compactness)
    labels = segment(IMAGE, params, guidance=Guidance(**guidance) if guidance else None).cut(
        annotator.count()
    )
    return brushed(before, labels, swept(COFFEE_SHAPE, (240, 300), (500, 300), 3), 3)


def stroke(annotator: Annotator) -> NDArray[np.uint8]:
    """The mask after this stroke, which is taken back."""
    at = annotator.actual_size()
    annotator.press("3")
    annotator.drag(at(240, 300), at(500, 300))
    after = annotator.mask()
    annotator.press("Control+z")
    return after


def test_superpixels_follow_a_mask_and_the_work_stays(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(150, 100), at(400, 100))
    before = annotator.mask()
    plain = stroke(annotator)
    assert np.array_equal(plain, stroked(annotator, before))
    count = annotator.count()

    masks.drop(annotator, "network.png", FILE)
    answer(annotator, "guide")
    annotator.wait_for_status("Superpixels follow network.png, strength 64: what was chosen stays")
    assert np.array_equal(annotator.mask(), before)
    assert annotator.count() == count
    expect(annotator("#guidance-name")).to_have_text("network.png")
    expect(annotator("#file")).to_contain_text("coffee.jpg")
    guided = stroke(annotator)
    assert np.array_equal(guided, stroked(annotator, before, prior=MASK))
    assert not np.array_equal(guided, plain)
    annotator.screenshot("guided")

    # The strength slider, by keys.
    annotator("#guidance-strength").focus()
    annotator.press("ArrowRight", "ArrowRight")
    annotator.wait_for_status("strength 256")
    assert np.array_equal(stroke(annotator), stroked(annotator, before, prior=MASK, prior_weight=256))
    annotator.press("Control+z")
    expect(annotator("#guidance-strength-value")).to_have_text("64")
    assert np.array_equal(stroke(annotator), guided)

    # Undo brings the old superpixels back, redo the guided ones.
    annotator.press("Control+z")
    expect(annotator("#guidance")).to_be_hidden()
    assert np.array_equal(stroke(annotator), plain)
    assert np.array_equal(annotator.mask(), before)


@pytest.mark.slow
def test_guidance_survives_a_reload_a_change_of_compactness_and_can_be_removed(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    masks.drop(annotator, "network.png", FILE)
    answer(annotator, "guide")
    annotator.wait_for_status("Superpixels follow network.png")
    annotator("#compactness").focus()
    annotator.press("ArrowRight", "ArrowRight")
    annotator.wait_for_status("Compactness 20")
    empty = np.zeros(COFFEE_SHAPE, np.uint8)
    wanted = stroked(annotator, empty, 20.0, prior=MASK)
    assert np.array_equal(stroke(annotator), wanted)
    annotator.wait_until_saved()
    annotator.reload()
    expect(annotator("#guidance-name")).to_have_text("network.png")
    expect(annotator("#guidance-strength-value")).to_have_text("64")
    assert np.array_equal(stroke(annotator), wanted)
    annotator("#guidance-remove").click()
    annotator.wait_for_status("Superpixels follow the colours alone")
    expect(annotator("#guidance")).to_be_hidden()
    expect(annotator("#compactness-value")).to_have_text("20")
    assert np.array_equal(stroke(annotator), stroked(annotator, empty, 20.0))
    # Another image begins without it.
    annotator.press("Control+z")
    expect(annotator("#guidance")).to_be_visible()
    annotator("#file-input").set_input_files(COFFEE.with_name("chelsea.jpg"))
    annotator.wait_for_status("chelsea.jpg: ")
    expect(annotator("#guidance")).to_be_hidden()


@pytest.mark.slow
def test_exact_masks_and_edge_maps(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    rows, columns = np.mgrid[: COFFEE_SHAPE[0], : COFFEE_SHAPE[1]]
    edges = ((3 * columns + 5 * rows) % 97 * (columns % 60 < 3)).astype(np.uint8)
    masks.drop(annotator, "edges.png", masks.png(edges))
    expect(annotator("#mask-guide-text")).to_contain_text("as an edge map")
    answer(annotator, "guide")
    annotator.wait_for_status("Superpixels follow edges.png, strength 2")
    empty = np.zeros(COFFEE_SHAPE, np.uint8)
    assert np.array_equal(stroke(annotator), stroked(annotator, empty, edges=edges))
    annotator("#guidance-strength").fill("6")
    annotator.wait_for_status("strength 8")
    assert np.array_equal(stroke(annotator), stroked(annotator, empty, edges=edges, edge_weight=8))
    for label, status, guidance in [
        ("Exact", "edges.png exactly", {"prior": edges, "prior_mode": "hard"}),
        ("Mask", "edges.png, strength 64", {"prior": edges}),
    ]:
        annotator.page.get_by_role("radio", name=label, exact=True).check()
        annotator.wait_for_status(f"Superpixels follow {status}")
        assert annotator("#guidance-strength-section").is_hidden() == (label == "Exact")
        assert np.array_equal(stroke(annotator), stroked(annotator, empty, **guidance)), label


@pytest.mark.slow
def test_masks_of_a_coco_file(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    values = np.select([DISC, BAR], [1, 2]).astype(np.uint8)
    coco = to_coco(Annotation(values, (Class("a", "#101010"), Class("b", "#202020"))), file_name="coffee.jpg")
    masks.drop(annotator, "coco.json", json.dumps(coco).encode())
    answer(annotator, "guide")
    annotator.wait_for_status("Superpixels follow coco.json, strength 64")
    ids = np.zeros(COFFEE_SHAPE, np.int32)
    for one in coco["annotations"]:
        ids[values == one["category_id"]] = one["id"]
    assert len(coco["annotations"]) == 2
    assert np.array_equal(stroke(annotator), stroked(annotator, np.zeros(COFFEE_SHAPE, np.uint8), prior=ids))


@pytest.mark.slow
def test_a_mask_that_the_server_rejects_changes_nothing(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    masks.drop(annotator, "network.png", FILE)
    answer(annotator, "guide")
    annotator.wait_for_status("Superpixels follow network.png")
    guided = stroke(annotator)
    noise = np.random.default_rng(1).integers(0, 65_536, (1300, 1300), np.uint16)
    masks.drop(annotator, "noise.png", masks.png(noise))
    answer(annotator, "guide")
    expect(annotator("#problem-facts")).to_contain_text("GUIDANCE_TOO_MANY_BYTES")
    expect(annotator("#guidance-name")).to_have_text("network.png")
    expect(annotator("#progress")).to_be_hidden()
    annotator("#problem-close").click()
    assert np.array_equal(stroke(annotator), guided)
    assert all("status of 400" in complaint for complaint in annotator.complaints)
    annotator.complaints.clear()


@pytest.mark.slow
def test_the_panel_is_accessible_and_reachable_by_keys(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    masks.drop(annotator, "network.png", FILE)
    expect(annotator("#mask-guide")).to_be_focused()
    annotator.press("Enter")
    annotator.wait_for_status("Superpixels follow network.png")
    annotator.page.evaluate(AXE.read_text())
    for scheme in ("dark", "light"):
        annotator.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        result = annotator.page.evaluate("() => axe.run(document.querySelector('aside'))")
        serious = [one["id"] for one in result["violations"] if one["impact"] in {"serious", "critical"}]
        assert serious == [], scheme
    annotator("#mask-button").focus()
    annotator.press("Tab")
    expect(annotator.page.get_by_role("radio", name="Mask", exact=True)).to_be_focused()
    annotator.press("ArrowRight")
    annotator.wait_for_status("Superpixels follow network.png exactly")
    annotator.press("Tab")
    expect(annotator("#guidance-remove")).to_be_focused()
    annotator.press("Enter")
    annotator.wait_for_status("Superpixels follow the colours alone")
    expect(annotator("#mask-button")).to_be_focused()


@pytest.mark.slow
def test_the_panel_is_reachable_on_a_phone(visit: Callable[..., Annotator]) -> None:
    annotator = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    annotator.open(COFFEE)
    masks.drop(annotator, "network.png", FILE)
    annotator("#mask-guide").tap()
    expect(annotator("#guidance")).to_be_visible()
    expect(annotator("#progress")).to_be_hidden()
    assert annotator("aside").evaluate("(one) => one.scrollWidth <= one.clientWidth")
    for part in ("#guidance-strength", "#guidance-remove", "#line-opacity"):
        annotator(part).scroll_into_view_if_needed()
        expect(annotator(part)).to_be_in_viewport(ratio=1)
    annotator("#guidance-remove").tap()
    expect(annotator("#guidance")).to_be_hidden()
    annotator.screenshot("guided-phone")
