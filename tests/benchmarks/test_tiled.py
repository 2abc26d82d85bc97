"""The benchmark of large images, on a small mosaic."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import tiled


def test_windows_of_a_mosaic_are_those_of_the_whole(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiled, "_PATTERN", (47, 71))
    source = tiled.MosaicSource(photographs, 200, 190)
    whole = source.read((0, 200, 0, 190))
    assert np.array_equal(whole[:47, :71], whole[94:141, 71:142])
    for window in ((0, 1, 0, 1), (40, 150, 60, 190), (47, 94, 71, 142), (199, 200, 3, 90)):
        y0, y1, x0, x1 = window
        assert np.array_equal(source.read(window), whole[y0:y1, x0:x1])


@pytest.mark.slow
def test_equality_and_resume(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(photographs), "--megapixels", "3", "--tile", "256", "--threads", "2"]
    arguments += ["--parts", "equality", "resume", "--json", str(photographs / "figures.json")]
    monkeypatch.setattr(sys, "argv", ["tiled", *arguments])
    tiled.main()
    figures = json.loads((photographs / "figures.json").read_text())
    assert json.loads(capsys.readouterr().out) == figures
    assert figures["equality"].items() >= {"base": True, "merges": True, "cuts": True}.items()
    resumed = figures["resume"]
    assert resumed["same_bits"]
    assert resumed["computed_after_resume"] <= resumed["tiles"] - resumed["killed_at_tiles"][1]
