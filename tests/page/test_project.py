"""Project files: saved, opened in a fresh profile, damaged."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.page.annotator import COFFEE, PHOTOS, Annotator
from tests.page.test_kept_work import drop, kept_names, stroke

CAT = PHOTOS / "chelsea.jpg"


def save_all(annotator: Annotator) -> bytes:
    kept_names(annotator)
    with annotator.page.expect_download() as download:
        annotator("#library-save").click()
    assert download.value.suggested_filename == "superpixels-project.zip"
    annotator.press("Escape")
    return Path(download.value.path()).read_bytes()


def open_project(annotator: Annotator, content: bytes, name: str = "project.zip") -> None:
    file = {"name": name, "mimeType": "application/zip", "buffer": content}
    annotator("#project-input").set_input_files(file)  # type: ignore[arg-type]


def changed(project: bytes, edit: Callable[[dict[str, Any]], object], **files: bytes) -> bytes:
    """The project with another index and other files; Python compresses all of it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(project)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        index = json.loads(old.read("project.json"))
        edit(index)
        for name in old.namelist():
            if name != "project.json":
                new.writestr(name, files.get(name.rpartition("/")[2].partition(".")[0], old.read(name)))
        new.writestr("project.json", json.dumps(index))
    return out.getvalue()


@pytest.fixture
def project(annotator: Annotator) -> tuple[Annotator, bytes, np.ndarray, np.ndarray]:
    """A project of two images, and their masks."""
    annotator.open(CAT)
    cat = stroke(annotator, 100)
    annotator.open(COFFEE)
    annotator("#classes input[type=text]").nth(1).fill("Saucer")
    annotator("#classes input[type=text]").nth(1).press("Enter")
    annotator.press("2")
    coffee = stroke(annotator)
    annotator.wait_until_saved()
    return annotator, save_all(annotator), coffee, cat


def test_a_project_opens_in_a_fresh_profile(
    project: tuple[Annotator, bytes, np.ndarray, np.ndarray], visit: Callable[..., Annotator], tmp_path: Path
) -> None:
    _, content, coffee, cat = project
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.read("images/1/coffee.jpg") == COFFEE.read_bytes()
        index = json.loads(archive.read("project.json"))
        assert (index["format"], index["version"]) == ("superpixel-project", 1)
        assert [image["name"] for image in index["images"]] == ["coffee.jpg", "chelsea.jpg"]
        assert index["classes"][1]["name"] == "Saucer"
        assert archive.read("images/1/map.spx")[:4] == b"SPXL"
        assert json.loads(archive.read("images/1/selection.json"))["format"] == "superpixel-selection"

    fresh = visit(viewport={"width": 1200, "height": 700})
    sent: list[str] = []
    fresh.page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    open_project(fresh, changed(content, lambda _: None))  # also if another program has packed it again
    fresh.wait_for_status("The project has 2 images")
    assert np.array_equal(fresh.mask(), coffee)
    assert fresh("#classes input[type=text]").nth(1).input_value() == "Saucer"
    fresh.reload()
    assert np.array_equal(fresh.mask(), coffee)
    fresh.reopen(CAT)
    assert np.array_equal(fresh.mask(), cat)
    assert sent == []

    # Dropped on the page. Other work of the same image is not replaced unasked.
    newer = stroke(fresh, 200)
    fresh.wait_until_saved()
    path = tmp_path / "dropped.zip"
    path.write_bytes(content)
    drop(fresh, path)
    expect(fresh("#question")).to_contain_text("other work on chelsea.jpg")
    fresh("#question").get_by_role("button", name="Keep mine").click()
    fresh.wait_for_status("your own work on 2 images stays")
    fresh.reopen(CAT)
    assert np.array_equal(fresh.mask(), newer)
    open_project(fresh, content)
    fresh("#question").get_by_role("button", name="Take the file's").click()
    fresh.wait_for_status("The project has 2 images")
    fresh.reopen(CAT)
    assert np.array_equal(fresh.mask(), cat)


def edit(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda index: index["images"][0].update({key: value})


@pytest.mark.slow
def test_damaged_projects_are_rejected(
    project: tuple[Annotator, bytes, np.ndarray, np.ndarray],
) -> None:
    annotator, content, coffee, _ = project
    at = content.index(b"\xff\xd8\xff", 100) + 5000
    flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("project.json", b" " * 40_000_000)
    empty = io.BytesIO()
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("notes.txt", "nothing")
    selection = {"format": "superpixel-selection", "version": 1}
    cases: list[tuple[bytes, str]] = [
        (content[: len(content) // 2], "its end is missing"),
        (content[1000:], "its directory lies outside of it|not where it should be"),
        (flipped, "not those that were written"),
        (bomb.getvalue(), "at most 32 MB are read"),
        (empty.getvalue(), "has no project.json"),
        (b"no archive", "its end is missing"),
        (b"", "its end is missing"),
        (changed(content, lambda index: index.update(version=2)), "It has version 2"),
        (changed(content, lambda index: index.update(format="x")), "does not say"),
        (changed(content, lambda index: index.update(images=3)), "images: must be"),
        (changed(content, lambda index: index.update(images=[None])), "each must have a name"),
        (changed(content, lambda index: index.update(classes=[{"name": "a", "color": "red"}])), "classes"),
        (changed(content, edit("image", "images/1/../../x")), "is missing"),
        (changed(content, edit("map", 7)), "path is missing"),
        (changed(content, edit("compactness", "10")), "compactness"),
        (changed(content, edit("count", -1)), "count"),
        (changed(content, edit("guidance", {"name": "x"})), "guidance"),
        (changed(content, edit("image", "images/1/map.spx")), "the browser cannot show it"),
        (changed(content, edit("map", "images/2/map.spx")), "another size"),
        (changed(content, lambda _: None, selection=b"[1,"), "is not JSON"),
        (
            changed(content, lambda _: None, selection=json.dumps(selection).encode()),
            "must be a superpixel-sel",
        ),
        (changed(content, lambda _: None, map=b"SPXL"), "ends|truncated|header|bytes"),
    ]
    for damaged, text in cases:
        open_project(annotator, damaged)
        expect(annotator("#problem-detail")).to_have_text(re.compile(text))
        annotator("#problem-close").click()
    assert np.array_equal(annotator.mask(), coffee)
    assert len(kept_names(annotator)) == 2
