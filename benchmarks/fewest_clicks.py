"""The fewest clicks that select a human segment, on a flat label map and on the tree of nested superpixels.

Each click adds one region to the selection. The selection must reach an intersection over union (IoU) of 0.90
with the segment. IoU = inside / (segment + outside), where inside and outside are the selected pixels inside
and outside the segment. So IoU >= a/b if and only if the sum of (b*inside - a*outside) over the selected
regions is at least a*segment: each region has a gain of its own. On a flat map the regions with the largest
gains are the fewest clicks. On the tree, selected regions must not overlap, and there are two methods:

    by purity      a simple rule: the maximal nodes with purity (inside over size) of at least p, largest
                   gains first; for each segment the best p of `PURITIES`
    fewest         the optimum: the largest gain of k nodes that do not overlap, for every k, computed from
                   the leaves up (a knapsack on the tree); comparable to the clicks on flat maps
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Labels, Overlaps
from superpixel_kernels import Hierarchy

Clicks = NDArray[np.int64]

IOU = (9, 10)
"""The required intersection over union, as a fraction: comparisons in integers are exact."""

PURITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)
NEVER = np.iinfo(np.int64).max
"""The clicks to a segment that cannot be reached: more than any number."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """The tree of superpixels: leaves 0..L-1, then one node per merge.

    Attributes:
        leaves: (height, width), the leaf of each pixel.
        children: (L - 1, 2), the two nodes that each merge joined.
        parents: (2L - 1,), the node that each node was merged into; the root is its own parent.
    """

    leaves: Labels
    children: NDArray[np.int64]
    parents: NDArray[np.int64]


def gains(overlaps: Overlaps, sizes: NDArray[np.int64]) -> Overlaps:
    """Return the gain of each region (last axis) for each segment; see the top of this module."""
    goal, whole = IOU
    return whole * overlaps - goal * (sizes - overlaps)


def fewest_clicks(region_gains: Overlaps, areas: NDArray[np.int64]) -> Clicks:
    """Return the fewest disjoint regions that reach each segment.

    Args:
        region_gains: (G, K), from `gains`.
        areas: (G,) pixels of each segment.

    Returns:
        (G,) clicks, or `NEVER`.
    """
    best_first = -np.sort(-region_gains, axis=1)
    enough = np.cumsum(best_first, axis=1) >= IOU[0] * areas[:, np.newaxis]
    return np.where(enough.any(axis=1), enough.argmax(axis=1) + 1, NEVER)


def read_tree(hierarchy: Hierarchy) -> Nodes:
    """Return the whole tree of a hierarchy; its leaves are the base regions."""
    count = hierarchy.base_count
    tree = hierarchy.tree(count)
    return Nodes(hierarchy.cut(count), *link_nodes(tree.into, tree.order))


def link_nodes(
    into: NDArray[np.integer], order: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return `children` and `parents` of `Nodes` from a tree in the label map format (docs/label-map.md).

    Args:
        into: (L - 1,): label b = 1..L-1's component is merged into the component of label into[b-1] < b.
        order: (L - 1,): the position of that merge in the order of merges, 0..L-2.
    """
    count = len(into) + 1
    children = np.empty((count - 1, 2), np.int64)
    parents = np.arange(2 * count - 1)
    smaller = list(range(count))  # union-find: a smaller label of the same component, or itself
    node_of = list(range(count))  # node of each component, by its smallest label
    for rank, index in enumerate(np.argsort(order).tolist()):
        label, target = index + 1, int(into[index])
        while smaller[target] != target:
            smaller[target] = smaller[smaller[target]]
            target = smaller[target]
        children[rank] = node_of[target], node_of[label]
        parents[children[rank]] = count + rank
        smaller[label] = target
        node_of[target] = count + rank
    return children, parents


def clicks_by_purity(overlaps: Overlaps, nodes: Nodes) -> tuple[Clicks, Clicks]:
    """Return the clicks on superpixels of any size, chosen by purity.

    Args:
        overlaps: (G, L): pixels that each segment shares with each leaf.
        nodes: the tree above the leaves.

    Returns:
        (G,) clicks, or `NEVER`; (G,) positions of the size slider that these clicks need, or 0.
    """
    inside, sizes = _count_nodes(overlaps, nodes)
    all_gains = gains(inside, sizes)
    goals = IOU[0] * overlaps.sum(axis=1)
    clicks = np.full(len(goals), NEVER)
    positions = np.zeros(len(goals), np.int64)
    for purity in PURITIES:
        candidates = _maximal(inside >= purity * sizes, nodes.parents)
        for index, goal in enumerate(goals):
            found = np.flatnonzero(candidates[:, index])
            found = found[np.argsort(-all_gains[found, index], kind="stable")]
            enough = np.flatnonzero(np.cumsum(all_gains[found, index]) >= goal)
            if not len(enough):
                continue
            selected = found[: enough[0] + 1]
            effort = len(selected), fewest_positions(selected, nodes)
            if effort < (clicks[index], positions[index]):
                clicks[index], positions[index] = effort
    return clicks, positions


def fewest_mixed_clicks(overlaps: Overlaps, nodes: Nodes) -> Clicks:
    """Return the fewest clicks on superpixels of any size.

    Args:
        overlaps: (G, L): pixels that each segment shares with each leaf.
        nodes: the tree above the leaves.

    Returns:
        (G,) clicks, or `NEVER`.
    """
    all_gains = gains(*_count_nodes(overlaps, nodes))
    most_gains = _sum_up(np.maximum(all_gains[: overlaps.shape[1]], 0), nodes)
    goals = IOU[0] * overlaps.sum(axis=1)
    clicks = np.full(len(goals), NEVER)
    for index, goal in enumerate(goals):
        if most_gains[-1, index] >= goal:
            best = _best_gains(all_gains[:, index], most_gains[:, index], nodes)
            clicks[index] = np.flatnonzero(best >= goal)[0]
    return clicks


def fewest_positions(selected: NDArray[np.int64], nodes: Nodes) -> int:
    """Return the fewest counts of superpixels at which all nodes occur: each exists between two merges."""
    leaves = len(nodes.children) + 1
    born = np.maximum(selected - leaves + 1, 0)  # number of merges after which the node exists
    parents = nodes.parents[selected]
    gone = np.where(parents == selected, leaves, parents - leaves + 1)
    positions, reach = 0, -1
    for index in np.argsort(gone):  # greedy stabbing: a point at the end of each interval without one
        if born[index] > reach:
            positions += 1
            reach = gone[index] - 1
    return positions


def _count_nodes(overlaps: Overlaps, nodes: Nodes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (2L - 1, G) pixels of each node inside each segment, and (2L - 1, 1) pixels of each node."""
    sizes = np.bincount(nodes.leaves.ravel())
    # Transposed, so that sums run over whole rows.
    return _sum_up(np.ascontiguousarray(overlaps.T), nodes), _sum_up(sizes[:, np.newaxis], nodes)


def _sum_up(of_leaves: NDArray[np.int64], nodes: Nodes) -> NDArray[np.int64]:
    """Return (2L - 1, ...): the sum over each node's leaves."""
    count = len(of_leaves)
    sums = np.empty((2 * count - 1, *of_leaves.shape[1:]), np.int64)
    sums[:count] = of_leaves
    for node, (left, right) in enumerate(nodes.children.tolist(), start=count):
        np.add(sums[left], sums[right], out=sums[node])
    return sums


def _maximal(wanted: NDArray[np.bool_], parents: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (2L - 1, G): the wanted nodes without a wanted node above them."""
    covered = np.zeros_like(wanted)  # whether a wanted node is above
    for node in range(len(parents) - 2, -1, -1):  # parents before children; nothing is above the root
        parent = parents[node]
        np.logical_or(wanted[parent], covered[parent], out=covered[node])
    return wanted & ~covered


def _best_gains(
    node_gains: NDArray[np.int64], most_gains: NDArray[np.int64], nodes: Nodes
) -> NDArray[np.int64]:
    """Return the largest gain of at most 0, 1, 2, ... nodes that do not overlap, until it stops rising.

    Args:
        node_gains: (2L - 1,) for one segment.
        most_gains: (2L - 1,) sums of the positive gains of each node's leaves; positive for the root.
        nodes: the tree.
    """
    leaves = len(nodes.children) + 1
    best: dict[int, NDArray[np.int64]] = {}
    for node in np.flatnonzero(most_gains > 0).tolist():
        if node < leaves:
            best[node] = np.array([0, node_gains[node]])
            continue
        # Each node has one parent, so its children's gains are not needed again.
        children = nodes.children[node - leaves].tolist()
        parts = [best.pop(child) for child in children if child in best]
        if len(parts) == 1:  # the other child has no gain, so this node gains no more than its child
            best[node] = parts[0]
            continue
        short, long = sorted(parts, key=len)
        both = np.zeros(len(short) + len(long) - 1, np.int64)
        for clicks, gain in enumerate(short.tolist()):
            place = both[clicks : clicks + len(long)]
            np.maximum(place, long + gain, out=place)
        np.maximum(both[1:], node_gains[node], out=both[1:])
        best[node] = both[: int(np.argmax(both)) + 1]
    return best[2 * leaves - 2]
