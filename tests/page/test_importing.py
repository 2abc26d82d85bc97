"""Annotations of other tools that are dropped on the open photograph."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from superpixel_service.client.exports import Annotation, Class, to_geojson, to_label_studio, to_yolo
from tests.page import masks
from tests.page.annotator import COFFEE, COFFEE_SHAPE, Annotator
from tests.page.test_masks import BAR, DISC, answer

DROP_ALL = """(files) => {
  const transfer = new DataTransfer();
  for (const [data, name, type] of files) {
    transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name, { type }));
  }
  const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
  document.querySelector('#stage').dispatchEvent(new DragEvent('drop', options));
}"""

MASK = np.select([DISC, BAR], [1, 2]).astype(np.uint8)
ANNOTATION = Annotation(MASK, (Class("Class 2", "#101010"), Class("table", "#202020")))
WANTED = np.array([0, 2, 4], np.uint8)[MASK]


def drop_all(annotator: Annotator, files: dict[str, bytes]) -> None:
    rows = [
        [base64.b64encode(data).decode(), name, "image/png" if name.endswith(".png") else ""]
        for name, data in files.items()
    ]
    annotator.page.evaluate(DROP_ALL, rows)


def legend(*rows: tuple[int, str]) -> dict[str, Any]:
    return {
        "classes": [{"value": 1, "name": "table", "color": "#202020"}],
        "objects": [{"value": value, "class": 1, "name": name} for value, name in rows],
    }


def test_annotations_of_other_tools_come_in_and_the_photograph_stays(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    brush = [
        {
            "data": {"image": "/data/upload/1/0a1b-coffee.jpg"},
            "annotations": [{"result": to_label_studio(ANNOTATION)}],
        },
        {"data": {"image": "/data/upload/1/0a1b-tea.jpg"}, "annotations": []},
    ]
    for name, content in [
        ("tasks.json", json.dumps(brush).encode()),
        ("shapes.geojson", json.dumps(to_geojson(ANNOTATION)).encode()),
    ]:
        masks.drop(annotator, name, content)
        expect(annotator("#mask-pixels-text")).to_contain_text("masks become Class 2, table")
        expect(annotator("#mask-open")).to_be_disabled()
        answer(annotator, "pixels")
        annotator.wait_for_status(f"{name}: painted pixel by pixel")
        assert np.array_equal(annotator.mask(), WANTED), name
        expect(annotator("#file")).to_contain_text("coffee.jpg")
        annotator.press("Control+z")
        assert annotator.mask().max() == 0
    assert annotator.class_names() == ["Class 1", "Class 2", "Class 3", "table"]
    # YOLO's labels have numbers: they are the page's classes.
    masks.drop(annotator, "coffee.txt", to_yolo(ANNOTATION).encode())
    answer(annotator, "pixels")
    assert np.array_equal(annotator.mask(), MASK)


@pytest.mark.slow
def test_an_instance_mask_and_its_legend_are_dropped_together(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    values = np.select([DISC, BAR], [256, 257]).astype(np.uint16)
    files = {
        "coffee.png": masks.png(values),
        "coffee.json": json.dumps(legend((256, "cup"), (257, ""))).encode(),
    }
    drop_all(annotator, files)
    expect(annotator("#mask-title")).to_have_text("Use coffee.json")
    expect(annotator("#mask-snap-text")).to_contain_text("2 masks become table")
    answer(annotator, "snap")
    annotator.wait_for_status("coffee.json: snapped to superpixels")
    assert set(np.unique(annotator.mask()).tolist()) == {0, 4}
    annotator.press("Control+z")
    drop_all(annotator, files)
    answer(annotator, "pixels")
    assert np.array_equal(annotator.mask(), np.where(MASK > 0, 4, 0))
    annotator.wait_until_saved()
    annotator.reload()
    assert np.array_equal(annotator.mask(), np.where(MASK > 0, 4, 0))


@pytest.mark.slow
def test_what_cannot_be_imported_changes_nothing(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    values = np.select([DISC, BAR], [256, 257]).astype(np.uint16)
    for files, text in [
        ({"coffee.json": json.dumps(legend((256, ""))).encode()}, "legend: needs its PNG file, too"),
        (
            {"a.png": masks.png(values), "a.json": json.dumps(legend((256, ""))).encode()},
            "png: has the value 257, which the legend must list",
        ),
        ({"a.json": b"[]", "b.json": b"[]"}, "files: must be one annotation"),
    ]:
        drop_all(annotator, files)
        expect(annotator("#problem-detail")).to_contain_text(text)
        annotator("#problem-close").click()
    assert annotator.mask().max() == 0
    assert annotator.mask().shape == COFFEE_SHAPE
