"""The list of tools, and what the page makes of it: toolbar, shortcuts, help sheet, hints, panels, events."""

import json
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.page.annotator import COFFEE, Annotator

TOOLS = {
    "s": "smart",
    "b": "brush",
    "e": "eraser",
    "r": "rectangle",
    "l": "lasso",
    "o": "polygon",
    "f": "flood",
    "p": "pixel",
    "h": "pan",
}

KEYS_OF_THE_SHEET = {
    "Tools": ["S", "B", "E", "R", "L", "O", "F", "P", "H", "Space", "Alt"],
    "Settings": [", .", "[ ]", "1 … 9", "F2", "C", "N", "V", "M"],
    "History and files": ["Ctrl Z", "Ctrl Shift Z", "Ctrl O", "G", "K", "PgUp PgDn", "D", "Ctrl E"],
    "View": ["+ −", "0", "U", "?"],  # noqa: RUF001
    "Without a mouse": ["← → ↑ ↓", "Enter", "Enter", "Enter", "Backspace", "Esc"],
    "Touch and pen": ["1", "2", "Pen"],
}

PROBE = """
const events = (window.events = []);
const log = (name, ...facts) => void events.push([name, ...facts]);
export const probe = {
  id: 'probe',
  key: 'x',
  label: 'Probe',
  summary: 'logs its events',
  hint: 'A tool more.',
  icon: '<path d="M4 4h16v16H4z" />',
  usesRadius: true,
  settings: { strength: 5, way: 'in' },
  options: [
    { kind: 'slider', setting: 'strength', label: 'Strength', min: 1, max: 9, text: (n) => `${n} of 9` },
    {
      kind: 'choice',
      setting: 'way',
      label: 'Way',
      choices: [{ value: 'in', label: 'In' }, { value: 'out', label: 'Out', title: 'The other way' }],
    },
  ],
  activate: (app) => log('activate', app.tool.id),
  deactivate: () => log('deactivate'),
  hover: (app, point) => log('hover', point && point.map(Math.floor)),
  down: ({ path, value }) => log('down', path.length, value),
  drag: ({ path }, points) => log('drag', path.length, points.map((point) => point.map(Math.floor))),
  up: ({ path }) => log('up', path.at(-1).map(Math.floor)),
  cancel: () => log('cancel'),
  wheel: (app, { deltaY }) => { log('wheel', deltaY); return deltaY < 0; },
  keyDown: (app, { key }) => { log('key', key); return key === 'm'; },
  draw: (layers, gesture) => { if (gesture) layers.drawOutline([[10, 10], [60, 10], [60, 60], [10, 60]]); },
};
"""


def sheet(annotator: Annotator) -> dict[str, list[tuple[str, str]]]:
    """Keys and texts of each section of the help sheet."""
    script = """(all) => all.map((section) => [
      section.querySelector('h3').textContent,
      [...section.querySelectorAll('dt')].map((dt) => [
        [...dt.children].map((key) => key.textContent).join(' '), dt.nextElementSibling.textContent,
      ]),
    ])"""
    sections = annotator("#help-table section").evaluate_all(script)
    return {title: [(keys, text) for keys, text in rows] for title, rows in sections}


def test_every_tool_has_its_button_key_help_hint_and_panel(annotator: Annotator) -> None:
    script = "async () => JSON.stringify((await import('/page/tools/index.js')).tools)"
    listed: list[dict[str, Any]] = json.loads(annotator.page.evaluate(script))
    assert {tool["key"]: tool["id"] for tool in listed} == TOOLS
    rows = sheet(annotator)
    assert {title: [keys for keys, _ in rows[title]] for title in rows} == KEYS_OF_THE_SHEET
    shown = dict(rows["Tools"])
    sections = {f"{option['setting']}-section" for tool in listed for option in tool.get("options", [])}
    for tool in listed:
        annotator.press(tool["key"])
        assert annotator.tool() == tool["id"]
        title = f"{tool['label']}: {tool['summary']}"
        assert shown[tool["key"].upper()] == title
        button = annotator("#tools label:has(:checked)")
        expect(button).to_have_attribute("title", f"{title} ({tool['key'].upper()})")
        expect(button.get_by_role("radio", name=tool["label"], exact=True)).to_be_checked()
        assert button.locator("svg path").count() == 1
        expect(annotator("#tool-hint")).to_have_text(tool["hint"])
        own = {f"{option['setting']}-section" for option in tool.get("options", [])}
        for section in sections:
            expect(annotator(f"#{section}")).to_be_visible(visible=section in own)
        expect(annotator("#radius-section")).to_be_visible(visible=tool["id"] in {"brush", "eraser", "pixel"})


def test_the_other_shortcuts(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    fitted = annotator("#zoom-actual").inner_text()
    for zoom in "+=-":
        before = annotator("#zoom-actual").inner_text()
        annotator.press(zoom)
        expect(annotator("#zoom-actual")).not_to_have_text(before)
    annotator.press("0")
    expect(annotator("#zoom-actual")).to_have_text(fitted)
    expect(annotator("#radius-value")).to_have_text("3 px")
    annotator.press("]")
    expect(annotator("#radius-value")).to_have_text("4 px")
    annotator.press("[")
    expect(annotator("#radius-value")).to_have_text("3 px")
    chooser = annotator("#file-input")
    chooser.evaluate("""(input) => input.addEventListener('click', (event) => {
      event.preventDefault(); // no dialog
      input.title = 'clicked';
    })""")
    annotator.press("Control+o")
    expect(chooser).to_have_attribute("title", "clicked")
    annotator.press("3")
    expect(annotator("#classes input[type=radio]").nth(2)).to_be_checked()
    annotator.press("c")
    expect(annotator("#classes li")).to_have_count(4)
    expect(annotator("#classes input[type=text]").last).to_be_focused()


@pytest.mark.slow
def test_what_is_being_drawn_is_shown_until_it_ends(annotator: Annotator) -> None:
    annotator.open(COFFEE)
    at = annotator.actual_size()
    left, right, top, bottom = 100, 300, 100, 300
    corners = [at(left, top), at(right, top), at(right, bottom), at(left, bottom), at(right, bottom)]
    inside = at(250, 150)  # far from the pointer and the superpixel below it
    for key in "rl":
        annotator.press(key)
        annotator.begin_drag(*corners)
        annotator.wait_until_drawn("top", inside)
        annotator.press("Escape")
        annotator.wait_until_drawn("top", inside, drawn=False)
        annotator.page.mouse.up()
        expect(annotator("#undo")).to_be_disabled()


@pytest.mark.slow
def test_a_new_tool_is_one_file_and_one_entry_of_the_list(annotator: Annotator) -> None:
    page = annotator.page

    def with_probe(route: Route) -> None:
        source = route.fetch().text()
        assert source.count("pan];") == 1
        source = "import { probe } from './probe.js';\n" + source.replace("pan];", "pan, probe];")
        route.fulfill(body=source, content_type="text/javascript")

    page.route("**/page/tools/index.js", with_probe)
    page.route(
        "**/page/tools/probe.js", lambda route: route.fulfill(body=PROBE, content_type="text/javascript")
    )
    annotator.reload()
    annotator.open(COFFEE)
    at = annotator.actual_size()

    def events() -> list[list[Any]]:
        """Events since the last call."""
        logged: list[list[Any]] = page.evaluate("events.splice(0)")
        return logged

    assert events() == []
    annotator.press("x")
    assert annotator.tool() == "probe"
    assert ("X", "Probe: logs its events") in sheet(annotator)["Tools"]
    expect(annotator("#tools label").last).to_have_attribute("title", "Probe: logs its events (X)")
    expect(annotator("#tool-hint")).to_have_text("A tool more.")
    for section in ("radius", "strength", "way"):
        expect(annotator(f"#{section}-section")).to_be_visible()
    assert events() == [["activate", "probe"]]

    # Pointer: hover, down, drag, up; and cancel.
    page.mouse.move(*at(100.5, 80.5))
    assert events() == [["hover", [100, 80]]]
    annotator.press("2")
    page.mouse.down()
    assert events() == [["down", 1, 2], ["hover", [100, 80]]]
    page.mouse.move(*at(120.5, 90.5))
    annotator.wait_until_drawn("top", at(30, 30))
    drag = [event for event in events() if event[0] == "drag"]
    assert drag[0][2][0] == [100, 80]
    assert drag[-1][2][-1] == [120, 90]
    page.mouse.up()
    assert events() == [["up", [120, 90]]]
    annotator.wait_until_drawn("top", at(30, 30), drawn=False)
    page.mouse.down(button="right")
    assert events()[0] == ["down", 1, 0]
    annotator.press("Escape")
    assert ["cancel"] in events()
    page.mouse.up(button="right")
    assert events() == []

    # The wheel and keys: the page uses them only if the tool does not.
    page.mouse.wheel(0, -100)
    page.wait_for_function("events.some(([name]) => name === 'wheel')")
    assert events() == [["wheel", -100]]
    expect(annotator("#zoom-actual")).to_have_text("100 %")
    page.mouse.wheel(0, 100)
    expect(annotator("#zoom-actual")).not_to_have_text("100 %")
    annotator("#stage").focus()
    events()
    annotator.press("m", "v")
    assert events() == [["key", "m"], ["key", "v"]]
    expect(annotator("#fill-opacity-value")).to_have_text("50 %")
    expect(annotator("#line-opacity-value")).to_have_text("hidden (V)")
    annotator.press("Enter")
    assert [event[0] for event in events()] == ["key", "down", "up", "hover"]
    page.mouse.move(0, 0)
    annotator("#size").focus()
    assert events()[-1] == ["hover", None]

    # Its settings are stored with those of the page.
    annotator("#strength").fill("7")
    expect(annotator("#strength-value")).to_have_text("7 of 9")
    annotator("#way-section label:has-text('Out')").click()
    annotator.wait_until_saved()
    annotator.reload()
    assert annotator.tool() == "probe"
    expect(annotator("#strength-value")).to_have_text("7 of 9")
    expect(annotator("#way-section input[value=out]")).to_be_checked()
    assert events() == [["activate", "probe"]]
    annotator.press("b")
    assert events() == [["deactivate"]]
    expect(annotator("#strength-section")).to_be_hidden()
