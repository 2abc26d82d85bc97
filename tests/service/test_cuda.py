"""A server with the CUDA engine: the GPU is simulated, everything else is real."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

import superpixel_kernels as kernels
from superpixel_kernels.cuda import bytes_needed
from superpixel_service import config
from superpixel_service.config import Settings
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.kernels.devices import TUNING
from tests.service.harness import RunningServer, refused, request, running_server
from tests.service.images import raw, scene

GUIDANCE = pb.Guidance(
    edges=pb.GrayMap(raw=pb.RawMap(width=2, height=1, bits=8, data=bytes([0, 200]))),
    prior=pb.PriorMap(raw=pb.RawMap(width=2, height=2, bits=8, data=bytes([1, 2, 3, 4]))),
    prior_mode=pb.PRIOR_MODE_HARD,
)
SIMULATED = "CUDA simulated on the CPU (plain, seed 0)"


@contextmanager
def cuda_server(folder: Path, *flags: str) -> Iterator[RunningServer]:
    program = ("-m", "tests.service.cuda_server")
    environment = {"LOST_DEVICE": str(folder / "lost")}
    with running_server("--workers=1", *flags, program=program, environment=environment) as server:
        yield server


def test_answers_are_those_of_the_cpu_and_the_device_is_named_everywhere(
    tmp_path: Path, server: RunningServer
) -> None:
    """With --backend=auto, which takes the GPU. At the end the GPU is lost."""
    with cuda_server(tmp_path, "--backend=auto") as cuda:
        for count, guidance in ((5, None), (3000, None), (5, GUIDANCE)):  # also above the base
            message = request(raw(scene(64, 48)), count, include_hierarchy=True, guidance=guidance)
            answer, expected = cuda.stub.Segment(message), server.stub.Segment(message)
            assert (answer.backend, expected.backend) == ("cuda", "cpu")
            assert answer.label_map.data == expected.label_map.data
            assert answer.prior_components == expected.prior_components == (0 if guidance is None else 4)
        info = cuda.stub.GetServerInfo(pb.GetServerInfoRequest())
        assert [backend.name for backend in info.backends] == ["cuda", "cpu"]
        assert info.backends[0].device == SIMULATED
        line = cuda.wait_for_line("engine")
        assert (line["backend"], line["device"]) == ("cuda", SIMULATED)
        assert cuda.metric("superpixel_gpu_memory_used_bytes", device=SIMULATED) > 0
        assert cuda.metric("superpixel_build_info", backend="cuda") == 1
        name = "superpixel_engine_stage_duration_seconds_count"
        for stage in ("color", "merge"):
            assert cuda.metric(name, stage=stage, backend="cuda") >= 2
        (tmp_path / "lost").touch()
        assert cuda.metric("superpixel_gpu_memory_used_bytes") == 0  # absent, and the scrape succeeds
        assert cuda.metric("superpixel_build_info", backend="cuda") == 1
        check_that_a_lost_gpu_ends_the_server(cuda)


def check_that_a_lost_gpu_ends_the_server(cuda: RunningServer) -> None:
    """For a restart, with status 70."""
    refusal = refused(lambda: cuda.stub.Segment(request(raw(scene(40, 30)), 5)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DEVICE_LOST")
    assert "cuda" not in refusal.text.lower()
    assert cuda.exit_code() == 70
    cuda.join_reader()
    assert cuda.wait_for_line("engine_dead")["check"] == "engine"


@pytest.mark.parametrize(("cores", "workers"), [(1, 4), (2, 4), (6, 6), (16, 8)])
def test_a_gpu_gets_4_to_8_workers_per_lane(
    cores: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "usable_cores", lambda: cores)
    assert Settings().for_backend("cuda").lane_workers == workers
    assert Settings().for_backend("cpu").lane_workers == cores
    assert Settings(workers=3).for_backend("cuda").lane_workers == 3


def test_backend_cpu_does_not_use_the_gpu(tmp_path: Path) -> None:
    with cuda_server(tmp_path, "--backend=cpu") as server:
        assert server.stub.Segment(request(raw(scene(40, 30)), 5)).backend == "cpu"


def test_an_image_beyond_the_devices_memory_is_rejected_and_the_next_is_served(tmp_path: Path) -> None:
    sample = 1 << 24  # the warm-up image fits
    assert bytes_needed(200, 160, tuning=TUNING) < sample < bytes_needed(2000, 200, tuning=TUNING)
    with cuda_server(tmp_path, "--backend=cuda", f"--max-device-bytes={sample}") as server:
        refusal = refused(lambda: server.stub.Segment(request(raw(scene(2000, 200)), 5)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MEMORY_ABOVE_LIMIT")
        assert refusal.metadata == {
            "limit_bytes": str(sample),
            "needed_bytes": str(bytes_needed(2000, 200, tuning=TUNING)),
        }
        assert server.stub.Segment(request(raw(scene(200, 160)), 5)).label_map.count == 5


@pytest.mark.skipif(kernels.why_no_cuda() is None, reason="this machine has a GPU")
def test_without_a_gpu(server: RunningServer) -> None:
    """The CPU serves and the log says what is missing; with --backend=cuda the server does not start."""
    line = server.wait_for_line("engine")
    assert (line["backend"], line["no_cuda"]) == ("cpu", kernels.why_no_cuda())
    command = [sys.executable, "-m", "superpixel_service", "serve", "--backend=cuda"]
    started = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert started.returncode == 1
    (last,) = started.stderr.strip().splitlines()
    assert last == f"superpixel: backend 'cuda': {kernels.why_no_cuda()}"
