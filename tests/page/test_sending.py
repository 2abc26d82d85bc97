"""Images on their way to the server: shown at once, percentage, cancel; errors for labellers; formats."""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route, expect

from tests.page.annotator import COFFEE, PHOTOS, Annotator
from tests.page.conftest import new_context, running_app
from tests.service.harness import RunningServer

CAT = PHOTOS / "chelsea.jpg"


def noise(path: Path) -> Path:
    """A photograph of about a megabyte, which a slow line needs a while for."""
    image = np.random.default_rng(1).integers(0, 256, (500, 700, 3), np.uint8)
    Image.fromarray(image).save(path)
    return path


def test_an_image_is_shown_while_it_is_sent(annotator: Annotator, tmp_path: Path) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(200, 150), at(300, 150))
    mask = annotator.mask()
    session = annotator.page.context.new_cdp_session(annotator.page)
    session.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 150_000}
    session.send("Network.emulateNetworkConditions", slow)
    path = noise(tmp_path / "noise.png")
    annotator("#file-input").set_input_files(path)
    expect(annotator("#sending")).to_be_visible()
    expect(annotator("#preview")).to_be_visible()
    box = annotator("#stage").bounding_box()
    assert box is not None
    colors = annotator.pixels((box["x"] + box["width"] / 2 - 50, box["y"] + 300), 100, 100)
    assert colors.std() > 30  # the noise, not the coffee
    expect(annotator("#sending-text")).to_have_text(re.compile(r"^Sending noise\.png: [1-9]\d? %$"))
    annotator.screenshot("sending")
    # Undo does not work on an image that cannot be seen.
    annotator.press("Control+z")
    annotator("#sending-cancel").click()
    expect(annotator("#sending")).to_be_hidden()
    expect(annotator("#preview")).to_be_hidden()
    expect(annotator("#status")).to_have_text("Cancelled")
    expect(annotator("#progress")).to_be_hidden()
    expect(annotator("#problem")).to_be_hidden()
    assert np.array_equal(annotator.mask(), mask)
    # What is shown lies where it will lie.
    session.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    routes: list[Route] = []
    annotator.page.route("**/api/segment*", lambda route: routes.append(route))
    annotator("#file-input").set_input_files(CAT)
    expect(annotator("#preview")).to_be_visible()
    annotator.press("v")
    before = annotator.pixels((box["x"], box["y"] + 60), int(box["width"]), int(box["height"]) - 60)
    assert len(routes) == 1
    routes[0].continue_()
    annotator.wait_for_status("chelsea.jpg: ")
    annotator.page.mouse.move(0, 0)
    after = annotator.pixels((box["x"], box["y"] + 60), int(box["width"]), int(box["height"]) - 60)
    assert np.mean(np.abs(before.astype(int) - after)) < 3


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.slow
def test_other_formats_that_the_browser_shows_are_sent_as_png(annotator: Annotator) -> None:
    image = np.full((160, 240, 3), (200, 60, 60), np.uint8)
    image[40:120, 60:180] = (60, 60, 200)
    blue = np.zeros((160, 240), np.uint8)
    blue[40:120, 60:180] = 1
    for kind, mime in (("BMP", "image/bmp"), ("GIF", "image/gif"), ("AVIF", "image/avif")):
        file = f"small.{kind.lower()}"
        buffer = encoded(Image.fromarray(image), kind)
        annotator("#file-input").set_input_files({"name": file, "mimeType": mime, "buffer": buffer})
        annotator.wait_for_status(f"{file}: ")
        at = annotator.actual_size()
        annotator.press("f")
        annotator.page.mouse.click(*at(120, 80))
        # AVIF is lossy: superpixels at the edge may differ.
        assert np.mean(annotator.mask() == blue) > (0.97 if kind == "AVIF" else 0.9999), kind
        assert annotator.export("yolo")[0] == "small.txt"
    # After a reload, the converted image is shown again.
    mask = annotator.mask()
    annotator.wait_until_saved()
    annotator.reload()
    assert np.array_equal(annotator.mask(), mask)


@pytest.fixture
def own_app(server: RunningServer) -> Iterator[tuple[str, Callable[[], None]]]:
    """A page whose gateway can be stopped."""
    running = running_app("--server", server.listen)
    address = running.__enter__()
    open_ = [True]

    def stop() -> None:
        if open_.pop() if open_ else False:
            running.__exit__(None, None, None)

    yield address, stop
    stop()


@pytest.mark.slow
def test_with_the_gateway_stopped(browser: Browser, own_app: tuple[str, Callable[[], None]]) -> None:
    address, stop = own_app
    context = new_context(browser)
    annotator = Annotator(context.new_page(), address)
    annotator.arrive()
    annotator.open(COFFEE)
    at = annotator.actual_size()
    annotator.drag(at(200, 150), at(300, 150))
    stop()
    annotator("#file-input").set_input_files(CAT)
    expect(annotator("#problem-title")).to_have_text("The server does not answer")
    expect(annotator("#problem-advice")).to_contain_text("Your work is safe")
    expect(annotator("#problem-retry")).to_be_visible()
    expect(annotator("#preview")).to_be_hidden()
    expect(annotator("#status")).to_have_text("")
    annotator.screenshot("stopped")
    # Export, checks, tools and undo go on; and the banner goes away with the next success.
    for kind in ("png", "coco", "coco-rle", "label-studio", "geojson", "yolo"):
        assert annotator.export(kind)[1], kind
    expect(annotator("#problem")).to_be_hidden()
    assert annotator.mask().max() == 1
    annotator.press("u")
    expect(annotator("#status")).to_contain_text("Gap 1 of")
    annotator.press("Control+z")
    assert annotator.mask().max() == 0
    context.close()


@pytest.mark.slow
def test_retry_sends_the_same_file_again(annotator: Annotator) -> None:
    fail = [True]

    def busy(route: Route) -> None:
        if not fail:
            route.continue_()
            return
        fail.clear()
        body = {
            "title": "Service Unavailable",
            "detail": "full",
            "reason": "QUEUE_FULL",
            "retryAfterSeconds": 1.5,
        }
        route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(body))

    annotator.page.route("**/api/segment*", busy)
    annotator("#file-input").set_input_files(COFFEE)
    expect(annotator("#problem-title")).to_have_text("The server is busy")
    expect(annotator("#problem-advice")).to_contain_text("room in 2 s")
    expect(annotator("#problem-detail")).to_have_text("full")
    annotator("#problem-retry").click()
    annotator.wait_for_status("coffee.jpg: ")
    expect(annotator("#problem")).to_be_hidden()
    annotator.complaints.clear()


def test_opening_goes_away_and_a_damaged_file_is_named(annotator: Annotator, tmp_path: Path) -> None:
    annotator.open(COFFEE)
    annotator.wait_until_saved()
    annotator.reload()
    expect(annotator("#status")).to_have_text("coffee.jpg is open")
    broken = tmp_path / "broken photo.jpg"
    broken.write_bytes(COFFEE.read_bytes()[:9000])
    annotator("#file-input").set_input_files(broken)
    expect(annotator("#problem-title")).to_have_text("broken photo.jpg is damaged or incomplete")
    at = annotator.actual_size()
    annotator.drag(at(200, 150), at(300, 150))  # work goes on: the banner is stale
    expect(annotator("#problem")).to_be_hidden()
    annotator.complaints.clear()


@pytest.mark.slow
def test_the_hint_leads_with_the_best_tools_and_goes_away(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    hint = annotator("#hint")
    expect(hint).to_be_visible()
    listed = annotator("#hint-tools b").all_text_contents()
    tools = annotator("#tools label").all_text_contents()
    assert listed == [name for name in ("Smart select", "Lasso", "Brush") if name in tools]
    annotator.wait_until_saved()
    annotator.reload()
    expect(hint).to_be_visible()
    at = annotator.actual_size()
    annotator.press("b")
    annotator.drag(at(200, 150), at(300, 150))
    expect(hint).to_be_hidden()
    annotator.wait_until_saved()
    annotator.reload()
    expect(hint).to_be_hidden()
