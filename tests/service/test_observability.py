"""What operators see: health, reflection, metrics, logs."""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from tests.service.harness import PATIENCE_SECONDS, RunningServer, refused, request, running_server
from tests.service.images import encoded, raw, scene
from tests.service.mortal import mortal_server

PNG = encoded(scene())
SERVICE = "superpixel.v1.SuperpixelService"
ENGINE_STAGES = {"color", "smooth", "assign", "update", "components", "graph", "merge", "cut"}


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_on_both_ports(server: RunningServer, service: str) -> None:
    assert server.health_status(service) == "SERVING"
    assert server.health_status(service, address=server.listen) == "SERVING"


def test_health_of_an_unknown_service(server: RunningServer) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.health_status("no.such.Service")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_the_health_port_serves_health_alone(server: RunningServer) -> None:
    with grpc.insecure_channel(server.health) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE}/GetServerInfo")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_full_pool_does_not_block_health(tmp_path: Path) -> None:
    """The worker is busy and every thread that serves images is taken; health answers on both ports."""
    flags = ("--workers=1", "--max-inflight-calls=4")
    release = threading.Event()

    def no_message() -> Iterator[bytes]:
        release.wait(PATIENCE_SECONDS)
        yield from ()

    with mortal_server(tmp_path, *flags, order="stall") as mortal:
        server = mortal.server
        running = server.stub.Segment.future(request(PNG, 5))
        server.wait_until_working()
        # A call that never sends its message occupies a thread of the server.
        begin = server.channel.stream_unary(f"/{SERVICE}/Segment")
        silent = [begin.future(no_message()) for _ in range(40)]
        server.wait_until(lambda: is_full(server))
        for address in (server.health, server.listen):
            assert server.health_status(address=address, timeout=PATIENCE_SECONDS) == "SERVING"
        assert is_full(server)  # it still is
        assert not running.done()
        for call in [*silent, running]:
            call.cancel()
        release.set()
        mortal.release()
        server.wait_until(lambda: server.metric("superpixel_inflight_bytes") == 0)
        assert server.stub.Segment(request(PNG, 5)).label_map.count == 5


def is_full(server: RunningServer) -> bool:
    try:
        server.stub.Segment(request(PNG, 5), timeout=2.0)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return False


def test_reflection_lists_the_services_and_gives_the_contract(server: RunningServer) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    services, contract = stub.ServerReflectionInfo(iter(questions))
    names = {service.name for service in services.list_services_response.service}
    assert names == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    file = FileDescriptorProto.FromString(contract.file_descriptor_response.file_descriptor_proto[0])
    assert file.name == "superpixel/v1/superpixel.proto"
    assert [method.name for method in file.service[0].method] == ["Segment", "SegmentStream", "GetServerInfo"]


def test_metrics_have_the_names_and_labels_of_the_table(server: RunningServer) -> None:
    server.stub.Segment(request(PNG, 5))
    server.stub.Segment(request(raw(scene()), 5))
    refused(lambda: server.stub.Segment(request(PNG, 0)))
    families = {family.name: family for family in text_string_to_metric_families(server.metrics_text())}
    labels = {
        name: {
            frozenset(sample.labels) - {"le"} for sample in family.samples if sample.name != f"{name}_created"
        }
        for name, family in families.items()
    }
    method = frozenset({"grpc_service", "grpc_method"})
    expected = {
        "grpc_server_started": method,
        "grpc_server_handled": method | {"grpc_code"},
        "grpc_server_handling_seconds": method | {"grpc_code"},
        "superpixel_stage_duration_seconds": {"stage", "backend"},
        "superpixel_engine_stage_duration_seconds": {"stage", "backend"},
        "superpixel_image_pixels": {"encoding"},
        "superpixel_response_bytes": {"encoding"},
        "superpixel_queue_depth": {"lane"},
        "superpixel_queue_pixels": {"lane"},
        "superpixel_inflight_bytes": {"lane"},
        "superpixel_requests_rejected": {"reason"},
        "superpixel_build_info": {"version", "algorithm_version", "backend"},
        "superpixel_ready": frozenset[str](),
        "superpixel_streams": frozenset[str](),
        "superpixel_stream_images": frozenset[str](),
    }
    for name, wanted in expected.items():
        assert labels[name] == {frozenset(wanted)}, name

    def values(name: str, label: str) -> set[str]:
        return {sample.labels[label] for sample in families[name].samples}

    assert values("superpixel_stage_duration_seconds", "stage") == {"queue", "decode", "segment", "encode"}
    assert values("superpixel_engine_stage_duration_seconds", "stage") == ENGINE_STAGES
    assert values("superpixel_queue_depth", "lane") == {"interactive", "bulk"}
    assert {"png", "raw"} <= values("superpixel_image_pixels", "encoding")
    assert {"spx"} <= values("superpixel_response_bytes", "encoding") <= {"spx", "png", "raw_gzip"}
    assert "COUNT_OUT_OF_RANGE" in values("superpixel_requests_rejected", "reason")
    assert server.metric("superpixel_ready") == 1


def test_each_stage_is_observed_once_per_call(server: RunningServer) -> None:
    def counts() -> list[float]:
        return [
            *(
                server.metric("superpixel_stage_duration_seconds_count", stage=stage)
                for stage in ("queue", "decode", "segment", "encode")
            ),
            *(
                server.metric("superpixel_engine_stage_duration_seconds_count", stage=stage)
                for stage in ENGINE_STAGES
            ),
            server.metric("grpc_server_handling_seconds_count", grpc_method="Segment", grpc_code="OK"),
            server.metric("superpixel_image_pixels_count", encoding="png"),
            server.metric("superpixel_response_bytes_count"),
        ]

    before = counts()
    for _ in range(3):
        server.stub.Segment(request(PNG, 5))
    assert [after - first for after, first in zip(counts(), before, strict=True)] == [3] * len(before)


def test_percentiles_of_the_histogram_are_those_that_callers_see() -> None:
    """The histogram has the times of the log. Each is the caller's time without the network."""
    pictures = [request(raw(scene(width, width, seed)), 5) for seed, width in enumerate((40, 200, 500, 900))]
    of_callers: dict[str, float] = {}

    def call(number: int) -> None:
        started = time.perf_counter()
        server.stub.Segment(pictures[number % 4], metadata=[("x-request-id", f"call-{number}")])
        of_callers[f"call-{number}"] = time.perf_counter() - started

    with running_server() as server:
        with ThreadPoolExecutor(6) as callers:
            for first in range(0, 240, 80):
                list(callers.map(call, range(first, first + 80)))
        families = {family.name: family for family in text_string_to_metric_families(server.metrics_text())}
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
        server.join_reader()
    of_server = {
        line["request_id"]: line["milliseconds"] / 1e3 for line in server.lines if line["event"] == "call"
    }
    assert of_server.keys() == of_callers.keys()
    rounding = 1e-6
    assert all(seconds <= of_callers[name] + rounding for name, seconds in of_server.items())
    # Callers wait mostly for queue and engine: time that the server does not count would show in each round.
    shares = []
    for first in range(0, 240, 80):
        names = [f"call-{number}" for number in range(first, first + 80)]
        shares.append(sum(map(of_server.get, names)) / sum(map(of_callers.get, names)))  # type: ignore[arg-type]
    assert max(shares) > 0.55, shares
    counts = {
        float(sample.labels["le"]): sample.value
        for sample in families["grpc_server_handling_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    for bound, count in counts.items():
        assert sum(seconds <= bound - rounding for seconds in of_server.values()) <= count
        assert sum(seconds <= bound + rounding for seconds in of_server.values()) >= count


def test_each_call_logs_one_line_with_the_callers_request_id(server: RunningServer) -> None:
    _, call = server.stub.Segment.with_call(request(PNG, 5), metadata=[("x-request-id", "job-17/img.3")])
    assert dict(call.trailing_metadata())["x-request-id"] == "job-17/img.3"
    line = server.wait_for_line("call", request_id="job-17/img.3")
    assert (line["method"], line["code"], line["level"]) == ("Segment", "OK", "info")
    assert (line["format"], line["width"], line["height"], line["counts"]) == ("png", 120, 90, [5])
    for key in ("milliseconds", "queue_ms", "decode_ms", "segment_ms", "encode_ms"):
        assert line[key] > 0
    assert line["milliseconds"] >= sum(line[f"{stage}_ms"] for stage in ("decode", "segment", "encode"))


def test_a_rejected_call_is_logged_with_its_reason(server: RunningServer) -> None:
    refusal = refused(lambda: server.stub.Segment(request(PNG, 0)))
    line = server.wait_for_line("call", request_id=refusal.trailers["x-request-id"])
    assert (line["code"], line["reason"]) == ("INVALID_ARGUMENT", "COUNT_OUT_OF_RANGE")


@pytest.mark.parametrize("sent", ["", "x" * 129, "with space", 'quote"', "semi;colon"])
def test_odd_request_ids_are_replaced(server: RunningServer, sent: str) -> None:
    _, call = server.stub.Segment.with_call(request(PNG, 5), metadata=[("x-request-id", sent)])
    made = dict(call.trailing_metadata())["x-request-id"]
    assert made != sent
    assert len(made) == 32


def test_the_log_of_a_whole_session_is_json(server: RunningServer) -> None:
    """It has no tracebacks of libraries, and no warnings about odd files."""
    refused(lambda: server.stub.Segment(request(PNG[:50], 5)))
    server.stub.Segment(request(encoded(scene(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01"), 5))
    assert all(line.startswith("{") for line in server.raw_lines), server.raw_lines
    assert not [line for line in server.lines if line["level"] not in {"info", "debug"}]
