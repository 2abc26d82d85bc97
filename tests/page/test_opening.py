"""Images: opened, dropped, pasted, rejected, and back after a reload."""

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from superpixel_service.client import Client, SegmentError
from tests.page.annotator import COFFEE, COFFEE_SHAPE, PHOTOS, Annotator
from tests.page.expected import brushed, labels_of, swept
from tests.service.harness import RunningServer

CAT = PHOTOS / "chelsea.jpg"


def stroke(annotator: Annotator) -> np.ndarray:
    """The mask of a stroke from (200, 150) to (330, 150) at the current size."""
    touched = swept(COFFEE_SHAPE, (200, 150), (330, 150), 3)
    return brushed(np.zeros(COFFEE_SHAPE, np.uint8), labels_of(COFFEE, annotator.count()), touched, 1)


def test_drop_and_paste(annotator: Annotator) -> None:
    script = """([kind, data, name]) => {
      const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], name, { type: 'image/jpeg' }));
      const options = { bubbles: true, cancelable: true };
      const event = kind === 'paste'
        ? new ClipboardEvent('paste', { ...options, clipboardData: transfer })
        : new DragEvent(kind, { ...options, dataTransfer: transfer });
      document.querySelector('#stage').dispatchEvent(event);
    }"""
    page = annotator.page
    coffee, cat = (base64.b64encode(path.read_bytes()).decode() for path in (COFFEE, CAT))
    page.evaluate(script, ["dragover", coffee, "dropped.jpg"])
    expect(annotator("#drop")).to_be_visible()
    page.evaluate(script, ["drop", coffee, "dropped.jpg"])
    annotator.wait_for_status("dropped.jpg: ")
    expect(annotator("#drop")).to_be_hidden()
    at = annotator.actual_size()
    annotator.drag(at(100, 100), at(200, 100))
    mask = annotator.mask()
    page.evaluate(script, ["paste", cat, "pasted.jpg"])
    annotator.wait_for_status("pasted.jpg: ")
    assert annotator.mask().shape == (300, 451)
    # The same image again: the work on it is back.
    page.evaluate(script, ["paste", coffee, "again.jpg"])
    annotator.wait_for_status("opened before")
    assert np.array_equal(annotator.mask(), mask)


@pytest.mark.slow
def test_an_image_that_arrives_during_a_stroke_waits_for_its_end(annotator: Annotator) -> None:
    # The worker reads label maps in order: after this one, that of the image is read, too.
    after_the_map = """async () => {
      const { decode } = await import('/src/index.js');
      await decode(new Uint8Array(0), { worker: true }).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 200));
    }"""
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.begin_drag(at(200, 150))
    annotator("#file-input").set_input_files(CAT)
    expect(annotator("#status")).to_have_text("Reading the label map…")
    annotator.page.evaluate(after_the_map)
    expect(annotator("#progress")).to_be_visible()
    expect(annotator("#status")).not_to_be_empty()
    expect(annotator("#file")).to_contain_text("coffee.jpg")
    annotator.page.mouse.move(*at(330, 150), steps=5)
    annotator.page.mouse.up()
    annotator.wait_for_status("chelsea.jpg: ")
    assert annotator.mask().shape == (300, 451)
    # The first image has the whole stroke.
    annotator.reopen(COFFEE)
    assert np.array_equal(annotator.mask(), stroke(annotator))


@pytest.mark.slow
def test_very_small_images(annotator: Annotator, tmp_path: Path) -> None:
    box = annotator("#stage").bounding_box()
    assert box is not None
    for width, height in [(1, 1), (900, 1), (2, 7)]:
        path = tmp_path / f"{width}x{height}.png"
        Image.new("RGB", (width, height), (10, 200, 30)).save(path)
        annotator.open(path)
        annotator.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        mask = annotator.mask()
        assert mask.shape == (height, width)
        assert mask.max() == 1
        for kind in ("coco", "coco-rle", "label-studio", "geojson", "yolo"):
            assert annotator.export(kind)[1], (path.name, kind)


def test_a_too_large_file_is_not_read(annotator: Annotator, tmp_path: Path) -> None:
    expect(annotator("#backend")).to_have_text(re.compile("superpixel"))  # the server's limit is known
    path = tmp_path / "film.png"
    with path.open("wb") as file:
        file.truncate(600_000_000)
    sent: list[str] = []
    annotator.page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    annotator("#file-input").set_input_files(path)
    expect(annotator("#problem-detail")).to_have_text(
        "the image is too large: 600 MB, at most 3 MB are accepted"
    )
    expect(annotator("#problem-facts")).to_contain_text("IMAGE_TOO_MANY_BYTES")
    assert sent == []


def test_a_rejected_image_shows_the_servers_text(
    annotator: Annotator, server: RunningServer, tmp_path: Path
) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(150, 100), at(200, 100))
    before = annotator.mask()
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(COFFEE.read_bytes()[:9000])
    huge = tmp_path / "huge.png"
    Image.new("L", (4000, 1001)).save(huge)
    for path in (broken, huge):
        with Client(server.listen) as client, pytest.raises(SegmentError) as rejected:
            client.segment(path, areas=64.0)
        annotator("#file-input").set_input_files(path)
        expect(annotator("#problem-detail")).to_have_text(rejected.value.message)
        expect(annotator("#problem-facts")).to_contain_text(rejected.value.reason)
        expect(annotator("#progress")).to_be_hidden()
    annotator.screenshot("refused")
    annotator("#problem-close").click()
    expect(annotator("#problem")).to_be_hidden()
    assert np.array_equal(annotator.mask(), before)
    # The browser itself logs error statuses.
    assert all("status of 400" in complaint for complaint in annotator.complaints)
    annotator.complaints.clear()


def test_a_reload_right_after_a_stroke_keeps_it(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    annotator.wait_until_saved()
    at = annotator.actual_size()
    annotator.drag(at(200, 150), at(330, 150))
    annotator.reload()
    assert np.array_equal(annotator.mask(), stroke(annotator))


@pytest.mark.slow
def test_a_reload_while_changes_are_written_keeps_them(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    annotator.wait_until_saved()
    at = annotator.actual_size()
    # Another transaction goes on and on, so the page's own cannot begin.
    annotator.page.evaluate(
        """async () => {
          const { Store } = await import('/page/store.js');
          const { _database: database } = await Store.open();
          const transaction = database.transaction(['images', 'works', 'settings'], 'readwrite');
          const works = transaction.objectStore('works');
          const again = () => (works.count().onsuccess = again);
          again();
        }"""
    )
    annotator.drag(at(200, 150), at(330, 150))
    annotator.page.evaluate("new Promise((done) => setTimeout(done, 500))")  # the page waits 400
    expect(annotator("html[data-saved=false]")).to_be_attached()
    annotator.reload()
    assert np.array_equal(annotator.mask(), stroke(annotator))


def test_no_image_is_forgotten(annotator: Annotator) -> None:
    others = """async () => {
      const { Store } = await import('/page/store.js');
      const store = await Store.open();
      const blob = new Blob([]);
      for (let i = 0; i < 25; i++) {
        const image = { key: `${i}`, name: `${i}`, blob, spx: new ArrayBuffer(0), compactness: 10 };
        const work = { key: `${i}`, selection: null, count: 1 };
        await store.write({ image, work, card: { opened: Date.now() } });
      }
    }"""
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(200, 150), at(330, 150))
    mask = annotator.mask()
    annotator.wait_until_saved()
    annotator.page.evaluate(others)
    annotator.reload()
    assert np.array_equal(annotator.mask(), mask)
    annotator("#library-button").click()
    expect(annotator("#library-list li")).to_have_count(26)
