"""Leaves out the base regions without a valid pixel, so that counts are counts of superpixels."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import MERGE_DTYPE, tree_of_merges
from superpixel_kernels.codec import NO_REGION
from superpixel_service.large.engine import Result
from superpixel_service.large.source import Window
from superpixel_service.large.tree import make_tree


def only_inside(result: Result, inside: NDArray[np.bool_]) -> Result:
    """The base regions with a valid pixel, numbered again in the same order, and the merges between them.

    Args:
        result: all base regions.
        inside: (base_count,) bool, at least one of them true.
    """
    kept = np.flatnonzero(inside).astype(np.uint32)
    table = np.full(result.base_count, NO_REGION, np.uint32)
    table[kept] = np.arange(len(kept), dtype=np.uint32)
    tree = make_tree(result.merges)
    a, b, made = tree.merges_between(kept)
    between = made - np.uint32(tree.base_count)
    merges = np.zeros(len(kept) - 1, MERGE_DTYPE)
    merges["height"] = tree.heights[between]
    merges["round"] = result.merges["round"][between]
    merges["a"], merges["b"] = _names(a, b)
    return Result(len(kept), merges, _through(table, result.base))


def _through(
    table: NDArray[np.uint32], base: Callable[[Window], NDArray[np.integer]]
) -> Callable[[Window], NDArray[np.integer]]:
    return lambda window: table[base(window)]


def _names(a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """For merges that are given by any member of each side, the least members of the two sides."""
    tree = tree_of_merges(a, b)
    absorbed = np.empty(len(a), np.int64)
    absorbed[tree.order] = np.arange(1, len(a) + 1)
    # Label 0 is never absorbed. Another label names its component until the merge `order`.
    until = np.concatenate([[len(a)], tree.order]).astype(np.int64)
    into = np.concatenate([[0], tree.into]).astype(np.int64)
    names = into[absorbed]
    climbing = np.arange(len(a))
    while climbing.size:
        climbing = climbing[until[names[climbing]] < climbing]
        names[climbing] = into[names[climbing]]
    return names, absorbed
