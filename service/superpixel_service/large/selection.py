"""A selection of a store: classes and objects, by global id of regions, and painted pixels."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import NO_REGION
from superpixel_service.client.classes import FIRST_OBJECT, Class, Instance, check_lists
from superpixel_service.client.selection_json import class_facts, object_facts
from superpixel_service.large.errors import LargeFailed, one_line
from superpixel_service.large.layout import StoreInfo
from superpixel_service.large.source import Window
from superpixel_service.large.store import Store

FORMAT = "superpixel-store-selection"
VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class StoreSelection:
    """A selection of a store. Values: 0 is no class, 1 to 254 a class, 256 + k object k.

    Attributes:
        classes: class value v is `classes[v - 1]`.
        objects: object k is `objects[k]`.
        base_values: (base_count,) uint16: the value of each base region.
        runs: (n, 4) int64, sorted by row: y, x, length, value of painted pixels, which override regions.
    """

    classes: tuple[Class, ...]
    objects: tuple[Instance, ...]
    base_values: NDArray[np.uint16]
    runs: NDArray[np.int64]

    def values(self, store: Store, window: Window) -> NDArray[np.uint16]:
        """(height, width) uint16: the value of each pixel of a window."""
        base = store.base(window)
        inside = base != NO_REGION
        values = np.where(inside, self.base_values[np.where(inside, base, 0)], 0).astype(np.uint16)
        paint_runs(values, self.runs, window)
        return values


def paint_runs(values: NDArray[Any], runs: NDArray[np.int64], window: Window) -> None:
    """Write painted pixels into the values of a window.

    Args:
        values: (height, width).
        runs: as in `StoreSelection`.
        window: where the values are.
    """
    first, last = np.searchsorted(runs[:, 0], [window.y, window.y + window.height])
    for y, x, length, value in runs[first:last].tolist():
        left, right = max(x - window.x, 0), min(x + length - window.x, window.width)
        if left < right:
            values[y - window.y, left:right] = value


def read_selection(text: str | bytes, store: Store) -> StoreSelection:
    """Read a selection from JSON (docs/stores.md).

    Raises:
        LargeFailed: it is malformed, or belongs to another store.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise LargeFailed(f"selection: is not JSON: {one_line(error)}") from None
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise LargeFailed(f'selection: must have "format": "{FORMAT}"')
    if data.get("version") != VERSION:
        raise LargeFailed(f"selection: has version {data.get('version')!r}; only {VERSION} is known here")
    _check_store(data.get("store"), store.info)
    classes, objects = _lists(data)
    values = np.zeros(store.info.base_count, np.uint16)
    for id_, value in _pairs(data.get("regions", []), "regions", 2):
        values[store.members([id_])] = _checked_value(value, classes, objects)
    runs = np.array(list(_runs(data.get("pixels", []), store.info, classes, objects)), np.int64).reshape(
        -1, 4
    )
    return StoreSelection(classes, objects, values, runs[np.argsort(runs[:, 0], kind="stable")])


def write_selection(
    info: StoreInfo,
    classes: tuple[Class, ...],
    regions: Mapping[int, int],
    objects: tuple[Instance, ...] = (),
    pixels: tuple[tuple[int, int, int, int], ...] = (),
) -> str:
    """A selection as JSON: values by global id, and runs (y, x, length, value) of painted pixels."""
    return json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "store": store_facts(info),
            "classes": [class_facts(each) for each in classes],
            "objects": [object_facts(each) for each in objects],
            "regions": [list(pair) for pair in regions.items()],
            "pixels": [list(run) for run in pixels],
        }
    )


def store_facts(info: StoreInfo) -> dict[str, Any]:
    """What tells a store from another one, in a selection."""
    return {
        "width": info.width,
        "height": info.height,
        "base_count": info.base_count,
        "algorithm_version": info.algorithm_version,
        "compactness": info.compactness,
        "sha256": info.source.get("sha256", ""),
    }


def _check_store(found: Any, info: StoreInfo) -> None:
    expected = store_facts(info)
    if not isinstance(found, Mapping):
        raise LargeFailed('selection: must say its "store"')
    wrong = [name for name, value in expected.items() if name in found and found[name] != value]
    missing = {"width", "height", "base_count"} - found.keys()
    if wrong or missing:
        raise LargeFailed(
            f"selection: belongs to another store (other {', '.join(wrong or sorted(missing))})"
        )


def _lists(data: Mapping[str, Any]) -> tuple[tuple[Class, ...], tuple[Instance, ...]]:
    try:
        classes = tuple(Class(each["name"], each["color"], each.get("id")) for each in data["classes"])
        objects = tuple(Instance(each["class"], each.get("name", "")) for each in data.get("objects", []))
        check_lists(classes, objects)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise LargeFailed(f"selection: classes or objects: {one_line(error)}") from None
    return classes, objects


def _pairs(found: Any, name: str, size: int) -> Iterator[list[int]]:
    if not isinstance(found, list):
        raise LargeFailed(f"selection: {name}: must be a list")
    for each in found:
        if not (isinstance(each, list) and len(each) == size and all(type(number) is int for number in each)):
            raise LargeFailed(f"selection: {name}: each must be {size} whole numbers, got {str(each)[:80]}")
        yield each


def _runs(
    found: Any, info: StoreInfo, classes: tuple[Class, ...], objects: tuple[Instance, ...]
) -> Iterator[list[int]]:
    for run in _pairs(found, "pixels", 4):
        y, x, length, value = run
        if not (0 <= y < info.height and x >= 0 and length >= 1 and x + length <= info.width):
            raise LargeFailed(f"selection: pixels: the run {run} leaves the image")
        _checked_value(value, classes, objects)
        yield run


def _checked_value(value: int, classes: tuple[Class, ...], objects: tuple[Instance, ...]) -> int:
    if not (0 <= value <= len(classes) or FIRST_OBJECT <= value < FIRST_OBJECT + len(objects)):
        raise LargeFailed(f"selection: the value {value} is no class and no object")
    return value
