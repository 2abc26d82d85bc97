"""Rough masks and their repair, on a made-up photograph."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import data, snap


class MadeUpPhotograph(data.Photograph):
    """A disc of another colour, and the person who outlined it."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"), "disc")
        y, x = np.mgrid[:120, :160]
        disc = ((y - 60) ** 2 + (x - 70) ** 2 < 35**2).astype(np.int32)
        colours = np.array([[200, 60, 40], [30, 90, 180]])
        noise = np.random.default_rng(1).integers(-8, 9, (120, 160, 3))
        # Set the values of the cached properties.
        self.__dict__["image"] = (colours[disc] + noise).astype(np.uint8)
        self.__dict__["truths"] = [disc]


def test_rough_masks_are_what_their_names_say() -> None:
    point = np.zeros((20, 21), bool)
    point[10, 10] = True
    disc = snap.dilate(point)
    y, x = np.nonzero(disc)
    assert ((y - 10) ** 2 + (x - 10) ** 2 <= 16).all()
    assert len(y) == 49
    corner = np.zeros((20, 21), bool)
    corner[0, 0] = True
    assert snap.dilate(corner).sum() == 17
    assert np.array_equal(np.argwhere(snap.shift(point)), [[13, 13]])
    half = np.zeros((20, 21), bool)
    half[:4, :8] = True  # exactly half of the first block
    half[17:, 16:] = True  # 15 of the last block's 4 x 5 pixels
    reduced = snap.reduce(half)
    assert reduced[:8, :8].all()
    assert reduced[16:, 16:].all()
    assert reduced.sum() == 64 + 20
    half[0, 0] = False
    assert snap.reduce(half).sum() == 20
    assert snap.iou(half, half) == 1
    assert snap.iou(half, ~half) == 0


def test_snapping_repairs_rough_masks_of_a_disc() -> None:
    result = snap.measure_photograph(MadeUpPhotograph())
    assert result.shares.tolist() == [pytest.approx(np.pi * 35**2 / (120 * 160), rel=0.01)]
    assert result.rough["exact"].tolist() == [1]
    for name in snap.KINDS:
        best = result.snapped[name][0].max()
        assert best > 0.93, name
        assert name == "exact" or result.rough[name][0] < 0.9, name
    assert all(goal.reached for goal in snap.list_goals(result))
    both = snap.join([result, result])
    assert len(both.shares) == 2
    assert snap.as_figures(both, 4)["masks"]["dilated"]["rough"] == pytest.approx(result.rough["dilated"][0])
    snap.say_result(both)
