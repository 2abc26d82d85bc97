"""What guidance changes: an edge map, prior maps and an importance map, right and wrong ones.

The edge map is the output of a detector (gPb-owt-ucm), `ucm2/NAME.mat` in the data folder. The prior map is
the segmentation of the first person; it is scored on the other people's. Scores are means over the people who
count, then over photographs. Docs: docs/algorithm.md.
"""

import argparse
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Photograph, add_data_arguments, photographs
from benchmarks.metrics import (
    Labels,
    achievable_accuracy,
    boundary_recall,
    count_overlaps,
    undersegmentation_error,
)
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
from superpixel_kernels import Guidance, segment

COUNTS = (50, 100, 200, 400, 800, 1600)
IMPORTANCES = (32, 96, 255)
IMPORTANCE_COUNT = 200
IMPORTANT_SHARE = 0.15

STUDY: Mapping[str, tuple[float, ...]] = {
    "none": (0.1365, 0.1045, 0.0798, 0.0637, 0.0514, 0.0426),
    "edge map, we 2": (0.1312, 0.0989, 0.0766, 0.0627, 0.0508, 0.0423),
    "none, others": (0.1385, 0.1065, 0.0814, 0.0651, 0.0525, 0.0435),
    "prior soft, wp 64": (0.1126, 0.0852, 0.0696, 0.0579, 0.0488, 0.0416),
    "prior soft, wp 128": (0.1006, 0.0794, 0.0665, 0.0567, 0.0485, 0.0415),
    "prior hard": (0.1067, 0.0764, 0.0634, 0.0540, 0.0459, 0.0387),
}
"""Undersegmentation error by count on 50 photographs, from the study that chose the weights.

The first value of the last row is not the study's, 0.1088: its second run of merges began with the heights of
the first run. That matters for counts below the number of the prior's components only.
"""

STUDY_TOLERANCE = 0.002

Arguments = dict[str, Any]
Scores = NDArray[np.float64]
"""(counts, 3): undersegmentation error, achievable accuracy, boundary recall."""


@dataclass(frozen=True)
class Hints:
    """The maps of one photograph.

    Attributes:
        edges: the detector's edge map.
        prior: the first person's segmentation, labels from 1.
        other_edges: the edge map of another photograph.
        other_prior: the first segmentation of that photograph.
    """

    edges: NDArray[np.uint8]
    prior: Labels
    other_edges: NDArray[np.uint8]
    other_prior: Labels


@dataclass(frozen=True)
class Case:
    """One kind of guidance.

    Attributes:
        arguments: makes the arguments of `Guidance`.
        all_people: scored on all people, or on all but the first.
    """

    arguments: Callable[[Hints], Arguments]
    all_people: bool


def edge_map(photo: Photograph) -> NDArray[np.uint8]:
    """The detector's strengths at the pixels of a photograph: (height, width), 0 to 255."""
    loadmat = importlib.import_module("scipy.io").loadmat
    grid = loadmat(photo.folder / "ucm2" / f"{photo.name}.mat")["ucm2"]
    strengths: NDArray[np.uint8] = np.rint(255 * grid[2::2, 2::2]).astype(np.uint8)
    return strengths


def hints_of(photo: Photograph, other: Photograph) -> Hints:
    """The maps of a photograph, and wrong ones from another."""
    return Hints(edge_map(photo), photo.truths[0] + 1, edge_map(other), other.truths[0] + 1)


def shifted(values: NDArray[Any]) -> NDArray[Any]:
    """The map moved by (3, 3); its first row and column are repeated."""
    return np.pad(values, ((3, 0), (3, 0)), mode="edge")[:-3, :-3]


def every_second(prior: Labels) -> Labels:
    """The map with every second segment; the rest is 0."""
    return np.where(prior % 2 == 1, prior, 0)


def reduced(prior: Labels) -> Labels:
    """The map at an eighth of its size."""
    return prior[4::8, 4::8]


def _noise(hints: Hints) -> Arguments:
    random = np.random.default_rng(1)
    return {"edges": random.integers(0, 256, hints.edges.shape, np.uint8)}


def _priors(name: str, **parameters: Any) -> dict[str, Case]:
    """A mode of the prior with hints that become worse."""
    makers: dict[str, Callable[[Hints], Labels]] = {
        "": lambda hints: hints.prior,
        ", every second segment": lambda hints: every_second(hints.prior),
        ", reduced 8 times": lambda hints: reduced(hints.prior),
        ", shifted": lambda hints: shifted(hints.prior),
        ", of another image": lambda hints: hints.other_prior,
    }
    return {
        name + ending: Case(partial(_with_prior, make, parameters), all_people=False)
        for ending, make in makers.items()
    }


def _with_prior(make: Callable[[Hints], Labels], parameters: Arguments, hints: Hints) -> Arguments:
    return {"prior": make(hints), **parameters}


CASES: Mapping[str, Case] = {
    "none": Case(lambda _: {}, all_people=True),
    "edge map, we 2": Case(lambda hints: {"edges": hints.edges}, all_people=True),
    "edge map, we 2, shifted": Case(lambda hints: {"edges": shifted(hints.edges)}, all_people=True),
    "edge map, we 2, of another image": Case(lambda hints: {"edges": hints.other_edges}, all_people=True),
    "edge map, we 2, white noise": Case(_noise, all_people=True),
    "edge map, we 2, all 255": Case(lambda _: {"edges": np.full((1, 1), 255, np.uint8)}, all_people=True),
    "none, others": Case(lambda _: {}, all_people=False),
    **_priors("prior soft, wp 64"),
    "prior soft, wp 128": Case(lambda hints: {"prior": hints.prior, "prior_weight": 128}, all_people=False),
    **_priors("prior hard", prior_mode="hard"),
}


@dataclass(frozen=True)
class Result:
    """Means over the photographs.

    Attributes:
        scores: by case, by count: undersegmentation error, achievable accuracy, boundary recall.
        importance: by importance inside one segment: density inside over density outside, compared with none;
            change of the error inside and outside, as a share.
    """

    scores: dict[str, list[list[float]]]
    importance: dict[int, list[float]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = make_parser("guidance", __doc__)
    add_data_arguments(parser, every=2)
    add_jobs_argument(parser)
    options = parser.parse_args(arguments)
    result = run(options)
    goals = list_goals(result)
    say_result(result)
    say_goals(goals)
    figures = {"every": options.every, "scores": result.scores, "importance": result.importance}
    write_json(options.json, figures, goals)


def run(options: argparse.Namespace) -> Result:
    """Return the means over the photographs that the options choose."""
    chosen = photographs(options.data, options.every)
    say(f"{len(chosen)} photographs of {options.data.name}")
    pairs = list(zip(chosen, [*chosen[1:], chosen[0]], strict=True))
    measured = list(for_each(measure_photograph, pairs, options.jobs, "guidance"))
    scores = {
        name: np.mean([scores[name] for scores, _ in measured], axis=0).tolist() for name in measured[0][0]
    }
    errors = np.mean([errors for _, errors in measured], axis=0)
    return Result(scores, _compare_importance(errors))


def measure_photograph(pair: tuple[Photograph, Photograph]) -> tuple[dict[str, Scores], NDArray[np.float64]]:
    """Scores of each case, and what `measure_importance` returns, with the maps of another photograph."""
    photo, other = pair
    hints = hints_of(photo, other)
    truths = photo.truths
    scores = {}
    for name, case in CASES.items():
        # A single person has nobody else to be scored on.
        people = truths if case.all_people or len(truths) == 1 else truths[1:]
        hierarchy = segment(photo.image, guidance=Guidance(**case.arguments(hints)), threads=1)
        scores[name] = np.array([score(hierarchy.cut(count), people) for count in COUNTS])
    return scores, measure_importance(photo)


def score(labels: Labels, truths: Sequence[Labels]) -> tuple[float, float, float]:
    """Undersegmentation error, achievable accuracy and boundary recall: means over people."""
    overlaps = [count_overlaps(truth, labels) for truth in truths]
    return (
        float(np.mean([undersegmentation_error(each) for each in overlaps])),
        float(np.mean([achievable_accuracy(each) for each in overlaps])),
        float(np.mean([boundary_recall(labels, truth) for truth in truths])),
    )


def measure_importance(photo: Photograph) -> NDArray[np.float64]:
    """Importance on the first person's segment of about 15 % of the photograph, at 200 superpixels.

    Returns:
        (1 + importances, 3), without importance first: density inside over density outside; error inside and
        outside the segment, both as shares of the photograph.
    """
    segments = photo.truths[0]
    areas = np.bincount(segments.ravel())
    inside = segments == int(np.argmin(np.abs(areas - IMPORTANT_SHARE * segments.size)))
    found = []
    for importance in (0, *IMPORTANCES):
        guidance = Guidance(importance=np.where(inside, importance, 0).astype(np.uint8))
        labels = segment(photo.image, guidance=guidance, threads=1).cut(IMPORTANCE_COUNT)
        # Each superpixel counts by its share inside.
        shares = np.bincount(labels.ravel(), weights=inside.ravel()) / np.bincount(labels.ravel())
        density = shares.sum() / inside.sum()
        other_density = (1 - shares).sum() / max(1, np.count_nonzero(~inside))
        errors = [
            np.mean([_error_within(labels, truth, part) for truth in photo.truths])
            for part in (inside, ~inside)
        ]
        found.append([density / other_density, *errors])
    return np.array(found)


def _error_within(labels: Labels, truth: Labels, part: NDArray[np.bool_]) -> float:
    """The share of pixels in a part that are not in the most frequent segment of their superpixel."""
    overlaps = count_overlaps(truth, labels)
    wrong = overlaps.argmax(axis=0)[labels] != truth
    return float(np.count_nonzero(wrong & part) / labels.size)


def _compare_importance(found: NDArray[np.float64]) -> dict[int, list[float]]:
    none = found[0]
    return {
        importance: [row[0] / none[0], row[1] / none[1] - 1, row[2] / none[2] - 1]
        for importance, row in zip(IMPORTANCES, found[1:].tolist(), strict=True)
    }


def list_goals(result: Result) -> list[Goal]:
    """The goals: at each count as good as the study found."""
    goals = []
    for name, wanted in STUDY.items():
        errors = np.array(result.scores[name])[:, 0]
        worst = float(np.abs(errors - wanted).max())
        goals.append(Goal.at_most(f"{name}: difference in UE from the study", worst, STUDY_TOLERANCE))
    return goals


def say_result(result: Result) -> None:
    """The tables."""
    header = ("", *(f"{name} {count}" for name in ("UE", "ASA", "BR") for count in COUNTS))
    rows = [(name, *(f"{value:.4f}" for value in np.array(result.scores[name]).T.ravel())) for name in STUDY]
    say_table("By count; from the third row on scored on all people but the first", header, rows)
    say_table(
        "Change from no guidance, mean over the counts",
        ("", "UE", "BR"),
        [
            (name, f"{change[0]:+.4f}", f"{change[2]:+.3f}")
            for name, case in CASES.items()
            for change in [_mean_change(result, name, case)]
        ],
    )
    say_table(
        f"Importance on a segment of {IMPORTANT_SHARE:.0%} of the image, at {IMPORTANCE_COUNT} superpixels",
        ("", "density", "error inside", "error outside"),
        [
            (importance, f"{density:.2f}", f"{inside:+.0%}", f"{outside:+.0%}")
            for importance, (density, inside, outside) in result.importance.items()
        ],
    )


def _mean_change(result: Result, name: str, case: Case) -> Scores:
    none = result.scores["none" if case.all_people else "none, others"]
    change: Scores = np.mean(np.array(result.scores[name]) - np.array(none), axis=0)
    return change


if __name__ == "__main__":
    main()
