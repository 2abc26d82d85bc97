"""Values stored as runs, as frontend/src/serialise.js writes them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.classes import FIRST_OBJECT


def from_runs(
    name: str, runs: object, size: int, classes: int, objects: int, first: int
) -> NDArray[np.uint16]:
    """(size,) values of regions or pixels, from value and length of each run.

    Args:
        name: for the error text.
        runs: untrusted.
        size: at most 2**31.
        classes: number of classes.
        objects: number of objects.
        first: the number that stands for value 0.

    Raises:
        ValueError: the runs are damaged.
        OverflowError: a number is too large for a float.
    """
    # A run has a length of at least 1, so an honest list has at most 2 * size numbers.
    if not isinstance(runs, list) or len(runs) > 2 * size or len(runs) % 2 or not _are_numbers(runs):
        raise ValueError(f"{name}: must be value and length of at most {size} runs")
    most, least, last = classes + first, FIRST_OBJECT + first, FIRST_OBJECT + first + objects - 1
    pairs = np.array(runs, np.float64).reshape(-1, 2)
    values, lengths = pairs.T
    exists = ((values >= 0) & (values <= most)) | ((values >= least) & (values <= last))
    valid = exists & (lengths >= 1) & (lengths <= size) & (pairs == np.floor(pairs)).all(axis=1)
    wrong = np.flatnonzero(~valid)
    if wrong.size:
        or_object = f", or from {least} to {last}," if objects else ""
        raise ValueError(
            f"{name}: run {wrong[0]} must have a value from 0 to {most}{or_object}"
            f" and a length from 1 to {size}"
        )
    # Cannot wrap: at most `size` lengths, each at most `size`.
    total = int(lengths.astype(np.int64).sum())
    if total != size:
        raise ValueError(f"{name}: hold {total} values, must be {size}")
    return np.repeat(values.astype(np.uint16), lengths.astype(np.int64))


def to_runs(values: NDArray[Any]) -> list[int]:
    """Value and length of each run.

    Args:
        values: (size,) integers or bool, at least one.
    """
    starts, ends = find_runs(values)
    runs: list[int] = np.stack([values[starts].astype(np.int64), ends - starts], axis=1).ravel().tolist()
    return runs


def find_runs(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of each run of equal values.

    Args:
        values: (size,), at least one.
    """
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    return starts, np.append(starts[1:], values.size)


def _are_numbers(values: list[object]) -> bool:
    return {*map(type, values)} <= {int, float}  # bool is no number here
