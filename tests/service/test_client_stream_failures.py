"""`segment_many` of both clients when servers drain, die, reject or fall silent: one answer per image."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import pytest

from superpixel_service.client import (
    DeadlineExceeded,
    InvalidRequest,
    NotServed,
    Overloaded,
    RetryPolicy,
    Unavailable,
)
from superpixel_service.contract import Reason
from superpixel_service.errors import Draining, ServiceError
from superpixel_service.errors import InvalidRequest as ServerInvalidRequest
from superpixel_service.errors import Overloaded as ServerOverloaded
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.harness import OWN_HOST, PATIENCE_SECONDS, running_server
from tests.service.images import Pixels
from tests.service.scripted import (
    COUNT,
    Answers,
    Caller,
    Scripted,
    ScriptedStream,
    StreamScript,
    answered,
    answers_all,
    assert_answered,
    image,
    images,
    number_of,
    serving,
    with_error,
)


def test_a_drain_loses_nothing_and_yields_nothing_twice(caller: Caller) -> None:
    def drains(stream: ScriptedStream) -> Answers:
        yield answered(stream.read())
        _second, third = stream.read(), stream.read()
        yield answered(third)
        stream.refuse(Draining())

    def drains_again(stream: ScriptedStream) -> Answers:
        yield answered(stream.read())
        stream.refuse(Draining())

    with serving(Scripted(streams=[drains, drains_again])) as server:
        outcomes = caller.segment_many(server.address, images(12), max_inflight=4, counts=COUNT)
    assert_answered(outcomes, range(12))
    assert len(server.calls) == 3
    # Answered images were not sent again; unanswered ones were.
    assert server.received.count(0) == server.received.count(2) == 1
    assert server.received.count(1) >= 2


def test_a_server_that_dies_loses_nothing(caller: Caller) -> None:
    server = Scripted()
    restarted = threading.Event()

    def restart() -> None:
        server.stop()
        server.start()
        restarted.set()

    def dies(stream: ScriptedStream) -> Answers:
        yield answered(stream.read())
        stream.read()
        threading.Thread(target=restart).start()
        restarted.wait(PATIENCE_SECONDS)

    server = Scripted(streams=[dies])
    with serving(server):
        patient = RetryPolicy(max_attempts=500, first_backoff_seconds=0.02, max_backoff_seconds=0.1)
        outcomes = caller.segment_many(server.address, images(6), max_inflight=3, retry=patient, counts=COUNT)
        assert restarted.wait(PATIENCE_SECONDS)
    assert_answered(outcomes, range(6))
    assert len(server.calls) >= 2


def test_a_stream_that_ends_early_with_ok_is_continued(caller: Caller) -> None:
    def leaves(stream: ScriptedStream) -> Answers:
        yield answered(stream.read())
        stream.read()

    with serving(Scripted(streams=[leaves])) as server:
        assert_answered(caller.segment_many(server.address, images(4), counts=COUNT), range(4))


def test_a_second_answer_to_an_image_is_dropped(caller: Caller) -> None:
    def stutters(stream: ScriptedStream) -> Answers:
        for _ in range(3):
            message = stream.read()
            yield answered(message)
            yield answered(message)
            yield pb.SegmentStreamResponse(request_id="nobody's")

    with serving(Scripted(streams=[stutters])) as server:
        assert_answered(caller.segment_many(server.address, images(3), counts=COUNT), range(3))


def refusing(number: int, error: ServiceError, times: int = 1) -> StreamScript:
    """Answers image `number` with `error`, so many times."""

    def script(stream: ScriptedStream) -> Answers:
        left = times
        while message := stream.read():
            if number_of(message) == number and left:
                left -= 1
                yield with_error(message, error)
            else:
                yield answered(message)

    return script


def test_a_bad_image_is_its_own_error_and_not_sent_again(caller: Caller) -> None:
    bad = ServerInvalidRequest(Reason.IMAGE_UNDECODABLE, "must be a whole image", field="encoded_image")
    with serving(Scripted(streams=[refusing(2, bad, times=99)])) as server:
        outcomes = dict(caller.segment_many(server.address, images(5), counts=COUNT))
    error = outcomes.pop(2)
    assert isinstance(error, InvalidRequest)
    assert (error.reason, error.field) == ("IMAGE_UNDECODABLE", "encoded_image")
    assert error.request_id.endswith("/2")
    assert_answered(outcomes.items(), [0, 1, 3, 4])
    assert server.received.count(2) == 1


def test_an_image_without_room_is_sent_again_over_the_same_call(caller: Caller) -> None:
    full = ServerOverloaded(Reason.QUEUE_FULL, "no room")
    with serving(Scripted(streams=[refusing(1, full, times=2)])) as server:
        outcomes = caller.segment_many(server.address, images(4), counts=COUNT)
    assert_answered(outcomes, range(4))
    assert server.received.count(1) == 3
    assert len(server.calls) == 1


def test_an_image_that_never_finds_room_is_its_own_error(caller: Caller) -> None:
    full = ServerOverloaded(Reason.QUEUE_FULL, "no room")
    policy = RetryPolicy(max_attempts=2, first_backoff_seconds=0.02)
    with serving(Scripted(streams=[refusing(1, full, times=99)])) as server:
        outcomes = dict(caller.segment_many(server.address, images(3), retry=policy, counts=COUNT))
    assert isinstance(outcomes.pop(1), Overloaded)
    assert_answered(outcomes.items(), [0, 2])
    assert server.received.count(1) == 2


def test_an_image_that_ends_every_call_is_given_up(caller: Caller) -> None:
    def dies_of_2(stream: ScriptedStream) -> Answers:
        while message := stream.read():
            if number_of(message) == 2:
                stream.refuse(Draining())
            yield answered(message)

    policy = RetryPolicy(max_attempts=3, first_backoff_seconds=0.02)
    with serving(Scripted(streams=[dies_of_2] * 99)) as server:
        outcomes = dict(
            caller.segment_many(server.address, images(8), retry=policy, max_inflight=3, counts=COUNT)
        )
    assert isinstance(outcomes.pop(2), Unavailable)
    assert_answered(outcomes.items(), [0, 1, 3, 4, 5, 6, 7])
    assert server.received.count(2) == 3


def test_an_image_that_ends_every_call_is_given_up_even_if_it_is_alone(caller: Caller) -> None:
    def dies_of_1(stream: ScriptedStream) -> Answers:
        while message := stream.read():
            if number_of(message) == 1:
                stream.refuse(Draining())
            yield answered(message)

    policy = RetryPolicy(max_attempts=3, first_backoff_seconds=0.02)
    for most_inflight, count in ((1, 3), (8, 2)):
        with serving(Scripted(streams=[dies_of_1] * 99)) as server:
            outcomes = dict(
                caller.segment_many(
                    server.address, images(count), retry=policy, max_inflight=most_inflight, counts=COUNT
                )
            )
        assert isinstance(outcomes.pop(1), Unavailable)
        assert_answered(outcomes.items(), {*range(count)} - {1})


def test_a_missing_server_is_not_blamed_on_an_image(caller: Caller) -> None:
    def stops(stream: ScriptedStream) -> Answers:
        threading.Thread(target=stream.server.stop).start()
        stream.server.cancelled.wait(PATIENCE_SECONDS)
        yield from ()

    policy = RetryPolicy(max_attempts=3, first_backoff_seconds=0.02)
    with serving(Scripted(streams=[stops])) as server, pytest.raises(Unavailable):
        caller.segment_many(server.address, images(3), retry=policy, max_inflight=1, counts=COUNT)
    assert server.received == []


def test_the_stream_fails_when_no_server_answers(caller: Caller) -> None:
    def drains(stream: ScriptedStream) -> Answers:
        stream.refuse(Draining())
        yield from ()

    policy = RetryPolicy(max_attempts=3, first_backoff_seconds=0.02)
    with serving(Scripted(streams=[answers_all] + [drains] * 9)) as server:
        assert len(caller.segment_many(server.address, images(2), counts=COUNT)) == 2
        with pytest.raises(Unavailable) as caught:
            caller.segment_many(server.address, images(2), retry=policy, counts=COUNT)
    assert caught.value.reason == "DRAINING"
    assert len(server.calls) == 1 + 3


def test_a_server_without_streams_is_reported_at_once(caller: Caller) -> None:
    def not_served(stream: ScriptedStream) -> Answers:
        stream.context.abort(grpc.StatusCode.UNIMPLEMENTED, "no streams here")
        yield from ()

    with serving(Scripted(streams=[not_served])) as server, pytest.raises(NotServed):
        caller.segment_many(server.address, images(2), counts=COUNT)
    assert len(server.calls) == 1


def test_a_server_that_falls_silent_is_given_up_in_time(caller: Caller) -> None:
    def silent(stream: ScriptedStream) -> Answers:
        yield answered(stream.read())
        stream.server.cancelled.wait(PATIENCE_SECONDS)

    with serving(Scripted(streams=[silent])) as server:
        with pytest.raises(DeadlineExceeded, match="no answer for 2 s, with 1 images"):
            caller.segment_many(server.address, images(2), timeout=2.0, counts=COUNT)
        assert server.cancelled.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("end", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL])
def test_the_real_server_is_replaced(caller: Caller, end: signal.Signals) -> None:
    patient = RetryPolicy(max_attempts=2000, first_backoff_seconds=0.02, max_backoff_seconds=0.1)
    with running_server(f"--listen={OWN_HOST}:0") as first, ExitStack() as second:

        def source() -> Iterator[tuple[int, Pixels]]:
            yield from images(20)
            # Now some images are answered and some are in flight.
            first.signal(end)
            if end is signal.SIGKILL:
                first.exit_code()
            replacement.start()
            for number in range(20, 40):
                yield number, image(number)

        def replace() -> None:
            codes.append(first.exit_code())
            second.enter_context(running_server(f"--listen={first.listen}"))

        codes: list[int] = []
        replacement = threading.Thread(target=replace)
        outcomes = caller.segment_many(first.listen, source(), max_inflight=6, retry=patient, counts=COUNT)
        replacement.join(PATIENCE_SECONDS)
    assert codes == [0 if end is signal.SIGTERM else -signal.SIGKILL]
    assert_answered(outcomes, range(40))
