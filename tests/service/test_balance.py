"""Clients over several servers behind one name: turns, health, drain, death, return; no call is lost."""

import asyncio
import json
import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Self

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from superpixel_service.client import AsyncClient, Client, RetryPolicy, SegmentError, wire
from superpixel_service.contract import SERVICE
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.service.fleet import (
    FLAGS,
    PNG,
    Callers,
    Fleet,
    call_until_all_have_served,
    handled,
    name_of,
)
from tests.service.harness import PATIENCE_SECONDS, RunningServer, program_with, running_server, wait_until
from tests.service.images import encoded, scene


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(stack)


@pytest.fixture
def three(fleet: Fleet) -> list[RunningServer]:
    return fleet.alive()


@pytest.fixture(scope="module")
def quiet() -> Iterator[list[RunningServer]]:
    """Three servers that do not repeat their health: whenever one does, gRPC begins anew at any server."""
    program = program_with({"server._HEALTH_REPEAT_SECONDS": 3600.0})
    with ExitStack() as stack:
        yield [stack.enter_context(running_server(*FLAGS, program=program)) for _ in range(3)]


def test_servers_take_turns(quiet: list[RunningServer]) -> None:
    with Client(name_of(*quiet)) as client:
        call_until_all_have_served(client, quiet)
        before = [handled(server) for server in quiet]
        for _ in range(30):
            client.segment(PNG, counts=5)
        shares = [handled(server) - first for server, first in zip(quiet, before, strict=True)]
    assert shares == [10, 10, 10]


def test_servers_take_turns_for_the_asyncio_client(quiet: list[RunningServer]) -> None:
    async def run() -> None:
        async with AsyncClient(name_of(*quiet)) as client:
            before = [handled(server) for server in quiet]
            while not all(handled(server) > first for server, first in zip(quiet, before, strict=True)):
                await client.segment(PNG, counts=5)
            before = [handled(server) for server in quiet]
            await asyncio.gather(*(client.segment(PNG, counts=5) for _ in range(30)))
            shares = [handled(server) - first for server, first in zip(quiet, before, strict=True)]
            assert shares == [10, 10, 10]

    asyncio.run(asyncio.wait_for(run(), PATIENCE_SECONDS))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_call_is_lost_when_a_server_ends_and_it_serves_again_after_its_return(
    fleet: Fleet, three: list[RunningServer], number: signal.Signals
) -> None:
    first, second, third = three
    with Client(name_of(*three)) as client:
        call_until_all_have_served(client, three)
        with Callers(client) as callers:
            callers.make(40)
            first.signal(number)
            assert first.exit_code() == (0 if number is signal.SIGTERM else -number)
            callers.make(20)
            before = handled(second), handled(third)
            callers.make(40)
            assert handled(second) > before[0]
            assert handled(third) > before[1]
            back = fleet.alive()[0]
            wait_until(lambda: handled(back) > 10)
        assert callers.errors == []


@pytest.mark.parametrize(
    "policy",
    [RetryPolicy(max_attempts=1), pytest.param(RetryPolicy(), marks=pytest.mark.slow)],
    ids=["once", "again"],
)
def test_a_killed_server_loses_the_calls_that_it_was_serving_and_no_others(
    three: list[RunningServer], policy: RetryPolicy
) -> None:
    """Two calls are in flight on each; those of the killed server are lost unless the client retries them."""
    pixels = scene(700, 500)
    slow, count = encoded(pixels), pixels.shape[0] * pixels.shape[1] - 1

    def begun(server: RunningServer) -> float:
        return server.metric("grpc_server_started_total", grpc_method="Segment")

    def call(client: Client) -> SegmentError | None:
        try:
            assert client.segment(slow, counts=count).count == count
        except SegmentError as error:
            return error
        return None

    with Client(name_of(*three), retry=policy) as client, ThreadPoolExecutor(6) as pool:
        call_until_all_have_served(client, three)
        before = [begun(server) for server in three]
        calls = [pool.submit(call, client) for _ in range(6)]
        wait_until(lambda: [begun(server) for server in three] == [number + 2 for number in before])
        three[0].signal(signal.SIGKILL)
        lost = [error for error in (each.result(PATIENCE_SECONDS) for each in calls) if error is not None]
    assert [error.code for error in lost] == [grpc.StatusCode.UNAVAILABLE] * (
        2 if policy.max_attempts == 1 else 0
    )


@pytest.mark.slow
def test_rolling_restarts_lose_no_call(three: list[RunningServer]) -> None:
    """One server after the other; `SUPERPIXEL_TEST_RESTARTS` is the number of rounds."""
    rounds = int(os.environ.get("SUPERPIXEL_TEST_RESTARTS", "1"))
    with ExitStack() as stack, Client(name_of(*three)) as client:
        call_until_all_have_served(client, three)
        with Callers(client) as callers:
            servers = three
            for _ in range(rounds):
                servers = [restarted(stack, server) for server in servers]
        assert callers.errors == []
        assert callers.answers > 10 * 3 * rounds


def restarted(stack: ExitStack, server: RunningServer) -> RunningServer:
    server.signal(signal.SIGTERM)
    assert server.exit_code() == 0
    back = stack.enter_context(running_server(*FLAGS, f"--listen={server.listen}"))
    wait_until(lambda: handled(back) > 10)
    return back


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL])
def test_no_image_of_a_stream_is_lost_when_its_server_ends(
    three: list[RunningServer], number: signal.Signals
) -> None:
    """Under load. Two servers end, one after the other, each while it serves the stream."""
    pictures = [encoded(scene(160, 120, seed)) for seed in range(12)]
    ends = {20, 60}

    def of_stream(server: RunningServer) -> float:
        return server.metric("superpixel_streams")

    with Client(name_of(*three)) as client, Callers(client) as callers:
        call_until_all_have_served(client, three)
        left, gone, got = list(three), [], []
        images = ((index, pictures[index % 12]) for index in range(100))
        for key, answer in client.segment_many(images, counts=7):
            got.append((key, getattr(answer, "count", answer)))
            if len(got) in ends:
                holder = next(server for server in left if of_stream(server))
                left.remove(holder)
                gone.append(holder)
                holder.signal(number)
        assert sorted(got) == [(index, 7) for index in range(100)]
        for server in gone:
            assert server.exit_code() == (0 if number is signal.SIGTERM else -number)
    assert callers.errors == []


def test_a_hung_server_fails_no_call(three: list[RunningServer]) -> None:
    """It is stopped: its connections stay open and silent. The client finds out before its calls are late."""
    with Client(name_of(*three), timeout=PATIENCE_SECONDS) as client, Callers(client) as callers:
        call_until_all_have_served(client, three)
        three[0].signal(signal.SIGSTOP)
        try:
            callers.make(100)  # at first all callers wait for the hung server
        finally:
            three[0].signal(signal.SIGCONT)
        before = handled(three[0])
        wait_until(lambda: handled(three[0]) > before + 10)  # it is used again
    assert callers.errors == []


# ---- against servers that answer as the test says ---------------------------------------------------------


class Counting(pb_grpc.SuperpixelServiceServicer):
    def __init__(self) -> None:
        self.calls = 0
        self.code: grpc.StatusCode | None = None

    def GetServerInfo(self, request, context):  # noqa: N802, ARG002
        self.calls += 1
        if self.code is not None:
            context.abort(self.code, "as the test says")
        return pb.GetServerInfoResponse(version="1")


@contextmanager
def on_command() -> Iterator[tuple[str, Counting, HealthServicer]]:
    """A server that answers whatever health it reports."""
    server = grpc.server(ThreadPoolExecutor(8))
    servicer, health = Counting(), HealthServicer()
    pb_grpc.add_SuperpixelServiceServicer_to_server(servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", servicer, health
    finally:
        server.stop(None).wait()


def test_a_server_that_is_not_healthy_gets_no_calls() -> None:
    with ExitStack() as stack:
        address, servicer, health = stack.enter_context(on_command())
        other_address, other, _ = stack.enter_context(on_command())
        client = stack.enter_context(Client(f"ipv4:{address},{other_address}"))

        def both() -> bool:
            client.server_info()
            return servicer.calls > 0 and other.calls > 0

        wait_until(both)
        health.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)

        def left_alone() -> bool:
            before = servicer.calls
            for _ in range(10):
                client.server_info()
            return servicer.calls == before

        wait_until(left_alone)
        before = servicer.calls
        for _ in range(50):
            client.server_info()
        assert servicer.calls == before
        health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        wait_until(lambda: bool(client.server_info()) and servicer.calls > before)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT])
def test_the_policy_alone_decides_the_number_of_tries(code: grpc.StatusCode) -> None:
    """gRPC's own retries would multiply ours."""
    with on_command() as (address, servicer, _):
        servicer.code = code
        policy = RetryPolicy(max_attempts=3, first_backoff_seconds=0.01)
        with Client(address, retry=policy) as client, pytest.raises(SegmentError):
            client.server_info()
        assert servicer.calls == (3 if code is grpc.StatusCode.UNAVAILABLE else 1)


def test_the_service_config_for_clients_without_retries_of_their_own() -> None:
    """As it is shipped, in a plain gRPC client: it is valid, takes turns, and tries again."""
    text = wire.shipped_service_config()
    assert json.loads(text)["healthCheckConfig"]["serviceName"] == SERVICE
    assert {
        **json.loads(wire.service_config()),
        "methodConfig": json.loads(text)["methodConfig"],
    } == json.loads(text)
    methods = {method.name for method in pb.DESCRIPTOR.services_by_name["SuperpixelService"].methods}
    named = json.loads(text)["methodConfig"][0]["name"]
    assert {name["method"] for name in named} == methods - {"SegmentStream"}
    with on_command() as (address, servicer, _):
        servicer.code = grpc.StatusCode.UNAVAILABLE
        options = [("grpc.service_config", text)]
        with grpc.insecure_channel(address, options) as channel, pytest.raises(grpc.RpcError):
            pb_grpc.SuperpixelServiceStub(channel).GetServerInfo(
                pb.GetServerInfoRequest(), timeout=PATIENCE_SECONDS
            )
        assert servicer.calls == 5


# ---- a headless service: one name, an address for each pod -------------------------------------------------


class Names:
    """A DNS server for one name, whose addresses may change."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(PATIENCE_SECONDS)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, sender = self._socket.recvfrom(4096)
            if not question:
                return
            end = question.index(b"\0", 12) + 5
            (kind,) = struct.unpack_from(">H", question, end - 4)
            addresses = self.addresses if kind == 1 else []
            answer = question[:2] + struct.pack(">5H", 0x8180, 1, len(addresses), 0, 0) + question[12:end]
            for address in addresses:
                answer += struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(address)
            self._socket.sendto(answer, sender)


def test_a_headless_services_new_pods_are_found() -> None:
    with Names() as names, ExitStack() as stack:
        first = stack.enter_context(running_server(*FLAGS))
        port = first.listen.rpartition(":")[2]
        second, third = (
            stack.enter_context(running_server(*FLAGS, f"--listen=127.0.0.{host}:{port}")) for host in (2, 3)
        )
        names.addresses = ["127.0.0.1", "127.0.0.2"]
        client = stack.enter_context(Client(f"dns://127.0.0.1:{names.port}/superpixel.test:{port}"))
        call_until_all_have_served(client, [first, second])
        assert handled(third) == 0
        with Callers(client) as callers:
            callers.make(20)
            names.addresses = ["127.0.0.2", "127.0.0.3"]
            first.signal(signal.SIGTERM)
            assert first.exit_code() == 0
            wait_until(lambda: handled(third) > 10)
        assert callers.errors == []


def test_an_added_pod_gets_calls_when_connections_reach_their_age() -> None:
    """No server ends: only the end of an old connection makes the client resolve the name again."""
    flags = (*FLAGS, "--max-connection-age-seconds=1")
    with Names() as names, ExitStack() as stack:
        first = stack.enter_context(running_server(*flags))
        port = first.listen.rpartition(":")[2]
        added = stack.enter_context(running_server(*flags, f"--listen=127.0.0.2:{port}"))
        names.addresses = ["127.0.0.1"]
        client = stack.enter_context(Client(f"dns://127.0.0.1:{names.port}/superpixel.test:{port}"))
        call_until_all_have_served(client, [first])
        names.addresses = ["127.0.0.1", "127.0.0.2"]
        with Callers(client) as callers:
            wait_until(lambda: handled(added) > 10)
        assert callers.errors == []
