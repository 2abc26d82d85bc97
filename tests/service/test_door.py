"""Callers who come to the door and stay there: what they hold is bounded, and nobody else's."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import grpc
import h2.config
import h2.connection
import h2.events
import h2.settings
import numpy as np
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from superpixel_service.contract import SERVICE
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.service.harness import (
    PATIENCE_SECONDS,
    RunningServer,
    refusal_of,
    refused,
    request,
    running_server,
)
from tests.service.images import encoded, raw, scene
from tests.service.test_refusals import check_form

MEBIBYTE = 1 << 20
PNG = encoded(scene())
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
ALONE = ("grpc.use_local_subchannel_pool", 1)
SMALL = ("--max-inflight-calls=4", "--max-streams=1")
THREADS = 4 + 16
"""Calls of `Segment` that may be open at once on a small server."""


def server_with(**constants: object) -> tuple[str, ...]:
    """The program with other values of some constants: ROOM__MODULE__NAME=value."""
    lines = ["import sys", "from superpixel_service.cli import main"]
    for name, value in constants.items():
        module, constant = name.replace("___", "__-").rsplit("__", 1)
        module, constant = module.replace("__", "."), constant.replace("-", "_")
        lines.append(f"import superpixel_service.{module} as module; module.{constant} = {value!r}")
    return ("-c", "\n".join([*lines, "sys.exit(main())"]))


@dataclass
class Held:
    """Calls that have begun and send nothing before they are told to."""

    release: threading.Event = field(default_factory=threading.Event)

    def begin(self, channel: grpc.Channel, method: str, *messages: bytes) -> grpc.Future:
        def later() -> Iterator[bytes]:
            self.release.wait(PATIENCE_SECONDS)
            yield from messages

        return channel.stream_unary(method).future(later(), timeout=2 * PATIENCE_SECONDS)


@contextmanager
def held_calls() -> Iterator[Held]:
    held = Held()
    try:
        yield held
    finally:
        held.release.set()


def segment_is_full(server: RunningServer) -> bool:
    try:
        assert server.stub.Segment(request(PNG, 5), timeout=5).label_map.count == 5
    except grpc.RpcError as error:
        refusal = refusal_of(error)
        check_form(refusal)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert "grpc-retry-pushback-ms" in refusal.trailers
        return True
    return False


def watch(channel: grpc.Channel, service: str = "") -> grpc.Future:
    return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service))


# ---- those who watch health --------------------------------------------------------------------------------


def test_names_that_nobody_serves_are_not_kept() -> None:
    with running_server() as server:
        before = server.resident_bytes()
        for number in range(80):
            answers = watch(server.channel, f"{number}" + "x" * MEBIBYTE)
            assert next(answers).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            answers.cancel()
        assert server.resident_bytes() - before < 24 * MEBIBYTE


def test_those_who_watch_take_no_room_from_callers() -> None:
    with running_server(*SMALL) as server:
        watches = [watch(server.channel) for _ in range(400)]
        for each in watches:
            assert next(each).status == health_pb2.HealthCheckResponse.SERVING
        assert not segment_is_full(server)
        for each in watches:
            each.cancel()


HEALTH_CHECKED = json.dumps(
    {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": SERVICE}}
)


@pytest.mark.parametrize("crowded", ["listen", "health"])
def test_beyond_its_bound_a_port_is_taken_for_healthy_and_the_other_port_notices_nothing(
    crowded: str,
) -> None:
    program = server_with(server___WATCHERS=8, server___HEALTH_PORT_WATCHERS=8)
    with running_server(*SMALL, program=program) as server:
        address = getattr(server, crowded)
        with grpc.insecure_channel(address, options=[ALONE]) as channel:
            watches = [watch(channel) for _ in range(8)]
            for each in watches:
                assert next(each).status == health_pb2.HealthCheckResponse.SERVING
            refusal = refused(lambda: next(watch(channel)))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "QUEUE_FULL")
            assert server.health_status(address=address) == "SERVING"
            other = server.health if crowded == "listen" else server.listen
            with grpc.insecure_channel(other, options=[ALONE]) as quiet:
                assert next(watch(quiet)).status == health_pb2.HealthCheckResponse.SERVING
            # A client that only calls servers whose health it has seen.
            with server.open_channel(ALONE, ("grpc.service_config", HEALTH_CHECKED)) as checked:
                answer = pb_grpc.SuperpixelServiceStub(checked).Segment(request(PNG, 5), timeout=10)
                assert answer.label_map.count == 5
            watches.pop().cancel()

            def there_is_room() -> bool:
                try:
                    return next(watch(channel)).status == health_pb2.HealthCheckResponse.SERVING
                except grpc.RpcError:
                    return False

            server.wait_until(there_is_room)


@pytest.mark.parametrize("method", ["Check", "Watch"])
@pytest.mark.parametrize("port", ["listen", "health"])
def test_probes_without_a_message_do_not_hold_up_health(port: str, method: str) -> None:
    program = server_with(
        operations__health___MESSAGE_SECONDS=1.0, server___HEALTH_PORT_WATCHERS=8, server___WATCHERS=8
    )
    with running_server(program=program) as server, held_calls() as held:
        address = getattr(server, port)
        with grpc.insecure_channel(address, options=[ALONE]) as channel:
            calls = [held.begin(channel, f"/{HEALTH}/{method}") for _ in range(8)]
            assert server.health_status(address=address, timeout=2.0) == "SERVING"
            for call in calls:
                assert call.exception(PATIENCE_SECONDS).code() is grpc.StatusCode.CANCELLED
            assert next(watch(channel)).status == health_pb2.HealthCheckResponse.SERVING


# ---- messages that do not come, answers that nobody takes --------------------------------------------------


def test_calls_without_their_message_are_bounded_and_leave_threads_for_others() -> None:
    with running_server(*SMALL) as server, held_calls() as held, server.open_channel(ALONE) as channel:
        calls = [held.begin(channel, f"/{SERVICE}/Segment") for _ in range(100)]
        server.wait_until(lambda: segment_is_full(server))
        assert server.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=5).version
        stream = [pb.SegmentStreamRequest(request_id="a", request=request(PNG, 5))]
        assert next(server.stub.SegmentStream(iter(stream), timeout=5)).response.label_map.count == 5
        assert server.health_status() == "SERVING"
        for call in calls:
            call.cancel()
        server.wait_until(lambda: not segment_is_full(server))


def test_questions_about_the_server_without_their_message_leave_threads_for_others() -> None:
    program = server_with(server___INFO_SECONDS=3.0)
    with (
        running_server(*SMALL, program=program) as server,
        held_calls() as held,
        server.open_channel(ALONE) as channel,
    ):
        calls = [held.begin(channel, f"/{SERVICE}/GetServerInfo") for _ in range(100)]
        assert not segment_is_full(server)
        codes = {call.exception(PATIENCE_SECONDS).code() for call in calls}
        assert codes == {grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert server.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=5).version


def test_a_message_is_waited_for_as_long_as_there_is_room_and_not_for_ever() -> None:
    program = server_with(
        transport__gate__PATIENCE_SECONDS=6.0, transport__gate__PATIENCE_WHEN_BUSY_SECONDS=1.0
    )
    message = request(PNG, 5).SerializeToString()
    with (
        running_server(*SMALL, program=program) as server,
        server.open_channel(ALONE) as channel,
        held_calls() as never,
    ):
        with held_calls() as slow:
            late = slow.begin(channel, f"/{SERVICE}/Segment", message)
            time.sleep(3.0)
        assert pb.SegmentResponse.FromString(late.result(PATIENCE_SECONDS)).label_map.count == 5
        started = time.monotonic()
        calls = [never.begin(channel, f"/{SERVICE}/Segment") for _ in range(THREADS)]
        for call in calls:
            assert call.exception(PATIENCE_SECONDS).code() is grpc.StatusCode.CANCELLED
        assert not segment_is_full(server)
        alone = never.begin(channel, f"/{SERVICE}/Segment")
        assert alone.exception(PATIENCE_SECONDS).code() is grpc.StatusCode.CANCELLED
        assert time.monotonic() - started >= 7.0
        assert server.wait_for_line("late_callers")["threads"] == "segment"


def test_a_call_without_any_message_is_told_so() -> None:
    with running_server() as server:
        call = server.channel.stream_unary(f"/{SERVICE}/Segment")
        with pytest.raises(grpc.RpcError) as caught:
            call(iter(()))
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


class DeafCaller:
    """Sends calls over a connection of its own, and lets no byte of an answer's message come."""

    def __init__(self, server: RunningServer) -> None:
        host, port = server.listen.split(":")
        self._socket = socket.create_connection((host, int(port)), PATIENCE_SECONDS)
        self._http = h2.connection.H2Connection(h2.config.H2Configuration())
        self._http.initiate_connection()
        self._http.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        self._send()
        self.ended: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _send(self) -> None:
        self._socket.sendall(self._http.data_to_send())

    def _listen(self) -> None:
        for event in self._http.receive_data(self._socket.recv(1 << 16)):
            if isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self.ended.add(event.stream_id)
        self._send()

    def call(self, method: str, message: bytes) -> int:
        number = self._http.get_next_available_stream_id()
        head = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "a", "te": "trailers"}
        self._http.send_headers(number, [*head.items(), ("content-type", "application/grpc")])
        rest = b"\0" + struct.pack(">I", len(message)) + message
        while rest and number not in self.ended:
            room = min(self._http.local_flow_control_window(number), self._http.max_outbound_frame_size)
            if room <= 0:
                self._send()
                self._listen()
                continue
            self._http.send_data(number, rest[:room], end_stream=len(rest) <= room)
            rest = rest[room:]
        self._send()
        return number

    def wait_for_the_end_of(self, numbers: set[int]) -> None:
        while not numbers <= self.ended:
            self._listen()


def large_answer() -> pb.SegmentRequest:
    pixels = np.random.default_rng(7).integers(0, 255, (150, 300, 3), dtype=np.uint8)
    return request(raw(pixels), 12_000, include_hierarchy=True, include_regions=True)


def test_answers_that_nobody_takes_are_bounded_in_number() -> None:
    message = large_answer()
    with running_server(*SMALL, "--cache-bytes=67108864") as server, DeafCaller(server) as deaf:
        server.stub.Segment(message)  # from now on its answer is at hand
        for _ in range(THREADS + 4):  # some may be rejected while the first call still ends
            deaf.call(f"/{SERVICE}/Segment", message.SerializeToString())
        server.wait_until(lambda: segment_is_full(server))
        before = server.resident_bytes()
        for _ in range(60):
            deaf.call(f"/{SERVICE}/Segment", message.SerializeToString())
        assert server.resident_bytes() - before < 24 * MEBIBYTE


def test_answers_that_nobody_takes_in_time_are_dropped() -> None:
    message = large_answer()
    program = server_with(transport__gate__PATIENCE_SECONDS=1.0)
    with running_server(*SMALL, program=program) as server, DeafCaller(server) as deaf:
        calls = {deaf.call(f"/{SERVICE}/Segment", message.SerializeToString()) for _ in range(3)}
        deaf.wait_for_the_end_of(calls)
        server.wait_for_line("late_callers", threads="segment")


# ---- the other ports and services --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", [f"{HEALTH}/Check", f"{HEALTH}/Watch", f"{REFLECTION}/ServerReflectionInfo"]
)
def test_bytes_that_are_no_message_are_refused_by_every_service(method: str) -> None:
    with running_server() as server:
        call = server.channel.unary_unary(f"/{method}")
        refusal = refused(lambda: call(b"\xff\xff\xff"))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
        assert all(line["level"] == "info" for line in server.lines), server.lines


def test_silent_questions_do_not_hold_up_reflection() -> None:
    with (
        running_server(program=server_with(server___REFLECTION_SECONDS=1.0)) as server,
        held_calls() as held,
        server.open_channel(ALONE) as channel,
    ):
        calls = [held.begin(channel, f"/{REFLECTION}/ServerReflectionInfo") for _ in range(40)]
        for call in calls:
            assert call.exception(PATIENCE_SECONDS / 2) is not None
        stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        question = [reflection_pb2.ServerReflectionRequest(list_services="")]
        assert (
            len(next(stub.ServerReflectionInfo(iter(question), timeout=5)).list_services_response.service)
            == 3
        )


def test_silent_connections_to_the_metrics_port_are_ended() -> None:
    with running_server(program=server_with(operations__metrics___SILENCE_SECONDS=0.5)) as server:
        process = psutil.Process(server.process.pid)
        threads = process.num_threads()
        host, port = server.metrics_address.split(":")
        silent = [socket.create_connection((host, int(port)), PATIENCE_SECONDS) for _ in range(40)]
        assert all(connection.recv(1) == b"" for connection in silent)
        server.wait_until(lambda: process.num_threads() < threads + 20)
        assert server.metric("superpixel_ready") == 1
        for connection in silent:
            connection.close()
        assert all(line.startswith("{") for line in server.raw_lines), server.raw_lines
