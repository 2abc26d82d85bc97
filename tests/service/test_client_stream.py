"""`segment_many` of both clients: what a stream goes through, and that each image is answered once."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_service.client import (
    DeadlineExceeded,
    InvalidImage,
    InvalidRequest,
    NotServed,
    Overloaded,
    RetryPolicy,
    Segmentation,
    Unavailable,
)
from superpixel_service.client.stream import StreamBook
from superpixel_service.contract import Reason
from superpixel_service.errors import Draining, ServiceError
from superpixel_service.errors import InvalidRequest as ServerInvalidRequest
from superpixel_service.errors import Overloaded as ServerOverloaded
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.harness import PATIENCE_SECONDS, RunningServer, running_server
from tests.service.images import Pixels, encoded, scene
from tests.service.scripted import (
    COUNT,
    MAX_IMAGE_BYTES,
    QUICK,
    Caller,
    Outcome,
    Scripted,
    ScriptedStream,
    StreamScript,
    answered,
    answers_all,
    image,
    number_of,
    serving,
    with_error,
)

Answers = Iterator[pb.SegmentStreamResponse]


@pytest.fixture(params=["sync", "async"])
def caller(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


def images(count: int) -> list[tuple[int, Pixels]]:
    return [(number, image(number)) for number in range(count)]


def assert_answered(outcomes: Iterable[tuple[int, Outcome]], numbers: Iterable[int]) -> None:
    """Each of those images has its own answer, once; nothing else has any."""
    by_number = sorted(outcomes, key=lambda pair: pair[0])
    assert [number for number, _ in by_number] == sorted(numbers)
    for number, outcome in by_number:
        assert isinstance(outcome, Segmentation), outcome
        assert outcome.labels.shape == (15, 20 + number)
        assert outcome.count == COUNT


def test_every_image_is_answered_over_one_call(caller: Caller) -> None:
    with serving(Scripted()) as server:
        outcomes = caller.segment_many(server.address, images(20), max_inflight=3, counts=COUNT)
    assert_answered(outcomes, range(20))
    assert len(server.calls) == 1
    # Each has an id of its own, under that of the call.
    call_id = server.metadata[0]["x-request-id"]
    assert {outcome.request_id for _, outcome in outcomes} == {f"{call_id}/{n}" for n in range(20)}


def test_nothing_to_send_makes_no_call(caller: Caller) -> None:
    with serving(Scripted()) as server:
        assert caller.segment_many(server.address, [], counts=COUNT) == []
    assert server.calls == []


def test_answers_come_in_finishing_order(caller: Caller) -> None:
    def last_first(stream: ScriptedStream) -> Answers:
        yield answered(stream.read())
        messages = [stream.read() for _ in range(3)]
        yield from map(answered, reversed(messages))

    with serving(Scripted(streams=[last_first])) as server:
        outcomes = caller.segment_many(server.address, images(4), counts=COUNT)
    assert [number for number, _ in outcomes] == [0, 3, 2, 1]


def test_no_more_than_asked_for_are_on_the_way(caller: Caller) -> None:
    taken: list[int] = []

    def source() -> Iterator[tuple[int, Pixels]]:
        for pair in images(9):
            taken.append(pair[0])
            yield pair

    most_ahead = 0

    def counting(stream: ScriptedStream) -> Answers:
        nonlocal most_ahead
        for done in range(9):
            message = stream.read()
            most_ahead = max(most_ahead, len(taken) - done)
            yield answered(message)

    with serving(Scripted(streams=[counting])) as server:
        outcomes = caller.segment_many(server.address, source(), max_inflight=2, counts=COUNT)
    assert_answered(outcomes, range(9))
    # An answer is counted here a little before it is read there: at most the two, never a third.
    assert 1 <= most_ahead <= 2


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
    # What was answered was not sent again, what was not was.
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


def test_a_stream_ended_as_if_all_were_well_is_gone_on_with(caller: Caller) -> None:
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


def test_an_image_that_ends_every_call_is_given_up_even_where_it_is_alone(caller: Caller) -> None:
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


def test_when_no_server_is_left_not_the_image_is_to_blame(caller: Caller) -> None:
    def stops(stream: ScriptedStream) -> Answers:
        threading.Thread(target=stream.server.stop).start()
        stream.server.cancelled.wait(PATIENCE_SECONDS)
        yield from ()

    policy = RetryPolicy(max_attempts=3, first_backoff_seconds=0.02)
    with serving(Scripted(streams=[stops])) as server, pytest.raises(Unavailable):
        caller.segment_many(server.address, images(3), retry=policy, max_inflight=1, counts=COUNT)
    assert server.received == []


def test_counts_that_can_be_read_but_once_hold_for_every_image(caller: Caller) -> None:
    asked: list[list[int]] = []

    def noting(stream: ScriptedStream) -> Answers:
        while message := stream.read():
            asked.append(list(message.request.target_counts))
            yield answered(message)

    with serving(Scripted(streams=[noting])) as server:
        caller.segment_many(server.address, images(3), max_inflight=1, counts=iter((9, COUNT)))
    assert asked == [[9, COUNT]] * 3


def test_when_no_server_answers_any_more_all_is_given_up(caller: Caller) -> None:
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


def test_a_server_without_streams_is_told_at_once(caller: Caller) -> None:
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
        with pytest.raises(DeadlineExceeded, match=r"no answer for 0\.2 s, with 1 images"):
            caller.segment_many(server.address, images(2), timeout=0.2, counts=COUNT)
        assert server.cancelled.wait(PATIENCE_SECONDS)


def test_what_cannot_be_sent_is_its_own_error(caller: Caller, tmp_path: Path) -> None:
    large = scene(300, 200)
    assert large.nbytes > MAX_IMAGE_BYTES
    pairs = [(0, "/nowhere/photo.jpg"), (1, image(1)), (2, large), (3, large.astype(float)), (4, image(4))]
    (tmp_path / "cut.png").write_bytes(encoded(large)[:3000])
    with (tmp_path / "endless.jpg").open("wb") as endless:
        endless.truncate(1 << 40)
    with serving(Scripted()) as server, Image.open(tmp_path / "cut.png") as cut:
        pairs += [(5, "no\0name.jpg"), (6, cut), (7, tmp_path / "endless.jpg")]
        outcomes = dict(caller.segment_many(server.address, pairs, max_inflight=1, counts=COUNT))
    for number, text in ((5, "cannot read"), (6, "cannot be decoded"), (7, "File too large")):
        refused = outcomes.pop(number)
        assert isinstance(refused, InvalidImage)
        assert text in refused.message
    missing, too_large, no_image = outcomes.pop(0), outcomes.pop(2), outcomes.pop(3)
    assert isinstance(missing, InvalidImage)
    assert "/nowhere/photo.jpg: No such file" in missing.message
    assert isinstance(too_large, InvalidRequest)
    assert (too_large.reason, too_large.metadata) == (
        "IMAGE_TOO_MANY_BYTES",
        {"limit_bytes": str(MAX_IMAGE_BYTES)},
    )
    assert isinstance(no_image, InvalidImage)
    assert_answered(outcomes.items(), [1, 4])
    assert server.received == [1, 4]


def test_whoever_stops_listening_ends_the_call(caller: Caller) -> None:
    with serving(Scripted()) as server:
        outcomes = caller.segment_many(server.address, images(50), most=2, max_inflight=2, counts=COUNT)
        assert len(outcomes) == 2
        assert server.cancelled.wait(PATIENCE_SECONDS)
    assert len(server.received) <= 5


def test_an_error_of_the_callers_own_images_reaches_the_caller(caller: Caller) -> None:
    def source() -> Iterator[tuple[int, Pixels]]:
        yield 0, image(0)
        raise KeyError("of the caller's own")

    with serving(Scripted()) as server, pytest.raises(KeyError):
        caller.segment_many(server.address, source(), max_inflight=1, counts=COUNT)


@pytest.mark.parametrize("wrong", [{"max_inflight": 0}, {"timeout": 0}])
def test_wrong_bounds_are_refused_before_anything_is_sent(caller: Caller, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        caller.segment_many("127.0.0.1:1", images(1), counts=COUNT, retry=QUICK, **wrong)


# ---- the rules alone --------------------------------------------------------------------------------------


def test_images_of_a_call_that_ended_go_one_by_one_and_before_the_others() -> None:
    book: StreamBook[int] = StreamBook(QUICK, max_inflight=4, patience_seconds=9)
    book.max_image_bytes = MAX_IMAGE_BYTES
    clock = 100.0

    def sent() -> list[pb.SegmentStreamRequest]:
        return list(book.due(clock))

    def numbers(messages: Iterable[pb.SegmentStreamRequest]) -> list[int]:
        return [number_of(message) for message in messages]

    def answer(message: pb.SegmentStreamRequest) -> None:
        outcome = book.answered(answered(message), clock)
        assert outcome is not None
        assert outcome[0] == number_of(message)

    def take(*wanted: int) -> None:
        for number in wanted:
            assert book.take(number, image(number), {"counts": COUNT}) is None

    take(0, 1, 2, 3)
    assert not book.has_room
    (first,) = sent()
    assert sent() == []
    answer(first)
    take(4)
    assert numbers(sent()) == [1, 2, 3, 4]

    assert book.ended(Unavailable(grpc.StatusCode.UNAVAILABLE, "", retry_seconds=2), clock) == []
    assert sent() == []
    assert 102 < book.next_at() <= 103
    clock = book.next_at()
    (first,) = sent()
    answer(first)
    take(5)
    for number in (2, 3, 4):
        (message,) = sent()
        assert number_of(message) == number
        answer(message)
    take(6)
    assert numbers(sent()) == [5, 6]
    assert book.next_at() == float("inf")


# ---- the real server --------------------------------------------------------------------------------------


def test_the_real_server(server: RunningServer, caller: Caller) -> None:
    pairs: list[tuple[int, object]] = [*images(12)]
    pairs[3] = 3, b"no image"
    pairs[7] = 7, bytes(3_000_001)
    outcomes = dict(caller.segment_many(server.listen, pairs, max_inflight=4, counts=COUNT))
    undecodable, too_large = outcomes.pop(3), outcomes.pop(7)
    assert isinstance(undecodable, InvalidRequest)
    assert undecodable.reason == "IMAGE_FORMAT_NOT_ALLOWED"
    assert isinstance(too_large, InvalidRequest)
    assert too_large.reason == "IMAGE_TOO_MANY_BYTES"
    assert_answered(outcomes.items(), [0, 1, 2, 4, 5, 6, 8, 9, 10, 11])
    for number, outcome in outcomes.items():
        assert isinstance(outcome, Segmentation)
        assert np.array_equal(outcome.labels, kernels.segment(image(number)).cut(COUNT))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_real_server_is_replaced(caller: Caller, end: signal.Signals) -> None:
    patient = RetryPolicy(max_attempts=2000, first_backoff_seconds=0.02, max_backoff_seconds=0.1)
    with running_server() as first, ExitStack() as second:

        def source() -> Iterator[tuple[int, Pixels]]:
            yield from images(20)
            # By now some are answered and some are on the way.
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
