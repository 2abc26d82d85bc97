"""Work is kept: many images, a full storage, a stopped gateway, an older database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Dialog, expect

from tests.page.annotator import COFFEE, PHOTOS, Annotator
from tests.page.conftest import new_context, running_app
from tests.service.harness import RunningServer

CAT = PHOTOS / "chelsea.jpg"


def picture(folder: Path, name: str, seed: int, size: tuple[int, int] = (80, 60)) -> Path:
    path = folder / name
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path


def click_middle(annotator: Annotator) -> None:
    box = annotator("#stage").bounding_box()
    assert box is not None
    annotator.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def stroke(annotator: Annotator, y: int = 150) -> NDArray[np.uint8]:
    """Brush along a line; returns the mask."""
    at = annotator.actual_size()
    annotator.drag(at(150, y), at(250, y))
    return annotator.mask()


def drop(annotator: Annotator, *paths: Path) -> None:
    """Drop files or folders on the page, as the browser does."""
    session = annotator.page.context.new_cdp_session(annotator.page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 400, "data": data})


class Limited:
    """A fresh profile whose storage has a limit."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.context = new_context(browser)
        page = self.context.new_page()
        self._session = self.context.new_cdp_session(page)
        self._origin = address.rstrip("/")
        # The limit must be there before the page uses its storage: Chromium remembers how much is free.
        page.goto(f"{address}src/index.js")
        self.set_quota(4_000_000)
        self.annotator = Annotator(page, address)
        self.annotator.arrive()

    def set_quota(self, quota: int) -> None:
        limits = {"origin": self._origin, "quotaSize": quota}
        self._session.send("Storage.overrideQuotaForOrigin", limits)

    def fill(self) -> None:
        """Use up the room that is left."""
        self.annotator.page.evaluate(FILL)


FILL = """async () => {
  const request = indexedDB.open('filler', 1);
  request.onupgradeneeded = () => request.result.createObjectStore('data', { autoIncrement: true });
  await new Promise((resolve) => (request.onsuccess = resolve));
  for (let size = 2 ** 20; size >= 64; size /= 2) {
    for (let fits = true; fits; ) {
      const transaction = request.result.transaction('data', 'readwrite');
      transaction.objectStore('data').put(crypto.getRandomValues(new Uint8Array(Math.min(size, 65536))));
      for (let more = size; more > 65536; more -= 65536)
        transaction.objectStore('data').put(crypto.getRandomValues(new Uint8Array(65536)));
      fits = await new Promise((resolve) => {
        transaction.oncomplete = () => resolve(true);
        transaction.onabort = () => resolve(false);
      });
    }
  }
}"""


@pytest.fixture
def limited(browser: Browser, address: str) -> Iterator[Limited]:
    made = Limited(browser, address)
    yield made
    made.context.close()
    assert made.annotator.complaints == []


def kept_names(annotator: Annotator) -> list[str]:
    """What the list of kept images shows."""
    if not annotator("#library").is_visible():
        annotator("#library-button").click()
    expect(annotator("#library-room")).not_to_be_empty()
    return annotator("#library-list b").all_inner_texts()


@pytest.mark.slow
def test_labelled_images_are_never_deleted_unasked(annotator: Annotator, tmp_path: Path) -> None:
    paths = [picture(tmp_path, f"{number}.png", number) for number in range(25)]
    for path in paths:
        annotator.open(path)
        click_middle(annotator)
        annotator.wait_until_saved()
    assert sorted(kept_names(annotator)) == sorted(path.name for path in paths)
    expect(annotator("#library-list li").first).to_contain_text("labelled")
    annotator.screenshot("kept")
    annotator("#library-list button[aria-label='Open 0.png']").click()
    annotator.wait_for_status("0.png is open")
    assert annotator.mask().max() == 1
    annotator.reload()
    assert len(kept_names(annotator)) == 25


@pytest.mark.slow
def test_an_image_is_deleted_after_a_question(annotator: Annotator, tmp_path: Path) -> None:
    first = picture(tmp_path, "first.png", 1)
    annotator.open(first)
    click_middle(annotator)
    annotator.open(picture(tmp_path, "second.png", 2))
    annotator.wait_until_saved()
    assert kept_names(annotator) == ["second.png", "first.png"]
    expect(annotator("button[aria-label='Delete second.png']")).to_be_disabled()  # it is open
    annotator("button[aria-label='Delete first.png']").click()
    annotator.press("Escape")
    assert len(kept_names(annotator)) == 2
    annotator("button[aria-label='Delete first.png']").click()
    expect(annotator("#question")).to_contain_text("all work on it")
    annotator("#question").get_by_role("button", name="Delete").click()
    expect(annotator("#library-list li")).to_have_count(1)
    annotator.press("Escape")
    annotator.open(first)  # segmented anew
    assert annotator.mask().max() == 0


def test_a_full_storage_loses_nothing(limited: Limited) -> None:
    annotator = limited.annotator
    annotator.open(COFFEE)
    before = stroke(annotator)
    annotator.wait_until_saved()
    limited.fill()
    coffee = stroke(annotator, 250)
    assert not np.array_equal(coffee, before)
    expect(annotator("#banner-unsaved")).to_contain_text("storage is full")
    # Another image, and back: both are in memory.
    annotator.open(CAT)
    cat = stroke(annotator, 100)
    annotator.reopen(COFFEE)
    assert np.array_equal(annotator.mask(), coffee)
    expect(annotator("#banner-unsaved")).to_be_visible()
    annotator.screenshot("storage-full")
    with annotator.page.expect_download() as download:
        annotator("#banner-unsaved").get_by_role("button", name="Save project file").click()
    assert Path(download.value.path()).stat().st_size > COFFEE.stat().st_size + CAT.stat().st_size
    limited.set_quota(1_000_000_000)
    annotator.press("b")  # any change, also of a setting, writes again
    annotator.wait_until_saved()
    expect(annotator("#banner-unsaved")).to_have_count(0)
    annotator.reload()
    assert np.array_equal(annotator.mask(), coffee)
    annotator.reopen(CAT)
    assert np.array_equal(annotator.mask(), cat)


@pytest.mark.slow
def test_a_page_that_closes_with_a_full_storage(limited: Limited) -> None:
    """The browser asks the user; then the last resort is localStorage."""
    annotator = limited.annotator
    limited.fill()
    annotator.open(COFFEE)
    mask = stroke(annotator)
    expect(annotator("#banner-unsaved")).to_contain_text("storage is full")
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    annotator.page.on("dialog", leave)
    annotator.page.reload()
    annotator.wait_until_ready()
    assert asked == ["beforeunload"]
    annotator.open(COFFEE)
    assert np.array_equal(annotator.mask(), mask)
    # A deleted image is not written again, also if it was in memory only.
    annotator.open(CAT)
    annotator.wait_for_status("chelsea.jpg: ")
    kept_names(annotator)
    annotator("button[aria-label='Delete coffee.jpg']").click()
    annotator("#question").get_by_role("button", name="Delete").click()
    expect(annotator("#library-list li")).to_have_count(1)
    annotator.press("Escape")
    annotator.open(COFFEE)
    assert annotator.mask().max() == 0
    limited.set_quota(1_000_000_000)


@pytest.mark.slow
def test_images_without_work_go_first_and_only_if_room_is_needed(limited: Limited, tmp_path: Path) -> None:
    annotator = limited.annotator
    for number in range(3):
        annotator.open(picture(tmp_path, f"labelled{number}.png", number, (400, 300)))
        click_middle(annotator)
        annotator.wait_until_saved()
    for number in range(3, 6):
        annotator.open(picture(tmp_path, f"idle{number}.png", number, (400, 300)))
        annotator.wait_until_saved()
    assert len(kept_names(annotator)) == 6
    annotator.press("Escape")
    limited.fill()
    annotator.open(picture(tmp_path, "last.png", 7, (400, 300)))
    click_middle(annotator)
    annotator.wait_until_saved()
    expect(annotator("#banner-room")).to_contain_text("nearly full")
    expect(annotator("#banner-unsaved")).to_have_count(0)
    names = kept_names(annotator)
    assert {"last.png", "labelled0.png", "labelled1.png", "labelled2.png"} <= set(names)
    assert "idle3.png" not in names  # the one opened longest ago
    # Images of a set stay, too: what has no room is in memory.
    annotator.press("Escape")
    limited.set_quota(8_000_000)
    members = [picture(tmp_path, f"set{number}.png", 10 + number, (400, 300)) for number in range(2)]
    annotator("#file-input").set_input_files(members)
    annotator.wait_for_status("2 images in the set")
    kept_names(annotator)
    annotator("#library-clean").click()  # those that are not in the set
    annotator("#question").get_by_role("button", name="Delete").click()
    expect(annotator("#library-list li")).to_have_count(6)
    annotator.press("Escape")
    limited.fill()
    annotator.open(picture(tmp_path, "set2.png", 12, (400, 300)))
    expect(annotator("#banner-unsaved")).to_be_visible()
    assert {"set0.png", "set1.png", "set2.png"} <= set(kept_names(annotator))
    limited.set_quota(100_000_000)


@pytest.mark.slow
def test_the_browser_is_asked_to_keep_labelled_work(visit: Callable[..., Annotator]) -> None:
    annotator = visit(viewport={"width": 1200, "height": 700})
    annotator.page.add_init_script(
        "window.asked = 0; navigator.storage.persist = async () => { window.asked++; return false; }"
    )
    annotator.reload()
    annotator.open(COFFEE)
    annotator.wait_until_saved()
    assert annotator.page.evaluate("window.asked") == 0
    stroke(annotator)
    annotator.wait_until_saved()
    stroke(annotator, 250)
    annotator.wait_until_saved()
    assert annotator.page.evaluate("window.asked") == 1
    kept_names(annotator)
    expect(annotator("#library-room")).to_contain_text("may delete all of them")


@pytest.mark.slow
def test_the_work_outlives_the_gateway(server: RunningServer, usual_context: BrowserContext) -> None:
    with running_app("--server", server.listen) as address:
        annotator = Annotator(usual_context.new_page(), address)
        annotator.arrive()
        annotator.open(COFFEE)
        stroke(annotator)
    mask = stroke(annotator, 250)
    annotator.wait_until_saved()
    for kind in ("coco", "geojson", "yolo"):
        assert annotator.export(kind)[1]
    assert annotator.export("project")[0] == "coffee-project.zip"
    annotator("#file-input").set_input_files(CAT)
    expect(annotator("#problem-detail")).to_contain_text("The gateway does not answer")
    assert np.array_equal(annotator.mask(), mask)
    assert all("ERR_CONNECTION_REFUSED" in complaint for complaint in annotator.complaints)
    annotator.page.close()


OLDER_DATABASE = """async ([image, work, settings]) => {
  const old = await new Promise((resolve, reject) => {
    const request = indexedDB.open('superpixel-app', 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('images', { keyPath: 'key' });
      request.result.createObjectStore('works', { keyPath: 'key' });
      request.result.createObjectStore('settings');
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const transaction = old.transaction(['images', 'works', 'settings'], 'readwrite');
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const blob = new Blob([bytes(image.blob)], { type: 'image/jpeg' });
  transaction.objectStore('images').put({ ...image, blob, spx: bytes(image.spx).buffer });
  transaction.objectStore('works').put(work);
  transaction.objectStore('settings').put(settings, 'page');
  await new Promise((resolve) => (transaction.oncomplete = resolve));
  window.old = old;
}"""

EVERYTHING = """async () => {
  const { Store } = await import('/page/store.js');
  const store = await Store.open();
  const { last, ...settings } = await store.readSettings();
  const { image, work } = await store.read(last);
  delete work.changed;
  const text = async (data) => btoa(Array.from(new Uint8Array(data), (c) => String.fromCharCode(c)).join(''));
  const { key, name, compactness } = image;
  const blob = await text(await image.blob.arrayBuffer());
  const spx = await text(image.spx);
  return [{ key, name, compactness, opened: 1e12, blob, spx }, work, { ...settings, last }];
}"""


@pytest.mark.slow
def test_an_older_database_keeps_its_work(visit: Callable[..., Annotator], address: str) -> None:
    annotator = visit()
    annotator.open(COFFEE)
    mask = stroke(annotator)
    annotator.wait_until_saved()
    everything = annotator.page.evaluate(EVERYTHING)

    other = visit(viewport={"width": 1200, "height": 700})  # a fresh profile
    page = other.page
    page.goto(f"{address}src/index.js")  # runs no script
    page.evaluate("new Promise((done) => (indexedDB.deleteDatabase('superpixel-app').onsuccess = done))")
    page.evaluate(OLDER_DATABASE, everything)
    # The tab with the older page is still open: the newer one waits, and says for what.
    second = Annotator(page.context.new_page(), address)
    second.page.goto(address)
    expect(second("#banner-older")).to_contain_text("older version")
    page.evaluate("window.old.close()")
    second.wait_until_ready()
    expect(second("#banner-older")).to_have_count(0)
    assert np.array_equal(second.mask(), mask)
    second("#undo").click()
    assert second.mask().max() == 0
    assert kept_names(second) == ["coffee.jpg"]
    expect(second("#library-list li")).to_contain_text("labelled")
    assert second.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["locks", "storage"])
def test_the_page_works_without(missing: str, visit: Callable[..., Annotator]) -> None:
    """Browsers offer these to secure pages only."""
    annotator = visit(viewport={"width": 1200, "height": 700})
    annotator.page.add_init_script(f"Object.defineProperty(navigator, '{missing}', {{ value: undefined }})")
    annotator.reload()
    annotator.open(COFFEE)
    mask = stroke(annotator)
    annotator.wait_until_saved()
    annotator.reload()
    assert np.array_equal(annotator.mask(), mask)
    assert kept_names(annotator) == ["coffee.jpg"]
