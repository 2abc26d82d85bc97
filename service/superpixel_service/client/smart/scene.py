"""What a smart select measures once: the regions in view, their colours, their borders and their tree."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import InvalidParameter, LabelMap, Tree
from superpixel_service.client.smart.arithmetic import CURVE, Floats, Ints, lab_of, ln
from superpixel_service.client.smart.samples import Box, Samples, sample


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The regions of a level that have a pixel in view are leaves 0..L-1; merges are nodes L..2L-2.

    Attributes:
        samples: pixels inside the mask that were looked at.
        regions: (L,) the level's region of each leaf, ascending.
        leaf_of: (level's count,) the leaf of each region; -1: out of view.
        parents, children: (2L - 1,), (L - 1, 2). The root is its own parent.
        first, size: (2L - 1,): the leaves of a node are `order[first : first + size]`.
        order: (L,) the leaves in the order of the tree.
        areas: (2L - 1,) samples.
        colors: (2L - 1, 3) mean colours, from `lab_of`.
        texture: (2L - 1,) ln(0.5 + standard deviation of the lightness).
        log_area: (2L - 1,) ln of the share of all samples.
        log_height: (2L - 1,) ln of the merge height; of a leaf: that of the first merge.
        x, y: (L,) centroids, in samples from the first column and row that are not wholly outside.
        offsets, neighbors: the neighbours of leaf i are `neighbors[offsets[i] : offsets[i + 1]]`, ascending.
        lengths, weights: like `neighbors`: length of the border in samples; cost of a step over it.
        framed: (L,) whether the leaf touches the frame of the view, or pixels outside.
        framed_share: (2L - 1,) share of a node's samples that lie in such leaves.
        from_frame: (L,) ln(0.05 + cost of the way from the frame).
        large: (L,) the smallest node above the leaf with more than 0.2 % of the samples, or the root.
        bins: (L, 2) coarse and fine class of colour.
        adjacency, steps: lists of `neighbors` and `weights` of each leaf, for loops.
    """

    samples: int
    regions: Ints
    leaf_of: Ints
    parents: Ints
    children: Ints
    first: Ints
    size: Ints
    order: Ints
    areas: Floats
    colors: Floats
    texture: Floats
    log_area: Floats
    log_height: Floats
    x: Floats
    y: Floats
    offsets: Ints
    neighbors: Ints
    lengths: Ints
    weights: Floats
    framed: NDArray[np.bool_]
    framed_share: Floats
    from_frame: Floats
    large: Ints
    bins: Ints
    adjacency: list[list[int]]
    steps: list[list[float]]

    @property
    def leaves(self) -> int:
        """L."""
        return len(self.regions)

    def sums(self, of_leaves: NDArray[Any]) -> NDArray[Any]:
        """The sum over the leaves of each node; exact for whole numbers."""
        return _node_sums(of_leaves, self.order, self.first, self.size)

    def path(self, leaf: int) -> list[int]:
        """The nodes from a leaf up to the root."""
        nodes = [leaf]
        while (parent := int(self.parents[nodes[-1]])) != nodes[-1]:
            nodes.append(parent)
        return nodes

    def members(self, node: int) -> Ints:
        """The leaves below a node."""
        return self.order[self.first[node] : self.first[node] + self.size[node]]


def look(source: LabelMap, count: int, image: NDArray[np.uint8] | None, box: Box | None) -> Scene:
    """Measure a level of a label map. Arguments and errors as for `SmartSelect`."""
    if source.tree is None or source.heights is None:
        raise InvalidParameter("source", "must contain its hierarchy (include_hierarchy)")
    lut = source.cut(count).astype(np.int64)
    sampled = sample(source, lut, count, image, box)
    inside = sampled.labels >= 0
    found, flat = np.unique(sampled.labels[inside], return_inverse=True)
    flat = flat.ravel()
    grid = np.full(inside.shape, -1)
    grid[inside] = flat
    leaves, samples = len(found), len(flat)
    leaf_of = np.full(count, -1, np.int64)
    leaf_of[found] = np.arange(leaves)
    children, parents, heights = _link(source.tree, source.heights, lut, leaf_of, leaves)
    first, size, order = _lay_out(children, leaves)

    areas = np.bincount(flat, minlength=leaves)
    rows, columns = np.nonzero(inside)
    curve = sampled.curve[inside]
    facts = np.stack(
        [areas]
        + [_total(flat, curve[:, channel], leaves) for channel in range(3)]
        + [_total(flat, curve[:, 1] ** 2, leaves)],
        axis=1,
    )
    sums = _node_sums(facts, order, first, size).astype(np.float64)
    node_areas = sums[:, 0]
    colors = lab_of(sums[:, 1:4], node_areas)
    mean = sums[:, 2] / node_areas
    variance = np.maximum(sums[:, 4] / node_areas - mean * mean, 0.0)
    least = heights[0] + 1e-6 if leaves > 1 else 1.0
    log_height = ln(np.maximum(np.concatenate([np.zeros(leaves), heights]), least))
    offsets, neighbors, lengths, weights = _borders(grid, sampled, colors, leaves, image is not None)
    amid = sampled.right & _moved(sampled.right, 1) & sampled.below & _moved(sampled.below, 0)
    framed = np.zeros(leaves, np.bool_)
    framed[grid[inside & ~amid]] = True
    parts = list(pairwise(offsets.tolist()))
    adjacency = [neighbors[begin:end].tolist() for begin, end in parts]
    steps = [weights[begin:end].tolist() for begin, end in parts]
    everywhere = [True] * leaves
    from_frame, _ = shortest(np.flatnonzero(framed).tolist(), everywhere, adjacency, steps)
    return Scene(
        samples=samples,
        regions=found,
        leaf_of=leaf_of,
        parents=parents,
        children=children,
        first=first,
        size=size,
        order=order,
        areas=node_areas,
        colors=colors,
        texture=ln(0.5 + 116.0 * np.sqrt(variance) / CURVE),
        log_area=ln(node_areas / samples),
        log_height=log_height,
        x=_total(flat, columns - columns.min(initial=columns.max(initial=0)), leaves) / areas,
        y=_total(flat, rows - rows.min(initial=rows.max(initial=0)), leaves) / areas,
        offsets=offsets,
        neighbors=neighbors,
        lengths=lengths,
        weights=weights,
        framed=framed,
        framed_share=_node_sums(np.where(framed, areas, 0), order, first, size) / node_areas,
        from_frame=ln(0.05 + np.minimum(from_frame, 1e6)),
        large=_first_large(parents, node_areas, 0.002 * samples, leaves),
        bins=np.stack([_bins(colors[:leaves], 20.0), _bins(colors[:leaves], 10.0)], axis=1),
        adjacency=adjacency,
        steps=steps,
    )


def shortest(
    sources: list[int], allowed: list[bool], adjacency: list[list[int]], steps: list[list[float]]
) -> tuple[Floats, Floats]:
    """The cheapest way from the sources to each allowed leaf: its cost, and its largest step; else infinity.

    Of equally cheap leaves, the one with the smaller number is visited first (Dijkstra 1959).
    """
    cost = [np.inf] * len(adjacency)
    most = [np.inf] * len(adjacency)
    heap = [(0.0, leaf) for leaf in sorted(sources)]
    for leaf in sources:
        cost[leaf] = most[leaf] = 0.0
    pop, push = heapq.heappop, heapq.heappush
    while heap:
        so_far, leaf = pop(heap)
        if so_far > cost[leaf]:
            continue
        largest = most[leaf]
        for neighbor, step in zip(adjacency[leaf], steps[leaf]):  # noqa: B905 (this loop takes the time)
            total = so_far + step
            if total < cost[neighbor] and allowed[neighbor]:
                cost[neighbor] = total
                most[neighbor] = step if step > largest else largest  # noqa: FURB136
                push(heap, (total, neighbor))
    return np.array(cost), np.array(most)


def groups_of(scene: Scene, kinds: NDArray[Any]) -> Iterator[list[int]]:
    """The connected groups of leaves of one kind, in the order of their first leaves.

    Args:
        scene: the leaves.
        kinds: (L,); leaves of kind 0 are in no group.
    """
    left = kinds.tolist()
    for leaf, kind in enumerate(left):
        if not kind:
            continue
        left[leaf] = 0
        group = [leaf]
        for member in group:  # it grows
            for neighbor in scene.adjacency[member]:
                if left[neighbor] == kind:
                    left[neighbor] = 0
                    group.append(neighbor)
        yield group


def _moved(steps: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Of each sample, the entry of the one before it. The first: no."""
    moved = np.zeros_like(steps)
    if axis:
        moved[:, 1:] = steps[:, :-1]
    else:
        moved[1:] = steps[:-1]
    return moved


def _node_sums(of_leaves: NDArray[Any], order: Ints, first: Ints, size: Ints) -> NDArray[Any]:
    run = np.zeros((len(of_leaves) + 1, *of_leaves.shape[1:]), of_leaves.dtype)
    np.cumsum(of_leaves[order], axis=0, out=run[1:])
    total: NDArray[Any] = run[first + size] - run[first]
    return total


def _total(flat: Ints, values: NDArray[Any], leaves: int) -> Ints:
    return np.bincount(flat.ravel(), values.ravel(), leaves).astype(np.int64)  # exact: far below 2**53


def _link(
    tree: Tree, merge_heights: NDArray[np.float32], lut: Ints, leaf_of: Ints, leaves: int
) -> tuple[Ints, Ints, Floats]:
    """Children, parents and heights of the merges between leaves; not of those with a side out of view."""
    count = len(leaf_of)
    limit = len(lut) - count
    into, rank = tree.into.astype(np.int64), tree.order.astype(np.int64)
    at = np.empty(len(rank), np.int64)
    at[rank] = np.arange(len(rank))
    late = at[limit:]
    smaller = list(range(count))  # union-find: a region of the same component, or itself
    node_of = leaf_of.tolist()
    children: list[tuple[int, int]] = []
    heights: list[float] = []
    pairs = zip(lut[into[late]].tolist(), lut[late + 1].tolist(), merge_heights[limit:].tolist(), strict=True)
    for target, region, height in pairs:
        while smaller[target] != target:
            smaller[target] = smaller[smaller[target]]
            target = smaller[target]
        smaller[region] = target
        a, b = node_of[target], node_of[region]
        if a < 0 or b < 0:
            node_of[target] = max(a, b)
            continue
        node_of[target] = leaves + len(children)
        children.append((a, b))
        heights.append(height)
    parents = np.arange(max(2 * leaves - 1, 0))
    linked = np.array(children, np.int64).reshape(-1, 2)
    parents[linked] = leaves + np.arange(leaves - 1)[:, np.newaxis]
    return linked, parents, np.array(heights)


def _lay_out(children: Ints, leaves: int) -> tuple[Ints, Ints, Ints]:
    nodes = 2 * leaves - 1
    size, first = [1] * nodes, [0] * nodes
    pairs = children.tolist()
    for node, (a, b) in enumerate(pairs, start=leaves):
        size[node] = size[a] + size[b]
    for node in range(nodes - 1, leaves - 1, -1):
        a, b = pairs[node - leaves]
        first[a] = first[node]
        first[b] = first[node] + size[a]
    order = np.empty(leaves, np.int64)
    order[first[:leaves]] = np.arange(leaves)
    return np.array(first, np.int64), np.array(size, np.int64), order


def _borders(
    grid: Ints, sampled: Samples, colors: Floats, leaves: int, colored: bool
) -> tuple[Ints, Ints, Ints, Floats]:
    """Neighbours, with the length of each border and the cost of a step over it.

    The step is the difference of the mean colours, and half the mean difference between the samples one
    beyond each side of the border.
    """
    pairs: list[Ints] = []
    contrasts: list[Ints] = []
    for axis in (1, 0):
        here, there = (grid[:, :-1], grid[:, 1:]) if axis else (grid[:-1], grid[1:])
        steps = sampled.right if axis else sampled.below
        first = np.nonzero((here != there) & (steps[:, :-1] if axis else steps[:-1]))
        a, b = here[first], there[first]
        pairs.append(np.minimum(a, b) * leaves + np.maximum(a, b))
        if not colored:
            continue
        second = (first[0] + 1 - axis, first[1] + axis)
        before, after = list(first), list(second)
        before[axis] = first[axis] - _moved(steps, axis)[first]
        after[axis] = second[axis] + steps[second]
        d = (sampled.curve[tuple(before)] - sampled.curve[tuple(after)]).astype(np.float64)
        lightness, red, blue = 116.0 * d[:, 1], 500.0 * (d[:, 0] - d[:, 1]), 200.0 * (d[:, 1] - d[:, 2])
        root = np.sqrt(lightness * lightness + red * red + blue * blue)
        contrasts.append(np.floor(root / 256.0 + 0.5).astype(np.int64))
    keys, of_pair, lengths = np.unique(np.concatenate(pairs), return_inverse=True, return_counts=True)
    a, b = keys // leaves, keys % leaves
    d = colors[a] - colors[b]
    step = np.sqrt(d[:, 0] * d[:, 0] + d[:, 1] * d[:, 1] + d[:, 2] * d[:, 2])
    if not colored:
        step = step + 0.5 * step
    else:
        total = np.bincount(of_pair.ravel(), np.concatenate(contrasts), len(keys))
        step = step + total / lengths / 32.0
    cost = (step * step + 10.0) / 100.0
    ends, others = np.concatenate([a, b]), np.concatenate([b, a])
    by_leaf = np.lexsort((others, ends))
    offsets = np.zeros(leaves + 1, np.int64)
    np.cumsum(np.bincount(ends, minlength=leaves), out=offsets[1:])
    twice = np.concatenate([lengths, lengths])[by_leaf]
    return offsets, others[by_leaf], twice, np.concatenate([cost, cost])[by_leaf]


def _first_large(parents: Ints, areas: Floats, least: float, leaves: int) -> Ints:
    node = np.arange(leaves)
    while True:
        small = areas[node] <= least
        small &= parents[node] != node
        if not small.any():
            return node
        node = np.where(small, parents[node], node)


def _bins(colors: Floats, width: float) -> Ints:
    """The class of colour of each leaf: a cube of this width in CIELAB."""
    light, red, blue = (
        np.floor((colors[:, channel] + 160.0) / width).astype(np.int64) for channel in range(3)
    )
    return (light * 64 + red) * 64 + blue
