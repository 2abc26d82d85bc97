"""`segment_many` of both clients: the course of a stream, and one answer per image."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from unittest.mock import Mock

import grpc
import numpy as np
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_service.client import (
    InvalidImage,
    InvalidRequest,
    Segmentation,
    Unavailable,
)
from superpixel_service.client.stream import StreamBook
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.harness import PATIENCE_SECONDS, RunningServer
from tests.service.images import Pixels, encoded, scene
from tests.service.scripted import (
    COUNT,
    MAX_IMAGE_BYTES,
    QUICK,
    Answers,
    Caller,
    Scripted,
    ScriptedStream,
    answered,
    assert_answered,
    image,
    images,
    number_of,
    serving,
)


def test_every_image_is_answered_over_one_call(caller: Caller) -> None:
    with serving(Scripted()) as server:
        outcomes = caller.segment_many(server.address, images(20), max_inflight=3, counts=COUNT)
    assert_answered(outcomes, range(20))
    assert len(server.calls) == 1
    # Each has an id of its own, under that of the call.
    call_id = server.metadata[0]["x-request-id"]
    assert {outcome.request_id for _, outcome in outcomes} == {f"{call_id}/{n}" for n in range(20)}


def test_an_empty_stream_makes_no_call(caller: Caller) -> None:
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


def test_at_most_max_inflight_images_are_in_flight(caller: Caller) -> None:
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
    # The test counts an answer shortly before the client reads it: at most two images, never a third.
    assert 1 <= most_ahead <= 2


def test_an_iterator_of_counts_applies_to_every_image(caller: Caller) -> None:
    asked: list[list[int]] = []

    def noting(stream: ScriptedStream) -> Answers:
        while message := stream.read():
            asked.append(list(message.request.target_counts))
            yield answered(message)

    with serving(Scripted(streams=[noting])) as server:
        caller.segment_many(server.address, images(3), max_inflight=1, counts=iter((9, COUNT)))
    assert asked == [[9, COUNT]] * 3


def test_an_image_that_cannot_be_sent_gets_its_own_error(caller: Caller, tmp_path: Path) -> None:
    large = scene(300, 200)
    assert large.nbytes > MAX_IMAGE_BYTES
    pairs = [(0, "/nowhere/photo.jpg"), (1, image(1)), (2, large), (3, large.astype(float)), (4, image(4))]
    (tmp_path / "cut.png").write_bytes(encoded(large)[:3000])
    with (tmp_path / "endless.jpg").open("wb") as endless:
        endless.truncate(1 << 40)
    unconvertible = Image.new("P", (3, 3))
    unconvertible.convert = Mock(side_effect=ValueError("no such conversion"))  # type: ignore[method-assign]
    with serving(Scripted()) as server, Image.open(tmp_path / "cut.png") as cut:
        pairs += [(5, "no\0name.jpg"), (6, cut), (7, tmp_path / "endless.jpg"), (8, unconvertible)]
        outcomes = dict(caller.segment_many(server.address, pairs, max_inflight=1, counts=COUNT))
    texts = {5: "cannot read", 6: "cannot be decoded", 7: "File too large", 8: "cannot be converted"}
    for number, text in texts.items():
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


def test_a_caller_that_stops_reading_ends_the_call(caller: Caller) -> None:
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
def test_wrong_bounds_are_rejected_before_anything_is_sent(caller: Caller, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        caller.segment_many("127.0.0.1:1", images(1), counts=COUNT, retry=QUICK, **wrong)


# ---- the rules alone --------------------------------------------------------------------------------------


def test_images_of_an_ended_call_are_sent_one_at_a_time_and_first() -> None:
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
