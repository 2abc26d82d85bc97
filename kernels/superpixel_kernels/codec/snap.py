"""A rough mask as whole superpixels."""

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.errors import InvalidParameter

MAX_VALUE = 2**31 - 1
"""Largest class of a mask."""


class HasCut(Protocol):
    """Cuts an image into any number of superpixels, as `superpixel_kernels.Hierarchy` does."""

    def cut(self, count: int, /) -> NDArray[np.int32]:
        """Return the label map with `count` superpixels: (height, width) int32, 0..count-1."""


class HasLevels(Protocol):
    """Has label maps of several counts, as `LabelMap` and a client's `Segmentation` do."""

    def labels_at(self, count: int, /) -> NDArray[np.int32]:
        """Return the label map with `count` superpixels: (height, width) int32, 0..count-1."""


Source: TypeAlias = HasCut | HasLevels | NDArray[np.integer]


def snap_mask(source: Source, mask: NDArray[Any], count: int, threshold: float = 0.5) -> NDArray[Any]:
    """Turn a rough mask into whole superpixels.

    Each superpixel gets the class that most of its pixels have in the mask, if these are at least the share
    `threshold` of all its pixels; else it gets 0. Of classes with equally many pixels the smallest wins.
    Class 0 is the background: it never wins, so a superpixel may get a class that less than half of it has,
    if the threshold allows it. Pixels outside the mask of a `MaskedHierarchy` get 0. The npm package gives
    the same result (`Selection.fromMask`).

    Args:
        source: the superpixels: a `superpixel_kernels.Hierarchy`, a `LabelMap`, a client's `Segmentation`, or
            an array of labels, (height, width) integers 0..count-1.
        mask: (height, width) integers, each 0 for the background or a class up to 2**31 - 1; or booleans.
        count: number of superpixels to snap to.
        threshold: smallest share of a superpixel's pixels, 0 to 1. 0: one pixel is enough.

    Returns:
        (height, width), of the mask's dtype.

    Raises:
        InvalidParameter: the mask has another shape or type, a negative or too large class; the source has no
            level of this count; or the threshold is out of range.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, int | float | np.integer | np.floating):
        raise InvalidParameter("threshold", f"must be a number from 0 to 1, got {threshold!r}")
    if not 0 <= threshold <= 1:
        raise InvalidParameter("threshold", f"must be from 0 to 1, got {threshold}")
    labels = _labels(source, count)
    classes = _classes(mask, labels.shape)
    inside = None if labels.min() >= 0 else labels >= 0  # a hierarchy with a mask has pixels outside
    flat = labels.ravel() if inside is None else labels[inside]
    regions, values, pixels = _overlaps(flat, classes.ravel() if inside is None else classes[inside])
    areas = np.bincount(flat, minlength=count)
    enough = pixels / areas[regions] >= threshold
    regions, values, pixels = regions[enough], values[enough], pixels[enough]
    # Most pixels first, then the smallest class; `np.unique` takes the first of each region.
    order = np.lexsort((values, -pixels, regions))
    chosen, first = np.unique(regions[order], return_index=True)
    of_region = np.zeros(count, np.asarray(mask).dtype)
    of_region[chosen] = values[order][first]
    snapped: NDArray[Any] = of_region[labels]
    if inside is not None:
        snapped[~inside] = 0
    return snapped


def _labels(source: Source, count: int) -> NDArray[np.integer]:
    """The label map of `source` with `count` superpixels."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer):
        raise InvalidParameter("count", f"must be an integer, got {type(count).__name__}")
    if isinstance(source, np.ndarray):
        if source.ndim != 2 or source.size == 0 or not np.issubdtype(source.dtype, np.integer):
            raise InvalidParameter(
                "source", f"labels must be (height, width) integers, got {source.shape} {source.dtype}"
            )
        if source.min() < 0:
            raise InvalidParameter("source", f"labels must be 0 or more, got {source.min()}")
        if int(source.max()) + 1 != count:
            raise InvalidParameter("count", f"must be {int(source.max()) + 1} for these labels, got {count}")
        if count > source.size:
            raise InvalidParameter("source", f"labels must be below the number of pixels, {source.size}")
        return source.astype(np.int64)
    if hasattr(source, "labels_at"):
        return source.labels_at(int(count))
    return source.cut(int(count))


def _classes(mask: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The mask as int64."""
    mask = np.asarray(mask)
    if mask.shape != shape:
        raise InvalidParameter("mask", f"must be {shape} as the superpixels are, got {mask.shape}")
    if mask.dtype != np.bool_ and not np.issubdtype(mask.dtype, np.integer):
        raise InvalidParameter("mask", f"must be integers or booleans, got {mask.dtype}")
    if mask.min() < 0 or mask.max() > MAX_VALUE:
        raise InvalidParameter(
            "mask", f"classes must be from 0 to {MAX_VALUE}, got {mask.min()} to {mask.max()}"
        )
    return mask.astype(np.int64)


def _overlaps(
    labels: NDArray[np.integer], classes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The label, class and number of pixels of every pair that occurs, without class 0."""
    base = int(classes.max()) + 1
    pairs = labels.astype(np.int64) * base + classes
    # Pixels are counted by runs: there are far fewer of them to sort.
    starts = np.flatnonzero(np.diff(pairs, prepend=-1))
    lengths = np.diff(starts, append=pairs.size)
    found, run_of = np.unique(pairs[starts], return_inverse=True)
    pixels = np.bincount(run_of, weights=lengths).astype(np.int64)  # exact: far below 2**53
    kept = found % base > 0
    found = found[kept]
    return found // base, found % base, pixels[kept]
