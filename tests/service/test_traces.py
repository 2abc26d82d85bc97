"""Traces: the spans of real calls, kept in memory, and sent by a real server to a real collector."""

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from superpixel_service.config import Settings
from superpixel_service.operations.traces import Traces
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.server import Server
from superpixel_service.transport import trace_context
from tests.service.command import messages, superpixel
from tests.service.harness import (
    INTERPRETER,
    PATIENCE_SECONDS,
    RunningServer,
    refused,
    request,
    running_server,
)
from tests.service.images import encoded, scene

PNG = encoded(scene())
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = [("traceparent", f"00-{TRACE_ID}-{SPAN_ID}-01")]
CLOCKS = 1_000_000
"""Nanoseconds: a span's times are of the monotonic clock, moved by the distance of the clocks just then."""
STAGES = ["queue", "decode", "segment", "encode"]
ANYWHERE = {"listen": "127.0.0.1:0", "health_listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0"}


class Traced:
    """A server in this process, whose spans stay in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        monkeypatch.setattr(Traces, "of", lambda _settings: Traces(provider))
        self.server = Server(Settings(**ANYWHERE, workers=1))
        self.channel = grpc.insecure_channel(self.server.start().listen)
        self.stub = pb_grpc.SuperpixelServiceStub(self.channel)

    def spans(self, count: int) -> list[ReadableSpan]:
        """The spans, once there are `count`; the span of a call comes after the call."""
        end = time.monotonic() + PATIENCE_SECONDS
        while len(spans := self._exporter.get_finished_spans()) < count:
            assert time.monotonic() < end, [span.name for span in spans]
            time.sleep(0.005)
        return list(spans)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    running = Traced(monkeypatch)
    with running.channel:
        yield running
    running.server.drain()
    for server in (
        running.server._main,
        running.server._health_server,
    ):  # elsewhere they end with the process
        server.stop(None).wait()


def check_within(child: ReadableSpan, parent: ReadableSpan) -> None:
    assert child.parent is not None
    assert parent.context is not None
    assert child.parent.span_id == parent.context.span_id
    assert parent.start_time - CLOCKS <= child.start_time
    assert child.start_time <= child.end_time <= parent.end_time + CLOCKS


def test_a_call_and_its_stages(traced: Traced) -> None:
    before = time.time_ns()
    traced.stub.Segment(request(PNG, 5, 3), metadata=[*PARENT, ("x-request-id", "job-7")])
    spans = traced.spans(5)
    after = time.time_ns()
    *stages, call = spans
    assert call.name == "superpixel.v1.SuperpixelService/Segment"
    assert call.kind is SpanKind.SERVER
    assert format(call.context.trace_id, "032x") == TRACE_ID
    assert format(call.parent.span_id, "016x") == SPAN_ID
    assert call.attributes is not None
    expected = {
        "rpc.system": "grpc",
        "rpc.service": "superpixel.v1.SuperpixelService",
        "rpc.method": "Segment",
        "rpc.grpc.status_code": 0,
        "superpixel.request_id": "job-7",
        "superpixel.width": 120,
        "superpixel.height": 90,
    }
    assert expected.items() <= call.attributes.items()
    assert call.status.status_code is StatusCode.UNSET
    assert before <= call.start_time < call.end_time <= after
    assert [span.name for span in stages] == STAGES
    for span in stages:
        check_within(span, call)
    for earlier, later in itertools.pairwise(stages):
        assert later.start_time == earlier.end_time
    _, decode, segment, encode = (span.attributes or {} for span in stages)
    assert (decode["superpixel.format"], decode["superpixel.bytes"]) == ("png", len(PNG))
    assert segment["superpixel.backend"] == "cpu"
    assert segment["superpixel.engine.merge_seconds"] > 0
    assert (encode["superpixel.encoding"], encode["superpixel.counts"]) == ("spx", (5, 3))


def test_a_rejected_call_has_no_stages(traced: Traced) -> None:
    refused(lambda: traced.stub.Segment(request(PNG, 0)))
    (call,) = traced.spans(1)
    assert call.parent is None
    assert call.attributes["superpixel.reason"] == "COUNT_OUT_OF_RANGE"
    assert call.attributes["rpc.grpc.status_code"] == 3
    assert call.status.status_code is StatusCode.UNSET  # the caller's fault, not ours


def test_a_drained_call_is_the_servers_fault(traced: Traced) -> None:
    traced.server._queue.close()
    refused(lambda: traced.stub.Segment(request(PNG, 5)))
    (call,) = traced.spans(1)
    assert call.status.status_code is StatusCode.ERROR


def test_a_stream_has_a_span_for_each_image(traced: Traced) -> None:
    messages = [
        pb.SegmentStreamRequest(request_id=name, request=request(PNG, count))
        for name, count in (("good", 5), ("bad", 0))
    ]
    list(traced.stub.SegmentStream(iter(messages), metadata=PARENT))
    spans = traced.spans(7)
    stream = spans[-1]
    assert stream.name.endswith("/SegmentStream")
    assert format(stream.context.trace_id, "032x") == TRACE_ID
    images = {span.attributes["superpixel.image_id"]: span for span in spans if span.name == "image"}
    for image in images.values():
        check_within(image, stream)
    assert images["bad"].attributes["superpixel.reason"] == "COUNT_OUT_OF_RANGE"
    stages = [span for span in spans if span.name in STAGES]
    assert len(stages) == 4
    for span in stages:
        check_within(span, images["good"])


BROKEN_PARENTS = [
    "",
    "nonsense",
    f"ff-{TRACE_ID}-{SPAN_ID}-01",
    f"00-{'0' * 32}-{SPAN_ID}-01",
    f"00-{TRACE_ID}-{'0' * 16}-01",
    f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
    f"00-{TRACE_ID}-{SPAN_ID}",
    "00-" + "4" * 7000,
]


@pytest.mark.parametrize("parent", BROKEN_PARENTS)
def test_an_invalid_traceparent_is_ignored(traced: Traced, parent: str) -> None:
    traced.stub.GetServerInfo(pb.GetServerInfoRequest(), metadata=[("traceparent", parent)])
    (call,) = traced.spans(1)
    assert call.parent is None


def test_a_later_version_of_the_header_is_read() -> None:
    assert trace_context.read_trace([("traceparent", f"01-{TRACE_ID}-{SPAN_ID}-01-more")]).id == TRACE_ID
    assert trace_context.read_trace([("traceparent", BROKEN_PARENTS[2])]).id == ""
    long = trace_context.read_trace([*PARENT, ("tracestate", "a=" + "b" * 600)])
    assert long.parent["tracestate"] == ""


def test_the_trace_id_is_in_the_log_also_without_traces(server: RunningServer) -> None:
    server.stub.Segment(request(PNG, 5), metadata=[*PARENT, ("x-request-id", "traced-1")])
    assert server.wait_for_line("call", request_id="traced-1")["trace_id"] == TRACE_ID
    server.stub.Segment(request(PNG, 5), metadata=[("x-request-id", "untraced-1")])
    assert "trace_id" not in server.wait_for_line("call", request_id="untraced-1")


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.received: list[trace_service_pb2.ExportTraceServiceRequest] = []

    def Export(self, request, context):  # noqa: N802, ARG002
        self.received.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collecting() -> Iterator[tuple[str, Collector]]:
    server, collector = grpc.server(ThreadPoolExecutor(2)), Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", collector
    finally:
        server.stop(None).wait()


def test_a_server_sends_its_spans_to_a_collector_and_its_last_ones_as_it_stops() -> None:
    with collecting() as (address, collector):
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_SERVICE_NAME": "labels"}
        with running_server("--traces=otlp", program=INTERPRETER, environment=environment) as server:
            server.stub.Segment(request(PNG, 5), metadata=[("x-request-id", "sent-1")])
            trace_id = server.wait_for_line("call", request_id="sent-1")["trace_id"]
            server.process.terminate()
            assert server.exit_code() == 0
        spans, names = [], set()
        for message in collector.received:
            for resource in message.resource_spans:
                names |= {
                    each.value.string_value
                    for each in resource.resource.attributes
                    if each.key == "service.name"
                }
                spans += [span for scope in resource.scope_spans for span in scope.spans]
    assert names == {"labels"}
    assert sorted(span.name for span in spans) == sorted([*STAGES, "superpixel.v1.SuperpixelService/Segment"])
    assert {span.trace_id.hex() for span in spans} == {trace_id}


def test_a_missing_collector_causes_no_delay() -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with running_server("--traces=otlp", program=INTERPRETER, environment=environment) as server:
        assert server.stub.Segment(request(PNG, 5)).label_map.count == 5
        server.process.terminate()
        assert server.exit_code() == 0
        server.join_reader()
        assert all(line.startswith("{") for line in server.raw_lines), server.raw_lines


def test_missing_packages_are_reported_and_without_traces_none_is_loaded() -> None:
    hide = "import sys; sys.modules['opentelemetry'] = None; "
    serve = "from superpixel_service.cli import main; sys.exit(main(['serve', '--traces=otlp']))"
    run = subprocess.run([sys.executable, "-c", hide + serve], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == (
        "superpixel: --traces: OpenTelemetry is not installed; in a checkout: pip install '.[otel]'\n"
    )
    check = "import sys; import superpixel_service.server; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_wrong_traces_setting_is_rejected() -> None:
    run = superpixel("serve", "--traces=zipkin")
    assert run.returncode == 2
    (line,) = messages(run)
    assert line.startswith("--traces (SUPERPIXEL_TRACES): should be 'off' or 'otlp'")
