"""Spreads few labels to all superpixels along the tree of nested superpixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superpixel_kernels.codec import Tree
from superpixel_kernels.errors import InvalidParameter

UNKNOWN = -1
"""A superpixel without a label."""


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """A label for every superpixel.

    Attributes:
        labels: (count,) int64.
        source: (count,) int64: the labelled superpixel that each label comes from.
        level: (count,) int64: number of superpixels of the finest level that unites the superpixel with a
            labelled one; `count` for labelled ones. The larger, the more certain: keep the labels of
            `level >= n` and leave the others unknown.
    """

    labels: NDArray[np.int64]
    source: NDArray[np.int64]
    level: NDArray[np.int64]


def spread(tree: Tree, labels: ArrayLike, features: ArrayLike | None = None) -> Spread:
    """Give every superpixel the label of a labelled one near it in the tree.

    From each superpixel, the tree leads up to the first larger superpixel that contains labelled ones. Of
    several, the one with the nearest features gives its label; without features, the one with the smallest
    number.

    Args:
        tree: of a cut: `hierarchy.tree(count)`, or a label map's.
        labels: (count,) integers: the known labels, and -1 for superpixels without one.
        features: (count,) or (count, n) numbers to compare superpixels by, such as pooled features of a model
            or mean colours; distances are Euclidean.

    Raises:
        InvalidParameter: an array has another length, or no label is known.
    """
    count = len(tree.into) + 1
    known = np.asarray(labels)
    if known.shape != (count,) or not np.issubdtype(known.dtype, np.integer):
        raise InvalidParameter("labels", f"must be ({count},) integers, got {known.shape} {known.dtype}")
    if not (known != UNKNOWN).any():
        raise InvalidParameter("labels", "must have at least one that is not -1")
    values = None
    if features is not None:
        values = np.asarray(features, np.float64).reshape(len(np.asarray(features)), -1)
        if len(values) != count or not np.isfinite(values).all():
            raise InvalidParameter("features", f"must be finite, and one row for each of {count} superpixels")
    source = np.where(known != UNKNOWN, np.arange(count), UNKNOWN)
    level = np.where(known != UNKNOWN, count, 0)
    # Per root: its labelled superpixels, and those that have met no label yet.
    seeds = [[at] if known[at] != UNKNOWN else [] for at in range(count)]
    waiting = [[] if known[at] != UNKNOWN else [at] for at in range(count)]
    parent = list(range(count))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for step, index in enumerate(np.argsort(tree.order).tolist()):
        a, b = sorted((root(index + 1), root(int(tree.into[index]))))
        parent[b] = a
        for with_seeds, without in ((a, b), (b, a)):
            if seeds[with_seeds] and waiting[without]:
                met = np.array(waiting[without])
                source[met] = _nearest(met, np.array(sorted(seeds[with_seeds])), values)
                level[met] = count - 1 - step
                waiting[without] = []
        # The shorter list joins the longer one.
        for lists in (seeds, waiting):
            shorter, longer = sorted((lists[a], lists[b]), key=len)
            longer.extend(shorter)
            lists[a], lists[b] = longer, []
    return Spread(known[source].astype(np.int64), source, level)


def _nearest(
    met: NDArray[np.int64], seeds: NDArray[np.int64], values: NDArray[np.float64] | None
) -> NDArray[np.int64]:
    """For each superpixel the seed with the nearest features; the first of equally near ones."""
    if values is None or len(seeds) == 1:
        return np.repeat(seeds[:1], len(met))
    best = np.full(len(met), np.inf)
    chosen = np.repeat(seeds[:1], len(met))
    for seed in seeds:
        difference = values[met] - values[seed]
        distance = (difference * difference).sum(axis=1)
        nearer = distance < best
        best[nearer], chosen[nearer] = distance[nearer], seed
    return chosen
