"""Values stored as runs, as frontend/src/serialise.js writes them."""

import numpy as np
from numpy.typing import NDArray


def from_runs(name: str, runs: object, size: int, most: int) -> NDArray[np.uint8]:
    """(size,) values 0 to `most`, from value and length of each run.

    Args:
        name: for the error text.
        runs: untrusted.
        size: at most 2**31.
        most: at most 255.

    Raises:
        ValueError: the runs are damaged.
        OverflowError: a number is too large for a float.
    """
    # A run has a length of at least 1, so an honest list has at most 2 * size numbers.
    if not isinstance(runs, list) or len(runs) > 2 * size or len(runs) % 2 or not _are_numbers(runs):
        raise ValueError(f"{name}: must be value and length of at most {size} runs")
    pairs = np.array(runs, np.float64).reshape(-1, 2)
    valid = (pairs >= (0, 1)) & (pairs <= (most, size)) & (pairs == np.floor(pairs))
    wrong = np.flatnonzero(~valid.all(axis=1))
    if wrong.size:
        raise ValueError(
            f"{name}: run {wrong[0]} must have a value from 0 to {most} and a length from 1 to {size}"
        )
    values, lengths = pairs.astype(np.int64).T
    # Cannot wrap: at most `size` lengths, each at most `size`.
    total = int(lengths.sum())
    if total != size:
        raise ValueError(f"{name}: hold {total} values, must be {size}")
    return np.repeat(values.astype(np.uint8), lengths)


def _are_numbers(values: list[object]) -> bool:
    return {*map(type, values)} <= {int, float}  # bool is no number here
