"""Connections: keepalive pings are answered, and a connection ends at its greatest age without loss."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import h2.connection
import h2.events
import pytest

from superpixel_service.config import Settings
from superpixel_service.contract import SEGMENT
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.server import _SHARED_OPTIONS, Server
from tests.service.harness import PATIENCE_SECONDS, program_with, refusal_of, request, running_server
from tests.service.http2 import connect, reset_calls
from tests.service.images import encoded, scene
from tests.service.mortal import mortal_server

SMALL = request(encoded(scene()), 5)
LARGE = request(encoded(scene(300, 200)), 5)
PING_INTERVAL = "grpc.http2.min_ping_interval_without_data_ms"


@pytest.fixture
def server_options(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, int]]:
    """The options of both gRPC servers of a server with default settings, the main port's last."""
    given: list[dict[str, int]] = []
    grpc_server = grpc.server

    def recording(*arguments: Any, options: Any, **named: Any) -> grpc.Server:
        given.append(dict(options))
        return grpc_server(*arguments, options=options, **named)

    monkeypatch.setattr(grpc, "server", recording)
    Server(Settings())
    assert len(given) == 2
    return given


def ping_four_times(address: str, interval: float) -> None:
    """Send HTTP/2 pings, as gRPC's keepalive does, without a call or anything else on the connection.

    With gRPC's default interval of five minutes, the server would close the connection at the fourth.
    """
    with connect(address) as connection:
        caller = h2.connection.H2Connection()
        caller.initiate_connection()
        for ping in range(4):
            caller.ping(ping.to_bytes(8))
            connection.sendall(caller.data_to_send())
            answered: list[bytes] = []
            while ping.to_bytes(8) not in answered:
                events = caller.receive_data(connection.recv(1 << 16))
                assert not any(isinstance(event, h2.events.ConnectionTerminated) for event in events)
                answered += [
                    event.ping_data for event in events if isinstance(event, h2.events.PingAckReceived)
                ]
            time.sleep(interval)
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):  # the last ping got its answer and no GOAWAY
            connection.recv(1)


def test_callers_may_ping_at_the_servers_interval() -> None:
    """With an interval of 0.3 s in place of the second that the next test checks."""
    options = tuple((name, 300 if name == PING_INTERVAL else value) for name, value in _SHARED_OPTIONS)
    with running_server(program=program_with({"server._SHARED_OPTIONS": options})) as server:
        for address in (server.listen, server.health):
            ping_four_times(address, 0.35)


def test_both_ports_allow_a_ping_every_second(server_options: list[dict[str, int]]) -> None:
    for options in server_options:
        assert options[PING_INTERVAL] == 1000
        assert options["grpc.keepalive_permit_without_calls"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("port", ["listen", "health"])
def test_callers_may_ping_every_second(port: str) -> None:
    with running_server() as server:
        ping_four_times(getattr(server, port), 1.1)


def test_a_flood_of_reset_calls_costs_others_no_call() -> None:
    """On one connection without a token. Without a limit of calls per connection many were cancelled."""
    is_over = threading.Event()
    with running_server("--workers=1") as server, ThreadPoolExecutor(1) as attacker:
        flood = attacker.submit(reset_calls, server.listen, SEGMENT, 10**6, is_over)
        try:
            answers = [server.stub.Segment(SMALL, timeout=PATIENCE_SECONDS) for _ in range(30)]
        finally:
            is_over.set()
        assert [answer.label_map.count for answer in answers] == [5] * 30
        assert flood.result() > 1000


def test_a_connection_is_ended_at_its_age_by_goaway() -> None:
    """Although nothing is sent on it."""
    with running_server("--max-connection-age-seconds=1") as server, connect(server.listen) as connection:
        caller = h2.connection.H2Connection()
        caller.initiate_connection()
        connection.sendall(caller.data_to_send())
        received = b""
        while b"max_age" not in received:  # the frame's text; h2 reads nothing that comes after it
            data = connection.recv(1 << 16)
            assert data, received
            received += data


def test_connections_have_an_age_by_default(server_options: list[dict[str, int]]) -> None:
    (main,) = [options for options in server_options if "grpc.max_connection_age_ms" in options]
    assert main["grpc.max_connection_age_ms"] == 600_000
    # A stream ends itself at that age, when its accepted images are answered: until then gRPC lets it be.
    assert main["grpc.max_connection_age_grace_ms"] == 600_000 + 1000 * Settings().grace_seconds


def test_connections_are_ended_at_their_age_and_no_call_is_lost() -> None:
    with running_server("--max-connection-age-seconds=1") as server:
        end = time.monotonic() + 3  # two or three connections
        while time.monotonic() < end:
            assert server.stub.Segment(SMALL).label_map.count == 5


def test_an_old_stream_ends_when_its_accepted_images_are_answered(tmp_path: Path) -> None:
    all_read = threading.Event()

    def messages() -> Iterator[pb.SegmentStreamRequest]:
        yield pb.SegmentStreamRequest(request_id="large", request=LARGE)
        yield pb.SegmentStreamRequest(request_id="small", request=SMALL)
        all_read.wait(2 * PATIENCE_SECONDS)

    flags = ("--workers=1", "--max-connection-age-seconds=1")
    with mortal_server(tmp_path, *flags, order="stall_large") as mortal:
        server = mortal.server
        stream = server.stub.SegmentStream(messages())
        server.wait_until(lambda: server.metric("superpixel_stream_images") == 2)
        time.sleep(1.5)  # the connection is past its age, and one image is still in work
        mortal.release()
        answers = {next(stream).request_id, next(stream).request_id}
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        all_read.set()
        assert answers == {"large", "small"}
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert "another" in refusal.text
        assert server.metric("superpixel_ready") == 1
