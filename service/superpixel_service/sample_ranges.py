"""Ranges of samples: which value becomes 0, and which 255. docs/stores.md specifies them.

A robust range comes from the histogram of the valid samples. Samples of 16 bits need one pass over the image.
Samples of 32 bits need two: one finds the upper 16 bits of the two limits, and one finds the lower 16 bits.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

PARTS = 100_000
"""Parts of the whole in which shares of samples are counted."""

_BINS = 1 << 16
_LARGEST = float(np.finfo(np.float32).max)
_SIGN = {1: 0x80, 2: 0x8000, 4: 0x8000_0000}


@dataclass(frozen=True, slots=True)
class Range:
    """A range of values: `low` and everything below becomes 0, `high` and everything above 255."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.9g} to {self.high:.9g}"


@dataclass(frozen=True, slots=True)
class RangeRule:
    """How a range is found.

    Attributes:
        given: the range itself; None: it comes from the histogram.
        below: `low` is the least value with more than this share of the samples at or below it, in `PARTS`.
        above: `high` is the largest value with more than this share of the samples at or above it.
    """

    given: Range | None = None
    below: int = PARTS // 1000
    above: int = PARTS // 1000


ROBUST = RangeRule()
"""The rule if nothing else is asked for: a thousandth of the samples at both ends does not count."""

Samples = Callable[[], Iterable[NDArray[Any]]]
"""Gives the valid samples of a band in parts; may be called twice."""


def find_range(samples: Samples, dtype: np.dtype[Any], rule: RangeRule) -> Range | None:
    """The range of a band, or of several that share one.

    Args:
        samples: the valid samples, of `dtype`.
        dtype: one of `source.DTYPES`.
        rule: how to find it.

    Returns:
        The range; None if there are no samples.
    """
    if rule.given is not None:
        return rule.given
    if dtype.itemsize <= 2 and dtype != np.float16:
        counts = _count(samples, lambda values: _keys(values).astype(np.uint16))
        limits = _limits(counts, rule)
        return None if limits is None else Range(*(_value(key, dtype) for key, _ in limits))
    upper = _limits(_count(samples, lambda values: (_keys(values) >> 16).astype(np.uint16)), rule)
    if upper is None:
        return None
    low = _refine(samples, upper[0][0], upper[0][1], from_above=False)
    high = _refine(samples, upper[1][0], upper[1][1], from_above=True)
    return Range(_value(low, dtype), _value(high, dtype))


def _count(samples: Samples, keys: Callable[[NDArray[Any]], NDArray[np.uint16]]) -> NDArray[np.int64]:
    counts = np.zeros(_BINS, np.int64)
    for values in samples():
        counts += np.bincount(keys(values), minlength=_BINS)
    return counts


def _limits(counts: NDArray[np.int64], rule: RangeRule) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Per end, the bin of the limit, and how many samples at this end must be passed inside the bin."""
    total = int(counts.sum())
    if not total:
        return None
    below, above = total * rule.below // PARTS, total * rule.above // PARTS
    rising = np.cumsum(counts)
    falling = np.cumsum(counts[::-1])
    low = int(np.searchsorted(rising, below, side="right"))
    high = int(np.searchsorted(falling, above, side="right"))
    low, high = min(low, _BINS - 1), min(high, _BINS - 1)
    passed_below = below - int(rising[low] - counts[low])
    passed_above = above - int(falling[high] - counts[_BINS - 1 - high])
    return (low, passed_below), (_BINS - 1 - high, passed_above)


def _refine(samples: Samples, upper: int, passed: int, *, from_above: bool) -> int:
    """The key of a limit whose upper 16 bits are known."""

    def lower_bits(values: NDArray[Any]) -> NDArray[np.uint16]:
        keys = _keys(values)
        return np.asarray(keys[keys >> 16 == upper] & 0xFFFF, np.uint16)

    counts = _count(samples, lower_bits)
    if from_above:
        counts = counts[::-1]
    at = min(int(np.searchsorted(np.cumsum(counts), passed, side="right")), _BINS - 1)
    return upper << 16 | (_BINS - 1 - at if from_above else at)


def _keys(values: NDArray[Any]) -> NDArray[np.uint32]:
    """Unsigned integers in the order of the values."""
    if values.dtype.kind == "f":
        # Adding 0 turns -0 into 0. Negative floats fall as their bits rise.
        single = np.clip(values, -_LARGEST, _LARGEST) if values.dtype.itemsize > 4 else values
        bits = (single.astype(np.float32) + np.float32(0)).view(np.uint32)
        return np.asarray(np.where(bits >> 31 == 1, ~bits, bits | np.uint32(_SIGN[4])))
    if values.dtype.kind == "i":
        size = values.dtype.itemsize
        unsigned = values.view(np.dtype(f"u{size}")).astype(np.uint32)
        return unsigned ^ np.uint32(_SIGN[size])
    whole: NDArray[np.uint32] = values.astype(np.uint32)
    return whole


def _value(key: int, dtype: np.dtype[Any]) -> float:
    if dtype.kind == "f":
        bits = key ^ _SIGN[4] if key >> 31 else key ^ 0xFFFF_FFFF
        return float(np.uint32(bits).view(np.float32))
    return float(key - _SIGN[dtype.itemsize]) if dtype.kind == "i" else float(key)


def scaled(samples: NDArray[Any], limits: Range) -> NDArray[np.uint8]:
    """Samples as 0 to 255.

    Integers, with a range of integers: ((v - low) * 255 + (high - low) // 2) // (high - low). Others, in
    doubles: floor((v - low) * 255 / (high - low) + 0.5). Values outside the range are first set to its ends.
    If low equals high, values up to it become 0, and values above it 255. NaN becomes 0.
    """
    low, high = limits.low, limits.high
    if low == high:
        return np.where(samples > low, np.uint8(255), np.uint8(0))
    exact = samples.dtype.kind in "iub" and low.is_integer() and high.is_integer()
    if exact and samples.dtype.itemsize <= 2:
        # A table of all values is much faster than arithmetic per pixel.
        index = samples.view(np.dtype(f"u{samples.dtype.itemsize}"))
        return np.asarray(_table(samples.dtype, int(low), int(high))[index])
    return _scaled_integers(samples, int(low), int(high)) if exact else _scaled_floats(samples, low, high)


@lru_cache(maxsize=8)  # images are scaled in parts, all with one table
def _table(dtype: np.dtype[Any], low: int, high: int) -> NDArray[np.uint8]:
    size = dtype.itemsize
    values = np.arange(1 << 8 * size, dtype=np.dtype(f"u{size}")).view(dtype)
    return _scaled_integers(values, low, high)


def _scaled_integers(samples: NDArray[Any], low: int, high: int) -> NDArray[np.uint8]:
    size = high - low
    if size.bit_length() > 53:  # beyond every sample's type: the product would overflow
        return _scaled_floats(samples, float(low), float(high))
    above: NDArray[np.int64] = np.clip(samples.astype(np.int64), low, high) - low
    return ((above * 255 + size // 2) // size).astype(np.uint8)


def _scaled_floats(samples: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    values = np.clip(np.nan_to_num(samples.astype(np.float64), nan=low), low, high)
    return np.floor((values - low) * 255.0 / (high - low) + 0.5).astype(np.uint8)
