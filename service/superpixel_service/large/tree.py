"""The merge tree of a store.

Its nodes have the global ids of regions: 0 to R - 1 are the base regions, and R + j is the region that merge
j makes. Every region of every count is a node, and the same one at all counts at which it exists.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import NO_REGION

Ids = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """The merge tree of R base regions.

    Attributes:
        base_count: R.
        parent: (2R - 1,) uint32: the node that each node is merged into; `NO_REGION` for the last one.
        heights: (R - 1,) float32: of each merge.
        leaves: (R,) uint32: the base regions in an order in which those of every node are neighbours.
        first_leaf: (2R - 1,) uint32: where the base regions of each node begin in `leaves`.
        leaf_count: (2R - 1,) uint32: how many they are.
    """

    base_count: int
    parent: Ids
    heights: NDArray[np.float32]
    leaves: Ids
    first_leaf: Ids
    leaf_count: Ids

    def at_count(self, ids: Ids, count: int) -> Ids:
        """For each base region the node that contains it at a count of regions; `NO_REGION` stays."""
        end = self.base_count + (self.base_count - count)  # nodes below are made at this count
        nodes = ids.copy()
        climbing = np.flatnonzero(nodes != NO_REGION)
        while climbing.size:
            above = self.parent[nodes[climbing]]
            made = above < end  # NO_REGION is above every node
            climbing = climbing[made]
            nodes[climbing] = above[made]
        return nodes

    def numbered(self, count: int) -> tuple[Ids, Ids]:
        """Number the regions of a count by their least base regions.

        Returns:
            (R,): the number of each base region's region, from 1; and (count,): the nodes in their order.
        """
        nodes = self.at_count(np.arange(self.base_count, dtype=np.uint32), count)
        ids, first, region = np.unique(nodes, return_index=True, return_inverse=True)
        order = np.argsort(first)
        numbers = np.empty(len(ids), np.uint32)
        numbers[order] = np.arange(1, len(ids) + 1, dtype=np.uint32)
        return numbers[region.reshape(-1)], ids[order]

    def members(self, node: int) -> Ids:
        """The base regions of a node."""
        first = int(self.first_leaf[node])
        return self.leaves[first : first + int(self.leaf_count[node])]

    def merges_between(self, nodes: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64], Ids]:
        """The merges that join these nodes, none of which contains another, in order.

        Returns:
            Three times (n - 1,): indexes into `nodes` of a node on each side, and the node that is made.
        """
        order = np.argsort(self.first_leaf[nodes], kind="stable")
        # In the order of leaves, the nearest common nodes of neighbours are exactly the merges between them.
        joined = nodes[order[:-1]].copy()
        target = self.first_leaf[nodes[order[1:]]]
        climbing = np.arange(len(joined))
        while climbing.size:
            joined[climbing] = self.parent[joined[climbing]]
            at = joined[climbing]
            inside = target[climbing] < self.first_leaf[at] + self.leaf_count[at]
            climbing = climbing[~inside]
        by_time = np.argsort(joined, kind="stable")
        return order[:-1][by_time], order[1:][by_time], joined[by_time]


def make_tree(merges: NDArray[np.void]) -> Tree:
    """The tree of a merge list of `superpixel_kernels.MERGE_DTYPE`."""
    count = len(merges) + 1
    left, right = _children(merges, count)
    made = np.arange(count, 2 * count - 1, dtype=np.uint32)
    parent = np.full(2 * count - 1, NO_REGION, np.uint32)
    parent[left] = made
    parent[right] = made
    groups = _by_depth(parent)
    leaf_count = np.ones(2 * count - 1, np.uint32)
    for group in reversed(groups):
        leaf_count[count + group] = leaf_count[left[group]] + leaf_count[right[group]]
    first_leaf = np.zeros(2 * count - 1, np.uint32)
    for group in groups:
        first = first_leaf[count + group]
        first_leaf[left[group]] = first
        first_leaf[right[group]] = first + leaf_count[left[group]]
    leaves = np.empty(count, np.uint32)
    leaves[first_leaf[:count]] = np.arange(count, dtype=np.uint32)
    heights = np.ascontiguousarray(merges["height"], np.float32)
    return Tree(count, parent, heights, leaves, first_leaf, leaf_count)


def _children(merges: NDArray[np.void], count: int) -> tuple[Ids, Ids]:
    """The two nodes of each merge: the latest merge that made a region of that name, or the base region."""
    size = len(merges)
    times = np.arange(size, dtype=np.uint64)
    names = np.concatenate([merges["a"], merges["b"]]).astype(np.uint64)
    keys = names << np.uint64(32) | np.concatenate([times, times])
    order = np.argsort(keys, kind="stable")
    names, when = names[order], (keys[order] & np.uint64(0xFFFF_FFFF)).astype(np.uint32)
    # Only the last merge of a name is as `b`. So the one before it, with that name as `a`, made the region.
    same = np.zeros(2 * size, np.bool_)
    same[1:] = names[1:] == names[:-1]
    before = np.zeros(2 * size, np.uint32)
    before[1:] = when[:-1]
    nodes = np.empty(2 * size, np.uint32)
    nodes[order] = np.where(same, count + before, names).astype(np.uint32)
    return nodes[:size], nodes[size:]


def _by_depth(parent: Ids) -> list[NDArray[np.int64]]:
    """The merges in groups of equal distance from the last merge, nearest first."""
    size = len(parent)
    count = (size + 1) // 2
    above = np.where(parent == NO_REGION, np.arange(size, dtype=np.uint32), parent)
    depth = (parent != NO_REGION).astype(np.int32)
    while True:  # each round doubles the distance that `above` reaches
        further = depth[above]
        if not further.any():
            break
        depth += further
        above = above[above]
    of_merges = depth[count:]
    order = np.argsort(of_merges, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(of_merges[order])) + 1) if size > 1 else []
