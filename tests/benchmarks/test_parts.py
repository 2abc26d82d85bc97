"""The benchmarks on made-up photographs, without peers."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.metrics import Quality
from PIL import Image

from benchmarks import comparison, data, decode, label_map, quality, report, speed, timing
from superpixel_kernels import segment


class MadeUpPhotograph(data.Photograph):
    """Two coloured halves with some noise, and the person who outlined them."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"), "halves")
        halves = np.repeat((np.arange(96) >= 50).astype(np.int32)[np.newaxis], 80, axis=0)
        colours = np.array([[200, 60, 40], [30, 90, 180]])
        noise = np.random.default_rng(1).integers(-8, 9, (80, 96, 3))
        # Set the values of the cached properties.
        self.__dict__["image"] = (colours[halves] + noise).astype(np.uint8)
        self.__dict__["truths"] = [halves]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photographs of one colour each, the second upright."""
    (tmp_path / "images").mkdir()
    for name, size, grey in (("a", (6, 4), 0), ("b", (4, 6), 100), ("c", (6, 4), 200)):
        Image.new("RGB", size, (grey, grey, grey)).save(tmp_path / "images" / f"{name}.jpg", quality=100)
    return tmp_path


def test_quality_of_two_halves() -> None:
    result = quality.measure_photograph(MadeUpPhotograph(), peers=())
    assert set(result.ours) == set(quality.COUNTS)
    for measured in result.ours.values():
        assert measured.boundary_recall == 1
        assert measured.undersegmentation_error < 0.01
        assert measured.achievable_accuracy > 0.99
        assert measured.explained_variation > 0.95
    assert result.nesting == {"ours": 0}
    assert comparison.mean_result([result, result]) == result
    assert [goal.reached for goal in quality.list_goals(result)] == [True]


def test_a_goal_names_the_closest_peer() -> None:
    good, bad = (Quality(*[value] * 7) for value in (0.9, 0.2))
    duels = {
        "behind": {wanted: comparison.Duel(90.0, peer=bad, ours=good) for wanted in quality.PEER_COUNTS},
        "ahead": {wanted: comparison.Duel(90.0, peer=good, ours=bad) for wanted in quality.PEER_COUNTS},
    }
    goals = quality.list_goals(comparison.Result({}, duels, {"ours": 0.25}))
    assert [goal.reached for goal in goals] == [False] * 10
    assert "behind" in goals[1].measured  # lower is better there
    assert "ahead" in goals[2].measured


def test_a_mosaic_shows_the_photographs_at_their_own_size(folder: Path) -> None:
    image = data.mosaic(folder, 15, 9)
    assert image.shape == (9, 15, 3)
    # Tiles of 6x4, the upright one transposed; the mosaic ends within tiles at the right and at the bottom.
    assert image[::4, ::6, 0].tolist() == [[0, 100, 200], [0, 100, 200], [0, 100, 200]]
    assert image[:4, 6:12, 0].tolist() == [[100] * 6] * 4


def test_every_nth_photograph_from_the_first(folder: Path) -> None:
    assert [photo.name for photo in data.photographs(folder, 2)] == ["a", "c"]
    with pytest.raises(SystemExit, match="no photographs in"):
        data.photographs(folder / "images")


def test_contenders_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "BLOCK_SECONDS", 60.0)  # all rounds in one block, on any machine
    calls: list[str] = []
    times = timing.take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert "".join(calls) == "ab" + "ababab"
    assert [len(each.wall) for each in times.values()] == [3, 3]


def test_rounds_disturbed_by_other_processes_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each block has one round here. Other processes keep a core busy during the first two only.
    monkeypatch.setattr(timing, "BLOCK_SECONDS", 0.0)
    monkeypatch.setattr(timing, "_system_seconds", iter([0, 9, 9, 18, *[18] * 20]).__next__)
    calls: list[str] = []
    times = timing.take_turns({"a": lambda: calls.append("a")}, 6, patience=60, warm=False)
    assert len(calls) == 8
    assert len(times["a"].wall) == 6
    assert times["a"].rounds == [2, 3, 4, 5, 6, 7]
    assert times["a"].busy_cores == 0


def test_without_quiet_rounds_all_rounds_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "BLOCK_SECONDS", 0.0)
    monkeypatch.setattr(timing, "_system_seconds", itertools.count(0.0, 1.0).__next__)
    times = timing.take_turns({"a": list}, 6, patience=0, warm=False)
    assert len(times["a"].wall) == 6
    assert times["a"].busy_cores > 1


def test_ratios_are_computed_within_rounds() -> None:
    # The machine becomes slower for the last round; the ratio stays 2.
    a, b = timing.Times([2.0, 2.0, 20.0], [1.0] * 3), timing.Times([1.0, 1.0, 10.0], [4.0] * 3)
    assert timing.ratio(a, b) == 2
    assert timing.cpu_ratio(a, b) == 0.25
    assert (a.seconds, a.cpu_seconds) == (2, 1)


def test_label_maps_in_all_encodings() -> None:
    image = np.random.default_rng(2).integers(0, 255, (60, 80, 3), np.uint8)
    rows = label_map.measure(segment(image), 50, rounds=1)
    assert [row.encoding for row in rows] == ["SPXL", "SPXL with hierarchy", "PNG", "PNG, level 1"]
    assert rows[0].size < rows[1].size


def test_speed_verifies_both_thread_counts() -> None:
    image = np.random.default_rng(2).integers(0, 255, (200, 300, 3), np.uint8)
    one, two = speed.Ours(threads=1), speed.Ours(threads=2)
    hierarchy = one(image)
    assert speed.verify(image, hierarchy, two(image)) == hierarchy.base_count
    stages = one.median_stages([0])
    assert set(stages) == set(speed.STAGES)
    assert min(stages.values()) > 0
    with pytest.raises(SystemExit, match="different hierarchies"):
        speed.verify(image, hierarchy, two(image[::-1]))


def test_goals_are_written_and_read(tmp_path: Path) -> None:
    goals = [report.Goal.at_most("low", 0.5, 0.8), report.Goal.at_least("high", 1.5, 1.6, " s")]
    path = tmp_path / "new" / "figures.json"
    report.write_json(path, {"figure": 1.25}, goals)
    assert report.read_goals(path) == goals
    assert [goal.reached for goal in goals] == [True, False]
    assert goals[1].measured == "1.5 s (at least 1.6)"
    assert json.loads(path.read_text())["figure"] == 1.25


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    report.say_table("Title", ("name", "value"), [("a", 1.23456), ("long name", None)])
    assert capsys.readouterr().out.splitlines() == [
        "",
        "Title",
        "  name       value",
        "  ---------  -----",
        "  a          1.235",
        "  long name      -",
    ]


def test_decoding_in_threads_and_in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "PAIRS", 1)  # then medians are the values themselves
    pixels = MadeUpPhotograph().image
    with decode.in_threads(2) as threads, decode.in_processes(2) as processes:
        row = decode.measure("PNG", pixels, threads, processes, rounds=1, seconds=0.01)
    assert row.file == "PNG 96x80"
    assert row.share == row.processes_rate / row.threads_rate
    assert row.added_ms == pytest.approx(row.processes_ms - row.threads_ms)
