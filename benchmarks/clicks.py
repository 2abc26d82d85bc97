"""How many clicks it takes to select an object: smart select beside other tools.

A robot plays the labeller of the page (Xu et al., "Deep interactive object selection", CVPR 2016): it clicks
in the middle of the largest wrong area, at the point farthest from its border, until the selection is right
or 20 clicks are made. NoC@85 is the mean number of clicks to an intersection over union of 0.85 with the
object; an object that is never reached counts as 20. The objects are 200 segments, always the same, of 0.5 %
to 40 % of their photograph: from the person with the median number of segments per photograph.

With "drag", the labeller grows or shrinks a click if that gains more than 0.05. A stroke goes through the
middle of the wrong area. "tree, drag" takes the best ancestor of each click: the labeller always drags, and
always stops at the best size.
"""

import importlib
import itertools
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.click_methods import (
    Click,
    GrabCut,
    Mask,
    Method,
    Picture,
    RandomWalker,
    TreeDrag,
    flat,
    flood,
    smart,
)
from benchmarks.data import Photograph, add_data_arguments, photographs
from benchmarks.metrics import Labels
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
from superpixel_service.client.smart import Scorer

SEGMENTS = 200
SEED = 7
SMALLEST, LARGEST = 0.005, 0.4
MOST_CLICKS = 20
RIGHT = 0.97

GOALS = {"smart click": (9.0, 12.7), "smart click, drag": (7.5, 11.4)}


def methods(weights: Scorer | None) -> dict[str, Method]:
    """All methods, by name."""
    return {
        "flat 200, click": flat(200),
        "flat 400, click": flat(400),
        "flat 800, click": flat(800),
        "flat 800, stroke": flat(800, strokes=True),
        "flood, tolerance 8": flood(8),
        "tree, drag": TreeDrag,
        "smart click": smart(weights),
        "smart click, drag": smart(weights, drag=True),
        "smart stroke": smart(weights, strokes=True),
        "random walker": RandomWalker,
        "GrabCut": GrabCut,
    }


@dataclass(frozen=True, slots=True)
class Segment:
    """An object: a label of a photograph's segmentation."""

    photo: Photograph
    label: int
    number: int


@dataclass(frozen=True, slots=True)
class Curve:
    """The intersection over union after each click, and the median processor seconds of one."""

    overlaps: list[float]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = make_parser("clicks", __doc__)
    add_data_arguments(parser)
    add_jobs_argument(parser)
    parser.add_argument(
        "--segments", type=int, default=SEGMENTS, help="how many objects (default: %(default)s)"
    )
    parser.add_argument("--methods", nargs="+", choices=methods(None), metavar="METHOD", help="default: all")
    parser.add_argument("--weights", type=Path, help="of smart select (default: those of the package)")
    options = parser.parse_args(arguments)
    weights = Scorer.of(json.loads(options.weights.read_text())) if options.weights else None
    chosen = choose_segments(options.data, options.segments)
    rows, figures, goals = [], {}, []
    for name in options.methods or methods(None):
        groups = [list(each) for _, each in itertools.groupby(chosen, key=lambda one: one.photo.name)]
        play = partial(play_photograph, name=name, weights=weights)
        curves = [curve for group in for_each(play, groups, options.jobs, name) for curve in group]
        result = summarise(curves)
        figures[name] = result
        rows.append((name, *result.values()))
        say(f"{name}: {result}")
        if name in GOALS and options.segments == SEGMENTS:
            for target, most in zip((85, 90), GOALS[name], strict=True):
                measured = result[f"noc_{target}"]
                goals.append(
                    Goal(f"{name}: NoC@{target} at most {most}", f"{measured:.2f}", measured <= most)
                )
    header = ("method", "NoC@85", "NoC@90", "never 85 %", "never 90 %", "IoU 1", "IoU 3", "ms", "objects")
    say_table(f"clicks to select an object, {options.data.name}", header, rows)
    say_goals(goals)
    write_json(options.json, figures, goals)


def choose_segments(folder: Path, count: int) -> list[Segment]:
    """Return the objects, in the order of their photographs."""
    every = []
    for photo in photographs(folder):
        truth = median_truth(photo)
        shares = np.bincount(truth.ravel()) / truth.size
        labels = np.flatnonzero((shares >= SMALLEST) & (shares <= LARGEST))
        every += [(photo.name, int(label), photo) for label in labels]
    random.Random(SEED).shuffle(every)  # noqa: S311 (no secret)
    some = sorted(every[:count], key=lambda each: each[:2])
    return [Segment(photo, label, number) for number, (_, label, photo) in enumerate(some)]


def median_truth(photo: Photograph) -> Labels:
    """Return the segmentation with the median number of segments; of two, the one with fewer."""
    by_count = sorted(photo.truths, key=lambda truth: int(truth.max()))
    return by_count[(len(by_count) - 1) // 2]


def play_photograph(segments: Sequence[Segment], name: str, weights: Scorer | None) -> list[Curve]:
    """Select the objects of one photograph."""
    picture = Picture(segments[0].photo.image)
    truth = median_truth(segments[0].photo)
    method = methods(weights)[name]
    return [play(method, picture, truth == segment.label) for segment in segments]


def play(method: Method, picture: Picture, truth: Mask) -> Curve:
    """Select one object."""
    session = method(picture)
    selected = np.zeros_like(truth)
    clicked = np.zeros_like(truth)
    overlaps: list[float] = []
    seconds: list[float] = []
    while len(overlaps) < MOST_CLICKS:
        click = next_click(truth, selected, clicked)
        if click is None:
            break
        clicked[click.y, click.x] = True
        begun = time.process_time()
        selected = session.click(click)
        seconds.append(time.process_time() - begun)
        overlaps.append(float(np.count_nonzero(selected & truth) / np.count_nonzero(selected | truth)))
        if overlaps[-1] >= RIGHT:
            break
    return Curve(overlaps, float(np.median(seconds)))


def next_click(truth: Mask, selected: Mask, clicked: Mask) -> Click | None:
    """Return the robot's next click; None: nothing is wrong."""
    images: Any = importlib.import_module("scipy.ndimage")
    best: tuple[int, Mask, tuple[slice, slice], bool] | None = None
    for positive, wrong in ((True, truth & ~selected), (False, selected & ~truth)):
        groups, number = images.label(wrong)
        if not number:
            continue
        sizes = np.bincount(groups.ravel())
        sizes[0] = 0
        largest = int(np.argmax(sizes))
        if best is None or sizes[largest] > best[0]:
            place = images.find_objects((groups == largest).astype(np.int8))[0]
            best = int(sizes[largest]), groups[place] == largest, place, positive
    if best is None:
        return None
    _, area, place, positive = best
    depth = images.distance_transform_edt(np.pad(area, 1))[1:-1, 1:-1]
    free = np.where(clicked[place], 0, depth)
    if not free.any():
        return None
    y, x = (int(each) for each in np.unravel_index(int(np.argmax(free)), free.shape))
    corner = np.array([place[1].start, place[0].start])
    return Click(x + corner[0], y + corner[1], positive, stroke_through(depth, x, y) + corner, truth)


def stroke_through(depth: NDArray[np.float64], x: int, y: int) -> NDArray[np.int64]:
    """Return the pixels of a straight stroke through a point, up to where the area is a third as deep."""
    most = sum(depth.shape)
    best = np.array([[x, y]])
    reach = 0.0
    # The longest straight way to both sides, of 16 directions.
    for angle in np.arange(16) * np.pi / 16:
        step = np.array([np.cos(angle), np.sin(angle)])
        points = [np.array([[x, y]])]
        for sign in (1, -1):
            far = np.arange(1, most)[:, np.newaxis] * step * sign + (x, y)
            pixels = np.rint(far).astype(np.int64)
            inside = (pixels >= 0).all(axis=1) & (pixels < depth.shape[::-1]).all(axis=1)
            pixels = pixels[: int(np.argmin(inside)) if not inside.all() else None]
            deep = depth[pixels[:, 1], pixels[:, 0]] >= depth[y, x] / 3
            points.append(pixels[: int(np.argmin(deep)) if not deep.all() else None])
        length = sum(map(len, points))
        if length > reach:
            best, reach = np.concatenate(points), length
    return best


def summarise(curves: Sequence[Curve]) -> dict[str, float]:
    """Return the figures of one method."""
    last = [curve.overlaps[-1] if curve.overlaps else 0.0 for curve in curves]
    table = np.array(
        [
            curve.overlaps + [end] * (MOST_CLICKS - len(curve.overlaps))
            for curve, end in zip(curves, last, strict=True)
        ]
    )
    figures: dict[str, float] = {}
    for target in (85, 90):
        reached = table >= target / 100
        clicks = np.where(reached.any(1), reached.argmax(1) + 1, MOST_CLICKS)
        figures[f"noc_{target}"] = round(float(clicks.mean()), 2)
        figures[f"never_{target}"] = round(float(1 - reached.any(1).mean()), 3)
    figures["iou_1"] = round(float(table[:, 0].mean()), 3)
    figures["iou_3"] = round(float(table[:, 2].mean()), 3)
    figures["ms"] = round(1000 * float(np.median([curve.seconds for curve in curves])), 1)
    figures["objects"] = len(curves)
    order = ("noc_85", "noc_90", "never_85", "never_90", "iou_1", "iou_3", "ms", "objects")
    return {name: figures[name] for name in order}


if __name__ == "__main__":
    main()
