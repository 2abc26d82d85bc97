"""`Selection` in Python: the same changes give the same JSON text as in JavaScript."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superpixel_kernels import codec
from superpixel_kernels.errors import InvalidParameter
from superpixel_service.client import exports
from superpixel_service.client.exports import Class
from superpixel_service.client.selection import Selection
from tests.frontend import selection_cases as cases
from tests.frontend.conftest import node

CLASSES = [
    Class("cat", "#e6194b", 7),
    Class("Straße\u2028\ud83d\ude00\t", "#3CB44B"),
    Class("sky", "#000000"),
]
PARAMETERS: dict[str, Any] = {
    "whole": 10.0,
    "small": 1e-7,
    "decimal": 0.000001234,
    "large": 1e21,
    "long": 123456789012345680000,
    "third": -1 / 3,
    "tiny": 5e-324,
    "zero": -0.0,
    "text": "\u00e9\x07\x7f",
    "yes": True,
    "none": None,
}

APPLY = """
import { readFileSync } from 'node:fs';
import { Selection } from 'superpixel-map';
import { loadMap } from './test/fixtures.js';
const { start, changes } = JSON.parse(readFileSync(process.argv[1], 'utf8'));
const maps = { photo: await loadMap('photo'), other: await loadMap('other') };
const selection = Selection.restore(maps.photo, start);
const texts = [JSON.stringify(selection)];
const does = {
  choose: (count, regions, value) => selection.choose(selection.map.cut(count), regions, value),
  paint: (x, y, size, value) => {
    const mask = new Uint8Array(512 * 512);
    for (let row = y; row < y + size; row++) mask.fill(1, row * 512 + x, row * 512 + x + size);
    // Its pixels, without a shape that only JavaScript has.
    selection.pixels ??= new Uint16Array(mask.length);
    mask.forEach((one, i) => one && (selection.pixels[i] = value === null ? 0 : 1 + value));
    selection._spots = null;
  },
  moveTo: (name) => selection.moveTo(maps[name]),
  addObject: (value, name) => selection.addObject(value, name),
  changeObject: (value, to, name) => selection.changeObject(value, { class: to, name }),
  removeObject: (value) => selection.removeObject(value),
  joinObjects: (values) => selection.joinObjects(values),
  splitObject: (value) => selection.splitObject(value),
  removeClass: (value, into) => selection.removeClass(value, into),
};
for (const [name, ...values] of changes) {
  does[name](...values);
  texts.push(JSON.stringify(selection));
}
console.log(JSON.stringify({ texts, areas: [...selection.objectAreas()] }));
"""


@pytest.fixture(scope="module")
def maps(fixtures: Path) -> dict[str, codec.LabelMap]:
    return {
        name: codec.decode((fixtures / "maps" / f"{name}.spx").read_bytes()) for name in ("photo", "other")
    }


def changes_of(rng: random.Random, maps: dict[str, codec.LabelMap], selection: Selection) -> list[Any]:
    """Make random changes; return what JavaScript shall do."""
    does: list[Any] = []
    texts = [selection.to_json()]
    for step in range(40):
        values = [0, *range(1, len(selection.classes) + 1)]
        things = [256 + i for i in range(len(selection.objects))]
        kind = rng.choice(["add", "choose", "choose", "paint", "object", "object", "object", "map"])
        if kind == "choose":
            count = rng.choice([20, 100, 600])
            regions = sorted(rng.sample(range(count), count // 8))
            change: list[Any] = ["choose", count, regions, rng.choice(values + things * 3)]
            selection.choose(*change[1:])
        elif kind == "paint":
            x, y, size = rng.randrange(400), rng.randrange(400), rng.randrange(1, 110)
            value = rng.choice([None, *values, *things])
            change = ["paint", x, y, size, value]
            where = np.zeros((512, 512), bool)
            where[y : y + size, x : x + size] = True
            selection.paint(where, value)
        elif kind == "map":
            change = ["moveTo", rng.choice(["photo", "other"])]
            selection.move_to(maps[change[1]])
        elif kind == "object" and things:
            change = object_change(rng, selection, things, step)
        else:
            change = ["addObject", rng.randint(1, len(selection.classes)), f"no. {step}"]
            assert selection.add_object(*change[1:]) == 256 + len(things)
        does.append(change)
        texts.append(selection.to_json())
    return [does, texts]


def object_change(rng: random.Random, selection: Selection, things: list[int], step: int) -> list[Any]:
    value = rng.choice(things)
    match rng.randrange(6):
        case 0:
            selection.remove_object(value)
            return ["removeObject", value]
        case 1:
            others = rng.sample(things, min(len(things), 2))
            selection.join_objects(others)
            return ["joinObjects", others]
        case 2 | 3 if len(selection.objects) < 400:
            selection.split_object(value)
            return ["splitObject", value]
        case 4 if step > 30 and len(selection.classes) > 1:
            if step % 2:
                into = rng.choice([each for each in range(1, len(selection.classes) + 1) if each != 2])
                selection.remove_class(2, into)
                return ["removeClass", 2, into]
            selection.remove_class(2)
            return ["removeClass", 2]
        case _:
            to = rng.randint(1, len(selection.classes))
            selection.change_object(value, class_value=to, name=f"now {step}")
            return ["changeObject", value, to, f"now {step}"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_changes_give_the_same_text(
    fixtures: Path, maps: dict[str, codec.LabelMap], tmp_path: Path, seed: int
) -> None:
    selection = Selection(maps["photo"], CLASSES, parameters=PARAMETERS)
    start = json.loads(selection.to_json())
    does, texts = changes_of(random.Random(seed), maps, selection)
    assert any(kind[0] == "splitObject" for kind in does)
    file = tmp_path / "changes.json"
    file.write_text(json.dumps({"start": start, "changes": does}))
    done: subprocess.CompletedProcess[str] = node(fixtures, "--input-type=module", "--eval", APPLY, file)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    for number, (mine, other) in enumerate(zip(texts, theirs["texts"], strict=True)):
        assert mine == other, (seed, number, [None, *does][number])
    assert selection.object_areas() == theirs["areas"]

    again = Selection.restore(selection.label_map, texts[-1])
    assert again.to_json() == texts[-1]
    annotation, same = again.annotation(), selection.annotation()
    assert np.array_equal(annotation.mask, same.mask)
    assert np.array_equal(annotation.instances, same.instances)
    of_selection = exports.Annotation.of_selection(selection.label_map, json.loads(texts[-1]))
    assert np.array_equal(of_selection.mask, same.mask)
    assert np.array_equal(of_selection.instances, same.instances)


def test_a_selection_of_version_1_is_read_and_written_as_version_2() -> None:
    selection = Selection.restore(cases.MAP, json.dumps(cases.PAINTED))
    assert selection.annotation().mask.ravel().tolist() == cases.expected(cases.PAINTED)
    data = json.loads(selection.to_json())
    assert data == {**cases.PAINTED, "version": 2, "objects": []}


def test_choosing_a_region_removes_the_paint_in_it() -> None:
    selection = Selection.restore(cases.MAP, cases.PAINTED)
    assert selection.pixels is not None
    selection.choose(cases.MAP.count, [3], 1)
    inside = cases.MAP.labels == 3
    assert (selection.values()[inside] == 1).all()
    assert (selection.pixels[inside] == 0).all()
    selection.paint(inside, None)
    assert (selection.values()[inside] == 1).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.choose(9, [9], 1), "regions: 9, must be from 0 to 8"),
        (lambda s: s.choose(9, [-1], 1), "regions: -1"),
        (lambda s: s.choose(9, [1], 3), "class: must be from 1 to 2, got 3"),
        (lambda s: s.choose(9, [1], 255), "class: must be from 1 to 2, got 255"),
        (lambda s: s.choose(9, [1], 256), "object: must be from 256 to 255, got 256"),
        (lambda s: s.choose(9, [1], 0.5), "class: must be"),
        (lambda s: s.paint(np.zeros((2, 2), bool), 1), "where: must be"),
        (lambda s: s.paint(np.zeros((14, 18)), 1), "where: must be"),
        (lambda s: s.add_object(0), "class: must be from 1 to 2"),
        (lambda s: s.join_objects([]), "object: must be"),
        (
            lambda s: s.move_to(codec.LabelMap(np.zeros((2, 2), np.int32), 1, True, 1)),
            "label_map: must be of",
        ),
        (lambda s: Selection(s.label_map, [CLASSES[0]] * 2), "classes: two have the same id"),
        (lambda s: Selection(s.label_map, parameters={"a": float("nan")}), "parameters: parameters: must be"),
        (lambda s: Selection.restore(s.label_map, "{"), "selection: is not JSON"),
        (lambda s: Selection.restore(s.label_map, "[" * 100_000), "selection: is not JSON"),
        (lambda s: Selection.restore(s.label_map, b"\xff"), "selection: is not JSON"),
        (lambda s: Selection.restore(s.label_map, "[]"), "selection: must be a superpixel-selection"),
    ],
)
def test_what_is_not_there_is_refused(call: Any, message: str) -> None:
    selection = Selection.restore(cases.MAP, cases.WHOLE)
    before = selection.to_json()
    with pytest.raises(InvalidParameter, match=message):
        call(selection)
    assert selection.to_json() == before


def test_more_than_65000_objects_are_refused() -> None:
    selection = Selection(cases.MAP, CLASSES)
    thing = selection.add_object(1)
    selection.choose(cases.MAP.count, [0, cases.MAP.count - 1], thing)
    selection.objects += selection.objects * 64_999
    with pytest.raises(InvalidParameter, match="at most 65000"):
        selection.add_object(1)
    with pytest.raises(InvalidParameter, match="at most 65000"):
        selection.split_object(thing)
