"""The work on one store: what a person has selected, kept in a file after every step."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import NO_REGION
from superpixel_service.client.classes import Class
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.selection import StoreSelection, read_selection, write_selection
from superpixel_service.large.store import Store

PARTLY = 255
"""The value of a region whose base regions have several values."""

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

_Steps = list[tuple[tuple[int, ...], int]]


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
        self._classes = CLASSES
        self._runs: tuple[tuple[int, int, int, int], ...] = ()
        self._steps: _Steps = []
        self._undone: _Steps = []
        self._in_order: tuple[NDArray[np.uint8], NDArray[np.uint32]] | None = None
        if file.exists():
            text = file.read_bytes()
            found = read_selection(text, store)
            if found.objects:
                raise LargeFailed(f"{file}: has objects, which this page does not know")
            self._classes = found.classes
            self._runs = tuple(tuple(run) for run in found.runs.tolist())
            self._steps = [((id_,), value) for id_, value in json.loads(text).get("regions", [])]
        self._replay()

    @property
    def classes(self) -> tuple[Class, ...]:
        """The classes; class value v is `classes[v - 1]`."""
        return self._classes

    @property
    def step_counts(self) -> tuple[int, int]:
        """Number of steps that can be undone, and done again."""
        return len(self._steps), len(self._undone)

    def selection(self) -> StoreSelection:
        """The work as a selection of the store."""
        with self._lock:
            runs = np.array(self._runs, np.int64).reshape(-1, 4)
            return StoreSelection(self._classes, (), self._values.copy(), runs)

    def values_of(self, ids: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """The value of each region: 0, a class, or `PARTLY`; 0 for `NO_REGION`."""
        tree = self.store.tree
        found = np.zeros(len(ids), np.uint8)
        inside = ids != NO_REGION
        first = tree.first_leaf[ids[inside]].astype(np.int64)
        last = first + tree.leaf_count[ids[inside]] - 1
        with self._lock:
            if self._in_order is None:
                # The base regions of a region are neighbours in the order of leaves.
                values = self._values[tree.leaves].astype(np.uint8)
                changes = np.cumsum(np.diff(values, prepend=values[:1]) != 0, dtype=np.uint32)
                self._in_order = values, changes
            values, changes = self._in_order
        found[inside] = np.where(changes[first] == changes[last], values[first], PARTLY)
        return found

    def paint(self, ids: Sequence[int], value: int) -> None:
        """Give regions a value, as one step.

        Raises:
            LargeFailed: a region or a class is not there, or the file cannot be written.
        """
        if not 0 <= value <= len(self._classes):
            raise LargeFailed(f"value: must be from 0 to {len(self._classes)}, got {value}", usage=True)
        members = self.store.members(ids)
        with self._lock:
            self._steps.append((tuple(ids), value))
            self._undone.clear()
            self._values[members] = value
            self._in_order = None
            self._save()

    def undo(self) -> None:
        """Take the last step back; nothing happens if there is none."""
        with self._lock:
            if self._steps:
                self._undone.append(self._steps.pop())
                self._replay()
                self._save()

    def redo(self) -> None:
        """Do the step again that was taken back last."""
        with self._lock:
            if self._undone:
                self._steps.append(self._undone.pop())
                self._replay()
                self._save()

    def _replay(self) -> None:
        self._values = np.zeros(self.store.info.base_count, np.uint16)
        self._in_order = None
        for ids, value in self._steps:
            self._values[self.store.members(ids)] = value

    def _save(self) -> None:
        # A mapping keeps the place of its first entry, so an id that comes again goes to the end.
        regions: dict[int, int] = {}
        for ids, value in self._steps:
            for id_ in ids:
                regions.pop(id_, None)
                regions[id_] = value
        text = write_selection(self.store.info, self._classes, regions, pixels=self._runs)
        new = self.file.with_name(self.file.name + ".new")
        try:
            new.write_text(text, encoding="utf-8")
            new.replace(self.file)
        except OSError as error:
            raise LargeFailed(f"{self.file}: {(error.strerror or 'cannot be written').lower()}") from None
