"""The benchmark of stores, on a small mosaic."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import store
from superpixel_service.large.opening import open_source
from superpixel_service.large.source import Window
from tests.kernels import images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name, size in (("a", (300, 200)), ("b", (200, 300))):
        Image.fromarray(images.photo(*size)).save(tmp_path / "images" / f"{name}.jpg", quality=95)
    return tmp_path


def test_the_source_repeats_a_mosaic(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PATTERN", (48, 80))
    source = open_source(str(store.write_source(folder, folder, 190, 130)))
    whole = source.read(Window(0, 0, 190, 130), (0, 1, 2))
    assert source.facts.color_bands == (0, 1, 2)
    assert len(np.unique(whole)) > 50
    assert np.array_equal(whole[:48, :80], whole[48:96, 80:160])
    assert np.array_equal(whole[:34, :30], whole[96:130, 160:190])
    source.close()


@pytest.mark.slow
def test_cost_and_resume(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(folder), "--megapixels", "9", "--tile", "512", "--threads", "2"]
    monkeypatch.setattr(sys, "argv", ["store", *arguments, "--json", str(folder / "figures.json")])
    monkeypatch.setattr(store, "_COUNTS", ("100",))
    store.main()
    figures = json.loads((folder / "figures.json").read_text())
    assert json.loads(capsys.readouterr().out) == figures
    assert figures["resume"]["same_bytes"]
    assert figures["resume"]["killed_in"] == ["pixels", "tiles", "regions"]
    assert figures["peak_bytes_per_pixel"] > 0
    assert figures["window_ms"] > 0
