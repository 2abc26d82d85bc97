"""The GPU's benchmarks run on the simulated device and measure all figures; their values mean nothing."""

import json

import numpy as np
import pytest
from benchmarks.data import as_jpeg
from benchmarks.gpu_devices import device_image, marked_output, photograph
from tools.gpu import MARK

from benchmarks import gpu, gpu_service, gpu_sweep
from superpixel_kernels.cuda import cupy_device, smooth
from superpixel_kernels.cuda.cupy_device import CupyDevice
from tests.kernels.devices import open_pipeline


def assert_marked(text):
    assert text
    assert [line for line in text.splitlines() if not line.startswith(MARK)] == []


def test_all_figures_are_measured(tmp_path, monkeypatch, capsys):
    path = tmp_path / "gpu.json"
    monkeypatch.setattr(gpu, "WARM_UP", 1)
    sizes = ["--sizes", "36x24", "30x20", "--small", "24x16", "--copy", "1000"]
    rounds = ["--rounds", "2", "--threads", "2", "--seconds", "0.1"]
    servers = ["--service-workers", "1", "--service-seconds", "0.2", "--service-callers", "2"]
    gpu.main(["--simulate", *sizes, *rounds, *servers, "--json", str(path)])
    figures = json.loads(path.read_text())
    assert [whole["size"] for whole in figures["whole"]] == [[36, 24], [30, 20]]
    for whole in figures["whole"]:
        assert whole["on_device"] > 0
        assert all(seconds > 0 for seconds in whole["stages"].values())
    assert figures["small_images_a_second"] > 0
    assert figures["small_images_a_second_without_graphs"] > 0
    out = capsys.readouterr().out
    assert "30x20, times one core of the C++ engine" in out
    for public in figures["public"]:
        assert {name.split(",")[0] for name in public["seconds"]} == {"cuda", "cpu"}
        assert all(seconds > 0 for seconds in public["seconds"].values())
        assert public["workspace_bytes"] > 0
    assert figures["servers_not_measured"] is None
    assert [(server["backend"], server["workers"]) for server in figures["servers"]] == [
        ("cuda", 1),
        ("cpu", 0),
    ]
    assert all(server["images_a_second"] > 0 for server in figures["servers"])
    # Nothing of it may pass for a GPU's.
    assert_marked(out)
    assert figures["simulated"] is True
    assert "simulated" in figures["device"]
    assert all(goal["reached"] is None for goal in figures["goals"])


def test_on_a_gpu_goals_are_judged_and_lines_are_not_marked(capsys):
    whole = gpu.Whole((1920, 1080), 30_000, 0.001, 0.003, {})
    options = type("Options", (), {"threads": 8, "small": (481, 321), "simulate": False})
    reached = {goal.name: goal.reached for goal in gpu.judged([whole], 3000.0, 0.09, options)}
    assert reached == {
        "1920x1080, times one core of the C++ engine": True,
        "8 threads, 481x321, images per second": True,
        "1920x1080, on the device": True,
        "1920x1080, with transfers": False,
    }
    with marked_output(simulate=False):
        print("on a GPU")
    assert capsys.readouterr().out == "on a GPU\n"


def test_a_server_that_cannot_start_costs_only_its_own_figures():
    servers, missing = gpu_service.measure((24, 16), [1], 1, 0.1, 9, simulate=False)
    assert servers == []
    assert "the server ended with status" in missing


def test_callers_that_a_server_rejects_come_again():
    files = [as_jpeg(photograph((48, 32 + number))) for number in range(4)]
    with gpu_service.running(["--backend=cpu", "--max-inflight-calls=1"], simulate=False) as (address, _):
        assert gpu_service.rate(address, files, 10, 4, 0.2) > 0


def test_a_thread_that_fails_ends_the_measurement():
    def fail(index):
        raise MemoryError(index)

    with pytest.raises(MemoryError):
        gpu.small_images_per_second(fail, 0, (24, 16), 2, 0.1)


SWEEP = [
    *("--simulate", "--sizes", "36x24", "--small", "24x16", "--rounds", "1", "--seconds", "0.1"),
    *("--threads", "1", "2", "--tail-edges", "16", "64", "--merge-threads", "64", "--pixel-threads", "64"),
    *("--merge-blocks", "2", "--few-edges", "100"),
]


@pytest.mark.slow
def test_the_sweep_measures_every_variant(tmp_path, capsys):
    path = tmp_path / "sweep.json"
    assert gpu_sweep.main([*SWEEP, "--tiles", "16", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert [each["tail_edges"] for each in figures["merge"]] == [16, 64]
    assert [each["tile_height"] for each in figures["tiles"]] == [16]
    for each in (*figures["merge"], *figures["blocks"], *figures["tiles"]):
        assert each["sizes"]["36x24"]["on_device"] > 0
        assert each["failed"] == {}
    assert [(each["threads"], each["cuda"] > 0, each["cpu"] > 0) for each in figures["threads"]] == [
        (1, True, True),
        (2, True, True),
    ]
    assert figures["simulated"] is True
    assert_marked(capsys.readouterr().out)
    assert smooth.TILE_HEIGHT == 8


def test_the_sweep_notices_a_wrong_result(monkeypatch, capsys):
    expected = gpu_sweep._expected

    def other(size):
        image, hierarchy = expected(size)
        return np.ascontiguousarray(image[::-1]), hierarchy

    monkeypatch.setattr(gpu_sweep, "_expected", other)
    assert gpu_sweep.main([*SWEEP, "--tiles"]) == 1
    assert "not the C++ engine's result" in capsys.readouterr().out


def test_the_sweep_changes_tiles_in_the_launches_and_in_the_kernels():
    before = cupy_device.source("smooth")
    assert "kTileHeight = 8;" in before
    with gpu_sweep.tile_height(4, simulate=False) as open_device:
        assert open_device is CupyDevice
        assert smooth.TILE_HEIGHT == 4
        for file in gpu_sweep.TILED:
            assert "constexpr i32 kTileHeight = 4;" in cupy_device.source(file)
    assert smooth.TILE_HEIGHT == 8
    assert cupy_device.source("smooth") == before


def test_images_of_the_simulated_device_are_copies_in_its_memory():
    image = np.arange(24 * 16 * 3, dtype=np.uint8).reshape(16, 24, 3)
    device = open_pipeline().device
    assert np.array_equal(device.host_copy(device.adopt(device_image(image, simulate=True))), image)
