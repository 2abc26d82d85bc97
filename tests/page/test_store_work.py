"""The work on a store: random steps beside a model of them, with undo, redo and the file."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superpixel_service.client.classes import Class, Instance
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.readers.arrays import ArraySource
from superpixel_service.large.run import Plan, make_store
from superpixel_service.large.selection import read_selection, write_selection
from superpixel_service.large.source import Window
from superpixel_service.large.store import Store
from superpixel_service.web.store_work import OtherLists, StoreWork
from tests.service.large_files import smooth

HEIGHT, WIDTH = 120, 160
WHOLE = Window(0, 0, WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    address = str(tmp_path_factory.mktemp("work") / "s.zarr")
    make_store(Plan(ArraySource(smooth(HEIGHT, WIDTH)), "array://", counts=[]), address)
    return Store(address)


class Model:
    """What each base region is: a class by its name, or an object by a mark of its own; None: nothing."""

    def __init__(self, work: StoreWork) -> None:
        self.classes = [each.name for each in work.classes]
        self.objects: list[tuple[int, str]] = []  # mark, class
        self.regions: list[Any] = [None] * work.store.info.base_count

    def copy(self) -> "Model":
        made = Model.__new__(Model)
        made.classes, made.objects = self.classes[:], self.objects[:]
        made.regions = self.regions[:]
        return made

    def things(self) -> list[Any]:
        return [None, *self.classes, *[None] * (255 - len(self.classes)), *(mark for mark, _ in self.objects)]


def random_step(model: Model, work: StoreWork, rng: random.Random, number: int) -> None:
    """Change work and model alike."""
    classes, objects = len(model.classes), len(model.objects)
    value = rng.randint(1, classes)
    thing = 256 + rng.randrange(objects) if objects else 0
    kind = rng.choice(
        ["paint"] * 5 + ["add class", "remove class", "merge", "object", "object", "gone", "join"]
    )
    if kind == "add class":
        name = f"class {number}"
        work.change({"do": "addClass", "class": {"name": name, "color": "#123456"}})
        model.classes.append(name)
    elif kind == "remove class" and classes > 1:
        work.change({"do": "removeClass", "value": value})
        name = model.classes.pop(value - 1)
        gone = {name, *(mark for mark, of in model.objects if of == name)}
        model.objects = [each for each in model.objects if each[1] != name]
        model.regions = [None if each in gone else each for each in model.regions]
    elif kind == "merge" and classes > 1:
        into = rng.choice([each for each in range(1, classes + 1) if each != value])
        work.change({"do": "removeClass", "value": value, "into": into})
        name, kept = model.classes[value - 1], model.classes[into - 1]
        model.objects = [(mark, kept if of == name else of) for mark, of in model.objects]
        model.regions = [kept if each == name else each for each in model.regions]
        del model.classes[value - 1]
    elif kind == "object":
        work.change({"do": "addObject", "object": {"class": value, "name": str(number)}})
        model.objects.append((number, model.classes[value - 1]))
    elif kind == "gone" and thing:
        work.change({"do": "removeObject", "value": thing})
        mark, _ = model.objects.pop(thing - 256)
        model.regions = [None if each == mark else each for each in model.regions]
    elif kind == "join" and objects > 1:
        kept, other = rng.sample(range(objects), 2)
        work.change({"do": "joinObjects", "values": [256 + kept, 256 + other]})
        winner, loser = model.objects[kept], model.objects[other]
        model.objects[min(kept, other)] = winner
        del model.objects[max(kept, other)]
        model.regions = [winner[0] if each == loser[0] else each for each in model.regions]
    else:
        nodes = [rng.randrange(2 * work.store.info.base_count - 1) for _ in range(3)]
        ids = [node for node in nodes if work.store.tree.leaf_count[node] < 40] or [0]
        value = rng.choice([0, *range(1, classes + 1), *range(256, 256 + objects)])
        work.paint(ids, value)
        for region in work.store.members(ids).tolist():
            model.regions[region] = model.things()[value]


def check(model: Model, work: StoreWork) -> None:
    store = work.store
    table = model.things()
    expected = [0 if each is None else table.index(each) for each in model.regions]
    for found in (work.selection(), read_selection(work.file.read_bytes(), store)):
        assert found.base_values.tolist() == expected
        assert [each.name for each in found.classes] == model.classes
        assert [(int(one.name), model.classes[one.class_value - 1]) for one in found.objects] == model.objects
    _, _, _, areas = work.lists()
    values, pixels = np.unique(work.selection().values(store, WHOLE), return_counts=True)
    assert areas == list(zip(values.tolist(), pixels.tolist(), strict=True))
    base = np.arange(store.info.base_count, dtype=np.uint32)
    assert work.values_of(base).tolist() == expected


@pytest.mark.parametrize(
    "seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)]
)
def test_random_steps(store: Store, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    work = StoreWork(store, tmp_path / "work.json")
    past: list[Model] = [Model(work)]
    for number in range(60):
        model = past[-1].copy()
        random_step(model, work, rng, number)
        past.append(model)
        if number % 6 == 0:
            check(model, work)
        if rng.random() < 0.2:
            back = rng.randint(1, min(4, len(past) - 1))
            for _ in range(back):
                work.undo()
            check(past[-1 - back], work)
            again = rng.randint(0, back)
            for _ in range(again):
                work.redo()
            if again < back:
                del past[len(past) - back + again :]
    check(past[-1], work)
    while work.step_counts[0]:
        work.undo()
    check(past[0], work)
    while work.step_counts[1]:
        work.redo()
    check(past[-1], work)


def test_work_from_before_has_its_objects_and_pixels(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "work.json"
    classes = (Class("roof", "#ff0000", 7), Class("road", "#00ff00"))
    runs = ((10, 5, 20, 2), (10, 15, 3, 256), (11, 0, 160, 257))
    objects = (Instance(1, "a"), Instance(2, "b"))
    file.write_text(write_selection(store.info, classes, {5: 1, 9: 256, 60: 257}, objects, runs))
    work = StoreWork(store, file)
    for do in ({"do": "removeObject", "value": 256}, {"do": "removeClass", "value": 2, "into": 1}):
        work.change(do)
        values, pixels = np.unique(work.selection().values(store, WHOLE), return_counts=True)
        assert work.lists()[3] == list(zip(values.tolist(), pixels.tolist(), strict=True))
    assert work.classes == (Class("roof", "#ff0000", 7),)
    data = json.loads(file.read_text())
    assert data["pixels"] == [[10, 5, 20, 1], [10, 15, 3, 0], [11, 0, 160, 256]]
    assert data["regions"] == [[5, 1], [9, 0], [60, 256]]
    work.undo()
    work.undo()
    assert json.loads(file.read_text())["pixels"] == [list(run) for run in runs]


def test_changes_that_are_wrong(store: Store, tmp_path: Path) -> None:
    work = StoreWork(store, tmp_path / "work.json")
    color = {"name": "x", "color": "#123456"}
    for change, text in (
        ({}, "do: must be one of addClass"),
        ({"do": "addClass", "class": {"name": "x"}}, "must have a name and a color"),
        ({"do": "addClass", "class": {"name": "x", "color": "red"}}, "must be #rrggbb"),
        ({"do": "addClass", "class": color | {"name": "x" * 101}}, "at most 100 characters"),
        ({"do": "addClass", "class": color | {"id": True}}, "id: must be a whole number"),
        ({"do": "editClass", "value": 5, "class": color}, "must be a class from 1 to 4"),
        ({"do": "removeClass", "value": True}, "must be a class from 1 to 4"),
        ({"do": "removeClass", "value": 1, "into": 1}, "must be another class"),
        ({"do": "addObject", "object": {"class": 9, "name": ""}}, "must be a class from 1 to 4"),
        ({"do": "changeObject", "value": 256, "object": {}}, "must be an object"),
        ({"do": "removeObject", "value": None}, "must be an object"),
        ({"do": "joinObjects", "values": [256]}, "at least two objects"),
    ):
        with pytest.raises(LargeFailed, match=text):
            work.change(change)
    with pytest.raises(LargeFailed, match=r"from 0 to 4, got 256"):
        work.paint([1], 256)
    work.change({"do": "addClass", "class": color}, lists=0)
    with pytest.raises(OtherLists, match="another page has changed"):
        work.paint([1], 1, lists=0)
    assert work.step_counts == (1, 0)


def test_a_step_that_cannot_be_kept_is_not_done(store: Store, tmp_path: Path) -> None:
    work = StoreWork(store, tmp_path / "folder" / "work.json")
    with pytest.raises(LargeFailed, match="no such file"):
        work.paint([1], 1)
    assert work.step_counts == (0, 0)
    assert not work.selection().base_values.any()
    (tmp_path / "folder").mkdir()
    work.paint([2], 1)
    assert json.loads(work.file.read_text())["regions"] == [[2, 1]]
