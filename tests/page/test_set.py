"""Several images as a set: the filmstrip, one list of classes, export of all."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from superpixel_service.client.exports import Annotation, Class, to_coco, to_yolo
from tests.page.annotator import Annotator, read_mask
from tests.page.test_kept_work import click_middle, drop, kept_names, picture
from tests.page.test_view import AXE


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    return [picture(tmp_path, f"{number}.png", number, (80, 50 + 10 * number)) for number in (1, 2, 10)]


def open_set(annotator: Annotator, paths: list[Path]) -> None:
    annotator("#file-input").set_input_files(paths)
    annotator.wait_for_status(f"{len(paths)} images in the set")
    expect(annotator("#file")).to_contain_text(paths[0].name)


def go(annotator: Annotator, key: str, name: str) -> None:
    annotator.press(key)
    expect(annotator("#file")).to_contain_text(name)
    expect(annotator("#progress")).to_be_hidden()


def states(annotator: Annotator) -> list[str | None]:
    return [one.get_attribute("data-state") for one in annotator("#film-row button").all()]


def export_all(annotator: Annotator, kind: str) -> zipfile.ZipFile:
    annotator("#film-export").click()
    with annotator.page.expect_download() as download:
        annotator(f"#film-menu [data-format={kind}]").click()
    assert download.value.suggested_filename == f"dataset-{kind}.zip"
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert archive.testzip() is None
    return archive


def class_name(annotator: Annotator, place: int, name: str) -> None:
    field = annotator("#classes input[type=text]").nth(place)
    field.fill(name)
    field.press("Enter")


def test_several_files_become_a_filmstrip(annotator: Annotator, pictures: list[Path]) -> None:
    open_set(annotator, pictures)
    expect(annotator("#film-row button")).to_have_count(3)
    expect(annotator("#film-row button[aria-current]")).to_have_attribute("title", "1.png")
    annotator.screenshot("filmstrip")
    hint, film = annotator("#hint").bounding_box(), annotator("#film").bounding_box()
    assert hint is not None
    assert film is not None
    assert hint["y"] + hint["height"] <= film["y"]
    click_middle(annotator)
    first = annotator.mask()
    assert first.shape == (60, 80)
    assert first.max() == 1
    annotator.press("d")
    annotator.wait_for_status("1.png is done")
    assert states(annotator) == ["done", "new", "new"]
    go(annotator, "PageDown", "2.png")
    click_middle(annotator)
    expect(annotator("#film-row button").nth(1)).to_have_attribute("data-state", "labelled")
    go(annotator, "PageDown", "10.png")
    annotator.press("PageDown")
    annotator.wait_for_status("This is the last image")
    annotator.wait_until_saved()
    annotator.reload()
    expect(annotator("#file")).to_contain_text("10.png")
    expect(annotator("#film-count")).to_have_text("Image 3 of 3 · 1 done")
    assert states(annotator) == ["done", "labelled", "new"]
    annotator("#film-row button").first.click()
    annotator.wait_for_status("1.png is open")
    assert np.array_equal(annotator.mask(), first)
    annotator("#film-done").click()
    annotator.wait_for_status("1.png is not done")
    assert states(annotator) == ["labelled", "labelled", "new"]
    # A deleted image leaves the set; a closed set keeps its images.
    kept_names(annotator)
    annotator("button[aria-label='Delete 2.png']").click()
    annotator("#question").get_by_role("button", name="Delete").click()
    expect(annotator("#film-row button")).to_have_count(2)
    expect(annotator("#library-list li")).to_have_count(2)
    annotator.press("Escape")
    annotator("#film-close").click()
    expect(annotator("#film")).to_be_hidden()
    assert sorted(kept_names(annotator)) == ["1.png", "10.png"]


@pytest.mark.slow
def test_the_next_image_is_segmented_in_advance(annotator: Annotator, pictures: list[Path]) -> None:
    sent: list[str] = []
    annotator.page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    open_set(annotator, pictures)
    two = """async () => {
      const { Store } = await import('/page/store.js');
      const store = await Store.open();
      const all = await Promise.all((await store.cards()).map(({ key }) => store.read(key)));
      return all.filter(({ image }) => image.spx).length;
    }"""
    for _ in range(100):
        if annotator.page.evaluate(two) == 2:
            break
        annotator.page.wait_for_timeout(100)
    assert len(sent) == 2
    annotator.page.route("**/api/segment*", lambda route: route.abort())
    go(annotator, "PageDown", "2.png")
    click_middle(annotator)
    assert annotator.mask().max() == 1
    annotator.press("PageDown")  # this one needs the server
    expect(annotator("#problem-detail")).to_contain_text("does not answer")
    annotator.page.unroute("**/api/segment*")
    go(annotator, "PageDown", "10.png")
    assert all("ERR_FAILED" in complaint for complaint in annotator.complaints)
    annotator.complaints.clear()


@pytest.mark.slow
def test_a_dropped_folder(annotator: Annotator, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(["b.png", "a2.png", "a10.png", "more/c.png", ".hidden.png"]):
        picture(folder, name, number)
    (folder / "notes.txt").write_text("no image")
    (folder / "broken.png").write_bytes(b"no image")
    drop(annotator, folder)
    annotator.wait_for_status("4 images in the set; not images, or too large: broken.png")
    titles = [one.get_attribute("title") for one in annotator("#film-row button").all()]
    assert titles == ["a2.png", "a10.png", "b.png", "c.png"]
    expect(annotator("#file")).to_contain_text("a2.png")
    # By the button, and into the set that there is.
    other = tmp_path / "other"
    other.mkdir()
    picture(other, "z.png", 9)
    annotator("#folder-input").set_input_files(other)
    annotator.wait_for_status("z.png: ")
    expect(annotator("#film-row button")).to_have_count(5)
    expect(annotator("#file")).to_contain_text("z.png")


@pytest.mark.slow
def test_one_list_of_classes(annotator: Annotator, pictures: list[Path], tmp_path: Path) -> None:
    open_set(annotator, pictures)
    class_name(annotator, 1, "Saucer")
    annotator.press("2")
    click_middle(annotator)
    go(annotator, "PageDown", "2.png")
    assert annotator("#classes input[type=text]").nth(1).input_value() == "Saucer"
    annotator("button[aria-label='Remove Saucer']").click()  # nothing has it here
    annotator("#add-class").click()
    class_name(annotator, 2, "Spoon")
    annotator("#classes input[type=color]").nth(2).fill("#112233")
    click_middle(annotator)
    assert annotator.mask().max() == 3
    go(annotator, "PageDown", "10.png")
    assert annotator.class_names() == ["Class 1", "Class 3", "Spoon"]
    go(annotator, "PageUp", "2.png")
    go(annotator, "PageUp", "1.png")  # here the class has labels: it stays
    assert annotator.class_names() == ["Class 1", "Saucer", "Class 3", "Spoon"]
    assert annotator.mask().max() == 2

    kept_names(annotator)
    with annotator.page.expect_download() as download:
        annotator("#classes-save").click()
    saved = json.loads(Path(download.value.path()).read_text())
    assert (saved["format"], saved["version"]) == ("superpixel-classes", 1)
    assert [(one["id"], one["name"]) for one in saved["classes"]] == [
        (1, "Class 1"),
        (2, "Saucer"),
        (3, "Class 3"),
        (4, "Spoon"),
    ]
    assert saved["classes"][3]["color"] == "#112233"
    annotator.press("Escape")

    # The PNG masks have the values of the set, whatever a class's place in an image's list.
    archive = export_all(annotator, "png")
    legend = json.loads(archive.read("masks/legend.json"))["classes"]
    assert [(one["value"], one["name"]) for one in legend] == [
        (1, "Class 1"),
        (2, "Saucer"),
        (3, "Class 3"),
        (4, "Spoon"),
    ]
    masks = {name: read_mask(io.BytesIO(archive.read(f"masks/{name}.png"))) for name in "12"}  # type: ignore[arg-type]
    assert set(np.unique(masks["1"])) == {0, 2}
    assert set(np.unique(masks["2"])) == {0, 4}
    assert "masks/10.png" not in archive.namelist()

    loaded = {"format": "superpixel-classes", "version": 1, "classes": saved["classes"][1:2]}
    loaded["classes"] = [{"id": 4, "name": "Ladle", "color": "#445566"}, {"name": "Fork", "color": "#000001"}]
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(loaded))
    annotator("#classes-input").set_input_files(path)
    annotator.wait_for_status("The file has 2 classes")
    assert annotator.class_names() == ["Class 1", "Saucer", "Class 3", "Ladle", "Fork"]
    class_name(annotator, 4, "Ladle")  # a data set needs different names
    listed = json.loads(export_all(annotator, "coco-rle").read("classes.json"))["classes"]
    assert [one["name"] for one in listed] == ["Class 1", "Saucer", "Class 3", "Ladle", "Ladle (2)"]
    assert [one["id"] for one in listed] == [1, 2, 3, 4, 5]
    class_name(annotator, 4, "Fork")
    one = {"name": "a", "color": "#000000"}
    cases: list[tuple[Any, str]] = [
        ([], "format must be"),
        ({**loaded, "version": 2}, "version 2"),
        ({**loaded, "classes": []}, "must be 1 to 254"),
        ({**loaded, "classes": [one] * 255}, "must be 1 to 254"),
        ({**loaded, "classes": [{**one, "color": "red"}]}, "a color #rrggbb"),
        ({**loaded, "classes": [{**one, "id": 0}]}, "perhaps an id"),
        ({**loaded, "classes": [{**one, "id": 7}] * 2}, "the same id"),
    ]
    for content, text in cases:
        path.write_text(json.dumps(content))
        annotator("#classes-input").set_input_files(path)
        expect(annotator("#problem-detail")).to_have_text(re.compile(text))
        annotator("#problem-close").click()
    assert annotator.class_names() == ["Class 1", "Saucer", "Class 3", "Ladle", "Fork"]


def test_all_images_are_exported_as_one_data_set(
    annotator: Annotator, visit: Callable[..., Annotator], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    paths = [picture(tmp_path, "a.png", 1), picture(other, "a.png", 2), picture(tmp_path, "b.png", 3)]
    open_set(annotator, paths)
    masks = []
    for number in (1, 2):
        annotator.press(str(number))
        click_middle(annotator)
        masks.append(annotator.mask())
        if number == 1:
            annotator.press("PageDown")
            annotator.wait_for_status("a.png: ")
    annotator.wait_until_saved()
    classes = tuple(
        Class(f"Class {i + 1}", color) for i, color in enumerate(["#e69f00", "#56b4e9", "#009e73"])
    )
    annotations = [Annotation(mask, classes) for mask in masks]
    wanted = [
        to_coco(one, file_name=name) for one, name in zip(annotations, ["a.png", "a-2.png"], strict=True)
    ]

    archive = export_all(annotator, "coco")
    expect(annotator("#status")).to_contain_text("1 without work left out")
    coco = json.loads(archive.read("instances.json"))
    assert {"info", "licenses"} <= set(coco)
    assert [(one["id"], one["file_name"]) for one in coco["images"]] == [(1, "a.png"), (2, "a-2.png")]
    assert [one["name"] for one in coco["categories"]] == ["Class 1", "Class 2", "Class 3"]
    ids = [one["id"] for one in coco["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    for number, one in enumerate(wanted):
        mine = [found for found in coco["annotations"] if found["image_id"] == number + 1]
        assert [found["segmentation"] for found in mine] == [
            found["segmentation"] for found in one["annotations"]
        ]
        assert {found["category_id"] for found in mine} == {number + 1}
    assert archive.read("images/a.png") == paths[0].read_bytes()
    assert archive.read("images/a-2.png") == paths[1].read_bytes()

    archive = export_all(annotator, "yolo")
    assert archive.read("yolo/labels/train/a.txt").decode() == to_yolo(annotations[0])
    assert archive.read("yolo/labels/train/a-2.txt").decode() == to_yolo(annotations[1])
    assert archive.read("yolo/images/train/a-2.png") == paths[1].read_bytes()
    assert 'names:\n  0: "Class 1"\n  1: "Class 2"\n' in archive.read("yolo/data.yaml").decode()

    # Smooth polygons, if chosen; run lengths and masks stay exact.
    annotator("#film-export").click()
    annotator("#film-menu .smooth-polygons").check()
    annotator.press("Escape")
    expect(annotator("#film-menu")).to_be_hidden()
    coco = json.loads(export_all(annotator, "coco").read("instances.json"))
    smooth = [found for one in annotations for found in to_coco(one, simplify=1)["annotations"]]
    for key in ("segmentation", "area", "bbox"):
        assert [found[key] for found in coco["annotations"]] == [found[key] for found in smooth]
    assert smooth[0]["segmentation"] != wanted[0]["annotations"][0]["segmentation"]
    labels = export_all(annotator, "yolo").read("yolo/labels/train/a-2.txt").decode()
    assert labels == to_yolo(annotations[1], simplify=1) != to_yolo(annotations[1])
    exact = json.loads(export_all(annotator, "coco-rle").read("instances.json"))["annotations"]
    counts = [found["segmentation"] for one in annotations for found in to_coco(one, rle=True)["annotations"]]
    assert [found["segmentation"] for found in exact] == counts
    # It is the same choice as for a single image.
    annotator("#export-button").click()
    expect(annotator("#export-menu .smooth-polygons")).to_be_checked()
    annotator.press("Escape")

    archive = export_all(annotator, "png")
    with Image.open(io.BytesIO(archive.read("masks/a-2.png"))) as image:
        assert (image.getpalette() or [])[6:9] == [0x56, 0xB4, 0xE9]
        assert np.array_equal(np.asarray(image), masks[1])

    # The whole set in one project file.
    kept_names(annotator)
    with annotator.page.expect_download() as download:
        annotator("#library-save").click()
    fresh = visit(viewport={"width": 1200, "height": 700})
    fresh("#project-input").set_input_files(download.value.path())
    fresh.wait_for_status("The project has 3 images")
    expect(fresh("#film-row button")).to_have_count(3)
    assert sorted(str(state) for state in states(fresh)) == ["labelled", "labelled", "new"]


@pytest.mark.slow
def test_the_filmstrip_and_the_list_on_a_phone(visit: Callable[..., Annotator], pictures: list[Path]) -> None:
    annotator = visit(viewport={"width": 360, "height": 740})
    open_set(annotator, pictures)
    click_middle(annotator)
    annotator.press("d")
    annotator.screenshot("filmstrip-phone")
    header = annotator("header").bounding_box()
    export = annotator("#export-button").bounding_box()
    assert header is not None
    assert export is not None
    assert export["x"] + export["width"] <= header["width"]
    expect(annotator("#library-button svg")).to_be_in_viewport()
    expect(annotator("#film-done")).to_be_in_viewport()
    expect(annotator("#film-export")).to_be_in_viewport()
    annotator.page.evaluate(f"() => {{ {AXE.read_text()} }}")
    for opened in (False, True):
        if opened:
            kept_names(annotator)
            annotator.screenshot("kept-phone")
            expect(annotator("#library-room")).to_be_in_viewport()
        for scheme in ("dark", "light"):
            annotator.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            result = annotator.page.evaluate("axe.run()")
            faults = [
                f"{fault['id']}: {node['html']}"
                for fault in result["violations"]
                for node in fault["nodes"]
                if fault["impact"] in {"serious", "critical"}
            ]
            assert faults == [], (opened, scheme)
