"""The work on one store: what a person has selected, kept in a file after every step."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.classes import FIRST_OBJECT, Class, Instance
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.selection import StoreSelection, read_selection, write_selection
from superpixel_service.large.store import Store
from superpixel_service.web.store_changes import read_change
from superpixel_service.web.store_state import PARTLY, ListChange, StoreState, Undo

__all__ = ["CLASSES", "PARTLY", "Changed", "OtherLists", "StoreWork"]

CLASSES = tuple(
    Class(name, color)
    for name, color in (
        ("class 1", "#e6194b"),
        ("class 2", "#3cb44b"),
        ("class 3", "#4363d8"),
        ("class 4", "#f58231"),
    )
)
"""The classes of new work."""


class OtherLists(LargeFailed):
    """A request is about lists of classes and objects that another page has changed since."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What painting did.

    Attributes:
        undo: steps that can be undone.
        redo: steps that can be done again.
        lists: a number that changes with the lists of classes and objects.
        areas: (value, pixels) of values whose areas have changed.
    """

    undo: int
    redo: int
    lists: int
    areas: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Paint:
    ids: tuple[int, ...]
    value: int


_Step = _Paint | ListChange


class StoreWork:
    """What is selected in a store, as steps by global id; the last step of a base region counts.

    Threads may share it.

    Args:
        store: the store.
        file: keeps the work, in the format of selections of stores (docs/stores.md).

    Raises:
        LargeFailed: the file is not a selection of this store.
    """

    def __init__(self, store: Store, file: Path) -> None:
        self.store = store
        self.file = file
        self._lock = threading.Lock()
        self._done: list[tuple[_Step, Undo]] = []
        self._undone: list[_Step] = []
        self._lists = 0
        # In the order of the file: a mapping keeps the place of its first entry, so an id that comes again is
        # removed first.
        self._regions: dict[int, int] | None = {}
        text = file.read_bytes() if file.exists() else b""
        found = read_selection(text, store) if text else None
        runs = found.runs if found else np.empty((0, 4), np.int64)
        self._state = StoreState(
            store, found.classes if found else CLASSES, found.objects if found else (), runs
        )
        for id_, value in json.loads(text).get("regions", []) if found else ():
            self._do(_Paint((id_,), value))

    @property
    def classes(self) -> tuple[Class, ...]:
        """The classes; class value v is `classes[v - 1]`."""
        return self._state.classes

    @property
    def step_counts(self) -> tuple[int, int]:
        """Number of steps that can be undone, and done again."""
        return len(self._done), len(self._undone)

    def lists(self) -> tuple[int, tuple[Class, ...], tuple[Instance, ...], list[tuple[int, int]]]:
        """A number that changes with the lists; classes, objects, and (value, pixels) of all values."""
        with self._lock:
            areas = self._state.areas
            some = np.flatnonzero(areas)
            pairs = list(zip(some.tolist(), areas[some].tolist(), strict=True))
            return self._lists, self._state.classes, self._state.objects, pairs

    def selection(self) -> StoreSelection:
        """The work as a selection of the store."""
        with self._lock:
            state = self._state
            return StoreSelection(state.classes, state.objects, state.values.copy(), state.runs)

    def values_of(self, ids: NDArray[np.uint32]) -> NDArray[np.uint16]:
        """The value of each region: 0, a class, an object, or `PARTLY`; 0 for `NO_REGION`."""
        with self._lock:
            return self._state.values_of(ids)

    def paint(self, ids: Sequence[int], value: int, lists: int | None = None) -> Changed:
        """Give regions a value, as one step.

        Args:
            ids: global ids.
            value: 0, a class or an object.
            lists: of the last `Changed` that the caller knows; None: do not check.

        Raises:
            LargeFailed: a region, a class or an object is not there, or the file cannot be written.
            OtherLists: the lists have changed.
        """
        with self._lock:
            self._check_lists(lists)
            self._check_value(value)
            touched = self._do_and_save(_Paint(tuple(ids), value))
            areas = [(each, int(self._state.areas[each])) for each in touched.tolist()]
            return Changed(*self.step_counts, self._lists, tuple(areas))

    def change(self, change: Mapping[str, Any], lists: int | None = None) -> None:
        """Change the classes or the objects, as one step.

        Args:
            change: as `store_changes.read_change` takes it.
            lists: as for `paint`.

        Raises:
            LargeFailed: the change is not possible, or the file cannot be written.
            OtherLists: the lists have changed.
        """
        with self._lock:
            self._check_lists(lists)
            self._do_and_save(read_change(self._state, change))

    def undo(self) -> None:
        """Take the last step back; nothing happens if there is none."""
        with self._lock:
            if self._done:
                step, undo = self._done.pop()
                undo()
                self._undone.append(step)
                self._lists += isinstance(step, ListChange)
                self._regions = None
                self._save()

    def redo(self) -> None:
        """Do the step again that was taken back last."""
        with self._lock:
            if self._undone:
                self._do(self._undone.pop())
                self._save()

    def _do_and_save(self, step: _Step) -> NDArray[np.int64]:
        touched = self._do(step)
        try:
            self._save()
        except LargeFailed:
            self._done.pop()[1]()  # what is not in the file is not done
            self._regions = None
            raise
        self._undone.clear()
        return touched

    def _do(self, step: _Step) -> NDArray[np.int64]:
        """Do a step; returns the values whose areas have changed."""
        touched = np.empty(0, np.int64)
        if isinstance(step, _Paint):
            undo, touched = self._state.paint(step.ids, step.value)
        else:
            undo = self._state.change(step)
            self._lists += 1
        self._done.append((step, undo))
        if self._regions is not None:
            _apply(self._regions, step)
        return touched

    def _check_lists(self, lists: int | None) -> None:
        if lists is not None and lists != self._lists:
            raise OtherLists("another page has changed the classes or objects; this page shows them now")

    def _check_value(self, value: int) -> None:
        classes, objects = len(self._state.classes), len(self._state.objects)
        if 0 <= value <= classes or FIRST_OBJECT <= value < FIRST_OBJECT + objects:
            return
        last = FIRST_OBJECT + objects - 1
        or_object = f", or an object from {FIRST_OBJECT} to {last}" if objects else ""
        raise LargeFailed(f"value: must be from 0 to {classes}{or_object}, got {value}", usage=True)

    def _save(self) -> None:
        if self._regions is None:
            self._regions = {}
            for step, _ in self._done:
                _apply(self._regions, step)
        state = self._state
        text = write_selection(
            self.store.info,
            state.classes,
            self._regions,
            state.objects,
            tuple(tuple(run) for run in state.runs.tolist()),
        )
        new = self.file.with_name(self.file.name + ".new")
        try:
            new.write_text(text, encoding="utf-8")
            new.replace(self.file)
        except OSError as error:
            raise LargeFailed(f"{self.file}: {(error.strerror or 'cannot be written').lower()}") from None


def _apply(regions: dict[int, int], step: _Step) -> None:
    """Do a step on values by global id, in the order in which they count."""
    if isinstance(step, _Paint):
        for id_ in step.ids:
            regions.pop(id_, None)
            regions[id_] = step.value
    elif step.becomes is not None:
        table = step.becomes.tolist()
        for id_, value in regions.items():
            regions[id_] = table[value]
