"""Phones and tablets: every setting can be reached and used by a finger, and messages are seen."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.page.annotator import COFFEE, Annotator
from tests.page.test_view import AXE

OPTIONS_OF_TOOLS = {"b": "#radius", "l": "#lassoTakes-section", "f": "#similarity", "p": "#pixelMode-section"}

REACH = """(controls) => controls.map((control) => {
  control.scrollIntoView({ block: 'center', inline: 'center' });
  const { x, y, width, height } = control.getBoundingClientRect();
  const [left, right] = [x + width / 2, y + height / 2];
  const hit = document.elementFromPoint(left, right);
  const reached = hit && (control.contains(hit) || hit.closest('label, li')?.contains(control));
  const inside = x >= 0 && x + width <= innerWidth + 0.5 && y >= 0 && y + height <= innerHeight + 0.5;
  return reached && inside ? null : control.outerHTML.slice(0, 200);
}).filter(Boolean)"""


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (360, 640),
        pytest.param(600, 900, marks=pytest.mark.slow),
        pytest.param(820, 1180, marks=pytest.mark.slow),
        pytest.param(640, 360, marks=pytest.mark.slow),
    ],
)
def test_every_setting_is_reached_in_one_column(
    visit: Callable[..., Annotator], width: int, height: int
) -> None:
    annotator = visit(viewport={"width": width, "height": height}, has_touch=True)
    annotator.open(COFFEE)
    assert annotator.page.evaluate("document.documentElement.scrollWidth") <= width
    for key, option in OPTIONS_OF_TOOLS.items():
        annotator.press(key)
        expect(annotator(option)).to_be_visible()
        shown = "aside :is(input, button, select):not([disabled]):not([type=radio]):visible"
        assert annotator(shown).count() > 12
        assert annotator(shown).evaluate_all(REACH) == [], key
    assert annotator("#tools label").evaluate_all(REACH) == []
    assert annotator("header button:visible").evaluate_all(REACH) == []
    # One column: no section lies beside another.
    lefts = annotator("aside section:visible").evaluate_all(
        "(all) => all.map((one) => one.getBoundingClientRect().left)"
    )
    assert len(set(lefts)) == 1
    annotator.screenshot(f"small-{width}")


@pytest.mark.slow
def test_chips_names_and_messages_by_finger(visit: Callable[..., Annotator]) -> None:
    annotator = visit(viewport={"width": 390, "height": 844}, has_touch=True)
    annotator.open(COFFEE)
    expect(annotator("#status")).to_be_visible()
    chips = annotator("#classes li")
    boxes = [chip.bounding_box() for chip in chips.all()]
    assert all(box is not None and box["height"] >= 36 for box in boxes)
    # A tap on a chip, beside its radio button, chooses the class.
    chips.nth(2).tap(position={"x": 40, "y": 18})
    expect(chips.nth(2).get_by_role("radio")).to_be_checked()
    expect(chips.nth(0).locator(".remove")).to_be_hidden()
    # The chip in use has its controls: rename, lock, remove.
    chips.nth(2).get_by_role("button", name="Rename Class 3").tap()
    annotator.page.keyboard.type("Spoon 2")
    annotator.press("Enter")
    assert chips.nth(2).locator("input[type=text]").input_value() == "Spoon 2"
    chips.nth(2).get_by_role("button", name="Remove Spoon 2").tap()
    expect(chips).to_have_count(2)
    expect(annotator("#status")).to_have_text("Spoon 2 is removed; undo brings it back")
    expect(annotator("#status")).to_be_in_viewport()
    for name in ("Brush", "Lasso", "Polygon"):
        expect(annotator(f"#tools label:has-text('{name}')").first).to_be_visible()
    annotator.page.evaluate(AXE.read_text())
    result = annotator.page.evaluate("() => axe.run()")
    faults = [
        f"{fault['id']}: {node['html']}"
        for fault in result["violations"]
        for node in fault["nodes"]
        if fault["impact"] in {"serious", "critical"}
    ]
    assert faults == []
