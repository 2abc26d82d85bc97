"""The gate: which calls may enter, when they return their slot, and which are cancelled as late."""

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import grpc
import pytest

from superpixel_service.config import Settings
from superpixel_service.contract import SERVICE, Reason
from superpixel_service.errors import Draining, Overloaded
from superpixel_service.server import _SPARE_THREADS, Server
from superpixel_service.transport import gate as gate_module
from superpixel_service.transport.gate import Gate, Limit, Permit
from superpixel_service.transport.open_calls import OpenCalls
from tests.service.harness import PATIENCE_SECONDS, program_with, request, running_server
from tests.service.http2 import silent_calls
from tests.service.images import encoded, scene

WORK, QUESTION = "/service/Work", "/service/Question"
LIMITS = {WORK: Limit("work", 4, is_work=True), QUESTION: Limit("question", 1)}


class Context:
    """A call's context: its answer is sent when the test says so."""

    def __init__(self, *, over: bool = False) -> None:
        self._over = over
        self._callbacks: list[Callable[[], None]] = []
        self.cancelled = 0

    def add_callback(self, callback: Callable[[], None]) -> bool:
        if not self._over:
            self._callbacks.append(callback)
        return not self._over

    def cancel(self) -> None:
        self.cancelled += 1

    def answer_is_sent(self) -> None:
        for callback in self._callbacks:
            callback()


def slots(gate: Gate, method: str) -> int:
    """How many calls may enter now; none of them stays."""
    permits = []
    try:
        while True:
            permits.append(gate.check(method))
    except Overloaded:
        for permit in permits:
            permit.release()
    return len(permits)


def test_calls_beyond_the_limit_of_their_method_are_rejected() -> None:
    gate = Gate(LIMITS, OpenCalls())
    assert gate.calls == 5
    permits = [gate.check(WORK) for _ in range(4)]
    with pytest.raises(Overloaded) as caught:
        gate.check(WORK)
    assert caught.value.reason is Reason.QUEUE_FULL
    question = gate.check(QUESTION)  # another method has slots of its own
    permits.pop().release()
    assert slots(gate, WORK) == 1
    question.release()
    for permit in permits:
        permit.release()
        permit.release()  # has no further effect
    assert (slots(gate, WORK), slots(gate, QUESTION)) == (4, 1)


def test_the_limits_own_rejections_come_first_and_take_no_slot() -> None:
    full = Overloaded(Reason.BYTES_IN_FLIGHT, "no room for images")
    gate = Gate(
        {
            WORK: Limit("work", 1, overloaded=lambda _token: full),
            QUESTION: Limit("question", 0, rejection=lambda: Overloaded(Reason.TOO_MANY_STREAMS, "too many")),
        },
        OpenCalls(),
    )
    for _ in range(3):
        with pytest.raises(Overloaded) as caught:
            gate.check(WORK)
        assert caught.value is full
    with pytest.raises(Overloaded) as caught:
        gate.check(QUESTION)
    assert caught.value.reason is Reason.TOO_MANY_STREAMS


@pytest.mark.parametrize("first", ["handler", "answer"])
def test_a_slot_is_free_once_handler_and_answer_have_ended_in_any_order(first: str) -> None:
    gate, context = Gate(LIMITS, OpenCalls()), Context()
    permit = gate.check(QUESTION)
    serving = permit.serving(context)  # type: ignore[arg-type]
    serving.__enter__()
    assert slots(gate, QUESTION) == 0
    ends = [lambda: serving.__exit__(None, None, None), context.answer_is_sent]
    if first == "answer":
        ends.reverse()
    ends[0]()
    assert slots(gate, QUESTION) == 0
    ends[1]()
    assert slots(gate, QUESTION) == 1


def test_a_slot_is_free_after_a_handler_that_fails_and_of_a_call_that_was_over_before() -> None:
    gate, context = Gate(LIMITS, OpenCalls()), Context()
    with pytest.raises(RuntimeError), gate.check(QUESTION).serving(context):  # type: ignore[arg-type]
        raise RuntimeError
    assert slots(gate, QUESTION) == 0
    context.answer_is_sent()
    assert slots(gate, QUESTION) == 1
    with gate.check(QUESTION).serving(Context(over=True)):  # type: ignore[arg-type]
        assert slots(gate, QUESTION) == 0
    assert slots(gate, QUESTION) == 1


def test_a_permit_that_is_deleted_without_use_gives_its_slot_back() -> None:
    gate = Gate(LIMITS, OpenCalls())
    for _ in range(10):
        gate.check(QUESTION)  # the permit is deleted at once
    assert slots(gate, QUESTION) == 1
    used = gate.check(QUESTION)
    used.release()
    del used
    assert slots(gate, QUESTION) == 1  # and not two


def test_a_draining_server_rejects_work_and_answers_questions() -> None:
    open_calls = OpenCalls()
    gate = Gate(LIMITS, open_calls)
    open_calls.drain()
    with pytest.raises(Draining):
        gate.check(WORK)
    assert isinstance(gate.check(QUESTION), Permit)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The gate's clock, which stands still unless the test sets `now`."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(gate_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(gate_module, "PATIENCE_WHEN_BUSY_SECONDS", 30.0)
    return clock


class Waiting:
    """Calls of WORK that wait for their callers: for a message, or until the answer is read."""

    def __init__(self, calls: int) -> None:
        limits = {WORK: Limit("work", 4, patience=lambda: 300.0)}
        self.gate = Gate(limits, OpenCalls())
        self.contexts = [Context() for _ in range(calls)]
        self.permits = [self.gate.check(WORK) for _ in range(calls)]
        for permit, context in zip(self.permits, self.contexts, strict=True):
            permit.serving(context).__enter__()  # type: ignore[arg-type]
            permit.answering()

    def cancelled(self) -> list[int]:
        return [context.cancelled for context in self.contexts]


def test_late_calls_are_cancelled_once(clock: SimpleNamespace) -> None:
    waiting = Waiting(2)  # not more than half
    clock.now += 300.0
    assert list(waiting.gate.cancel_late()) == []
    clock.now += 0.1
    assert list(waiting.gate.cancel_late()) == [("work", 2)]
    assert list(waiting.gate.cancel_late()) == []
    assert waiting.cancelled() == [1, 1]


def test_late_calls_are_cancelled_sooner_if_more_than_half_wait(clock: SimpleNamespace) -> None:
    waiting = Waiting(3)
    clock.now += 30.0
    assert list(waiting.gate.cancel_late()) == []
    clock.now += 0.1
    assert list(waiting.gate.cancel_late()) == [("work", 3)]
    assert waiting.cancelled() == [1, 1, 1]


def test_only_waiting_calls_are_cancelled(clock: SimpleNamespace) -> None:
    waiting = Waiting(1)
    waiting.contexts[0].answer_is_sent()
    waiting.permits[0].release()
    working = waiting.gate.check(WORK)
    context = Context()
    with working.serving(context):  # type: ignore[arg-type]
        sent, received = threading.Event(), []

        def messages() -> Iterator[str]:
            sent.wait(PATIENCE_SECONDS)
            yield "message"

        receiver = threading.Thread(target=lambda: received.append(working.receive(messages())))
        receiver.start()
        while not working.waiting:
            pass
        sent.set()
        receiver.join(PATIENCE_SECONDS)
        assert received == ["message"]
        assert not working.waiting
        clock.now += 1000.0
        assert list(waiting.gate.cancel_late()) == []
    assert (context.cancelled, waiting.cancelled()) == (0, [0])


def test_calls_beyond_grpcs_own_limit_take_no_slot() -> None:
    """gRPC drops them after the gate has let them enter, and never runs their handlers."""
    calls = Server(Settings(max_inflight_calls=4, max_streams=1))._gate.calls
    few = 8
    program = program_with({"server._REJECTIONS": few - _SPARE_THREADS - calls})
    flags = ("--max-inflight-calls=4", "--max-streams=1")
    picture = request(encoded(scene()), 5)
    with running_server(*flags, program=program) as server, server.open_channel() as channel:
        for _ in range(3):
            with silent_calls() as silent:
                begun = [silent.begin(channel, f"/{SERVICE}/Segment") for _ in range(few + 30)]
                server.wait_until(lambda begun=begun: sum(call.done() for call in begun) >= 30)
                dropped = [call.exception(PATIENCE_SECONDS) for call in begun if call.done()]
                assert {error.code() for error in dropped} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
                assert {error.details() for error in dropped} == {"Concurrent RPC limit exceeded!"}
                assert len(dropped) == 30  # each time as many calls have entered
                for call in begun:
                    call.cancel()

            def is_served() -> bool:
                try:
                    return server.stub.Segment(picture, timeout=PATIENCE_SECONDS).label_map.count == 5
                except grpc.RpcError:  # the cancelled calls have not all ended yet
                    return False

            server.wait_until(is_served)
