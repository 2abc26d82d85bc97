"""A server that stops under load: no call is cancelled, and no answer is lost."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import grpc
import pytest
from grpc_status import rpc_status

from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.service import held
from tests.service.harness import (
    INTERPRETER,
    PATIENCE_SECONDS,
    RunningServer,
    refusal_of,
    request,
    running_server,
)
from tests.service.http2 import MessagelessCaller
from tests.service.images import encoded, scene
from tests.service.mortal import mortal_server

PNG = encoded(scene())
LARGE = encoded(scene(900, 700), compress_level=1)
STANDING, NEW = 24, 8
OWN = ("grpc.use_local_subchannel_pool", 1)


class Hammer:
    """Callers that call without pause, whatever they get, until the server is gone.

    Attributes:
        codes: how many calls ended with each code and reason; the reason is empty if gRPC itself ended it.
        answered: the request ids of calls that got their label map.
    """

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._call, args=(index, index < STANDING))
            for index in range(STANDING + NEW)
        ]
        self.codes: Counter[tuple[str, str]] = Counter()
        self.answered: set[str] = set()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads)

    def count(self, code: str, reason: str = "") -> int:
        with self._lock:
            return self.codes[code, reason]

    def _call(self, caller: int, standing: bool) -> None:
        channel = self._server.open_channel(OWN)
        number = 0
        # Some make a few more calls when the process is gone: they find no server.
        while self._server.process.poll() is None or number % 5:
            number += 1
            if not standing:
                channel.close()
                channel = self._server.open_channel(OWN)
            self._call_once(channel, f"call-{caller}-{number}", (PNG, LARGE)[number % 7 == 0])
        channel.close()

    def _call_once(self, channel: grpc.Channel, request_id: str, image: bytes) -> None:
        code, reason = "OK", ""
        try:
            pb_grpc.SuperpixelServiceStub(channel).Segment(
                request(image, 5), metadata=[("x-request-id", request_id)], timeout=PATIENCE_SECONDS
            )
        except grpc.RpcError as error:
            code = error.code().name
            reason = "" if rpc_status.from_call(error) is None else refusal_of(error).reason
        with self._lock:
            self.codes[code, reason] += 1
            if code == "OK":
                self.answered.add(request_id)


EXPECTED = {
    ("OK", ""),
    ("RESOURCE_EXHAUSTED", "QUEUE_FULL"),
    ("UNAVAILABLE", "DRAINING"),
    ("UNAVAILABLE", ""),  # the server is gone
}


def answered_by(server: RunningServer) -> set[str]:
    """The hammer's calls that an ended server has logged as answered."""
    server.join_reader()
    return {
        line["request_id"]
        for line in server.lines
        if line["event"] == "call" and line["code"] == "OK" and line["request_id"].startswith("call-")
    }


@pytest.mark.parametrize("round_", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 10))])
def test_calls_of_a_stopping_server_are_answered_or_retried_elsewhere(round_: int) -> None:
    with (
        running_server("--workers=1", "--threads-per-image=1", program=INTERPRETER) as server,
        Hammer(server) as hammer,
    ):
        server.wait_until(lambda: hammer.count("OK") > 100 + 10 * round_)
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
    assert set(hammer.codes) <= EXPECTED, hammer.codes
    assert hammer.codes["UNAVAILABLE", "DRAINING"] > STANDING
    assert answered_by(server) == hammer.answered


@pytest.mark.slow
def test_the_same_with_a_full_queue_and_paused_bulk_work(tmp_path: Path) -> None:
    flags = ("--workers=1", "--threads-per-image=1", "--max-inflight-calls=6", "--bulk-patience-seconds=60")
    environment = {held.RELEASE: str(tmp_path / "go")}
    with running_server(*flags, program=("-m", held.PROGRAM), environment=environment) as server:
        bulk = server.stub.Segment.future(request(held.image(), 5, priority=pb.PRIORITY_BULK))
        server.wait_until_working()
        with Hammer(server) as hammer:
            server.wait_until(lambda: hammer.count("RESOURCE_EXHAUSTED", "QUEUE_FULL") > 50)
            server.wait_until(lambda: server.metric("superpixel_bulk_held") == 1)
            server.signal(signal.SIGTERM)
            (tmp_path / "go").touch()
            assert server.exit_code() == 0
        assert bulk.result(0).label_map.count == 5
        assert set(hammer.codes) == EXPECTED, hammer.codes
        assert answered_by(server) == hammer.answered


def test_a_stream_of_a_stopping_server_gets_its_answers_while_other_clients_keep_calling() -> None:
    taken = threading.Event()

    def images() -> Iterator[pb.SegmentStreamRequest]:
        for index in range(100):
            yield pb.SegmentStreamRequest(request_id=str(index), request=request(LARGE, 5))
            if index == 4:
                taken.set()
        taken.wait(PATIENCE_SECONDS)

    with (
        running_server("--workers=1", "--bulk-patience-seconds=0.05", program=INTERPRETER) as server,
        Hammer(server) as hammer,
    ):
        answers = server.stub.SegmentStream(images())
        first = next(answers)
        assert taken.wait(PATIENCE_SECONDS)
        server.signal(signal.SIGTERM)
        got = [first]
        with pytest.raises(grpc.RpcError) as ended:
            got.extend(answers)
        assert server.exit_code() == 0
    assert refusal_of(ended.value).reason == "DRAINING"
    assert all(answer.WhichOneof("result") == "response" for answer in got)
    server.join_reader()
    stream = server.wait_for_line("call", method="SegmentStream")
    assert stream["images"] == len(got)
    assert set(hammer.codes) <= EXPECTED, hammer.codes


# ---- calls whose message has not arrived -------------------------------------------------------------------


def test_a_draining_server_rejects_calls_before_their_message_arrives(tmp_path: Path) -> None:
    with ExitStack() as stack:
        mortal = stack.enter_context(mortal_server(tmp_path, "--workers=1", order="stall"))
        server = mortal.server
        running = server.stub.Segment.future(request(PNG, 5))
        server.wait_until_working()
        caller = stack.enter_context(MessagelessCaller(server))
        server.signal(signal.SIGTERM)
        server.wait_until(lambda: server.metric("superpixel_ready") == 0)
        caller.begin()
        trailers = caller.end()
        assert trailers is not None
        assert int(trailers["grpc-status"]) == grpc.StatusCode.UNAVAILABLE.value[0]
        assert not running.done()
        mortal.release()
        assert running.result().label_map.count == 5
        assert server.exit_code() == 0


def test_calls_without_their_message_do_not_delay_the_end() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(running_server("--grace-seconds=3600", program=INTERPRETER))
        callers = [stack.enter_context(MessagelessCaller(server)) for _ in range(40)]
        for caller in callers:
            caller.begin()
        assert server.stub.Segment(request(PNG, 5)).label_map.count == 5
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
        # Never as CANCELLED: they see the end of the connection.
        with ThreadPoolExecutor(len(callers)) as pool:
            assert set(pool.map(MessagelessCaller.end, callers)) == {None}
