"""What a click is worth: dominant labels of superpixels, of rectangles and of pixels, chosen by a model.

This is the setting of Cai et al. ("Revisiting Superpixels for Active Learning in Semantic Segmentation With
Realistic Annotation Costs", CVPR 2021), made small: a labeller sees one region at a time and answers with the
class that most of it has, which is one click. A model learns from the answers and chooses the next regions.
Here each photograph is a task of its own, its classes are the segments of one person, and the model is a
softmax regression on random Fourier features of colour and position (Rahimi and Recht, NIPS 2007).

The labelled map is the answers, and the model's predictions elsewhere. It is scored by the share of right
pixels, and by the mean intersection over union (mIoU) of the classes with at least 1 % of the photograph.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from superpixel_kernels import pool, rank_regions, segment

REGIONS = 150
CLICKS = (10, 25, 50, 100)
SMALLEST_CLASS = 0.01
FEATURES, STEPS, RATE, DECAY = 64, 80, 0.1, 0.001
SEED = 7

WAYS = (
    ("superpixels", "balanced"),
    ("superpixels", "uncertain"),
    ("superpixels", "random"),
    ("rectangles", "balanced"),
    ("rectangles", "random"),
    ("pixels", "balanced"),
    ("pixels", "random"),
)

Figures = dict[str, list[tuple[float, float]]]
Floats = NDArray[np.float64]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write the requested files."""
    parser = make_parser("next_labels", __doc__)
    add_data_arguments(parser, every=5)
    add_jobs_argument(parser)
    options = parser.parse_args(arguments)
    chosen = photographs(options.data, options.every)
    say(f"{len(chosen)} photographs of {options.data.name}, {REGIONS} regions each")
    parts = list(for_each(measure_photograph, chosen, options.jobs, "next_labels"))
    result = {name: np.mean([part[name] for part in parts], axis=0).tolist() for name in parts[0]}
    say_result(result)
    goals = list_goals(result)
    say_goals(goals)
    write_json(options.json, {"every": options.every, "clicks": CLICKS, "next_labels": result}, goals)


def measure_photograph(photo: Photograph) -> Figures:
    """The share of right pixels and the mIoU after each number of clicks, by way."""
    truth = photo.truths[0]
    units = {
        "superpixels": segment(photo.image, threads=1).cut(REGIONS),
        "rectangles": rectangles(truth.shape[0], truth.shape[1], REGIONS),
        "pixels": np.arange(truth.size, dtype=np.int32).reshape(truth.shape),
    }
    features = fourier_features(photo.image)
    return {f"{unit}, {way}": label(units[unit], truth, features, way) for unit, way in WAYS}


def rectangles(height: int, width: int, count: int) -> Labels:
    """About `count` rectangles of equal size, nearly squares."""
    rows = max(1, round((count * height / width) ** 0.5))
    columns = max(1, round(count / rows))
    y, x = np.arange(height) * rows // height, np.arange(width) * columns // width
    found: Labels = (y[:, np.newaxis] * columns + x).astype(np.int32)
    return found


def fourier_features(image: NDArray[np.uint8]) -> Floats:
    """(height, width, FEATURES): random Fourier features of colour and position."""
    height, width = image.shape[:2]
    y, x = np.indices((height, width)) / max(height, width)
    basic = np.concatenate([image / 64.0, 2 * np.stack([y, x], axis=2)], axis=2)
    random = np.random.default_rng(SEED)
    waves = basic @ random.normal(0, 1, (5, FEATURES)) + random.uniform(0, 2 * np.pi, FEATURES)
    features: Floats = np.cos(waves) * (2 / FEATURES) ** 0.5
    return features


def label(regions: Labels, truth: Labels, features: Floats, way: str) -> list[tuple[float, float]]:
    """Label regions in batches, and score after each batch. Random regions are those of random pixels."""
    answers = pool(regions, truth, "mode")
    known_features = pool(regions, features)
    weights = np.bincount(regions.ravel()) / regions.size
    random = np.random.default_rng(SEED)
    chosen: NDArray[np.int64] = random.choice(len(answers), CLICKS[0], replace=False, p=weights)
    scores = []
    for following in (*CLICKS[1:], 0):
        probabilities = predict(known_features[chosen], answers[chosen], weights[chosen], features)
        guess = probabilities.argmax(axis=2)
        labelled = np.zeros(len(answers), np.bool_)
        labelled[chosen] = True
        scores.append(score(np.where(labelled[regions], answers[regions], guess), truth))
        wanted = following - len(chosen)
        if wanted <= 0:
            break
        if way == "random":
            left = np.where(labelled, 0, weights)
            more = random.choice(len(answers), wanted, replace=False, p=left / left.sum())
        else:
            ranked = rank_regions(
                [regions],
                [probabilities],
                labelled=[chosen.tolist()],
                balanced=way == "balanced",
                budget=wanted,
            )
            more = ranked.region
        chosen = np.concatenate([chosen, more])
    return scores


def predict(known: Floats, answers: NDArray[Any], weights: Floats, features: Floats) -> Floats:
    """(height, width, classes): probabilities of a softmax regression, trained by gradient descent."""
    classes = int(answers.max()) + 1 if answers.max() > 0 else 2
    wanted = np.eye(classes)[answers]
    matrix = np.zeros((known.shape[1], classes))
    momentum = np.zeros_like(matrix)
    for _ in range(STEPS):
        error = (softmax(known @ matrix) - wanted) * weights[:, np.newaxis] / weights.sum()
        momentum = 0.9 * momentum + known.T @ error * FEATURES + DECAY * matrix
        matrix -= RATE * momentum
    return softmax(features @ matrix)


def softmax(values: Floats) -> Floats:
    """Probabilities along the last axis."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    probabilities: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def score(guess: NDArray[Any], truth: Labels) -> tuple[float, float]:
    """The share of right pixels, and the mean IoU over the classes that are not tiny."""
    right = np.bincount(truth[guess == truth], minlength=int(truth.max()) + 1)
    guessed = np.bincount(guess.ravel(), minlength=len(right))[: len(right)]
    areas = np.bincount(truth.ravel())
    shares = right / (guessed + areas - right)
    return float(right.sum() / truth.size), float(shares[areas >= SMALLEST_CLASS * truth.size].mean())


def say_result(result: Figures) -> None:
    """Print the means over the photographs."""
    rows = [
        (name, *(f"{right:.3f} / {iou:.3f}" for right, iou in figures)) for name, figures in result.items()
    ]
    say_table(
        "share of right pixels / mIoU, by number of clicks", ("regions, chosen", *map(str, CLICKS)), rows
    )


def list_goals(result: Figures) -> list[Goal]:
    """Return what should hold."""
    last = {name: figures[-1][1] for name, figures in result.items()}
    return [
        Goal.at_least(f"mIoU of superpixels over {unit}, {CLICKS[-1]} clicks", last[ours] / last[other], 1)
        for ours, other, unit in (
            ("superpixels, balanced", "rectangles, balanced", "rectangles"),
            ("superpixels, balanced", "pixels, balanced", "pixels"),
            ("superpixels, balanced", "superpixels, random", "superpixels at random"),
        )
    ]


if __name__ == "__main__":
    main()
