"""A robot that selects known objects click by click, for training and to score a scorer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.smart.arithmetic import Floats, Ints
from superpixel_service.client.smart.choice import choose, scores_of
from superpixel_service.client.smart.features import Reached, Work, features, reach
from superpixel_service.client.smart.scene import Scene, groups_of
from superpixel_service.client.smart.scorer import Scorer

ENOUGH = 0.97
"""The robot stops at this intersection over union."""

Policy = Callable[[Scene, "Target", Work, Reached, Floats], NDArray[np.bool_]]
"""Chooses the leaves that a click changes. The last argument is the features of the click."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """An object that the robot knows.

    Attributes:
        inside: (L,) share of each leaf's samples that belong to the object.
        area: samples of the object.
    """

    inside: Floats
    area: float

    def overlap(self, scene: Scene, chosen: NDArray[np.bool_]) -> float:
        """The intersection over union of the chosen leaves and the object."""
        areas = scene.areas[: scene.leaves]
        hit = float((self.inside * areas)[chosen].sum())
        union = self.area + float(areas[chosen].sum()) - hit
        return hit / union


def next_click(
    scene: Scene, target: Target, chosen: NDArray[np.bool_], jitter: float, rng: np.random.Generator
) -> tuple[int, bool] | None:
    """The leaf in the middle of the largest wrong area, and whether it belongs to the object.

    After Xu et al., "Deep interactive object selection", CVPR 2016, on leaves instead of pixels.

    Args:
        scene: the leaves.
        target: the object.
        chosen: (L,) what is selected so far.
        jitter: how far from the middle a click may fall, as a share of the distance to the area's border.
        rng: for the jitter.
    """
    wrong = (target.inside > 0.5) != chosen
    if not wrong.any():
        return None
    areas = scene.areas[: scene.leaves] * np.abs(2 * target.inside - 1)
    group = _largest_group(scene, np.where(wrong, np.where(chosen, 2, 1), 0), areas)
    depth = _depths(scene, group)
    best = int(group[np.argmax(depth)])
    if jitter:
        near = np.hypot(scene.x[group] - scene.x[best], scene.y[group] - scene.y[best])
        close = group[near <= jitter * depth.max()]
        best = int(rng.choice(close)) if len(close) else best
    return best, not chosen[best]


def scored(scorer: Scorer) -> Policy:
    """The policy of the tool itself."""

    def take(scene: Scene, target: Target, work: Work, reached: Reached, known: Floats) -> NDArray[np.bool_]:
        del target, work
        return choose(scene, reached, scores_of(reached, scorer(known)))

    return take


def by_eye(rng: np.random.Generator) -> Policy:
    """A policy without a scorer: about the ancestor of the click that fits best."""

    def take(scene: Scene, target: Target, work: Work, reached: Reached, known: Floats) -> NDArray[np.bool_]:
        del known
        path = scene.path(reached.sources[0])
        quality = []
        for node in path:
            chosen = work.chosen.copy()
            chosen[scene.members(node)] = reached.positive
            quality.append(target.overlap(scene, chosen))
        step = int(np.argmax(quality)) + int(rng.integers(-2, 3))
        taken = np.zeros(scene.leaves, np.bool_)
        taken[scene.members(path[min(max(step, 0), len(path) - 1)])] = True
        return taken

    return take


def play(
    scene: Scene,
    target: Target,
    policy: Policy,
    clicks: int,
    *,
    jitter: float,
    rng: np.random.Generator,
    watch: Callable[[Reached, Floats], None] | None = None,
) -> list[float]:
    """Select the object; returns the intersection over union after each click.

    `watch` gets each click with its features, before it changes something.
    """
    work = Work(np.zeros(scene.leaves, np.bool_))
    overlaps: list[float] = []
    for _ in range(clicks):
        click = next_click(scene, target, work.chosen, jitter, rng)
        if click is None:
            break
        leaf, positive = click
        reached = reach(scene, work, [leaf], positive)
        known = features(scene, work, reached)
        if watch:
            watch(reached, known)
        work.take(policy(scene, target, work, reached, known), reached)
        overlaps.append(target.overlap(scene, work.chosen))
        if overlaps[-1] >= ENOUGH:
            break
    return overlaps


def _largest_group(scene: Scene, kinds: NDArray[np.integer], areas: Floats) -> Ints:
    """The leaves of the largest connected group of one kind other than 0."""
    weights = areas.tolist()
    return np.array(max(groups_of(scene, kinds), key=lambda group: sum(weights[member] for member in group)))


def _depths(scene: Scene, group: Ints) -> Floats:
    """How far each leaf of a group is from the nearest leaf outside it, or from the frame."""
    inside = np.zeros(scene.leaves, np.bool_)
    inside[group] = True
    ends = np.repeat(np.arange(scene.leaves), np.diff(scene.offsets))
    rim = np.unique(scene.neighbors[inside[ends] & ~inside[scene.neighbors]])
    half = np.sqrt(scene.areas[group]) / 2
    x, y = scene.x[group], scene.y[group]
    right, bottom = scene.x.max() + half[0], scene.y.max() + half[0]
    depth = np.minimum(np.minimum(x, right - x), np.minimum(y, bottom - y))
    if len(rim):
        squares = (x[:, np.newaxis] - scene.x[rim]) ** 2 + (y[:, np.newaxis] - scene.y[rim]) ** 2
        depth = np.minimum(depth, np.sqrt(squares.min(axis=1)))
    return np.asarray(depth, np.float64)
