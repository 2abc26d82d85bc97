"""How many clicks it takes to select the segments that people outlined.

A labeller clicks superpixels; each click adds one region to the selection. For each human segment of 0.1 % to
40 % of its photograph this counts the fewest clicks whose regions together reach an intersection over union
of 0.90 with it (see fewest_clicks.py). There are three ways to work:

    one size       all clicks on one flat label map, with one size for all photographs: the size with the
                   least mean
    best size      all clicks on one flat label map, with the best size for each segment
    mixed sizes    each click on a superpixel of any size (any node of the tree of nested superpixels), as if
                   the labeller moves the size slider between clicks; by purity, or the fewest possible

Segments that no way reaches are counted separately. A way that needs more than `DRAWN_CLICKS`, or never
reaches the segment, counts as that many clicks: about the corners of a polygon drawn by hand instead. Moving
the slider is not a click; the number of slider positions that the clicks by purity need is printed.
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
from benchmarks.fewest_clicks import (
    IOU,
    NEVER,
    Clicks,
    Nodes,
    clicks_by_purity,
    fewest_clicks,
    fewest_mixed_clicks,
    gains,
    read_tree,
)
from benchmarks.metrics import Labels, compact, count_overlaps
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
from superpixel_kernels import segment

SMALLEST, LARGEST = 0.001, 0.4
AREAS = (SMALLEST, 0.005, 0.02, 0.1, LARGEST)
SIZES = (50, 100, 200, 400, 800, 1600, 3200)
DRAWN_CLICKS = 30

BY_PURITY, FEWEST = "ours, mixed by purity", "ours, mixed, fewest"
ONE_SIZE = "ours, one size"
PLOTTED_CLICKS = 30


@dataclass(frozen=True, slots=True)
class Effort:
    """The clicks to each human segment, of one photograph or several; `NEVER` if it is not reached.

    Attributes:
        shares: (segments,), each segment's share of its image.
        flat: by implementation ("ours" is one), (segments, len(SIZES)): on flat maps of each size.
        by_purity: (segments,): on superpixels of ours of any size, chosen by purity.
        positions: (segments,): number of slider positions that those clicks need; 0 if not reached.
        fewest: (segments,): the fewest possible on superpixels of ours of any size.
    """

    shares: NDArray[np.float64]
    flat: dict[str, Clicks]
    by_purity: Clicks
    positions: Clicks
    fewest: Clicks


@dataclass(frozen=True, slots=True)
class Row:
    """One way to work, over the segments that at least one way reaches.

    Attributes:
        name: of the way.
        size: wanted count of superpixels; None if it varies.
        reached: share of the segments that this way reaches.
        median: clicks; None if the median segment is not reached.
        mean: clicks, counted as at most `DRAWN_CLICKS` per segment.
        mean_reached: the same over the segments that this way reaches.
        fewest_there: over the same segments, the mean of the fewest clicks on mixed sizes of ours.
    """

    name: str
    size: int | None
    reached: float
    median: float | None
    mean: float
    mean_reached: float
    fewest_there: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
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
    """Measure the effort for the segments of each person who segmented a photograph."""
    hierarchy = segment(photo.image, threads=1)
    maps = {"ours": [hierarchy.cut(min(size, hierarchy.base_count)) for size in SIZES]}
    for name in peers:
        maps[name] = [compact(PEERS[name](photo.image, size)) for size in SIZES]
    nodes = read_tree(hierarchy)
    return join([_measure_person(truth, maps, nodes) for truth in photo.truths])


def join(efforts: Sequence[Effort]) -> Effort:
    """Concatenate the segments of several measurements."""
    return Effort(
        shares=np.concatenate([each.shares for each in efforts]),
        flat={name: np.concatenate([each.flat[name] for each in efforts]) for name in efforts[0].flat},
        by_purity=np.concatenate([each.by_purity for each in efforts]),
        positions=np.concatenate([each.positions for each in efforts]),
        fewest=np.concatenate([each.fewest for each in efforts]),
    )


def choose_segments(truth: Labels) -> NDArray[np.int64]:
    """Return the segments of one person with 0.1 % to 40 % of the image: no specks, no background."""
    shares = np.bincount(truth.ravel()) / truth.size
    return np.flatnonzero((shares >= SMALLEST) & (shares <= LARGEST))


def unreached_by_all(effort: Effort) -> NDArray[np.bool_]:
    """Return (segments,): whether neither mixed sizes nor any flat map of any size reaches the segment."""
    unreached: NDArray[np.bool_] = effort.fewest == NEVER
    for clicks in effort.flat.values():
        unreached = unreached & (clicks == NEVER).all(axis=1)
    return unreached


def compare(effort: Effort, possible: NDArray[np.bool_]) -> list[Row]:
    """Return a row per way to work, over the possible segments."""
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
    """Return the clicks of the plotted ways: mixed sizes, and one size of each implementation."""
    sizes = {row.name: row.size for row in rows}
    chosen = {FEWEST: effort.fewest, BY_PURITY: effort.by_purity}
    for name, clicks in effort.flat.items():
        size = sizes[f"{name}, one size"]
        if size is not None:
            chosen[ONE_SIZE if name == "ours" else name] = clicks[:, SIZES.index(size)]
    return chosen


def finished_within(clicks: Clicks) -> NDArray[np.float64]:
    """Return (PLOTTED_CLICKS + 1,): the share of segments finished within 0, 1, 2, ... clicks."""
    return np.array([np.mean(clicks <= most) for most in range(PLOTTED_CLICKS + 1)])


def list_goals(rows: Sequence[Row]) -> list[Goal]:
    """Return the goal that mixed sizes by purity take fewer clicks than any flat map."""
    mixed = next(row for row in rows if row.name == BY_PURITY)
    best = min((row for row in rows if row.name not in (FEWEST, BY_PURITY)), key=lambda row: row.mean)
    return [
        Goal(
            "mean clicks per segment with mixed sizes by purity, fewer than with any flat map",
            f"{mixed.mean:.2f}, {best.name} {best.mean:.2f}",
            mixed.mean < best.mean,
        )
    ]


def say_result(effort: Effort, possible: NDArray[np.bool_], rows: Sequence[Row]) -> None:
    """Print the tables."""
    nothing = np.count_nonzero(~possible)
    say(
        f"{len(possible)} segments of {SMALLEST:.1%} to {LARGEST:.0%} of the image; "
        f"{nothing} ({nothing / len(possible):.1%}) that no way reaches are left out below"
    )
    say_table(
        "Left out, by area: people's outlines are one or two pixels off, which matters for small segments",
        ("area", "segments", "left out"),
        [
            (f"{low:.1%} to {high:.1%}", np.count_nonzero(within), f"{np.mean(~possible[within]):.0%}")
            for low, high in pairwise(AREAS)
            if (within := (effort.shares >= low) & (effort.shares <= high)).any()
        ],
    )
    say_table(
        f"Clicks to IoU {IOU[0] / IOU[1]:.2f}; means count at most {DRAWN_CLICKS} per segment",
        ("way", "size", "reached", "median", "mean", "mean if reached", "mixed, fewest, same segments"),
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
    say(f"\nmixed by purity: {positions.mean():.2f} slider positions per segment ({shares})")


def as_figures(
    effort: Effort, possible: NDArray[np.bool_], rows: Sequence[Row], every: int
) -> dict[str, Any]:
    """Return the figures for the JSON file."""
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


def _priced(clicks: Clicks) -> Clicks:
    return np.minimum(clicks, DRAWN_CLICKS)


def _make_row(name: str, size: int | None, clicks: Clicks, fewest: Clicks) -> Row:
    # The upper of two middle values, not their mean: one of them may be NEVER.
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
