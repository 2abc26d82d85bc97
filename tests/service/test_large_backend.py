"""`superpixel large --backend cuda`, on the simulated device or with SUPERPIXEL_TEST_GPU=1 on a GPU."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import superpixel_kernels as kernels
from superpixel_kernels import backends, tiled
from superpixel_kernels.cuda import CudaWorkspace
from superpixel_kernels.errors import DeviceLost
from superpixel_kernels.tiled import CudaWorkers
from superpixel_service.large.run import WORK
from tests.kernels.devices import ON_GPU, Device, open_workspace
from tests.service.command import messages, ran
from tests.service.large_files import contents, smooth

pytestmark = [pytest.mark.cuda_sim, pytest.mark.unsanitized]

DEVICE = 0 if ON_GPU else 2
ARGUMENTS = ("--tile", 96, "--counts", 60, "--threads", 1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "scene.npy"
    np.save(path, smooth(150, 260))
    return path


@pytest.fixture(scope="module")
def on_cpu(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the store that the CPU makes."""
    store = tmp_path_factory.mktemp("cpu") / "scene.zarr"
    run = ran("large", source, "--out", store, *ARGUMENTS)
    assert run.returncode == 0, run.stderr
    return contents(store)


def install(monkeypatch: pytest.MonkeyPatch, base: Any = Device) -> None:
    """Let GPU 2 be a device of the tests."""

    def open_on(device: int, kept_bytes: int) -> CudaWorkspace:
        assert device == DEVICE
        workspace: CudaWorkspace = open_workspace(base=base, kept_bytes=kept_bytes)
        return workspace

    monkeypatch.setattr(backends, "why_no_cuda", {DEVICE: None}.__getitem__)
    monkeypatch.setattr(tiled, "CudaWorkers", partial(CudaWorkers, open_workspace=open_on))


def test_a_store_made_on_a_gpu_has_the_same_bytes(
    source: Path, on_cpu: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = []

    class Seen(Device):
        def launch(self, kernel: str, *arguments: Any, **options: Any) -> None:
            launched.append(kernel)
            super().launch(kernel, *arguments, **options)

    install(monkeypatch, Seen)
    store = tmp_path / "scene.zarr"
    run = ran("large", source, "--out", store, *ARGUMENTS, "--backend", "cuda", "--device", DEVICE)
    assert run.returncode == 0, run.stderr
    assert launched.count("tile_regions") == 2 * 3
    assert contents(store) == on_cpu


def test_a_lost_gpu_is_one_line_and_the_cpu_goes_on(
    source: Path, on_cpu: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles = []

    class Lost(Device):
        def launch(self, kernel: str, *arguments: Any, **options: Any) -> None:
            tiles.append(kernel == "tile_regions")
            if sum(tiles) > 2:
                raise DeviceLost("the GPU failed: cudaErrorIllegalAddress")
            super().launch(kernel, *arguments, **options)

    install(monkeypatch, Lost)
    store = tmp_path / "scene.zarr"
    run = ran("large", source, "--out", store, *ARGUMENTS, "--backend", "cuda", "--device", DEVICE)
    assert run.returncode == 1
    (line,) = messages(run)
    assert "the GPU failed: cudaErrorIllegalAddress; the same command continues" in line
    assert len(list((store / WORK / "engine" / "graph").glob("0*.npy"))) == 2
    run = ran("large", source, "--out", store, *ARGUMENTS)
    assert run.returncode == 0, run.stderr
    assert contents(store) == on_cpu


@pytest.mark.skipif(kernels.why_no_cuda() is None, reason="there is a GPU")
def test_without_a_gpu_nothing_begins(source: Path, tmp_path: Path) -> None:
    store = tmp_path / "scene.zarr"
    run = ran("large", source, "--out", store, "--backend", "cuda")
    assert run.returncode == 1
    (line,) = messages(run)
    assert "backend 'cuda': " in line
    assert not store.exists()


def test_actors_have_no_backend(source: Path, tmp_path: Path) -> None:
    run = ran("large", source, "--out", tmp_path / "a.zarr", "--engine", "ray", "--backend", "cuda")
    assert run.returncode == 2
    assert messages(run) == ["--backend needs --engine local"]


def test_a_device_needs_a_backend_that_uses_it(source: Path, tmp_path: Path) -> None:
    run = ran("large", source, "--out", tmp_path / "store", "--device", 1)
    assert run.returncode == 2
    assert messages(run) == ["--device needs --backend cuda or auto"]
