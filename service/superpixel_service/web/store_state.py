"""What is selected in a store: a value per base region, the lists of classes and objects, and their areas."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import NO_REGION
from superpixel_service.client.classes import FIRST_OBJECT, Class, Instance
from superpixel_service.large.selection import paint_runs
from superpixel_service.large.store import Store
from superpixel_service.large.writer import shards

PARTLY = 255
"""The value of a region whose base regions have several values."""

Undo = Callable[[], None]
"""Takes a change back. Changes are taken back in the reverse order."""


@dataclass(frozen=True, slots=True, eq=False)
class ListChange:
    """A change of the lists, which may give regions other values.

    Attributes:
        classes: the list after it.
        objects: the list after it.
        becomes: (FIRST_OBJECT + objects before it,) uint16: the new value of each value; None: none changes.
    """

    classes: tuple[Class, ...]
    objects: tuple[Instance, ...]
    becomes: NDArray[np.uint16] | None = None


class StoreState:
    """The selection, and how it changes. It has no lock.

    Attributes:
        classes: class value v is `classes[v - 1]`.
        objects: object k, whose value is `FIRST_OBJECT` + k, is `objects[k]`.
        values: (base_count,) uint16: the value of each base region.
        runs: (n, 4) int64: y, x, length, value of painted pixels, which override regions.
        areas: (FIRST_OBJECT + number of objects,) int64: the pixels that have each value.
    """

    def __init__(
        self,
        store: Store,
        classes: tuple[Class, ...],
        objects: tuple[Instance, ...],
        runs: NDArray[np.int64],
    ) -> None:
        """Begin with painted pixels, and regions without a value."""
        self.store = store
        self.classes = classes
        self.objects = objects
        self.runs = runs
        self.values = np.zeros(store.info.base_count, np.uint16)
        self._sizes, painted = _uncovered(store, runs)
        self.areas = np.zeros(FIRST_OBJECT + len(objects), np.int64)
        np.add.at(self.areas, painted[:, 0], painted[:, 1])
        self.areas[0] += int(self._sizes.sum())
        self._in_order: tuple[NDArray[np.uint16], NDArray[np.uint32]] | None = None

    def values_of(self, ids: NDArray[np.uint32]) -> NDArray[np.uint16]:
        """The value of each region: 0, a class, an object, or `PARTLY`; 0 for `NO_REGION`."""
        tree = self.store.tree
        found = np.zeros(len(ids), np.uint16)
        inside = ids != NO_REGION
        first = tree.first_leaf[ids[inside]].astype(np.int64)
        last = first + tree.leaf_count[ids[inside]] - 1
        if self._in_order is None:
            # The base regions of a region are neighbours in the order of leaves.
            values = self.values[tree.leaves]
            changes = np.cumsum(np.diff(values, prepend=values[:1]) != 0, dtype=np.uint32)
            self._in_order = values, changes
        values, changes = self._in_order
        found[inside] = np.where(changes[first] == changes[last], values[first], PARTLY)
        return found

    def paint(self, ids: Sequence[int], value: int) -> tuple[Undo, NDArray[np.int64]]:
        """Give regions a value.

        Returns:
            What takes it back, and the values whose areas have changed.

        Raises:
            LargeFailed: a region is not there.
        """
        members = self.store.members(ids)
        before = self.values[members]
        sizes = self._sizes[members]
        touched, index = np.unique(before, return_inverse=True)
        lost = np.bincount(index, sizes, len(touched)).astype(np.int64)
        uniform = touched[0] if len(touched) == 1 else before
        self._write(members, value)
        self._shift_areas(touched, lost, value, 1)

        def undo() -> None:
            # Looked up again: base regions of many steps would fill the memory.
            self._write(self.store.members(ids), uniform)
            self._shift_areas(touched, lost, value, -1)

        return undo, np.append(touched.astype(np.int64), value)

    def change(self, change: ListChange) -> Undo:
        """Change the lists."""
        classes, objects, values, runs = self.classes, self.objects, self.values, self.runs
        areas = self.areas.copy()
        becomes = change.becomes
        if becomes is None:
            becomes = np.arange(FIRST_OBJECT + len(objects), dtype=np.uint16)
            back, lost, values_lost = becomes, np.empty(0, np.int64), np.empty(0, np.uint16)
        else:
            back, lost, values_lost = _way_back(becomes, values)
            self._renumber(becomes)
        self.classes, self.objects = change.classes, change.objects
        self.areas = np.zeros(FIRST_OBJECT + len(change.objects), np.int64)
        np.add.at(self.areas, becomes, areas)

        def undo() -> None:
            if change.becomes is not None:
                self._renumber(back)
                self.values[lost] = values_lost
            self.classes, self.objects, self.runs, self.areas = classes, objects, runs, areas.copy()

        return undo

    def _renumber(self, becomes: NDArray[np.uint16]) -> None:
        self.values = becomes[self.values]
        self.runs = self.runs.copy()
        self.runs[:, 3] = becomes[self.runs[:, 3]]
        self._in_order = None

    def _write(self, members: NDArray[np.uint32], value: int | np.uint16 | NDArray[np.uint16]) -> None:
        self.values[members] = value
        self._in_order = None

    def _shift_areas(self, values: NDArray[np.uint16], pixels: NDArray[np.int64], to: int, way: int) -> None:
        self.areas[values] -= way * pixels
        self.areas[to] += way * int(pixels.sum())


def _way_back(
    becomes: NDArray[np.uint16], values: NDArray[np.uint16]
) -> tuple[NDArray[np.uint16], NDArray[np.int64], NDArray[np.uint16]]:
    """The inverse of a renumbering; and the base regions, with their values, for which it is wrong."""
    back = np.zeros(int(becomes.max()) + 1, np.uint16)
    # Backwards: the smallest of the values that become the same stays. Most base regions have 0.
    back[becomes[::-1]] = np.arange(len(becomes) - 1, -1, -1, dtype=np.uint16)
    wrong = back[becomes] != np.arange(len(becomes))
    lost = np.flatnonzero(wrong[values])
    return back, lost, values[lost]


def _uncovered(store: Store, runs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixels of each base region that are not painted; and (value, pixels) of those that are."""
    sizes = store.areas.astype(np.int64)
    painted: list[tuple[int, int]] = []
    for window in shards(store.info.width, store.info.height) if len(runs) else ():
        paint = np.full((window.height, window.width), -1, np.int32)  # -1: not painted
        paint_runs(paint, runs, window)
        covered = paint >= 0
        if not covered.any():
            continue
        values, counts = np.unique(paint[covered], return_counts=True)
        painted += zip(values.tolist(), counts.tolist(), strict=True)
        regions, counts = np.unique(store.base(window)[covered], return_counts=True)
        inside = regions != NO_REGION
        sizes[regions[inside]] -= counts[inside]
    return sizes, np.array(painted, np.int64).reshape(-1, 2)
