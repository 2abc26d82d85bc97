"""Pools a map of the caller's over the regions of a label map."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superpixel_kernels.codec.regions import as_named_regions
from superpixel_kernels.errors import InvalidParameter

How = Literal["mean", "max", "sum", "mode", "entropy"]
"""How the values of a region become one; see `pool`."""

_TABLE = 1 << 24
"""Largest table of labels times values; above it, pairs of both are sorted."""


def pool(labels: NDArray[np.integer], values: ArrayLike, how: How = "mean") -> NDArray[Any]:
    """Pool values per pixel into values per region.

    Args:
        labels: (height, width) integers; row i of the result is about label i. -1 is no region.
        values: (height, width) or (height, width, channels), bool, integers of at most 32 bits in size, or
            floats; the labels' height and width.
        how: "mean", "sum" and "max" work per channel. Sums of integers are exact; those of floats add float64
            in raster order. "mode" is the most frequent integer, the smallest of several. "entropy", in nats:
            of integers, (height, width), the entropy of their distribution in the region; of floats,
            (height, width, classes), probabilities, the entropy of the region's mean distribution.

    Returns:
        (count,) or (count, channels); count is the largest label + 1. float64 for "mean" and "entropy", int64
        or float64 for "sum", the values' type for "max" and "mode". A label without pixels gets NaN for
        "mean" and "entropy", 0 for "sum", the type's least value for "max", and -1 for "mode" (int64 then).

    Raises:
        InvalidLabelMap: the labels are not such integers.
        InvalidParameter: the values have another shape or type, or there is no such `how`.
    """
    labels = as_named_regions(labels)
    array = np.asarray(values)
    if array.ndim not in (2, 3) or array.shape[:2] != labels.shape:
        raise InvalidParameter(
            "values",
            f"must be (height, width) or (height, width, channels) of {labels.shape}, got {array.shape}",
        )
    if array.dtype.kind not in "buif":
        raise InvalidParameter("values", f"must be bool, integers or floats, got {array.dtype}")
    inside = labels >= 0
    if inside.all():
        flat, rows = labels.ravel(), array.reshape(labels.size, *array.shape[2:])
    else:
        flat, rows = labels[inside], array[inside]
    columns = rows.reshape(len(rows), -1)
    if how == "mode":
        pooled = _mode(flat, columns)
    elif how == "entropy":
        return _entropy(flat, rows)
    elif how in _METHODS:
        pooled = _METHODS[how](flat, columns)
    else:
        raise InvalidParameter("how", f"must be one of {', '.join(How.__args__)}, got {how!r}")  # type: ignore[attr-defined]
    return pooled[:, 0] if array.ndim == 2 else pooled


def _sum(flat: NDArray[np.int32], columns: NDArray[Any]) -> NDArray[Any]:
    if columns.dtype.kind == "f":
        floats = [np.bincount(flat, weights=column) for column in columns.T]
        return np.stack(floats, axis=1) if floats else np.zeros((int(flat.max()) + 1, 0))
    if columns.dtype.itemsize == 8 and not (columns.min() >= -(2**31) and columns.max() < 2**32):
        raise InvalidParameter("values", "integers must be from -2^31 to 2^32 - 1")
    # bincount adds doubles: sums of 16 bits of up to 2^27 pixels are exact in them.
    exact = []
    for column in columns.T:
        whole = column.astype(np.int64)
        high, low = (
            np.bincount(flat, weights=part).astype(np.int64) for part in (whole >> 16, whole & 0xFFFF)
        )
        exact.append((high << 16) + low)
    return np.stack(exact, axis=1)


def _mean(flat: NDArray[np.int32], columns: NDArray[Any]) -> NDArray[Any]:
    areas = np.bincount(flat)[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        return np.where(areas > 0, _sum(flat, columns) / areas, np.nan)


def _max(flat: NDArray[np.int32], columns: NDArray[Any]) -> NDArray[Any]:
    dtype = columns.dtype
    least = {"b": False, "f": -np.inf}.get(dtype.kind)
    if least is None:
        least = np.iinfo(dtype).min
    greatest = np.full((int(flat.max()) + 1, columns.shape[1]), least, dtype)
    for at, column in enumerate(columns.T):
        np.maximum.at(greatest[:, at], flat, column)
    return greatest


_METHODS = {"sum": _sum, "mean": _mean, "max": _max}


def _counted(flat: NDArray[np.int32], column: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """How often each value occurs in each label: labels, values, numbers, sorted by label, then value."""
    if column.dtype.kind == "f":
        raise InvalidParameter("values", f"must be integers for this, got {column.dtype}")
    least = int(column.min())
    span = int(column.max()) - least + 1
    count = int(flat.max()) + 1
    if span * count <= _TABLE:
        # A table of labels times values.
        table = np.bincount(flat.astype(np.int64) * span + (column.astype(np.int64) - least))
        found = np.flatnonzero(table)
        return found // span, (found % span + least).astype(column.dtype), table[found]
    names, indices = np.unique(column, return_inverse=True)
    found, numbers = np.unique(flat.astype(np.int64) * len(names) + indices, return_counts=True)
    return found // len(names), names[found % len(names)], numbers


def _mode(flat: NDArray[np.int32], columns: NDArray[Any]) -> NDArray[Any]:
    count = int(flat.max()) + 1
    modes = []
    for column in columns.T:
        regions, values, numbers = _counted(flat, column)
        # Sorted such that the first entry of each region is the most frequent, then the smallest.
        order = np.lexsort((values, -numbers, regions))
        named, first = np.unique(regions[order], return_index=True)
        if len(named) == count:
            modes.append(values[order][first])
            continue
        mode = np.full(count, -1, np.int64)
        mode[named] = values[order][first]
        modes.append(mode)
    return np.stack(modes, axis=1)


def _entropy(flat: NDArray[np.int32], values: NDArray[Any]) -> NDArray[np.float64]:
    areas = np.bincount(flat)
    if values.dtype.kind == "f":
        if values.ndim != 2:
            raise InvalidParameter("values", "must be (height, width, classes) for the entropy of floats")
        means = _mean(flat, values)
        if not (np.nan_to_num(means) >= 0).all():
            raise InvalidParameter("values", "must be at least 0 to be probabilities")
        shares = means / means.sum(axis=1, keepdims=True)
        terms: NDArray[np.float64] = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=1)
        return np.abs(terms)
    if values.ndim != 1:
        raise InvalidParameter("values", "must be (height, width) for the entropy of integers")
    regions, _, numbers = _counted(flat, values)
    shares = numbers / areas[regions]
    entropy = np.abs(np.bincount(regions, weights=-shares * np.log(shares), minlength=len(areas)))
    return np.where(areas > 0, entropy, np.nan)
