"""What an export of a store shows: the superpixels of a count, or the classes and objects of a selection."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import NO_REGION
from superpixel_service.client.classes import FIRST_OBJECT, class_table
from superpixel_service.large.selection import StoreSelection
from superpixel_service.large.source import Window
from superpixel_service.large.store import Store


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A property of the outlines: a value per feature."""

    name: str
    values: NDArray[Any]


class Layer(Protocol):
    """A label image to export."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands of a raster."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a raster, in which 0 is nothing."""

    def raster(self, window: Window) -> NDArray[Any]:
        """(bands, height, width): the raster in a window."""

    def features(self, window: Window) -> NDArray[np.uint32]:
        """(height, width): the feature that has each pixel, from 1; 0: none."""

    def columns(self, features: NDArray[np.uint32], area: NDArray[np.int64]) -> Sequence[Column]:
        """The properties of features with these areas, in pixels."""


class CountLayer:
    """The superpixels of a count. Labels are 1 to count, by first appearance."""

    bands = ("superpixel",)
    dtype: np.dtype[Any] = np.dtype(np.uint32)

    def __init__(self, store: Store, count: int) -> None:
        self._store = store
        self._table, self._ids = store.tree.numbered(count)

    def raster(self, window: Window) -> NDArray[Any]:
        """See `Layer`."""
        return self.features(window)[None]

    def features(self, window: Window) -> NDArray[np.uint32]:
        """See `Layer`."""
        base = self._store.base(window)
        inside = base != NO_REGION
        return np.where(inside, self._table[np.where(inside, base, 0)], np.uint32(0))

    def columns(self, features: NDArray[np.uint32], area: NDArray[np.int64]) -> Sequence[Column]:
        """See `Layer`."""
        ids = self._ids[features - 1]
        measured = self._store.regions(ids.tolist())
        return [
            Column("superpixel", features.astype(np.int64)),
            Column("global_id", ids.astype(np.int64)),
            Column("pixels", area),
            *(
                Column(name, measured.mean_color[:, channel].astype(np.int32))
                for channel, name in enumerate(("mean_red", "mean_green", "mean_blue"))
            ),
        ]


class SelectionLayer:
    """The classes and objects of a selection: a feature per object, and one per class of its other pixels."""

    dtype: np.dtype[Any] = np.dtype(np.uint16)

    def __init__(self, store: Store, selection: StoreSelection) -> None:
        self._store = store
        self._selection = selection
        self._classes = class_table(selection.objects)
        self.bands: tuple[str, ...] = ("class", "object") if selection.objects else ("class",)

    def raster(self, window: Window) -> NDArray[Any]:
        """See `Layer`. Objects are numbered from 1."""
        values = self._selection.values(self._store, window)
        planes = [self._classes[values].astype(np.uint16)]
        if len(self.bands) > 1:
            planes.append(
                np.where(values >= FIRST_OBJECT, values - np.uint16(FIRST_OBJECT - 1), np.uint16(0))
            )
        return np.stack(planes)

    def features(self, window: Window) -> NDArray[np.uint32]:
        """See `Layer`. The feature is the value."""
        return self._selection.values(self._store, window).astype(np.uint32)

    def columns(self, features: NDArray[np.uint32], area: NDArray[np.int64]) -> Sequence[Column]:
        """See `Layer`."""
        classes = self._classes[features].astype(np.int32)
        of_class = [self._selection.classes[value - 1] for value in classes.tolist()]
        is_object = features >= FIRST_OBJECT
        objects = np.where(is_object, features.astype(np.int64) - (FIRST_OBJECT - 1), 0)
        names = [self._selection.objects[number - 1].name if number else "" for number in objects.tolist()]
        return [
            Column("class", classes),
            Column("class_name", np.array([each.name for each in of_class], object)),
            Column("color", np.array([each.color for each in of_class], object)),
            Column("object", objects),
            Column("object_name", np.array(names, object)),
            Column("pixels", area),
        ]
