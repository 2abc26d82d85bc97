"""The benchmark of guidance on made-up photographs."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import data, guidance


class MadeUpPhotograph(data.Photograph):
    """A flat image: only guidance can find the halves that two people see."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"), "halves")
        halves = np.repeat((np.arange(96) >= 50).astype(np.int32)[np.newaxis], 80, axis=0)
        self.__dict__["image"] = np.full((80, 96, 3), 120, np.uint8)
        self.__dict__["truths"] = [halves, halves]


@pytest.fixture(autouse=True)
def no_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    def lines(photo: data.Photograph) -> np.ndarray:
        edges = np.zeros(photo.image.shape[:2], np.uint8)
        edges[:, 49:51] = 255
        return edges

    monkeypatch.setattr(guidance, "edge_map", lines)
    monkeypatch.setattr(guidance, "COUNTS", (2, 4))


def test_right_maps_help_and_wrong_ones_do_not() -> None:
    photo = MadeUpPhotograph()
    scores, importance = guidance.measure_photograph((photo, photo))
    assert set(scores) == set(guidance.CASES)
    none = scores["none, others"]
    assert none[0, 0] > 0.02
    for name in ("prior soft, wp 64", "prior soft, wp 128", "prior hard"):
        assert scores[name][0, 0] < none[0, 0]
    assert scores["prior hard"][0].tolist() == [0.0, 1.0, 1.0]  # no error, accuracy and recall 1
    assert scores["edge map, we 2"][0, 0] < none[0, 0]
    assert scores["edge map, we 2, all 255"].tolist() == scores["none"].tolist()
    # Twice, four and nine times as dense, as far as so small an image allows.
    density = importance[:, 0] / importance[0, 0]
    assert 1.6 < density[1] < density[2] < density[3]


def test_wrong_maps_by_hand() -> None:
    prior = np.arange(1, 17).reshape(4, 4)
    assert guidance.shifted(prior).tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert guidance.every_second(prior)[0].tolist() == [1, 0, 3, 0]
    assert guidance.reduced(np.arange(256).reshape(16, 16)).tolist() == [[68, 76], [196, 204]]


def test_goals_compare_with_the_study() -> None:
    scores = {name: [[value, 0.0, 0.0] for value in values] for name, values in guidance.STUDY.items()}
    goals = guidance.list_goals(guidance.Result(scores, {}))
    assert [goal.reached for goal in goals] == [True] * 6
    scores["prior hard"][2][0] += 0.0021
    assert not guidance.list_goals(guidance.Result(scores, {}))[5].reached
