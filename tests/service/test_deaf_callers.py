"""Callers that ask for large answers and read none: they take bounded memory, and others are served."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from superpixel_service.budgets import SMALL_ANSWER_BYTES
from superpixel_service.contract import SERVICE
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.harness import (
    MEBIBYTE,
    PATIENCE_SECONDS,
    RunningServer,
    program_with,
    request,
    running_server,
)
from tests.service.http2 import UnreadingCaller
from tests.service.images import encoded, raw, scene

SEGMENT, STREAM = f"/{SERVICE}/Segment", f"/{SERVICE}/SegmentStream"
UNSENT_BYTES = 24 * MEBIBYTE
FLAGS = (
    f"--max-unsent-bytes={UNSENT_BYTES}",
    "--workers=1",
    "--threads-per-image=1",
    "--max-inflight-calls=64",
)
PHOTO = request(encoded(scene(640, 480), "JPEG"), 200, include_hierarchy=True)


def noise(side: int, seed: int = 0) -> pb.SegmentRequest:
    """An image whose answer is much larger than itself: about 17 bytes per pixel."""
    pixels = np.random.default_rng(seed).integers(0, 2, (side, side), np.uint8) * 255
    return request(
        raw(pixels),
        compactness=0.0,
        label_encoding=pb.LABEL_ENCODING_RAW_GZIP,
        include_hierarchy=True,
        include_regions=True,
    )


def answers(server: RunningServer) -> int:
    """Calls of `Segment` that have ended, by the server's log."""
    return sum(line["event"] == "call" and line.get("method") == "Segment" for line in server.lines)


def photo_is_served(server: RunningServer) -> None:
    response = server.stub.Segment(PHOTO, timeout=PATIENCE_SECONDS, wait_for_ready=True)
    assert response.label_map.count == 200


def growth(server: RunningServer, attack: Callable[[int], None], rounds: int) -> int:
    """The largest growth of the server's memory during the attack, with a photograph after each round."""
    photo_is_served(server)
    before = largest = server.resident_bytes()
    for number in range(rounds):
        attack(number)
        photo_is_served(server)
        largest = max(largest, server.resident_bytes())
    return largest - before


def test_cached_answers_that_are_not_read_take_bounded_memory() -> None:
    message = noise(500).SerializeToString()
    with running_server(*FLAGS, "--cache-bytes=67108864") as server, UnreadingCaller(server) as caller:
        answer = server.stub.Segment(pb.SegmentRequest.FromString(message))
        assert answer.ByteSize() > 16 * SMALL_ANSWER_BYTES
        grown = growth(server, lambda _: caller.call(SEGMENT, message), 40)
        # All answers together have four times this size.
        assert grown < UNSENT_BYTES + 24 * MEBIBYTE
        assert server.metric("superpixel_requests_rejected_total", reason="BYTES_IN_FLIGHT") >= 30


def test_computed_answers_that_are_not_read_take_bounded_memory() -> None:
    with running_server(*FLAGS) as server, UnreadingCaller(server) as caller:
        server.stub.Segment(noise(500, seed=1000))
        grown = growth(server, lambda n: caller.call(SEGMENT, noise(500, n).SerializeToString()), 24)
        assert grown < UNSENT_BYTES + 80 * MEBIBYTE
        server.wait_until(
            lambda: server.metric("superpixel_requests_rejected_total", reason="BYTES_IN_FLIGHT") >= 10
        )


def test_a_caller_that_does_not_read_makes_room_for_one_that_does() -> None:
    program = program_with({"transport.unsent.LATE_SECONDS": 0.5})
    with (
        running_server(*FLAGS, "--cache-bytes=67108864", program=program) as server,
        UnreadingCaller(server) as caller,
    ):
        wanted = noise(500)
        server.stub.Segment(wanted)
        for _ in range(4):
            caller.call(SEGMENT, wanted.SerializeToString())
        server.wait_until(
            lambda: server.metric("superpixel_requests_rejected_total", reason="BYTES_IN_FLIGHT") > 0
        )
        time.sleep(0.6)
        assert server.stub.Segment(wanted).base_count > 90_000


@pytest.mark.slow
def test_streams_that_are_not_read_take_bounded_memory_and_end() -> None:
    program = program_with({"transport.unsent.LATE_SECONDS": 2.0})
    images = [noise(500, seed).SerializeToString() for seed in range(8)]
    messages = [
        pb.SegmentStreamRequest(request=pb.SegmentRequest.FromString(image)).SerializeToString()
        for image in images
    ]
    with running_server(*FLAGS, program=program) as server, UnreadingCaller(server) as caller:
        server.stub.Segment(noise(500, seed=1000))
        streams: set[int] = set()
        grown = growth(server, lambda _: streams.add(caller.call(STREAM, *messages)), 6)
        # With the memory of a bulk worker. Without a bound the answers take 200 MiB.
        assert grown < UNSENT_BYTES + 110 * MEBIBYTE
        # Bulk work goes on, because streams that do not read are ended.
        reader = server.stub.SegmentStream(iter([pb.SegmentStreamRequest(request=PHOTO)]))
        assert next(reader).response.label_map.count == 200
        assert server.resident_bytes() > 0


@pytest.mark.slow
def test_answers_of_45_megabytes_at_one_call_per_second_take_bounded_memory() -> None:
    message = noise(1700).SerializeToString()
    with running_server("--cache-bytes=67108864") as server, UnreadingCaller(server) as caller:
        size = server.stub.Segment(pb.SegmentRequest.FromString(message)).ByteSize()
        assert size > 45_000_000

        def attack(_: int) -> None:
            caller.call(SEGMENT, message)
            time.sleep(1.0)

        assert growth(server, attack, 60) < 256 * MEBIBYTE + 100 * MEBIBYTE
