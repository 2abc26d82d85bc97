"""Numbers the regions of a window 0, 1, ... by first appearance, as label maps have them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import NO_REGION
from superpixel_service.large.tree import Ids


@dataclass(frozen=True, slots=True, eq=False)
class Numbering:
    """The regions of a window.

    Attributes:
        labels: (height, width) int32, 0 to n - 1, by first appearance row by row.
        ids: (n,) uint32: the global id of each label.
    """

    labels: NDArray[np.int32]
    ids: Ids


def number_labels(base: Ids, node_of: Callable[[Ids], Ids]) -> Numbering:
    """Number the regions of a window.

    Args:
        base: (height, width) uint32, the base region of each pixel.
        node_of: gives the region of each of some base regions.
    """
    flat = base.ravel()
    # Sorting runs of equal pixels is several times faster than sorting pixels.
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    values, first, of_run = np.unique(flat[starts], return_index=True, return_inverse=True)
    ids, of_value = np.unique(node_of(values), return_inverse=True)
    first_of_id = np.full(len(ids), len(starts))
    np.minimum.at(first_of_id, of_value, first)
    order = np.argsort(first_of_id)
    rank = np.empty(len(ids), np.int32)
    rank[order] = np.arange(len(ids), dtype=np.int32)
    lengths = np.diff(starts, append=flat.size)
    labels = np.repeat(rank[of_value][of_run.reshape(-1)], lengths).reshape(base.shape)
    return Numbering(labels, ids[order])


def number_nodes(nodes: Ids, limit: int) -> Numbering:
    """Number the regions of a window, without sorting.

    Args:
        nodes: (height, width) uint32, the global id of each pixel's region, or `NO_REGION`.
        limit: above all ids but `NO_REGION`; 4 bytes of memory each are reserved, and few of them used.
    """
    flat = nodes.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    runs = np.minimum(flat[starts], np.uint32(limit))
    places = np.arange(len(runs), dtype=np.int32)
    scratch = np.empty(limit + 1, np.int32)
    scratch[runs[::-1]] = places[::-1]  # of equal indexes the last value stays: the first run of each region
    found = runs[scratch[runs] == places]
    scratch[found] = np.arange(len(found), dtype=np.int32)
    labels = np.repeat(scratch[runs], np.diff(starts, append=flat.size)).reshape(nodes.shape)
    return Numbering(labels, np.where(found == limit, np.uint32(NO_REGION), found).astype(np.uint32))
