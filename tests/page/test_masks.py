"""Masks that are dropped on the open photograph: as the start of a selection, snapped or pixel by pixel."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from superpixel_kernels import snap_mask
from superpixel_service.client.exports import Annotation, Class, to_coco
from tests.page import masks
from tests.page.annotator import COFFEE, COFFEE_SHAPE, PHOTOS, Annotator
from tests.page.expected import labels_of
from tests.page.test_view import AXE

ROWS, COLUMNS = np.mgrid[: COFFEE_SHAPE[0], : COFFEE_SHAPE[1]]
DISC = (ROWS - 190) ** 2 + (COLUMNS - 300) ** 2 < 120**2
BAR = (ROWS > 300) & (COLUMNS > 400)


def answer(annotator: Annotator, what: str) -> None:
    expect(annotator("#mask-dialog")).to_be_visible()
    annotator(f"#mask-{what}").click()
    expect(annotator("#mask-dialog")).to_be_hidden()


def test_a_mask_is_snapped_to_superpixels_and_undo_takes_it_back(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.press("2")
    annotator.drag(at(20, 20), at(60, 20))
    before = annotator.mask()
    masks.drop(annotator, "disc.png", masks.png(np.where(DISC, np.uint8(255), np.uint8(0))))
    expect(annotator("#mask-title")).to_have_text("Use disc.png")
    expect(annotator("#mask-snap-text")).to_contain_text("it becomes Class 2")
    answer(annotator, "snap")
    annotator.wait_for_status("disc.png: snapped to superpixels")
    count = annotator.count()
    snapped = snap_mask(labels_of(COFFEE, count), np.where(DISC, 2, 0), count)
    after = np.where(snapped > 0, snapped, before)
    assert np.array_equal(annotator.mask(), after)
    assert not np.array_equal(after == 2, DISC)
    expect(annotator("#file")).to_contain_text("coffee.jpg")
    annotator.press("Control+z")
    assert np.array_equal(annotator.mask(), before)
    annotator.press("Control+y")
    annotator.wait_until_saved()
    annotator.reload()
    assert np.array_equal(annotator.mask(), after)


@pytest.mark.slow
def test_an_exported_mask_comes_back_pixel_for_pixel(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(150, 100), at(400, 100))
    annotator.press("3", "p")
    annotator.drag(at(100, 300), at(160, 310))
    before = annotator.mask()
    exported = annotator.export("png")[1]
    annotator.press("Control+z", "Control+z")
    assert annotator.mask().max() == 0
    masks.drop(annotator, "coffee-mask.png", exported)
    answer(annotator, "pixels")
    annotator.wait_for_status("coffee-mask.png: painted pixel by pixel")
    assert np.array_equal(annotator.mask(), before)
    # An index without a class adds classes, in the palette's colours; 255 means no class.
    wanted = np.where(DISC, np.uint8(5), np.where(BAR, np.uint8(255), np.uint8(1)))
    masks.drop(annotator, "five.png", masks.indexed(wanted, [10 * i for i in range(18)]))
    expect(annotator("#mask-pixels-text")).to_contain_text("its indexes become Class 1, Class 5")
    answer(annotator, "pixels")
    assert annotator.class_names() == [f"Class {i}" for i in range(1, 6)]
    assert annotator("#classes input[type=color]").nth(4).input_value() == "#96a0aa"
    assert np.array_equal(annotator.mask(), np.where(wanted == 255, before, wanted))


@pytest.mark.slow
def test_a_mask_of_another_size_is_scaled(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    small = np.zeros((131, 90), np.uint16)
    small[20:90, 10:50] = 500
    small[60:, 40:80] = 40_000
    masks.drop(annotator, "labels.png", masks.png(small))
    expect(annotator("#mask-facts")).to_have_text("90 \u00d7 131 pixels, scaled to the photograph.")
    expect(annotator("#mask-pixels-text")).to_contain_text("the values 500, 40000 become Class 1, Class 2")
    answer(annotator, "pixels")
    wanted = np.select([small == 500, small == 40_000], [1, 2])
    assert np.array_equal(annotator.mask(), masks.nearest(wanted, COFFEE_SHAPE))


@pytest.mark.slow
def test_a_soft_mask_counts_from_half_on(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    soft = (255 * np.clip(1.5 - np.hypot(ROWS - 200, COLUMNS - 300) / 100, 0, 1)).astype(np.uint8)
    masks.drop(annotator, "soft.png", masks.png(soft))
    expect(annotator("#mask-pixels-text")).to_contain_text("gray from 128 on becomes Class 1")
    answer(annotator, "pixels")
    assert np.array_equal(annotator.mask(), soft >= 128)


@pytest.mark.slow
def test_coco_files(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    mask = np.select([DISC & ~((ROWS - 190) ** 2 + (COLUMNS - 300) ** 2 < 40**2), BAR], [1, 2]).astype(
        np.uint8
    )
    cup, table = Class("Class 2", "#101010"), Class("table", "#202020")
    annotation = Annotation(mask, (cup, table))
    wanted = np.array([0, 2, 4], np.uint8)[mask]
    other = to_coco(Annotation(mask.T.copy(), (cup, table)), file_name="other.jpg", image_id=9)
    for rle in (False, True):
        coco = to_coco(annotation, file_name="some/folder/coffee.jpg", image_id=4, rle=rle)
        coco["images"] += other["images"]
        coco["annotations"] += other["annotations"]
        masks.drop(annotator, "instances.json", json.dumps(coco).encode())
        expect(annotator("#mask-pixels-text")).to_contain_text("2 masks become Class 2, table")
        assert annotator("#mask-open").is_disabled()
        answer(annotator, "pixels")
        assert np.array_equal(annotator.mask(), wanted), rle
        assert annotator.class_names() == ["Class 1", "Class 2", "Class 3", "table"]
        annotator.press("Control+z")
        assert annotator.mask().max() == 0
    # A list of masks without categories, as SAM returns: the class in use.
    annotator.press("3")
    runs = [
        [int(one) for one in np.diff(np.flatnonzero(np.diff(np.r_[2, part.T.ravel(), 2])))]
        for part in (DISC, BAR)
    ]
    sam = [{"segmentation": {"size": list(COFFEE_SHAPE), "counts": one}} for one in runs]
    masks.drop(annotator, "sam.json", json.dumps(sam).encode())
    answer(annotator, "snap")
    count = annotator.count()
    wanted = snap_mask(labels_of(COFFEE, count), np.where(DISC | BAR, 3, 0), count)
    assert np.array_equal(annotator.mask(), wanted)


@pytest.mark.slow
def test_with_the_keyboard_alone(annotator: Annotator, tmp_path: Path) -> None:
    path = tmp_path / "bar.png"
    path.write_bytes(masks.png(BAR))
    expect(annotator("#mask-button")).to_be_disabled()
    # Playwright at times misses the browser's file chooser, so count the clicks that would open it.
    annotator.page.evaluate(
        """() => document.querySelector('#mask-input').addEventListener('click', (event) => {
          event.preventDefault();
          event.target.dataset.clicks = Number(event.target.dataset.clicks ?? 0) + 1;
        })"""
    )
    clicks = annotator("#mask-input[data-clicks]")
    annotator.press("g")  # nothing is open: nothing happens
    annotator.open(COFFEE)
    expect(clicks).to_have_count(0)
    for number, (key, wanted) in enumerate((("Escape", 0), ("Enter", 1)), 1):
        annotator.press("g")
        expect(clicks).to_have_attribute("data-clicks", str(number))
        annotator("#mask-input").set_input_files(path)
        expect(annotator("#mask-guide")).to_be_focused()
        annotator.press("Tab", "Tab")
        expect(annotator("#mask-pixels")).to_be_focused()
        annotator.press(key)
        expect(annotator("#mask-dialog")).to_be_hidden()
        assert np.array_equal(annotator.mask(), BAR * wanted)
    # The focus is where it was, and keys work again.
    annotator.press("Control+z")
    assert annotator.mask().max() == 0
    annotator("#mask-button").focus()
    annotator.press("Enter")
    expect(clicks).to_have_attribute("data-clicks", "3")


@pytest.mark.slow
def test_photographs_open_without_a_question(annotator: Annotator, tmp_path: Path) -> None:
    annotator.open(COFFEE)
    masks.drop(annotator, "cat.jpg", (PHOTOS / "chelsea.jpg").read_bytes())
    annotator.wait_for_status("cat.jpg: ")
    colours = np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8)
    masks.drop(annotator, "colours.png", masks.png(colours))
    annotator.wait_for_status("colours.png: ")
    # As large as the open photograph, it may be either.
    masks.drop(annotator, "again.png", masks.png(colours // 2))
    answer(annotator, "open")
    annotator.wait_for_status("again.png: ")
    assert annotator.mask().shape == (50, 70)
    # Chosen by the open button, a file is always a photograph.
    gray = tmp_path / "gray.png"
    gray.write_bytes(masks.png(colours[..., 0]))
    annotator.open(gray)


@pytest.mark.slow
def test_unreadable_masks_change_nothing(annotator: Annotator) -> None:
    masks.drop(annotator, "early.json", b"[]")
    expect(annotator("#problem-detail")).to_have_text("Open the photograph of this mask first.")
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(150, 100), at(400, 100))
    before = annotator.mask()
    good = masks.png(DISC)
    huge = bytearray(good)
    huge[16:24] = (2**31 - 1).to_bytes(4, "big") * 2
    short = masks.any_png(np.zeros((4, 4, 1), np.int64), 8, masks.GRAY, interlaced=False).replace(
        (4).to_bytes(4, "big") * 2, (4000).to_bytes(4, "big") * 2
    )
    rle = {"size": list(COFFEE_SHAPE), "counts": [5, 5]}
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 5, "height": 5} for i in range(2)]
    for name, data, text in [
        ("cut.png", good[:-20], "png: ends too early"),
        ("huge.png", bytes(huge), "in all, got 2147483647 x 2147483647"),
        ("short.png", short, "png: has fewer pixels than its header says"),
        ("garbage.png", good.replace(b"IDAT\x78", b"IDAT\x00"), "png: its pixels are damaged"),
        ("depth.png", good[:24] + b"\x07" + good[25:], "png: its header is damaged"),
        ("text.json", b"no json", "file: must be PNG, JSON, or labels of YOLO"),
        ("number.json", b"5", "file: must be PNG, JSON, or labels of YOLO"),
        (
            "rle.json",
            json.dumps([{"segmentation": rle}]).encode(),
            "[0].segmentation.counts: must add up to 240000 pixels, got 10",
        ),
        (
            "long.json",
            json.dumps([{"segmentation": {**rle, "counts": [10**9]}}]).encode(),
            "must add up to 240000 pixels, got more",
        ),
        (
            "text-rle.json",
            json.dumps([{"segmentation": {**rle, "counts": "\u0007"}}]).encode(),
            "[0].segmentation.counts: is damaged at character 0",
        ),
        (
            "size.json",
            json.dumps([{"segmentation": {}}]).encode(),
            "[0].segmentation.size: must be [400, 600] (height, width)",
        ),
        (
            "points.json",
            json.dumps([{"segmentation": [[1, 2, None]]}]).encode(),
            "[0].segmentation[0]: must be three",
        ),
        ("null.json", b"[null]", "[0]: must be an object, got null"),
        (
            "others.json",
            json.dumps({"images": images, "annotations": []}).encode(),
            'must list "coffee.jpg"; it has 2 images',
        ),
    ]:
        masks.drop(annotator, name, data)
        expect(annotator("#problem-detail")).to_contain_text(text)
        expect(annotator("#mask-dialog")).to_be_hidden()
        expect(annotator("#progress")).to_be_hidden()
        annotator("#problem-close").click()
    assert np.array_equal(annotator.mask(), before)
    expect(annotator("#file")).to_contain_text("coffee.jpg")
    # More labels than classes: it cannot be a start.
    many = np.arange(COFFEE_SHAPE[0] * COFFEE_SHAPE[1], dtype=np.uint16).reshape(COFFEE_SHAPE) % 300
    masks.drop(annotator, "many.png", masks.png(many.astype(np.uint16)))
    expect(annotator("#mask-snap")).to_be_disabled()
    expect(annotator("#mask-pixels")).to_be_disabled()
    annotator.press("Escape")


READ = """async (files) => {
  const [{ readPNG }, { writeNumbers }] = [await import('/src/png/index.js'), await import('/page/png.js')];
  const read = async (bytes) => {
    const { values, width, height, most } = await readPNG(bytes);
    return { values: [...values], width, height, most };
  };
  const results = [];
  for (const data of files) {
    const first = await read(Uint8Array.from(atob(data), (c) => c.charCodeAt(0)));
    const written = await writeNumbers(first.values, first.width, first.height);
    const again = await read(new Uint8Array(await written.arrayBuffer()));
    results.push({ ...first, again: again.values });
  }
  return results;
}"""


def test_png_files_of_every_kind_are_read_exactly(annotator: Annotator) -> None:
    rng = np.random.default_rng(2)
    cases = []
    for kind, channels, depths in [
        (masks.GRAY, 1, (1, 2, 4, 8, 16)),
        (masks.PALETTE, 1, (1, 2, 4, 8)),
        (masks.RGB, 3, (8, 16)),
        (masks.GRAY_ALPHA, 2, (8, 16)),
        (masks.RGBA, 4, (8, 16)),
    ]:
        for depth in depths:
            for shape in ((9, 13), (1, 1), (3, 2), (1, 17)):
                for interlaced in (False, True):
                    samples = rng.integers(0, 2**depth, (*shape, channels))
                    if kind in (masks.GRAY_ALPHA, masks.RGBA):
                        samples[..., -1] *= rng.integers(0, 2, shape)
                    file = masks.any_png(samples, depth, kind, interlaced=interlaced, seed=len(cases))
                    cases.append((kind, depth, samples, file))
    results = annotator.page.evaluate(READ, [base64.b64encode(file).decode() for *_, file in cases])
    assert len(results) == len(cases) == 120
    for (kind, depth, samples, _), result in zip(cases, results, strict=True):
        values = samples[..., 0]
        if kind in (masks.RGB, masks.RGBA):
            values = ((samples[..., :3] >> (depth - 8)) * [1, 256, 65_536]).sum(axis=2)
        if kind in (masks.GRAY_ALPHA, masks.RGBA):
            values = np.where(samples[..., -1] > 0, values, 0)
        assert (result["height"], result["width"]) == values.shape
        assert result["values"] == values.ravel().tolist(), (kind, depth, values.shape)
        assert result["again"] == result["values"]
        assert result["most"] == (2**depth - 1 if kind in (masks.GRAY, masks.GRAY_ALPHA) else 0)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.slow, id="desktop"),
        pytest.param(
            {"viewport": {"width": 390, "height": 844}, "has_touch": True}, marks=pytest.mark.slow, id="phone"
        ),
    ],
)
def test_the_question_fits_the_screen_and_is_accessible(
    visit: Callable[..., Annotator], options: dict[str, object]
) -> None:
    annotator = visit(**options)
    annotator.open(COFFEE)
    masks.drop(annotator, "a-rather-long-name-of-a-mask-of-a-network.png", masks.png(DISC))
    expect(annotator("#mask-dialog")).to_be_visible()
    annotator.screenshot("mask-phone" if options else "mask")
    for button in ("guide", "snap", "pixels", "open"):
        expect(annotator(f"#mask-{button}")).to_be_in_viewport(ratio=1)
        assert annotator(f"#mask-{button}").evaluate("(one) => one.scrollWidth <= one.clientWidth"), button
    annotator.page.evaluate(AXE.read_text())
    for scheme in ("dark", "light"):
        annotator.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        result = annotator.page.evaluate("() => axe.run(document.querySelector('#mask-dialog'))")
        assert len(result["passes"]) > 5
        assert [fault["id"] for fault in result["violations"]] == [], scheme
