"""Cores and memory by control group, in made-up /proc and /sys; and what a server does with them."""

import os
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from superpixel_service import resources
from superpixel_service.config import Settings
from superpixel_service.resources import Connections, find_resources, share_files
from tests.service.harness import PATIENCE_SECONDS, RunningServer, request, running_server, wait_until
from tests.service.http2 import connect
from tests.service.images import raw, scene

CORES = len(os.sched_getaffinity(0))
GIBIBYTE = 1 << 30


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {"cpu.max": "100000 100000\n"}),
        (
            "0::/kubepods/pod1/c2\n",
            {"kubepods/pod1/cpu.max": "50000 100000\n", "kubepods/pod1/c2/cpu.max": "max 100000"},
        ),
        ("0::/not/mounted/here\n", {"cpu.max": "90000 100000\n"}),
        (
            "5:cpu,cpuacct:/pod\n1:name=systemd:/\n",
            {"cpu/pod/cpu.cfs_quota_us": "80000\n", "cpu/pod/cpu.cfs_period_us": "100000\n"},
        ),
    ],
    ids=["version 2", "an ancestor's", "another namespace", "version 1"],
)
def test_a_cpu_quota_limits_the_cores(tmp_path: Path, groups: str, files: dict[str, str]) -> None:
    found = find_resources(machine(tmp_path, groups, files))
    assert (found.cores, found.cores_from) == (1, "quota" if CORES > 1 else "machine")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"cpu.max": "max 100000\n", "memory.max": "max\n"},
        {"cpu.max": "-1 100000\n"},
        {"cpu.max": "nonsense"},
        {"cpu.max": ""},
        {"cpu.max": "100 0"},
        {"cpu.max": f"{64 * CORES}00000 100000", "memory.max": f"{1 << 50}"},
    ],
)
def test_without_a_limit_the_machine_counts(tmp_path: Path, files: dict[str, str]) -> None:
    found = find_resources(machine(tmp_path, "0::/\n", files))
    assert found.cores == CORES
    assert found.cores_from in {"machine", "affinity"}
    assert found.memory_from == "machine"
    assert found.memory_bytes > 0


def test_version_1_without_a_limit(tmp_path: Path) -> None:
    files = {
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": f"{2**63 - 4096}",
    }
    found = find_resources(machine(tmp_path, "4:memory:/\n1:cpu:/\n", files))
    assert (found.cores, found.memory_from) == (CORES, "machine")


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        ("0::/pod\n", "pod/memory.max"),
        ("0::/pod\n", "memory.max"),
        ("4:memory:/pod\n", "memory/pod/memory.limit_in_bytes"),
    ],
)
def test_a_memory_limit_counts(tmp_path: Path, groups: str, file: str) -> None:
    found = find_resources(machine(tmp_path, groups, {file: f"{GIBIBYTE}\n"}))
    assert (found.memory_bytes, found.memory_from) == (GIBIBYTE, "control group")


def test_a_half_core_is_rounded_up(tmp_path: Path) -> None:
    assert find_resources(machine(tmp_path, "0::/\n", {"cpu.max": "10000 100000"})).cores == 1


def test_without_proc_the_machine_counts(tmp_path: Path) -> None:
    assert find_resources(tmp_path).cores == CORES


@pytest.fixture(scope="module")
def server() -> RunningServer:
    with running_server() as server:
        yield server


def test_a_server_logs_what_it_found(server: RunningServer) -> None:
    line = server.wait_for_line("resources")
    found = find_resources()
    assert (line["cores"], line["cores_from"]) == (found.cores, found.cores_from)
    assert (line["memory_bytes"], line["memory_from"]) == (found.memory_bytes, found.memory_from)
    settings = Settings(cache_bytes=0)
    assert line["workers"] == settings.lane_workers
    assert line["image_memory_bytes"] == settings.max_image_memory_bytes
    assert line["inflight_memory_bytes"] == settings.max_inflight_memory_bytes
    assert line["needed_bytes"] == settings.needed_bytes


def test_a_server_that_needs_more_memory_than_there_is_says_so() -> None:
    with running_server("--max-inflight-memory-bytes=1000000000000") as server:
        assert server.wait_for_line("memory_short")["needed_bytes"] > 10**12


def test_reflection_version_1_answers_as_v1alpha(server: RunningServer) -> None:
    """The messages of both versions are equal on the wire."""
    question = reflection_pb2.ServerReflectionRequest(
        file_containing_symbol="superpixel.v1.SuperpixelService"
    )
    answers = [
        next(
            server.channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )(iter([question]), timeout=PATIENCE_SECONDS)
        )
        for version in ("v1", "v1alpha")
    ]
    assert answers[0] == answers[1]
    assert answers[0].file_descriptor_response.file_descriptor_proto


def test_every_listed_service_has_a_descriptor(server: RunningServer) -> None:
    """Clients such as k6 and grpcurl ask for each."""
    method = server.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    ask = reflection_pb2.ServerReflectionRequest
    listed = next(
        method(iter([ask(list_services="")]), timeout=PATIENCE_SECONDS)
    ).list_services_response.service
    assert len(listed) == 4
    for service in listed:
        answer = next(method(iter([ask(file_containing_symbol=service.name)]), timeout=PATIENCE_SECONDS))
        assert answer.file_descriptor_response.file_descriptor_proto, service.name


@pytest.mark.parametrize(
    ("limit", "connections"),
    [
        (1 << 20, Connections(2048, 256, 64)),
        (4096, Connections(2048, 256, 64)),
        (1024, Connections(768, 128, 64)),
        (256, Connections(144, 32, 16)),
        (8, Connections(3, 1, 1)),
        (resources.resource.RLIM_INFINITY, Connections(2048, 256, 64)),
    ],
)
def test_open_files_are_shared_among_the_ports(
    limit: int, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources.resource, "getrlimit", lambda _: (limit, limit))
    assert share_files(2048) == connections


# ulimit -n 256
FEW_FILES = (
    "-c",
    "import resource, runpy; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); "
    "runpy.run_module('superpixel_service.__main__', run_name='__main__', alter_sys=True)",
)


@pytest.mark.parametrize("crowded", ["listen", pytest.param("health", marks=pytest.mark.slow)])
def test_callers_of_one_port_take_no_files_from_the_others(crowded: str) -> None:
    """More of them than the process may open files."""
    with ExitStack() as stack:
        server = stack.enter_context(running_server("--workers=1", program=FEW_FILES))
        assert server.wait_for_line("few_connections")["connections"] == 144
        callers: list[socket.socket] = []
        for _ in range(300):
            with suppress(OSError):
                callers.append(stack.enter_context(connect(getattr(server, crowded))))
                callers[-1].sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        if crowded != "health":
            assert server.health_status(timeout=PATIENCE_SECONDS) == "SERVING"
        assert server.metric("superpixel_ready") == 1
        if crowded != "listen":
            answer = server.stub.Segment(request(raw(scene()), 5), timeout=PATIENCE_SECONDS)
            assert answer.label_map.count == 5
        for caller in callers:
            caller.close()
        wait_until(lambda: health_or_none(server) == "SERVING")
        answer = server.stub.Segment(request(raw(scene()), 5), timeout=PATIENCE_SECONDS, wait_for_ready=True)
        assert answer.label_map.count == 5


def test_the_metrics_port_closes_connections_beyond_its_share() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(running_server("--workers=1", program=FEW_FILES))
        callers = [stack.enter_context(connect(server.metrics_address)) for _ in range(18)]
        closed = [caller for caller in callers if is_closed(caller)]
        assert 1 <= len(closed) <= 3
        for caller in callers:
            caller.close()
        wait_until(lambda: metrics_are_served(server))


def is_closed(caller: socket.socket) -> bool:
    caller.settimeout(0.2)
    with suppress(TimeoutError):
        return caller.recv(1) == b""
    return False


def metrics_are_served(server: RunningServer) -> bool:
    with suppress(OSError):
        return server.metric("superpixel_ready") == 1
    return False


def health_or_none(server: RunningServer) -> str | None:
    try:
        return server.health_status()
    except grpc.RpcError:
        return None
