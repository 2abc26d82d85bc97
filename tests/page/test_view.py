"""What the page looks like: pan and zoom, opacity, screens, accessibility."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.page.annotator import COFFEE, ROOT, Annotator

AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"


def test_pan_zoom_and_opacity(annotator: Annotator) -> None:
    page = annotator.page
    annotator.open(COFFEE)
    at = annotator.actual_size()

    def there() -> tuple[int, ...]:
        page.mouse.move(*at(300.5, 200.5))  # the middle of a pixel
        return tuple(map(int, (annotator("#hover").text_content() or "").rsplit("· ", 1)[1].split(", ")))

    assert there() == (300, 200)
    annotator.press("h")
    annotator.drag(at(300, 200), at(340, 170))
    assert there() == (260, 230)
    # Space pans with any tool, wherever the focus is.
    annotator.press("b")
    annotator("#size").focus()
    page.keyboard.down(" ")
    annotator.drag(at(300, 200), at(260, 230))
    page.keyboard.up(" ")
    assert there() == (300, 200)
    assert annotator.mask().max() == 0
    there()
    page.mouse.wheel(0, -400)
    expect(annotator("#zoom-actual")).not_to_have_text("100 %")
    assert there() == (300, 200)
    opacity = "(canvas) => Number(getComputedStyle(canvas).opacity)"
    annotator("#fill-opacity").fill("80")
    assert annotator("#layer-fill").evaluate(opacity) == 0.8
    annotator("#line-opacity").fill("0")
    assert annotator("#layer-lines").evaluate(opacity) == 0
    annotator.press("m")
    assert annotator("#layer-fill").evaluate(opacity) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fine", {"device_scale_factor": 2}),
        ("phone", {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 3, "has_touch": True}),
    ],
)
def test_a_fine_screen_and_a_small_one(
    visit: Callable[..., Annotator], name: str, options: dict[str, object]
) -> None:
    annotator = visit(**options)
    annotator("#samples button").first.click()
    annotator.wait_for_status("astronaut.jpg: ")
    annotator.press("+")
    annotator.screenshot(name)
    export = annotator("#export-button").bounding_box()
    assert export is not None
    assert export["x"] + export["width"] <= annotator.page.evaluate("innerWidth")
    # Canvases have the screen's own pixels, except the outlines: those are one CSS pixel wide.
    measure = "(all) => all.map((canvas) => [canvas.width, canvas.getBoundingClientRect().width])"
    sizes = annotator("#stage canvas").evaluate_all(measure)
    ratio = options["device_scale_factor"]
    assert [wide / css for wide, css in sizes] == pytest.approx([ratio, ratio, 1, ratio], rel=0.01)


@pytest.mark.parametrize("tools", ["l", pytest.param("bfpo", marks=pytest.mark.slow)])
def test_accessibility(tools: str, annotator: Annotator) -> None:
    assert AXE.exists(), f"{AXE} is missing: run `make frontend-install`"
    annotator.page.evaluate(AXE.read_text())

    def check(state: str) -> None:
        # The schemes differ in colours alone.
        rules: dict[str, dict[str, Any]] = {"dark": {"runOnly": ["color-contrast"]}, "light": {}}
        for scheme, options in rules.items():
            annotator.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            result = annotator.page.evaluate("(options) => axe.run(options)", options)
            assert len(result["passes"]) >= (1 if options else 15)
            faults = [
                f"{fault['id']} ({fault['impact']}): {node['html']}"
                for fault in result["violations"]
                for node in fault["nodes"]
                if fault["impact"] in {"serious", "critical"}
            ]
            assert faults == [], (state, scheme)

    def screenshots(name: str) -> None:
        for scheme in ("dark", "light"):
            annotator.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            annotator.screenshot(f"{name}-{scheme}")

    check("empty")
    annotator("#samples button").last.click()
    annotator.wait_for_status("chelsea.jpg: ")
    for tool in tools:
        annotator.press(tool)
        check(f"tool {tool}")
    at = annotator.actual_size()
    annotator.press("b")
    annotator.drag(at(150, 100), at(300, 150))
    screenshots("cat")
    annotator("#export-button").click()
    check("export menu")
    screenshots("export")
    annotator.press("Escape", "?")
    check("help")
    annotator.press("Escape")
    annotator("#file-input").set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": b"x"})
    expect(annotator("#problem")).to_be_visible()
    check("problem")
    annotator("#problem-close").click()
    annotator.page.route("**/api/segment*", lambda _: None)  # never answered
    annotator("#file-input").set_input_files(COFFEE)
    expect(annotator("#sending")).to_be_visible()
    check("sending")
    annotator("#sending-cancel").click()
    annotator("#lassoTakes-section, #classes .lock").last.focus()
    annotator.press("Enter")  # a locked class
    check("locked")
    annotator.complaints.clear()
