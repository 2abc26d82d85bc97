"""Speed of each stage of ours, and of the peers' whole calls, on images of four sizes.

All contenders take turns in one run and are compared by ratios. Results are verified before they are timed.
Input is an image in memory. Ours computes the full hierarchy and one cut; a peer computes one flat label map.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import plots
from benchmarks.data import SAMPLES, Pixels, add_data_arguments, mosaic, photographs, scaled_samples
from benchmarks.peers import PEERS
from benchmarks.report import Goal, make_parser, say, say_goals, say_table, write_json
from benchmarks.timing import BUSY_CORES, Times, cpu_ratio, ratio, take_turns
from superpixel_kernels import Hierarchy, Workspace, segment

COUNT = 2000
ONE, TWO, RIVAL = "ours, one thread", "ours, two threads", "fast-slic"
PAIR = "two calls of ours at once, one thread each"
STAGES = ("color", "smooth", "update", "assign", "components", "graph", "merge", "cut")

HD, UHD, UHD_8K, MP50 = (1920, 1080), (3840, 2160), (7680, 4320), (8660, 5774)
HD_MOSAIC = "1080p mosaic"
SCALED = tuple(f"1080p {name}" for name in SAMPLES)

MOST_ROUNDS, FEWEST_ROUNDS = 25, 5
SLOW_ROUNDS = 2
SLOWEST_SECONDS = 6.0
"""A peer is left out on images where a call would take longer."""


@dataclass(slots=True)
class Timings:
    """The measurements on one image.

    Attributes:
        megapixels: size of the image.
        base_count: number of base regions.
        quick: ours, fast-slic, and two simultaneous calls of ours, over many rounds.
        stages: by contender, the median seconds of each stage of ours over the same rounds.
        slow: the other peers, over few rounds.
    """

    megapixels: float
    base_count: int
    quick: dict[str, Times]
    stages: dict[str, dict[str, float]]
    slow: dict[str, Times] = field(default_factory=dict)


class Ours:
    """From image to hierarchy and one cut; reuses its workspace from call to call, as a server does."""

    def __init__(self, threads: int) -> None:
        self._workspace = Workspace(threads=threads)
        self.stages: list[dict[str, float]] = []

    def __call__(self, image: Pixels) -> Hierarchy:
        """Segment, and cut once."""
        hierarchy = segment(image, workspace=self._workspace)
        hierarchy.cut(COUNT)
        self.stages.append(dict(hierarchy.timings))
        return hierarchy

    def median_stages(self, calls: Sequence[int]) -> dict[str, float]:
        """Return the median of each stage over the given calls since `stages` was cleared."""
        return {stage: median(self.stages[call][stage] for call in calls) for stage in STAGES}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = make_parser("speed", __doc__)
    add_data_arguments(parser)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="seconds per image for the quick contenders (default: 10)"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=30.0,
        help="longest wait in seconds for other processes to leave the cores, per image (default: 30)",
    )
    options = parser.parse_args(arguments)

    timings: dict[str, Timings] = {}
    paces = {name: 0.0 for name in PEERS if name != RIVAL}
    for name, image in list_images(options.data):
        timings[name] = time_image(image, options.seconds, options.patience)
        if name not in SCALED:  # the mosaic of that size is enough
            timings[name].slow = time_slow_peers(image, paces)
        say(f"{name}: done")
    sizes = time_sizes(options.data, options.seconds, options.patience)
    goals = list_goals(timings, sizes)
    say_result(timings, sizes)
    say_goals(goals)
    write_json(options.json, as_figures(timings, sizes), goals)
    if options.plots:
        rows = {name: milliseconds(each) for name, each in timings.items()}
        say(f"\nplot: {plots.draw_speed(rows, options.plots)}")


def list_images(data: Path) -> list[tuple[str, Pixels]]:
    """Return the images with their names, small ones first."""
    return [
        ("481x321 photo", photographs(data)[0].image),
        (HD_MOSAIC, mosaic(data, *HD)),
        *zip(SCALED, scaled_samples(*HD), strict=True),
        ("4K mosaic", mosaic(data, *UHD)),
        ("50 MP mosaic", mosaic(data, *MP50)),
    ]


def time_image(image: Pixels, seconds: float, patience: float) -> Timings:
    """Verify, then time ours and fast-slic.

    Args:
        image: (height, width, 3) RGB.
        seconds: time to spend on the rounds.
        patience: longest wait in seconds for quiet rounds.
    """
    one, two = Ours(threads=1), Ours(threads=2)
    base_count = verify(image, one(image), two(image))
    pair = [Ours(threads=1), Ours(threads=1)]
    with ThreadPoolExecutor(len(pair)) as pool:
        contenders: dict[str, Callable[[], object]] = {
            ONE: partial(one, image),
            RIVAL: partial(verified_peer(RIVAL, image), image, COUNT),
            TWO: partial(two, image),
            PAIR: lambda: list(pool.map(lambda ours: ours(image), pair)),
        }
        rounds = rounds_for(contenders, seconds)
        one.stages.clear()
        two.stages.clear()
        quick = take_turns(contenders, rounds, patience=patience, warm=False)
    stages = {name: ours.median_stages(quick[name].rounds) for name, ours in ((ONE, one), (TWO, two))}
    return Timings(image.shape[0] * image.shape[1] / 1e6, base_count, quick, stages)


def time_slow_peers(image: Pixels, paces: dict[str, float]) -> dict[str, Times]:
    """Verify, then time the other peers, except those that are too slow for this image.

    Args:
        image: (height, width, 3) RGB.
        paces: seconds per pixel of each peer on the last image where it was timed; updated.
    """
    pixels = image.shape[0] * image.shape[1]
    chosen = [name for name, pace in paces.items() if pace * pixels <= SLOWEST_SECONDS]
    if not chosen:
        return {}
    times = take_turns(
        {name: partial(verified_peer(name, image), image, COUNT) for name in chosen}, SLOW_ROUNDS, warm=False
    )
    for name in chosen:
        paces[name] = times[name].seconds / pixels
    return times


def verify(image: Pixels, one: Hierarchy, two: Hierarchy) -> int:
    """Check that both results are equal and have `COUNT` labels; return the number of base regions."""
    labels = one.cut(COUNT)
    if labels.shape != image.shape[:2] or not np.array_equal(np.unique(labels), np.arange(COUNT)):
        raise SystemExit(f"the cut at {COUNT} does not have {COUNT} labels")
    if not (np.array_equal(one.base_labels, two.base_labels) and np.array_equal(one.merges, two.merges)):
        raise SystemExit("one thread and two threads give different hierarchies")
    return one.base_count


def verified_peer(name: str, image: Pixels) -> Callable[[Pixels, int], object]:
    """Return the peer, after a first call that gave about the wanted count."""
    labels = PEERS[name](image, COUNT)
    count = len(np.unique(labels))
    if labels.shape != image.shape[:2] or not COUNT / 3 <= count <= COUNT * 3:
        raise SystemExit(f"{name}: {count} labels of shape {labels.shape} instead of {COUNT}")
    return PEERS[name]


def rounds_for(contenders: dict[str, Callable[[], object]], seconds: float) -> int:
    """Return how many rounds fit into the time, from one round that also warms up the contenders."""
    once = take_turns(contenders, 1, warm=False)
    duration = sum(times.seconds for times in once.values())
    return max(FEWEST_ROUNDS, min(MOST_ROUNDS, int(seconds / duration)))


def time_sizes(data: Path, seconds: float, patience: float) -> dict[str, tuple[float, Times]]:
    """Time one thread of ours on mosaics of 2, 8 and 33 megapixels, in turn: megapixels and times by size."""
    images = {f"{width}x{height}": mosaic(data, width, height) for width, height in (HD, UHD, UHD_8K)}
    contenders: dict[str, Callable[[], object]] = {
        name: partial(Ours(threads=1), image) for name, image in images.items()
    }
    times = take_turns(contenders, rounds_for(contenders, seconds * 2), patience=patience)
    return {name: (image.shape[0] * image.shape[1] / 1e6, times[name]) for name, image in images.items()}


def scaling_limit(timings: Timings) -> float:
    """Return the throughput of two cores over that of one: the largest possible speed-up by two threads.

    It is below 2 if the cores share caches or memory, or, on a virtual machine, one physical core.
    """
    return 2 * ratio(timings.quick[ONE], timings.quick[PAIR])


def milliseconds(timings: Timings) -> dict[str, float]:
    """Return the milliseconds per megapixel of each contender, by name."""
    times = {**timings.slow, **timings.quick}
    return {
        name: times[name].seconds * 1e3 / timings.megapixels for name in (ONE, TWO, *PEERS) if name in times
    }


def per_megapixel(sizes: dict[str, tuple[float, Times]]) -> dict[str, float]:
    """Return the time per megapixel over that of the first mosaic, by mosaic."""
    first_megapixels, first = next(iter(sizes.values()))
    return {
        name: ratio(times, first) * first_megapixels / megapixels
        for name, (megapixels, times) in sizes.items()
    }


def list_goals(timings: dict[str, Timings], sizes: dict[str, tuple[float, Times]]) -> list[Goal]:
    """Return the goals: ratios at 1080p on each image; time per megapixel over the mosaics."""
    goals = []
    for image in (HD_MOSAIC, *SCALED):
        one, two, rival = (timings[image].quick[name] for name in (ONE, TWO, RIVAL))
        threads = Goal.at_least(
            f"{image}: one thread over two threads, at a limit of {scaling_limit(timings[image]):.2f}",
            ratio(one, two),
            1.6,
        )
        goals += [
            Goal.at_most(
                f"{image}, one thread: hierarchy and cut, over fast-slic's flat map", ratio(one, rival), 0.8
            ),
            _if_quiet(threads, one),
        ]
    for name, value in list(per_megapixel(sizes).items())[1:]:
        goal = Goal.at_most(f"time per megapixel, {name} over the smallest mosaic", value, 1.3)
        goals.append(_if_quiet(goal, sizes[name][1]))
    return goals


def say_result(timings: dict[str, Timings], sizes: dict[str, tuple[float, Times]]) -> None:
    """The tables."""
    names = (ONE, TWO, *PEERS)
    rows = []
    for image, each in timings.items():
        times = {**each.slow, **each.quick}
        rows.append(
            (image, *(f"{times[name].seconds * 1e3:.1f}" if name in times else None for name in names))
        )
    say_table(f"Milliseconds per call, {COUNT} superpixels: medians over rounds", ("image", *names), rows)
    say_table(
        "Ratios within rounds: medians. limit: largest speed-up by two threads, from two simultaneous calls; "
        "others: cores that other processes kept busy",
        (
            "image",
            "rounds",
            "ours / fast-slic",
            "in CPU time",
            "one / two threads",
            "limit",
            "spread",
            "others",
        ),
        [
            (
                image,
                len(each.quick[ONE].wall),
                f"{ratio(each.quick[ONE], each.quick[RIVAL]):.3f}",
                f"{cpu_ratio(each.quick[ONE], each.quick[RIVAL]):.3f}",
                f"{ratio(each.quick[ONE], each.quick[TWO]):.2f}",
                f"{scaling_limit(each):.2f}",
                f"{each.quick[ONE].spread:.0%}",
                f"{each.quick[ONE].busy_cores:.2f}",
            )
            for image, each in timings.items()
        ],
    )
    for contender in (ONE, TWO):
        say_table(
            f"Milliseconds per megapixel by stage, {contender}",
            ("image", "regions", *STAGES, "sum"),
            [
                (
                    image,
                    each.base_count,
                    *(f"{each.stages[contender][stage] * 1e3 / each.megapixels:.2f}" for stage in STAGES),
                    f"{sum(each.stages[contender].values()) * 1e3 / each.megapixels:.1f}",
                )
                for image, each in timings.items()
            ],
        )
    ratios = per_megapixel(sizes)
    say_table(
        "Time per megapixel by size, one thread",
        ("mosaic", "megapixels", "ms/MP", "over the first", "rounds", "others"),
        [
            (
                name,
                f"{megapixels:.1f}",
                f"{times.seconds * 1e3 / megapixels:.1f}",
                f"{ratios[name]:.2f}",
                len(times.wall),
                f"{times.busy_cores:.2f}",
            )
            for name, (megapixels, times) in sizes.items()
        ],
    )


def as_figures(timings: dict[str, Timings], sizes: dict[str, tuple[float, Times]]) -> dict[str, Any]:
    """Return the figures for the JSON file, in seconds."""
    return {
        "count": COUNT,
        "images": {
            image: {
                "megapixels": each.megapixels,
                "base_count": each.base_count,
                "rounds": len(each.quick[ONE].wall),
                "others": each.quick[ONE].busy_cores,
                "seconds": {name: times.seconds for name, times in {**each.slow, **each.quick}.items()},
                "cpu_seconds": {
                    name: times.cpu_seconds for name, times in {**each.slow, **each.quick}.items()
                },
                "ours_over_fast_slic": ratio(each.quick[ONE], each.quick[RIVAL]),
                "ours_over_fast_slic_cpu": cpu_ratio(each.quick[ONE], each.quick[RIVAL]),
                "one_over_two_threads": ratio(each.quick[ONE], each.quick[TWO]),
                "scaling_limit": scaling_limit(each),
                "stages": each.stages,
            }
            for image, each in timings.items()
        },
        "sizes": {
            name: {"megapixels": megapixels, "seconds": times.seconds, "cpu_seconds": times.cpu_seconds}
            for name, (megapixels, times) in sizes.items()
        },
        "time_a_megapixel_over_the_first": per_megapixel(sizes),
    }


def _if_quiet(goal: Goal, times: Times) -> Goal:
    """Return the goal, but undecided if other processes took the second thread's core."""
    if times.busy_cores <= BUSY_CORES:
        return goal
    return replace(goal, measured=f"{goal.measured}, others on {times.busy_cores:.2f} cores", reached=None)


if __name__ == "__main__":
    main()
