"""Callers that stall: what they occupy is bounded, and other callers are served meanwhile.

They watch health without end, send no message, read no answer, or open connections and stay silent.
"""

import json
import signal
from contextlib import ExitStack

import grpc
import numpy as np
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from superpixel_service.contract import SERVICE
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.service.harness import (
    MEBIBYTE,
    PATIENCE_SECONDS,
    RunningServer,
    program_with,
    refusal_of,
    refused,
    request,
    running_server,
)
from tests.service.http2 import UnfinishedCaller, UnreadingCaller, connect, silent_calls
from tests.service.images import encoded, raw, scene
from tests.service.test_refusals import check_form

PNG = encoded(scene())
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
ALONE = ("grpc.use_local_subchannel_pool", 1)
SMALL = ("--max-inflight-calls=4", "--max-streams=1")
SEGMENT_CALLS = 4 + 16
"""Calls of `Segment` that may be open at once on a small server."""


def segment_is_full(server: RunningServer) -> bool:
    try:
        assert server.stub.Segment(request(PNG, 5), timeout=PATIENCE_SECONDS).label_map.count == 5
    except grpc.RpcError as error:
        refusal = refusal_of(error)
        check_form(refusal)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert "grpc-retry-pushback-ms" in refusal.trailers
        return True
    return False


def watch(channel: grpc.Channel, service: str = "") -> grpc.Future:
    return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service))


# ---- watchers of health ------------------------------------------------------------------------------------


def test_names_of_unknown_services_are_not_kept_in_memory() -> None:
    with running_server() as server:
        before = server.resident_bytes()
        for number in range(1000):
            answers = watch(server.channel, f"{number}" + "x" * 60_000)
            assert next(answers).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            answers.cancel()
        # 60 MB of names. At the end at most a few calls are still open.
        assert server.resident_bytes() - before < 24 * MEBIBYTE


def test_watchers_of_health_take_no_room_from_callers() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(running_server(*SMALL))
        # A connection carries at most 100 calls.
        channels = [stack.enter_context(server.open_channel(ALONE)) for _ in range(4)]
        watches = [watch(channel) for channel in channels for _ in range(100)]
        for each in watches:
            assert next(each).status == health_pb2.HealthCheckResponse.SERVING
        assert not segment_is_full(server)
        for each in watches:
            each.cancel()


@pytest.mark.parametrize("method", ["Check", pytest.param("Watch", marks=pytest.mark.slow)])
def test_large_messages_to_health_take_bounded_memory(method: str) -> None:
    """20 callers send 8 MiB each of a message that does not end. 8 of them may be in memory at a time."""
    with ExitStack() as stack:
        server = stack.enter_context(running_server(*SMALL))
        assert server.health_status(address=server.listen) == "SERVING"
        before = server.resident_bytes()
        callers = [stack.enter_context(UnfinishedCaller(server)) for _ in range(20)]
        for caller in callers:
            caller.send(f"/{HEALTH}/{method}", 32 * MEBIBYTE, 8 * MEBIBYTE)
        # Each connection also has a window of 1 MiB.
        assert server.peak_resident_bytes() - before < (8 * 8 + 20 + 32) * MEBIBYTE
        # The others wait their turn, and honest calls too.
        assert server.health_status(address=server.listen, timeout=PATIENCE_SECONDS) == "SERVING"


def test_the_health_port_takes_small_messages_only() -> None:
    with running_server() as server, UnfinishedCaller(server, server.health) as caller:
        caller.send(f"/{HEALTH}/Check", 32 * MEBIBYTE, 32 * MEBIBYTE)
        assert caller.sent < 16 * MEBIBYTE
        assert server.health_status() == "SERVING"


def test_the_main_port_repeats_the_health_to_watchers() -> None:
    """So that a client hears from a server that works, whatever else is on the line."""
    program = program_with({"server._HEALTH_REPEAT_SECONDS": 0.05})
    with running_server(program=program) as server:
        watched = watch(server.channel)
        assert [next(watched).status for _ in range(5)] == [health_pb2.HealthCheckResponse.SERVING] * 5
        server.signal(signal.SIGTERM)
        statuses = iter(watched)
        assert health_pb2.HealthCheckResponse.NOT_SERVING in (next(statuses).status for _ in range(1000))
        assert next(statuses).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert server.exit_code() == 0


def test_a_connection_carries_100_calls() -> None:
    """gRPC's clients wait with the others. A connection of another caller is not affected."""
    with running_server() as server:
        watches = [watch(server.channel) for _ in range(100)]
        for each in watches:
            assert next(each).status == health_pb2.HealthCheckResponse.SERVING
        waiting = server.stub.Segment.future(request(PNG, 5), timeout=PATIENCE_SECONDS)
        with server.open_channel(ALONE) as other:
            stub = pb_grpc.SuperpixelServiceStub(other)
            assert stub.Segment(request(PNG, 5), timeout=PATIENCE_SECONDS).label_map.count == 5
        assert not waiting.done()
        watches.pop().cancel()
        assert waiting.result().label_map.count == 5


HEALTH_CHECKED = json.dumps(
    {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": SERVICE}}
)


def test_too_many_watchers_on_one_port_get_unimplemented_and_the_other_port_is_not_affected() -> None:
    program = program_with({"server._WATCHERS": 8, "server._HEALTH_PORT_WATCHERS": 8})
    for crowded in ("listen", "health"):  # each on a server without the watchers of the other
        with running_server(*SMALL, program=program) as server:
            check_too_many_watchers(server, crowded)


def check_too_many_watchers(server: RunningServer, crowded: str) -> None:
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
        # A client that calls only servers whose health it has seen.
        with server.open_channel(ALONE, ("grpc.service_config", HEALTH_CHECKED)) as checked:
            answer = pb_grpc.SuperpixelServiceStub(checked).Segment(request(PNG, 5), timeout=PATIENCE_SECONDS)
            assert answer.label_map.count == 5
        watches.pop().cancel()
        server.wait_until(lambda: one_can_watch(channel))


def one_can_watch(channel: grpc.Channel) -> bool:
    """Wait for it: a place is free a moment after its caller hears that the call has ended."""
    answers = watch(channel)
    try:
        return next(answers).status == health_pb2.HealthCheckResponse.SERVING
    except grpc.RpcError:
        return False
    finally:
        answers.cancel()


def test_probes_without_a_message_end_and_do_not_delay_health() -> None:
    program = program_with(
        {
            "operations.health._MESSAGE_SECONDS": 1.0,
            "server._HEALTH_PORT_WATCHERS": 8,
            "server._WATCHERS": 8,
        }
    )
    with running_server(program=program) as server, silent_calls() as silent:
        for address in (server.listen, server.health):
            with grpc.insecure_channel(address, options=[ALONE]) as channel:
                for method in ("Watch", "Check"):
                    calls = [silent.begin(channel, f"/{HEALTH}/{method}") for _ in range(8)]
                    assert server.health_status(address=address, timeout=PATIENCE_SECONDS) == "SERVING"
                    for call in calls:
                        assert call.exception(PATIENCE_SECONDS).code() is grpc.StatusCode.CANCELLED
                    server.wait_until(lambda: one_can_watch(channel))


# ---- messages that do not come, answers that are not read --------------------------------------------------


def test_calls_without_their_message_are_bounded_and_leave_threads_for_others() -> None:
    with running_server(*SMALL) as server, silent_calls() as silent, server.open_channel(ALONE) as channel:
        calls = [silent.begin(channel, f"/{SERVICE}/Segment") for _ in range(100)]
        server.wait_until(lambda: segment_is_full(server))
        assert server.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=PATIENCE_SECONDS).version
        stream = [pb.SegmentStreamRequest(request_id="a", request=request(PNG, 5))]
        answers = server.stub.SegmentStream(iter(stream), timeout=PATIENCE_SECONDS)
        assert next(answers).response.label_map.count == 5
        assert server.health_status() == "SERVING"
        for call in calls:
            call.cancel()
        server.wait_until(lambda: not segment_is_full(server))


def test_server_info_calls_without_a_message_leave_threads_for_others() -> None:
    program = program_with({"server._INFO_SECONDS": 1.0})
    with (
        running_server(*SMALL, program=program) as server,
        silent_calls() as silent,
        server.open_channel(ALONE) as channel,
    ):
        calls = [silent.begin(channel, f"/{SERVICE}/GetServerInfo") for _ in range(100)]
        assert not segment_is_full(server)
        codes = {call.exception(PATIENCE_SECONDS).code() for call in calls}
        assert codes == {grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert server.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=PATIENCE_SECONDS).version


def test_calls_that_wait_for_their_message_are_cancelled_when_late_and_sooner_when_most_wait() -> None:
    """By constants between which the machine's speed makes no difference."""
    message = request(PNG, 5).SerializeToString()
    busy = program_with(
        {"transport.gate.PATIENCE_SECONDS": 3600.0, "transport.gate.PATIENCE_WHEN_BUSY_SECONDS": 0.5}
    )
    with (
        running_server(*SMALL, program=busy) as server,
        server.open_channel(ALONE) as channel,
        silent_calls() as silent,
    ):
        with silent_calls() as slow:
            # Fewer than half of the calls wait: none is cancelled.
            late = [slow.begin(channel, f"/{SERVICE}/Segment", message) for _ in range(4)]
            slow.release.wait(2.5)  # several looks of the watchdog, after which they would be late
        for call in late:
            assert pb.SegmentResponse.FromString(call.result(PATIENCE_SECONDS)).label_map.count == 5
        calls = [silent.begin(channel, f"/{SERVICE}/Segment") for _ in range(SEGMENT_CALLS)]
        cancelled = {call for call in calls if call.exception(PATIENCE_SECONDS) is not None}
        assert {call.code() for call in cancelled} == {grpc.StatusCode.CANCELLED}
        server.wait_until(lambda: not segment_is_full(server))
        assert server.wait_for_line("late_callers")["threads"] == "segment"
    alone = program_with(
        {"transport.gate.PATIENCE_SECONDS": 0.5, "transport.gate.PATIENCE_WHEN_BUSY_SECONDS": 3600.0}
    )
    with running_server(*SMALL, program=alone) as server, silent_calls() as silent:
        call = silent.begin(server.channel, f"/{SERVICE}/Segment")
        assert call.exception(PATIENCE_SECONDS).code() is grpc.StatusCode.CANCELLED


def test_a_call_that_ends_without_any_message_is_rejected(server: RunningServer) -> None:
    call = server.channel.stream_unary(f"/{SERVICE}/Segment")
    with pytest.raises(grpc.RpcError) as caught:
        call(iter(()))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def large_answer() -> pb.SegmentRequest:
    pixels = np.random.default_rng(7).integers(0, 255, (150, 300, 3), dtype=np.uint8)
    return request(raw(pixels), 12_000, include_hierarchy=True, include_regions=True)


def test_answers_that_are_not_read_are_bounded_in_number() -> None:
    message = large_answer().SerializeToString()
    with running_server(*SMALL, "--cache-bytes=67108864") as server, UnreadingCaller(server) as caller:
        server.stub.Segment(pb.SegmentRequest.FromString(message))  # from now on the answer is in the cache
        server.wait_until(lambda: not server.metric("superpixel_inflight_bytes"))
        # A permit returns a moment after its answer: calls are made until all permits are taken.
        calls = 0

        def all_permits_are_taken() -> bool:
            nonlocal calls
            caller.call(f"/{SERVICE}/Segment", message)
            calls += 1
            return calls >= SEGMENT_CALLS and segment_is_full(server)

        server.wait_until(all_permits_are_taken)
        before = server.resident_bytes()
        for _ in range(240):
            caller.call(f"/{SERVICE}/Segment", message)
        # Messages and answers of 240 calls are 71 MiB; the server keeps none of them.
        assert server.resident_bytes() - before < 24 * MEBIBYTE


def test_answers_that_are_not_read_in_time_are_dropped() -> None:
    message = large_answer()
    program = program_with({"transport.gate.PATIENCE_SECONDS": 1.0})
    with running_server(*SMALL, program=program) as server, UnreadingCaller(server) as caller:
        calls = {caller.call(f"/{SERVICE}/Segment", message.SerializeToString()) for _ in range(3)}
        caller.wait_for_the_end_of(calls)
        server.wait_for_line("late_callers", threads="segment")


# ---- the other ports and services --------------------------------------------------------------------------


def test_bytes_that_are_no_message_are_rejected_by_every_service() -> None:
    with running_server() as server:
        for method in (f"{HEALTH}/Check", f"{HEALTH}/Watch", f"{REFLECTION}/ServerReflectionInfo"):
            call = server.channel.unary_unary(f"/{method}")
            refusal = refused(lambda call=call: call(b"\xff\xff\xff"))
            assert (refusal.code, refusal.reason) == (
                grpc.StatusCode.INVALID_ARGUMENT,
                "MALFORMED_MESSAGE",
            ), method
        assert all(line["level"] == "info" for line in server.lines), server.lines


def test_silent_streams_of_reflection_do_not_delay_others() -> None:
    with (
        running_server(program=program_with({"transport.reflection._SECONDS": 1.0})) as server,
        silent_calls() as silent,
        server.open_channel(ALONE) as channel,
    ):
        calls = [silent.begin(channel, f"/{REFLECTION}/ServerReflectionInfo") for _ in range(40)]
        for call in calls:
            assert call.exception(PATIENCE_SECONDS) is not None
        stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        question = [reflection_pb2.ServerReflectionRequest(list_services="")]
        answer = next(stub.ServerReflectionInfo(iter(question), timeout=PATIENCE_SECONDS))
        assert len(answer.list_services_response.service) == 4


def test_silent_connections_to_the_metrics_port_are_ended() -> None:
    program = program_with({"operations.metrics_port._SILENCE_SECONDS": 0.5})
    with running_server(program=program) as server:
        process = psutil.Process(server.process.pid)
        threads = process.num_threads()
        silent = [connect(server.metrics_address) for _ in range(40)]
        assert all(connection.recv(1) == b"" for connection in silent)
        server.wait_until(lambda: process.num_threads() < threads + 20)
        assert server.metric("superpixel_ready") == 1
        for connection in silent:
            connection.close()
        assert all(line.startswith("{") for line in server.raw_lines), server.raw_lines
