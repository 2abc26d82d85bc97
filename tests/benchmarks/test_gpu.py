"""The GPU's benchmark, on the simulated device: its figures mean nothing there, but they are made."""

import json

from benchmarks import gpu
from tests.kernels.devices import open_device


def test_every_figure_is_made(tmp_path, capsys):
    path = tmp_path / "gpu.json"
    sizes = ["--sizes", "60x40", "48x32", "--small", "30x20", "--copy", "1000"]
    effort = ["--rounds", "2", "--threads", "2", "--seconds", "3"]
    gpu.main([*sizes, *effort, "--json", str(path)], open_device)
    figures = json.loads(path.read_text())
    assert [whole["size"] for whole in figures["whole"]] == [[60, 40], [48, 32]]
    for whole in figures["whole"]:
        assert whole["on_device"] > 0
        assert all(seconds > 0 for seconds in whole["stages"].values())
    assert figures["small_images_a_second"] > 0
    assert "48x32, times one core of the C++ engine" in capsys.readouterr().out
