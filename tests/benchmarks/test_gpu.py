"""The GPU's benchmark runs on the simulated device and measures all figures; their values mean nothing."""

import json

from benchmarks import gpu
from tests.kernels.devices import open_device


def test_all_figures_are_measured(tmp_path, monkeypatch, capsys):
    path = tmp_path / "gpu.json"
    monkeypatch.setattr(gpu, "WARM_UP", 1)
    sizes = ["--sizes", "36x24", "30x20", "--small", "24x16", "--copy", "1000"]
    rounds = ["--rounds", "2", "--threads", "2", "--seconds", "0.1"]
    gpu.main([*sizes, *rounds, "--json", str(path)], open_device)
    figures = json.loads(path.read_text())
    assert [whole["size"] for whole in figures["whole"]] == [[36, 24], [30, 20]]
    for whole in figures["whole"]:
        assert whole["on_device"] > 0
        assert all(seconds > 0 for seconds in whole["stages"].values())
    assert figures["small_images_a_second"] > 0
    assert "30x20, times one core of the C++ engine" in capsys.readouterr().out
