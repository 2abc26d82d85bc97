"""Trains a scorer on objects that people have finished."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.smart.arithmetic import Floats
from superpixel_service.client.smart.features import FEATURES, Reached
from superpixel_service.client.smart.robot import Policy, Target, play
from superpixel_service.client.smart.scene import Scene
from superpixel_service.client.smart.scorer import Scorer

HIDDEN = (32, 16)
ROWS = 100
"""Leaves that are kept of each click, at random."""

_BIAS = 0.5
_HEAVIEST = 0.3
_BATCH = 4096
_RATE = 3e-3

Single = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What clicks show.

    Attributes:
        rows: (n, FEATURES).
        truth: (n,) whether the leaf should change.
        weights: (n,) how much it matters.
    """

    rows: Single
    truth: Single
    weights: Single

    @classmethod
    def joined(cls, lessons: Sequence["Lesson"]) -> "Lesson":
        """All of them as one."""
        return cls(
            np.concatenate([each.rows for each in lessons]),
            np.concatenate([each.truth for each in lessons]),
            np.concatenate([each.weights for each in lessons]),
        )


def gather(
    scene: Scene, target: Target, policy: Policy, clicks: int, rng: np.random.Generator
) -> tuple[Lesson | None, list[float]]:
    """Let the robot select one object, and note what each click should have changed."""
    lessons: list[Lesson] = []

    def watch(reached: Reached, known: Floats) -> None:
        areas = scene.areas[: scene.leaves]
        able = np.flatnonzero(reached.able)
        kept = ~np.isin(able, reached.sources)
        able, mine = able[kept], known[:, kept]
        if not len(able):
            return
        inside = target.inside[able]
        truth = (inside > 0.5) == reached.positive
        still = np.where(reached.positive, inside, 1 - inside) * areas[able]
        error = float(still.sum()) + 0.02 * target.area
        weights = np.minimum(areas[able] * np.abs(2 * inside - 1) / error, _HEAVIEST)
        share = 1.0
        if len(able) > ROWS:
            few = rng.choice(len(able), ROWS, replace=False)
            share = len(able) / ROWS
            mine, truth, weights = mine[:, few], truth[few], weights[few]
        lessons.append(
            Lesson(mine.T.astype(np.float32), truth.astype(np.float32), (weights * share).astype(np.float32))
        )

    overlaps = play(scene, target, policy, clicks, jitter=0.2, rng=rng, watch=watch)
    return (Lesson.joined(lessons) if lessons else None), overlaps


def fit(lesson: Lesson, epochs: int, seed: int) -> Scorer:
    """Fit a network by Adam (Kingma and Ba 2015) with a falling rate, to the weighted logistic loss."""
    rng = np.random.default_rng(seed)
    mean = lesson.rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = lesson.rows.std(axis=0, dtype=np.float64).astype(np.float32) + np.float32(1e-3)
    sizes = (FEATURES, *HIDDEN, 1)
    parameters: list[Single] = []
    for inputs, outputs in pairwise(sizes):
        parameters.append(rng.normal(0, np.sqrt(2 / inputs), (inputs, outputs)).astype(np.float32))
        parameters.append(np.zeros(outputs, np.float32))
    means = [np.zeros_like(each) for each in parameters]
    squares = [np.zeros_like(each) for each in parameters]
    batch = min(_BATCH, len(lesson.rows))
    batches = len(lesson.rows) // batch
    step = 0
    for _ in range(epochs):
        order = rng.permutation(len(lesson.rows))
        for number in range(batches):
            chosen = order[number * batch : (number + 1) * batch]
            rows = (lesson.rows[chosen] - mean) / spread
            gradients = _gradients(parameters, rows, lesson.truth[chosen], lesson.weights[chosen])
            step += 1
            rate = _RATE * 0.5 * (1 + np.cos(np.pi * step / (epochs * batches)))
            for value, slope, first, second in zip(parameters, gradients, means, squares, strict=True):
                first += 0.1 * (slope - first)
                second += 0.001 * (slope * slope - second)
                change = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
                value -= np.float32(rate) * change.astype(np.float32)
    return _folded(parameters, mean, spread)


def _gradients(parameters: list[Single], rows: Single, truth: Single, weights: Single) -> list[Single]:
    values = [rows]
    for index in range(0, len(parameters), 2):
        total = values[-1] @ parameters[index] + parameters[index + 1]
        values.append(np.maximum(total, 0) if index + 2 < len(parameters) else total)
    chance = 1 / (1 + np.exp(-np.clip(values[-1][:, 0], -30, 30)))
    error = weights * (chance - truth) / max(float(weights.sum()), 1e-12)
    slope: Single = error[:, np.newaxis].astype(np.float32)
    found: list[Single] = []
    for index in range(len(parameters) - 2, -1, -2):
        below = values[index // 2]
        found[:0] = [below.T @ slope, slope.sum(axis=0)]
        if index:
            slope = np.where(below > 0, slope @ parameters[index].T, np.float32(0))
    return found


def _folded(parameters: list[Single], mean: Single, spread: Single) -> Scorer:
    """The network as a scorer: mean and spread of the features go into the first layer."""
    layers = []
    for index in range(0, len(parameters), 2):
        weights = parameters[index].T.astype(np.float64)
        biases = parameters[index + 1].astype(np.float64)
        if index == 0:
            weights = weights / spread
            biases = biases - weights @ mean
        layers.append((_short(weights), _short(biases)))
    return Scorer(tuple(layers), _BIAS, {})


def _short(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values with six digits, so that the file is small and gives them back exactly."""
    return np.array([float(f"{value:.6g}") for value in values.ravel()]).reshape(values.shape)
