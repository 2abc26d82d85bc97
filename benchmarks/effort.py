"""How many clicks it takes to label what people outlined.

A labeller who wants one segment clicks superpixels; each click adds one region to the selection. For every
human segment of 0.1 % to 40 % of its photograph: the fewest clicks whose regions together reach an
intersection over union of 0.90 with it. Three ways to work:

    one size       all clicks on one flat label map, of one size for all photographs: the one that costs least
    best size      all clicks on one flat label map, of the best size for each segment
    mixed sizes    each click on a superpixel of any size (any node of the tree that nested sizes make), as a
                   labeller works who moves the size slider between clicks

Selecting T regions gives IoU = inside / (segment + outside), with the sums over T of each region's pixels
inside and outside of the segment. So IoU >= a/b if and only if the sum of (b*inside - a*outside) is at least
a*segment: each region has a gain of its own, and on a flat map the fewest clicks are those with the largest
gains. On the tree, regions must not overlap, and there are two figures:

    by purity      a simple rule: the maximal nodes of purity (inside over size) p or more, largest gains
                   first; for each segment the best p of `PURITIES`
    fewest         the true optimum: the largest gain of k nodes that do not overlap, for every k, from the
                   leaves up (a knapsack on the tree), comparable to what is taken on flat maps

Segments that no way reaches are counted apart. Where a way takes more than `DRAWN_CLICKS`, or never gets
there, it counts as so many: about the corners of a polygon drawn by hand instead. Moving the slider is not a
click; how many positions of it the clicks by purity need is printed beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import plots
from benchmarks.data import Photograph, add_data_arguments, photographs
from benchmarks.metrics import Labels, Overlaps, compact, count_overlaps
from benchmarks.peers import PEERS
from benchmarks.report import (
    Goal,
    add_jobs_argument,
    for_each,
    make_parser,
    say,
    say_goals,
    say_table,
    write_json,
)
from superpixel_kernels import Hierarchy, segment

Clicks = NDArray[np.int64]

IOU = (9, 10)
"""The intersection over union to reach, as a fraction: in integers the comparison is exact."""

SMALLEST, LARGEST = 0.001, 0.4
AREAS = (SMALLEST, 0.005, 0.02, 0.1, LARGEST)
SIZES = (50, 100, 200, 400, 800, 1600, 3200)
PURITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)
DRAWN_CLICKS = 30
NEVER = np.iinfo(np.int64).max
"""The clicks to a segment that cannot be reached: more than any number."""

BY_PURITY, FEWEST = "ours, mixed by purity", "ours, mixed, fewest"
ONE_SIZE = "ours, one size"
PLOTTED_CLICKS = 30


@dataclass(frozen=True, slots=True)
class Effort:
    """The fewest clicks to each human segment, of one photograph or many.

    Attributes:
        shares: (segments,) of the image's pixels.
        flat: by implementation ("ours" is one): (segments, len(SIZES)) on flat maps of each size.
        by_purity: (segments,) on superpixels of ours of any size, by the simple rule.
        positions: (segments,) how many positions of the size slider those clicks need; 0 where not reached.
        fewest: (segments,) on superpixels of ours of any size, at best.
    """

    shares: NDArray[np.float64]
    flat: dict[str, Clicks]
    by_purity: Clicks
    positions: Clicks
    fewest: Clicks


@dataclass(frozen=True, slots=True)
class Nodes:
    """The tree of superpixels: leaves 0..L-1, then one node a merge.

    Attributes:
        leaves: (height, width) the leaf of each pixel.
        children: (L - 1, 2) what each merge joined.
        parents: (2L - 1,) the node that each node was merged into; the root has itself.
    """

    leaves: Labels
    children: NDArray[np.int64]
    parents: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Row:
    """One way to work, over all segments that any way reaches.

    Attributes:
        name: of the way.
        size: of the superpixels, where there is one.
        reached: the share of the segments that it reaches at all.
        median: clicks; None if half of the segments are not reached.
        mean: clicks, at most `DRAWN_CLICKS` a segment.
        mean_reached: the same, over those that it reaches.
        fewest_there: the mean of the fewest clicks on mixed sizes of ours to the same ones, likewise.
    """

    name: str
    size: int | None
    reached: float
    median: float | None
    mean: float
    mean_reached: float
    fewest_there: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write what was asked for."""
    parser = make_parser("effort", __doc__)
    add_data_arguments(parser, every=4)
    add_jobs_argument(parser)
    options = parser.parse_args(arguments)
    chosen = photographs(options.data, options.every)
    say(f"{len(chosen)} photographs of {options.data.name}")
    measure = partial(measure_photograph, peers=tuple(PEERS))
    effort = join(list(for_each(measure, chosen, options.jobs, "effort")))
    possible = ~unreached_by_all(effort)
    rows = compare(effort, possible)
    goals = list_goals(rows)
    say_result(effort, possible, rows)
    say_goals(goals)
    write_json(options.json, as_figures(effort, possible, rows, options.every), goals)
    if options.plots:
        finished = {name: finished_within(clicks[possible]) for name, clicks in plotted(effort, rows).items()}
        say(f"\nplot: {plots.draw_effort(finished, PLOTTED_CLICKS, options.plots)}")


def measure_photograph(photo: Photograph, peers: Sequence[str]) -> Effort:
    """The effort for every person's segments of one photograph."""
    hierarchy = segment(photo.image, threads=1)
    maps = {"ours": [hierarchy.cut(min(size, hierarchy.base_count)) for size in SIZES]}
    for name in peers:
        maps[name] = [compact(PEERS[name](photo.image, size)) for size in SIZES]
    nodes = read_tree(hierarchy)
    return join([_measure_person(truth, maps, nodes) for truth in photo.truths])


def join(efforts: Sequence[Effort]) -> Effort:
    """The segments of all of them, one after the other."""
    return Effort(
        shares=np.concatenate([each.shares for each in efforts]),
        flat={name: np.concatenate([each.flat[name] for each in efforts]) for name in efforts[0].flat},
        by_purity=np.concatenate([each.by_purity for each in efforts]),
        positions=np.concatenate([each.positions for each in efforts]),
        fewest=np.concatenate([each.fewest for each in efforts]),
    )


def choose_segments(truth: Labels) -> NDArray[np.int64]:
    """The segments of one person that are neither specks nor background: 0.1 % to 40 % of the image."""
    shares = np.bincount(truth.ravel()) / truth.size
    return np.flatnonzero((shares >= SMALLEST) & (shares <= LARGEST))


def gains(overlaps: Overlaps, sizes: NDArray[np.int64]) -> Overlaps:
    """What each region (last axis) adds towards each segment; see the top of this module."""
    goal, whole = IOU
    return whole * overlaps - goal * (sizes - overlaps)


def fewest_clicks(region_gains: Overlaps, areas: NDArray[np.int64]) -> Clicks:
    """The fewest of disjoint regions that reach each segment.

    Args:
        region_gains: (G, K), as `gains` gives them.
        areas: (G,) pixels of each segment.

    Returns:
        (G,): clicks, or `NEVER`.
    """
    best_first = -np.sort(-region_gains, axis=1)
    enough = np.cumsum(best_first, axis=1) >= IOU[0] * areas[:, np.newaxis]
    return np.where(enough.any(axis=1), enough.argmax(axis=1) + 1, NEVER)


def read_tree(hierarchy: Hierarchy) -> Nodes:
    """The whole tree of a hierarchy, from its base regions up."""
    count = hierarchy.base_count
    tree = hierarchy.tree(count)
    return Nodes(hierarchy.cut(count), *link_nodes(tree.into, tree.order))


def link_nodes(
    into: NDArray[np.integer], order: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`children` and `parents` of `Nodes` from a tree of the label map format (docs/label-map.md).

    Args:
        into: (L - 1,): the component of label b = 1..L-1 is merged into the one that holds into[b-1] < b.
        order: (L - 1,): as which of the merges, 0..L-2.
    """
    count = len(into) + 1
    children = np.empty((count - 1, 2), np.int64)
    parents = np.arange(2 * count - 1)
    smaller = list(range(count))  # a label of the same component, smaller where its component was merged away
    node_of = list(range(count))  # of each component, by its smallest label
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
    """Clicks on superpixels of any size, chosen by their purity.

    Args:
        overlaps: (G, L): pixels that each segment and each leaf have in common.
        nodes: the tree above the leaves.

    Returns:
        (G,) clicks, or `NEVER`; (G,) positions of the size slider at which all of them can be made.
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
    """The fewest clicks on superpixels of any size.

    Args:
        overlaps: (G, L): pixels that each segment and each leaf have in common.
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
    """At how few counts of superpixels all the nodes can be seen: each exists from one merge to the next."""
    leaves = len(nodes.children) + 1
    born = np.maximum(selected - leaves + 1, 0)  # merges done when it first is there
    parents = nodes.parents[selected]
    gone = np.where(parents == selected, leaves, parents - leaves + 1)
    positions, reach = 0, -1
    for index in np.argsort(gone):  # stab each interval that is not yet hit at its last moment
        if born[index] > reach:
            positions += 1
            reach = gone[index] - 1
    return positions


def unreached_by_all(effort: Effort) -> NDArray[np.bool_]:
    """(segments,): that no implementation reaches at any size, nor mixed ones."""
    unreached: NDArray[np.bool_] = effort.fewest == NEVER
    for clicks in effort.flat.values():
        unreached = unreached & (clicks == NEVER).all(axis=1)
    return unreached


def compare(effort: Effort, possible: NDArray[np.bool_]) -> list[Row]:
    """Every way to work, over the possible segments."""
    ways: dict[str, tuple[int | None, Clicks]] = {
        FEWEST: (None, effort.fewest),
        BY_PURITY: (None, effort.by_purity),
    }
    for name, clicks in effort.flat.items():
        size = int(np.argmin(_priced(clicks[possible]).mean(axis=0)))
        ways[f"{name}, one size"] = (SIZES[size], clicks[:, size])
        ways[f"{name}, best size"] = (None, clicks.min(axis=1))
    fewest = effort.fewest[possible]
    return [_make_row(name, size, clicks[possible], fewest) for name, (size, clicks) in ways.items()]


def plotted(effort: Effort, rows: Sequence[Row]) -> dict[str, Clicks]:
    """The clicks of the ways that a plot compares: mixed sizes, and everyone at one size."""
    sizes = {row.name: row.size for row in rows}
    chosen = {FEWEST: effort.fewest, BY_PURITY: effort.by_purity}
    for name, clicks in effort.flat.items():
        size = sizes[f"{name}, one size"]
        if size is not None:
            chosen["ours, one size" if name == "ours" else name] = clicks[:, SIZES.index(size)]
    return chosen


def finished_within(clicks: Clicks) -> NDArray[np.float64]:
    """(PLOTTED_CLICKS + 1,): the share of segments finished within 0, 1, 2, ... clicks."""
    return np.array([np.mean(clicks <= most) for most in range(PLOTTED_CLICKS + 1)])


def list_goals(rows: Sequence[Row]) -> list[Goal]:
    """Mixed sizes of ours, even by the simple rule, take fewer clicks than any flat map of anyone."""
    mixed = next(row for row in rows if row.name == BY_PURITY)
    best = min((row for row in rows if row.name not in (FEWEST, BY_PURITY)), key=lambda row: row.mean)
    return [
        Goal(
            "mean clicks a segment with mixed sizes by purity, fewer than any flat map's",
            f"{mixed.mean:.2f}, {best.name} {best.mean:.2f}",
            mixed.mean < best.mean,
        )
    ]


def say_result(effort: Effort, possible: NDArray[np.bool_], rows: Sequence[Row]) -> None:
    """The tables."""
    nothing = np.count_nonzero(~possible)
    say(
        f"{len(possible)} segments of {SMALLEST:.1%} to {LARGEST:.0%} of the image; "
        f"{nothing} ({nothing / len(possible):.1%}) that no way reaches are left out below"
    )
    say_table(
        "Left out, by area: people's outlines are a pixel or two off, which is much of a small segment",
        ("area", "segments", "left out"),
        [
            (f"{low:.1%} to {high:.1%}", np.count_nonzero(within), f"{np.mean(~possible[within]):.0%}")
            for low, high in pairwise(AREAS)
            if (within := (effort.shares >= low) & (effort.shares <= high)).any()
        ],
    )
    say_table(
        f"Clicks to IoU {IOU[0] / IOU[1]:.2f}; means count at most {DRAWN_CLICKS} a segment",
        ("way", "size", "reached", "median", "mean", "mean where reached", "mixed, fewest, there"),
        [
            (
                row.name,
                row.size,
                f"{row.reached:.1%}",
                "-" if row.median is None else f"{row.median:.0f}",
                f"{row.mean:.2f}",
                f"{row.mean_reached:.2f}",
                f"{row.fewest_there:.2f}",
            )
            for row in rows
        ],
    )
    say_table(
        "By size, one size: mean clicks (reached)",
        ("", *(str(size) for size in SIZES)),
        [
            (
                name,
                *(
                    f"{mean:.1f} ({reached:.0%})"
                    for mean, reached in zip(
                        _priced(clicks[possible]).mean(axis=0),
                        (clicks[possible] != NEVER).mean(axis=0),
                        strict=True,
                    )
                ),
            )
            for name, clicks in effort.flat.items()
        ],
    )
    positions = effort.positions[possible & (effort.by_purity != NEVER)]
    shares = ", ".join(f"{np.mean(positions == n):.0%} {n}" for n in (1, 2, 3))
    say(f"\nmixed by purity: the slider stands at {positions.mean():.2f} positions a segment ({shares})")


def as_figures(
    effort: Effort, possible: NDArray[np.bool_], rows: Sequence[Row], every: int
) -> dict[str, Any]:
    """For the JSON file."""
    reached = possible & (effort.by_purity != NEVER)
    return {
        "every": every,
        "segments": len(possible),
        "reached_by_nothing": int(np.count_nonzero(~possible)),
        "drawn_clicks": DRAWN_CLICKS,
        "slider_positions": float(effort.positions[reached].mean()),
        "ways": [{name: getattr(row, name) for name in Row.__slots__} for row in rows],
        "one_size": {
            name: {
                str(size): {"mean": float(mean), "reached": float(share)}
                for size, mean, share in zip(
                    SIZES,
                    _priced(clicks[possible]).mean(axis=0),
                    (clicks[possible] != NEVER).mean(axis=0),
                    strict=True,
                )
            }
            for name, clicks in effort.flat.items()
        },
    }


def _measure_person(truth: Labels, maps: dict[str, list[Labels]], nodes: Nodes) -> Effort:
    chosen = choose_segments(truth)
    areas = np.bincount(truth.ravel())[chosen]
    flat = {}
    for name, labels_by_size in maps.items():
        by_size = []
        for labels in labels_by_size:
            overlaps = count_overlaps(truth, labels)
            by_size.append(fewest_clicks(gains(overlaps[chosen], overlaps.sum(axis=0)), areas))
        flat[name] = np.stack(by_size, axis=1)
    overlaps = count_overlaps(truth, nodes.leaves)[chosen]
    by_purity, positions = clicks_by_purity(overlaps, nodes)
    fewest = fewest_mixed_clicks(overlaps, nodes)
    return Effort(areas / truth.size, flat, by_purity, positions, fewest)


def _count_nodes(overlaps: Overlaps, nodes: Nodes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(2L - 1, G) pixels of each node inside of each segment, (2L - 1, 1) of each node in all."""
    sizes = np.bincount(nodes.leaves.ravel())
    # Nodes come first here: whole rows are added up.
    return _sum_up(np.ascontiguousarray(overlaps.T), nodes), _sum_up(sizes[:, np.newaxis], nodes)


def _sum_up(of_leaves: NDArray[np.int64], nodes: Nodes) -> NDArray[np.int64]:
    """(2L - 1, ...) sums over each node's leaves."""
    count = len(of_leaves)
    sums = np.empty((2 * count - 1, *of_leaves.shape[1:]), np.int64)
    sums[:count] = of_leaves
    for node, (left, right) in enumerate(nodes.children.tolist(), start=count):
        np.add(sums[left], sums[right], out=sums[node])
    return sums


def _maximal(wanted: NDArray[np.bool_], parents: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(2L - 1, G): the wanted nodes that have no wanted one above them."""
    covered = np.zeros_like(wanted)  # by a wanted node above
    for node in range(len(parents) - 2, -1, -1):  # parents before children; the root has nothing above
        parent = parents[node]
        np.logical_or(wanted[parent], covered[parent], out=covered[node])
    return wanted & ~covered


def _best_gains(
    node_gains: NDArray[np.int64], most_gains: NDArray[np.int64], nodes: Nodes
) -> NDArray[np.int64]:
    """The largest gain of up to 0, 1, 2, ... nodes that do not overlap, until more nodes gain nothing.

    Args:
        node_gains: (2L - 1,) towards one segment.
        most_gains: (2L - 1,) sums of the positive gains of each node's leaves; positive for the root.
        nodes: the tree.
    """
    leaves = len(nodes.children) + 1
    best: dict[int, NDArray[np.int64]] = {}
    for node in np.flatnonzero(most_gains > 0).tolist():
        if node < leaves:
            best[node] = np.array([0, node_gains[node]])
            continue
        # Each node has one parent: what its children had is needed no more.
        children = nodes.children[node - leaves].tolist()
        parts = [best.pop(child) for child in children if child in best]
        if len(parts) == 1:  # the other child gains nothing, nor does taking it in
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


def _priced(clicks: Clicks) -> Clicks:
    return np.minimum(clicks, DRAWN_CLICKS)


def _make_row(name: str, size: int | None, clicks: Clicks, fewest: Clicks) -> Row:
    # The upper middle value itself, not a mean of two: one of them may be NEVER.
    median = int(np.sort(clicks)[len(clicks) // 2])
    reached = clicks != NEVER
    return Row(
        name=name,
        size=size,
        reached=float(np.mean(reached)),
        median=None if median == NEVER else median,
        mean=float(_priced(clicks).mean()),
        mean_reached=float(_priced(clicks[reached]).mean()),
        fewest_there=float(_priced(fewest[reached]).mean()),
    )


if __name__ == "__main__":
    main()
