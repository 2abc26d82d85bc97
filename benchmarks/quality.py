"""How well superpixels follow people's segmentations: ours and peers', at equal real counts.

Measures are means over the people who segmented a photograph, then over photographs. Peers miss the wanted
count. Ours can be cut at any count, so on each photograph it is cut at the count that the peer returned.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, astuple
from functools import partial
from itertools import pairwise

import numpy as np

from benchmarks import plots
from benchmarks.comparison import Duel, Result, mean_result
from benchmarks.data import Photograph, add_data_arguments, photographs
from benchmarks.metrics import Labels, Quality, compact, count_labels, measure, nesting_error
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

COUNTS = (50, 100, 200, 400, 800, 1600)
PEER_COUNTS = (100, 400, 1600)
CONTESTED = (
    ("lower undersegmentation error", "undersegmentation_error", -1),
    ("higher achievable accuracy", "achievable_accuracy", 1),
    ("higher boundary recall", "boundary_recall", 1),
)
HEADER = ("BR", "UE", "ASA", "EV", "CO", "CD", "small")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = make_parser("quality", __doc__)
    add_data_arguments(parser, every=2)
    add_jobs_argument(parser)
    parser.add_argument("--without-peers", action="store_true", help="measure only ours")
    options = parser.parse_args(arguments)
    result = run(options)
    goals = list_goals(result)
    say_result(result)
    say_goals(goals)
    write_json(options.json, {"every": options.every, "quality": asdict(result)}, goals)
    if options.plots:
        say(f"\nplot: {plots.draw_quality(result, options.plots)}")


def run(options: argparse.Namespace) -> Result:
    """Return the means over the photographs that the options choose."""
    chosen = photographs(options.data, options.every)
    say(f"{len(chosen)} photographs of {options.data.name}")
    names = () if options.without_peers else tuple(PEERS)
    return mean_result(
        list(for_each(partial(measure_photograph, peers=names), chosen, options.jobs, "quality"))
    )


def measure_photograph(photo: Photograph, peers: Sequence[str] = tuple(PEERS)) -> Result:
    """Measure one photograph."""
    image, truths = photo.image, photo.truths
    hierarchy = segment(image, threads=1)
    ours = {count: measure(hierarchy.cut(count), truths, image) for count in COUNTS}
    duels: dict[str, dict[int, Duel]] = {}
    nesting = {"ours": _mean_nesting_error([hierarchy.cut(count) for count in COUNTS])}
    for name in peers:
        maps = [compact(PEERS[name](image, count)) for count in PEER_COUNTS]
        nesting[name] = _mean_nesting_error(maps)
        duels[name] = {}
        for wanted, labels in zip(PEER_COUNTS, maps, strict=True):
            count = count_labels(labels)
            duels[name][wanted] = Duel(
                count=count,
                peer=measure(labels, truths, image),
                ours=measure(hierarchy.cut(count), truths, image),
            )
    return Result(ours, duels, nesting)


def list_goals(result: Result) -> list[Goal]:
    """Return the goals: nested, and at each count better than every peer in three measures."""
    nesting = result.nesting["ours"]
    goals = [Goal("nesting error of ours", f"{nesting:g} (exactly 0)", nesting == 0)]
    if result.duels:
        goals += [_lead(result, wanted, *each) for wanted in PEER_COUNTS for each in CONTESTED]
    return goals


def say_result(result: Result) -> None:
    """The tables."""
    say_table(
        "Ours, by count",
        ("K", *HEADER),
        [(count, *_cells(quality)) for count, quality in result.ours.items()],
    )
    for wanted in PEER_COUNTS if result.duels else ():
        rows: list[tuple[object, ...]] = []
        for name, duels in result.duels.items():
            duel = duels[wanted]
            rows.append((name, f"{duel.count:.1f}", *_cells(duel.peer)))
            rows.append(("  ours at its counts", f"{duel.count:.1f}", *_cells(duel.ours)))
        say_table(f"Wanted {wanted}: each peer, and ours at the peer's real counts", ("", "K", *HEADER), rows)
    say_table(
        "Nesting error: the share of a map's borders that the next finer map lacks",
        ("", "error"),
        [(name, f"{error:.3f}") for name, error in result.nesting.items()],
    )


def _lead(result: Result, wanted: int, title: str, attribute: str, sign: int) -> Goal:
    """Return the goal that ours is better in one measure at one wanted count; it names the closest peer."""
    pairs = {
        name: (getattr(duels[wanted].ours, attribute), getattr(duels[wanted].peer, attribute))
        for name, duels in result.duels.items()
    }
    leads = {name: sign * (ours - peer) for name, (ours, peer) in pairs.items()}
    nearest = min(leads, key=leads.__getitem__)
    ours, peer = pairs[nearest]
    return Goal(
        f"{title} than every peer's at {wanted}", f"{ours:.4f}, {nearest} {peer:.4f}", leads[nearest] > 0
    )


def _cells(quality: Quality) -> list[str]:
    return [f"{value:.4f}" for value in astuple(quality)]


def _mean_nesting_error(maps: Sequence[Labels]) -> float:
    return float(np.mean([nesting_error(coarse, fine) for coarse, fine in pairwise(maps)]))


if __name__ == "__main__":
    main()
