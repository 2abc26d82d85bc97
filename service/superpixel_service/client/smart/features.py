"""What the scorer knows about each leaf at a click. docs/smart-select.md lists the features."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.smart.arithmetic import Floats, Ints, ln, ln1
from superpixel_service.client.smart.scene import Scene, shortest

FEATURES = 48

Marks = dict[int, bool]
"""The leaves of earlier clicks; whether each one added."""


@dataclass(slots=True)
class Work:
    """One object while it is selected.

    Attributes:
        chosen: (L,) whether each leaf belongs to it.
        marks: by leaf, oldest first.
        clicks: number of clicks so far.
    """

    chosen: NDArray[np.bool_]
    marks: Marks = field(default_factory=dict)
    clicks: int = 0

    def take(self, changed: Ints | NDArray[np.bool_], reached: "Reached") -> None:
        """Change the state of leaves after a click, and mark its sources."""
        self.chosen[changed] = reached.positive
        for source in reached.sources:
            self.marks.pop(source, None)  # the newest is last
            self.marks[source] = reached.positive
        self.clicks += 1


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """What a click may change.

    Attributes:
        sources: the clicked leaves; the first is where the click or stroke began.
        positive: whether the click adds.
        able: (L,) whether each leaf may change, or is a source.
        cost, most: (L,) cost and largest step of the way from the sources; infinity if not `able`.
    """

    sources: list[int]
    positive: bool
    able: NDArray[np.bool_]
    cost: Floats
    most: Floats


def reach(scene: Scene, work: Work, sources: list[int], positive: bool) -> Reached:
    """Find the leaves of the other state, without a mark, that are connected to the sources."""
    allowed = work.chosen != positive
    allowed[list(work.marks)] = False
    allowed[sources] = True
    cost, most = shortest(sources, allowed.tolist(), scene.adjacency, scene.steps)
    return Reached(sources, positive, cost < np.inf, cost, most)


def features(scene: Scene, work: Work, reached: Reached) -> Floats:
    """Return (FEATURES, n): the features of the n leaves that are `able`, in ascending order."""
    leaves, n = scene.leaves, float(scene.samples)
    c, positive = reached.sources[0], reached.positive
    wanted = work.chosen == positive
    have = scene.sums(np.where(wanted, scene.areas[:leaves], 0.0))
    able = np.flatnonzero(reached.able)
    against = [leaf for leaf, added in work.marks.items() if added != positive and leaf != c]
    own = [leaf for leaf, added in work.marks.items() if added == positive and leaf != c]
    out = np.empty((FEATURES, len(able)))
    climbed = _climb(scene, c, have, against)[:, able]
    out[:12], out[44:] = climbed[:12], climbed[12:]
    colors = scene.colors
    path = scene.path(c)
    small, middle = _ancestor(scene, path, 0.001 * n), _ancestor(scene, path, 0.005 * n)
    x, y = scene.x[able], scene.y[able]
    out[12], out[13] = ln(0.05 + reached.cost[able]), ln(0.05 + reached.most[able])
    for row, node in ((14, c), (15, small), (16, middle)):
        out[row] = np.sqrt(_squares(colors[able], colors[node])) / 10.0
    out[17] = ln(0.01 + np.sqrt(_away(x, y, scene, c) / n))
    out[18] = _under_mark(scene, against)[able]
    out[19], out[20] = _nearest(scene, able, against)
    out[21], out[42] = _nearest(scene, able, own)
    shared, edge = _contact(scene, wanted)
    out[22], out[36] = shared[able], edge[able]
    large = scene.large[able]
    out[23] = have[large] / scene.areas[large]
    out[24] = 1.0 if positive else 0.0
    out[25] = min(work.clicks + 1, 6) / 3.0
    total = float(have[-1])
    out[26] = ln1(0.001 + total / n)
    out[27] = scene.framed[able]
    outside = ~reached.able
    border = n
    if outside.any():
        border = min(n, float(_away(scene.x[outside], scene.y[outside], scene, c).min()))
    out[28] = ln1(0.01 + float(np.sqrt(border / n)))
    out[29] = 1.0 if work.clicks == 0 else 0.0
    out[30] = np.abs(scene.texture[able] - scene.texture[middle])
    out[31] = scene.texture[able]
    for row, which in ((32, 0), (33, 1)):
        out[row] = _share_of_bin(scene, scene.bins[:, which], wanted, have)[able]
    out[34] = np.sqrt(_squares(colors[large], colors[middle])) / 10.0
    mean = _mean_color(scene, wanted) if total else colors[middle]
    out[35] = np.sqrt(_squares(colors[able], mean)) / 10.0
    out[37] = (y - scene.y[c]) / float(np.sqrt(n))
    out[38] = np.abs(x - scene.x[c]) / float(np.sqrt(n))
    out[39] = y / float(np.sqrt(n))
    out[40] = scene.from_frame[able]
    out[41] = 3.0
    if against:
        cost, _ = shortest(against, [True] * leaves, scene.adjacency, scene.steps)
        out[41] = ln(0.05 + np.minimum(cost[able], 1e6))
    rest = n - total
    other = _mean_color(scene, ~wanted) if rest else colors[middle]
    out[43] = np.sqrt(_squares(colors[able], other)) / 10.0
    return out


def _climb(scene: Scene, c: int, have: Floats, against: list[int]) -> Floats:
    """(16, L): what the way up the tree from the click knows about the leaves beside it."""
    n, leaves = float(scene.samples), scene.leaves
    log_area, log_height, colors = scene.log_area, scene.log_height, scene.colors
    top = log_height[-1]
    marked = np.zeros(leaves)
    marked[against] = 1.0
    opposite = scene.sums(marked) > 0
    path = np.array(scene.path(c))
    out = np.zeros((16, leaves))
    out[0, c], out[1, c] = log_area[c], log_height[c] - top
    if len(path) == 1:
        return out
    v, p = path[:-1], path[1:]
    pair = scene.children[p - leaves]
    s = np.where(pair[:, 0] == v, pair[:, 1], pair[:, 0])
    jump = log_height[p] - log_height[v]
    large = np.maximum.accumulate(np.where(scene.areas[v] > 0.0005 * n, jump, 0.0))
    contrast = np.sqrt(_squares(colors[v], colors[s]))
    rows = np.stack(
        [
            log_area[p],
            log_height[p] - top,
            np.maximum(large, 0.0),
            jump,
            contrast / 10.0,
            np.maximum.accumulate(contrast) / 10.0,
            log_area[s],
            log_area[v],
            have[p] / scene.areas[p],
            opposite[s],
            opposite[v],
            log_height[v] - top,
            log_height[s] - top,
            scene.framed_share[s],
            scene.framed_share[p],
            np.abs(scene.texture[v] - scene.texture[s]),
        ]
    )
    step = np.empty(leaves, np.int64)
    for index, (first, size) in enumerate(zip(scene.first[s].tolist(), scene.size[s].tolist(), strict=True)):
        step[first : first + size] = index
    at = np.empty(leaves, np.int64)
    at[scene.order] = step
    others = np.arange(leaves) != c
    out[:, others] = rows[:, at[others]]
    return out


def _ancestor(scene: Scene, path: list[int], least: float) -> int:
    return next((node for node in path if scene.areas[node] >= least), path[-1])


def _squares(colors: Floats, color: Floats) -> Floats:
    d = colors - color
    total: Floats = d[..., 0] * d[..., 0] + d[..., 1] * d[..., 1] + d[..., 2] * d[..., 2]
    return total


def _away(x: Floats, y: Floats, scene: Scene, leaf: int) -> Floats:
    dx, dy = x - scene.x[leaf], y - scene.y[leaf]
    total: Floats = dx * dx + dy * dy
    return total


def _under_mark(scene: Scene, marks: list[int]) -> Floats:
    """(L,) ln of the area share of the smallest node above each leaf with one of the marks; 2: no marks."""
    if not marks:
        return np.full(scene.leaves, 2.0)
    found = np.zeros(scene.leaves)
    for mark in marks:
        for node in scene.path(mark):
            below = scene.members(node)
            found[below] = np.minimum(found[below], scene.log_area[node])
    return found


def _nearest(scene: Scene, able: Ints, marks: list[int]) -> tuple[Floats, Floats]:
    """Smallest difference of colours, and smallest distance, to one of the marks."""
    if not marks:
        return np.full(len(able), 5.0), np.full(len(able), 0.5)
    colors, x, y = scene.colors[able], scene.x[able], scene.y[able]
    color = np.min([_squares(colors, scene.colors[mark]) for mark in marks], axis=0)
    place = np.min([_away(x, y, scene, mark) for mark in marks], axis=0)
    return np.sqrt(color) / 10.0, ln(0.01 + np.sqrt(place / scene.samples))


def _contact(scene: Scene, wanted: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The share of each leaf's border with wanted leaves, and ln(0.05 + cost of the cheapest step to one)."""
    ends = np.repeat(np.arange(scene.leaves), np.diff(scene.offsets))
    near = wanted[scene.neighbors]
    whole = np.bincount(ends, scene.lengths, scene.leaves)
    shared = np.bincount(ends, np.where(near, scene.lengths, 0), scene.leaves)
    least = np.full(scene.leaves, 4.0)
    np.minimum.at(least, ends[near], scene.weights[near])
    return np.where(whole > 0, shared / np.maximum(whole, 1), 0.0), ln(0.05 + least)


def _share_of_bin(scene: Scene, bins: Ints, wanted: NDArray[np.bool_], have: Floats) -> Floats:
    """The wanted share of the leaves of the same class of colour, drawn towards that of all leaves."""
    areas = scene.areas[: scene.leaves]
    whole = np.bincount(bins, areas)
    part = np.bincount(bins, np.where(wanted, areas, 0.0))
    prior = 0.002 * scene.samples
    ratio = float(have[-1]) / scene.samples
    return ((part + prior * ratio) / (whole + prior))[bins]


def _mean_color(scene: Scene, which: NDArray[np.bool_]) -> Floats:
    """The mean colour of some leaves, from colours that are rounded so that the order of adding is free."""
    areas = scene.areas[: scene.leaves][which]
    rounded = np.floor(scene.colors[: scene.leaves][which] * 64.0 + 0.5)
    total: Floats = (rounded * areas[:, np.newaxis]).sum(axis=0)
    return total / float(areas.sum()) / 64.0
