"""How much snapping to superpixels repairs a rough mask.

A network's mask is loose at borders, has few pixels, or lies beside the object. This makes such masks from
the human segments of 0.5 % to 40 % of their photograph. It compares the rough mask with the segment, as it is
and snapped to whole superpixels (`snap_mask`, threshold 0.5), by intersection over union (IoU). The rough
masks are

    exact          the segment itself: what superpixels lose if nothing was wrong
    dilated        by a disc of 4 pixels
    reduced        8 times: a block of 8 x 8 pixels is inside if at least half of its pixels are
    shifted        by 3 pixels to the right and down
    all three      dilated, then reduced, then shifted

"Best count" is the count of superpixels with the highest mean over all segments. "Each its best" takes the
best count for each segment, as a person with a slider can.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Photograph, add_data_arguments, photographs
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
from superpixel_kernels import segment, snap_mask

Mask = NDArray[np.bool_]

COUNTS = (50, 100, 200, 400, 800, 1600, 3200)
AREAS = (0.005, 0.02, 0.1, 0.4)
RADIUS, REDUCTION, SHIFT = 4, 8, 3


@dataclass(frozen=True, slots=True)
class Snapped:
    """The segments of one photograph or several.

    Attributes:
        shares: (segments,), each segment's share of its image.
        rough: by kind of mask, (segments,) IoU of the rough mask.
        snapped: by kind of mask, (segments, len(COUNTS)) IoU of the snapped mask.
    """

    shares: NDArray[np.float64]
    rough: dict[str, NDArray[np.float64]]
    snapped: dict[str, NDArray[np.float64]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = make_parser("snap", __doc__)
    add_data_arguments(parser, every=2)
    add_jobs_argument(parser)
    options = parser.parse_args(arguments)
    chosen = photographs(options.data, options.every)
    say(f"{len(chosen)} photographs of {options.data.name}")
    result = join(list(for_each(measure_photograph, chosen, options.jobs, "snap")))
    goals = list_goals(result)
    say_result(result)
    say_goals(goals)
    write_json(options.json, as_figures(result, options.every), goals)


def measure_photograph(photo: Photograph) -> Snapped:
    """Snap rough masks of the segments of each person who segmented a photograph."""
    hierarchy = segment(photo.image, threads=1)
    maps = [(count, hierarchy.cut(count)) for count in (min(one, hierarchy.base_count) for one in COUNTS)]
    shares: list[float] = []
    rough: dict[str, list[float]] = {name: [] for name in KINDS}
    snapped: dict[str, list[list[float]]] = {name: [] for name in KINDS}
    for truth in photo.truths:
        for value, area in enumerate(np.bincount(truth.ravel())):
            if not AREAS[0] <= area / truth.size <= AREAS[-1]:
                continue
            wanted = truth == value
            shares.append(area / truth.size)
            for name, make in KINDS.items():
                mask = make(wanted)
                rough[name].append(iou(mask, wanted))
                snapped[name].append([iou(snap_mask(labels, mask, count), wanted) for count, labels in maps])
    return Snapped(
        np.array(shares),
        {name: np.array(values) for name, values in rough.items()},
        {name: np.array(values).reshape(-1, len(COUNTS)) for name, values in snapped.items()},
    )


def join(parts: Sequence[Snapped]) -> Snapped:
    """Concatenate the segments of several measurements."""
    return Snapped(
        np.concatenate([part.shares for part in parts]),
        {name: np.concatenate([part.rough[name] for part in parts]) for name in KINDS},
        {name: np.concatenate([part.snapped[name] for part in parts]) for name in KINDS},
    )


def iou(a: Mask, b: Mask) -> float:
    """Return the intersection over union of two masks, of which at least one is not empty."""
    return float(np.count_nonzero(a & b) / np.count_nonzero(a | b))


def dilate(mask: Mask, radius: int = RADIUS) -> Mask:
    """Return where a disc of `radius` pixels contains a pixel of the mask."""
    height, width = mask.shape
    padded = np.pad(mask, radius)
    out = np.zeros_like(mask)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dx * dx + dy * dy <= radius * radius:
                out |= padded[radius + dy : radius + dy + height, radius + dx : radius + dx + width]
    return out


def reduce(mask: Mask, times: int = REDUCTION) -> Mask:
    """Return blocks of `times` x `times` pixels, each inside if at least half of its pixels are."""
    height, width = mask.shape
    down = np.add.reduceat(mask.astype(np.int64), range(0, height, times), axis=0)
    inside = np.add.reduceat(down, range(0, width, times), axis=1)
    rows = np.diff([*range(0, height, times), height])
    columns = np.diff([*range(0, width, times), width])
    blocks: Mask = 2 * inside >= rows[:, np.newaxis] * columns
    return blocks.repeat(rows, axis=0).repeat(columns, axis=1)


def shift(mask: Mask, by: int = SHIFT) -> Mask:
    """Return the mask moved to the right and down; what comes in is outside."""
    out = np.zeros_like(mask)
    out[by:, by:] = mask[:-by, :-by]
    return out


KINDS: dict[str, Callable[[Mask], Mask]] = {
    "exact": np.copy,
    "dilated": dilate,
    "reduced": reduce,
    "shifted": shift,
    "all three": lambda mask: shift(reduce(dilate(mask))),
}


def best_count(result: Snapped, name: str) -> int:
    """Return the index of the count with the highest mean IoU."""
    return int(np.argmax(result.snapped[name].mean(axis=0)))


def list_goals(result: Snapped) -> list[Goal]:
    """Return the goals that snapping repairs masks that are wrong in all three ways, and each alone."""
    goals = []
    for name in KINDS:
        if name != "exact":
            before = float(result.rough[name].mean())
            after = float(result.snapped[name][:, best_count(result, name)].mean())
            goals.append(
                Goal.at_least(f"mean IoU of masks that are {name}, snapped", after, round(before, 4))
            )
    return goals


def say_result(result: Snapped) -> None:
    """Print the tables."""
    say(f"{len(result.shares)} segments of {AREAS[0]:.1%} to {AREAS[-1]:.0%} of the image")
    say_table(
        "Mean IoU with the segment",
        ("mask", "rough", "snapped", "best count", "each its best", "better", "worse"),
        [_row(result, name) for name in KINDS],
    )
    say_table(
        "Snapped, by count",
        ("mask", *map(str, COUNTS)),
        [(name, *(f"{mean:.3f}" for mean in result.snapped[name].mean(axis=0))) for name in KINDS],
    )
    rows = []
    for low, high in pairwise(AREAS):
        within = (result.shares >= low) & (result.shares < high)
        if within.any():
            rows.append((f"{low:.1%} to {high:.0%}", np.count_nonzero(within), *_by_area(result, within)))
    say_table("By area: rough / snapped at the best count", ("area", "segments", *KINDS), rows)


def as_figures(result: Snapped, every: int) -> dict[str, Any]:
    """Return the figures for the JSON file."""
    return {
        "every": every,
        "segments": len(result.shares),
        "masks": {
            name: {
                "rough": float(result.rough[name].mean()),
                "snapped": {
                    str(count): float(mean)
                    for count, mean in zip(COUNTS, result.snapped[name].mean(axis=0), strict=True)
                },
                "best_count": COUNTS[best_count(result, name)],
                "each_its_best": float(result.snapped[name].max(axis=1).mean()),
            }
            for name in KINDS
        },
    }


def _row(result: Snapped, name: str) -> tuple[object, ...]:
    best = best_count(result, name)
    rough, snapped = result.rough[name], result.snapped[name]
    return (
        name,
        f"{rough.mean():.3f}",
        f"{snapped[:, best].mean():.3f}",
        COUNTS[best],
        f"{snapped.max(axis=1).mean():.3f}",
        f"{np.mean(snapped[:, best] > rough):.0%}",
        f"{np.mean(snapped[:, best] < rough):.0%}",
    )


def _by_area(result: Snapped, within: NDArray[np.bool_]) -> list[str]:
    return [
        f"{result.rough[name][within].mean():.3f} / "
        f"{result.snapped[name][within, best_count(result, name)].mean():.3f}"
        for name in KINDS
    ]


if __name__ == "__main__":
    main()
