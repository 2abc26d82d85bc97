"""The benchmark of stores, on a small mosaic."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import store
from superpixel_service.large.opening import open_source
from superpixel_service.large.source import Window


def test_the_source_repeats_a_mosaic(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PATTERN", (48, 80))
    source = open_source(str(store.write_source(photographs, photographs, 190, 130)))
    whole = source.read(Window(0, 0, 190, 130), (0, 1, 2))
    assert source.facts.color_bands == (0, 1, 2)
    assert len(np.unique(whole)) > 50
    assert np.array_equal(whole[:48, :80], whole[48:96, 80:160])
    assert np.array_equal(whole[:34, :30], whole[96:130, 160:190])
    source.close()


@pytest.mark.slow
def test_cost_and_resume(
    photographs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(photographs), "--megapixels", "9", "--tile", "512", "--threads", "2"]
    monkeypatch.setattr(sys, "argv", ["store", *arguments, "--json", str(photographs / "figures.json")])
    monkeypatch.setattr(store, "_COUNTS", ("100",))
    store.main()
    figures = json.loads((photographs / "figures.json").read_text())
    assert json.loads(capsys.readouterr().out) == figures
    assert figures["resume"]["same_bytes"]
    assert figures["resume"]["killed_in"] == ["pixels", "tiles", "regions"]
    assert figures["peak_bytes_per_pixel"] > 0
    assert figures["window_ms"] > 0
