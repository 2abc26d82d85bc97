"""A server whose engine is CUDA's: the GPU is simulated, everything else is as it is."""

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
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.kernels.devices import TUNING
from tests.service.harness import RunningServer, refused, request, running_server
from tests.service.images import raw, scene

SIMULATED = "CUDA simulated on the CPU (plain, seed 0)"


@contextmanager
def cuda_server(folder: Path, *flags: str) -> Iterator[RunningServer]:
    program = ("-m", "tests.service.cuda_server")
    environment = {"LOST_DEVICE": str(folder / "lost")}
    with running_server("--workers=1", *flags, program=program, environment=environment) as server:
        yield server


def test_answers_are_the_cpus_and_everything_names_the_device(tmp_path: Path) -> None:
    with cuda_server(tmp_path, "--backend=cuda") as server, running_server("--backend=cpu") as cpu:
        for count in (5, 3000):  # also above the base
            message = request(raw(scene(64, 48)), count, include_hierarchy=True)
            answer, expected = server.stub.Segment(message), cpu.stub.Segment(message)
            assert (answer.backend, expected.backend) == ("cuda", "cpu")
            assert answer.label_map.data == expected.label_map.data
        info = server.stub.GetServerInfo(pb.GetServerInfoRequest())
        assert [backend.name for backend in info.backends] == ["cuda", "cpu"]
        assert info.backends[0].device == SIMULATED
        line = server.wait_for_line("engine")
        assert (line["backend"], line["device"]) == ("cuda", SIMULATED)
        assert server.metric("superpixel_gpu_memory_used_bytes", device=SIMULATED) > 0
        assert server.metric("superpixel_build_info", backend="cuda") == 1
        for stage in ("color", "merge"):
            name = "superpixel_engine_stage_duration_seconds_count"
            assert server.metric(name, stage=stage, backend="cuda") >= 2


def test_auto_takes_the_gpu_and_cpu_leaves_it(tmp_path: Path) -> None:
    for backend, expected in (("auto", "cuda"), ("cpu", "cpu")):
        with cuda_server(tmp_path, f"--backend={backend}") as server:
            assert server.stub.Segment(request(raw(scene(40, 30)), 5)).backend == expected


def test_an_image_without_room_is_refused_and_the_next_is_served(tmp_path: Path) -> None:
    sample = 1 << 24  # what the server warms up with fits
    assert bytes_needed(200, 160, tuning=TUNING) < sample < bytes_needed(2000, 200, tuning=TUNING)
    with cuda_server(tmp_path, f"--max-device-bytes={sample}") as server:
        refusal = refused(lambda: server.stub.Segment(request(raw(scene(2000, 200)), 5)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OUT_OF_MEMORY")
        assert refusal.retry_seconds is not None
        assert server.stub.Segment(request(raw(scene(200, 160)), 5)).label_map.count == 5


def test_a_lost_gpu_ends_the_server_for_a_restart(tmp_path: Path) -> None:
    with cuda_server(tmp_path) as server:
        message = request(raw(scene(40, 30)), 5)
        assert server.stub.Segment(message).label_map.count == 5
        (tmp_path / "lost").touch()
        refusal = refused(lambda: server.stub.Segment(message))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DEVICE_LOST")
        assert "cuda" not in refusal.text.lower()
        assert server.exit_code() == 70
        server.join_reader()
        assert server.wait_for_line("engine_dead")["check"] == "engine"


@pytest.mark.skipif(kernels.why_no_cuda() is None, reason="this machine has a GPU")
def test_without_a_gpu() -> None:
    """The CPU serves and the log says what is missing; asked for, CUDA is a clear refusal to start."""
    with running_server() as server:
        line = server.wait_for_line("engine")
        assert (line["backend"], line["no_cuda"]) == ("cpu", kernels.why_no_cuda())
    command = [sys.executable, "-m", "superpixel_service", "serve", "--backend=cuda"]
    started = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ})
    assert started.returncode == 1
    (last,) = started.stderr.strip().splitlines()
    assert last == f"superpixel: backend 'cuda': {kernels.why_no_cuda()}"
