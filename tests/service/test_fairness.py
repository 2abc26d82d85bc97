"""Several callers on one server: turns, limits and caches per token, streams that are idle."""

import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from superpixel_service.client import Client
from superpixel_service.contract import SCOPES, SEGMENT
from superpixel_service.model import Lane
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.security.tokens import line_of, new_token
from superpixel_service.work.throughput import Throughput
from tests.service import held
from tests.service.bench import bench, task
from tests.service.harness import (
    PATIENCE_SECONDS,
    RunningServer,
    refusal_of,
    refused,
    request,
    running_server,
    wait_until,
)
from tests.service.http2 import silent_calls
from tests.service.images import encoded, png_chunk, raw, scene
from tests.service.streams import SMALL, named, open_stream
from tests.service.test_auth import bearer
from tests.service.test_decode_cost import empty_blocks

TOKENS = {name: new_token() for name in ("attacker", "victim")}
ATTACKER, VICTIM = (bearer(token) for token in TOKENS.values())


@contextmanager
def two_tenants(tmp_path: Path, *flags: str, **options: Any) -> Iterator[RunningServer]:
    """A server with a token for each of two callers."""
    path = tmp_path / "tokens"
    path.write_text("".join(line_of(name, SCOPES.values(), token) + "\n" for name, token in TOKENS.items()))
    path.chmod(0o600)
    with running_server(f"--token-file={path}", *flags, **options) as server:
        yield server


@contextmanager
def flood(server: RunningServer, message: pb.SegmentRequest, callers: int, metadata: Any) -> Iterator[None]:
    """Callers that send `message` again and again, also after rejections."""
    stop = threading.Event()

    def call() -> None:
        with server.open_channel(("grpc.use_local_subchannel_pool", 1)) as channel:
            segment = channel.unary_unary(
                SEGMENT,
                request_serializer=pb.SegmentRequest.SerializeToString,
            )
            while not stop.is_set():
                try:
                    segment(message, metadata=metadata, timeout=PATIENCE_SECONDS)
                except grpc.RpcError:
                    stop.wait(0.02)

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def refined_noise(seed: int = 0) -> pb.SegmentRequest:
    """An image that takes many times as long as a photograph of its size."""
    pixels = np.random.default_rng(seed).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    return request(encoded(pixels), 120_000)


def slow_to_decode(height: int = 4_000) -> bytes:
    """A PNG one pixel wide, with as many empty deflate blocks as the server accepts."""
    rows = bytes(4 * height)
    whole = zlib.compress(rows)
    blocks = (len(rows) // 64 + 16 * height + (1 << 16)) // 23 * 2
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, height, 8, 2, 0, 0, 0))
    data = png_chunk(b"IDAT", whole[:2] + empty_blocks(blocks) + whole[2:])
    return b"\x89PNG\r\n\x1a\n" + header + data + png_chunk(b"IEND", b"")


# Turns


@pytest.mark.parametrize(
    ("callers", "calls"), [(8, 5), pytest.param(40, 100, marks=pytest.mark.slow)], ids=["small", "whole"]
)
def test_callers_with_refined_noise_do_not_starve_another_token(
    tmp_path: Path, callers: int, calls: int
) -> None:
    """Each call of the victim waits for the image in work and at most one more, not for the queue."""
    photographs = [request(encoded(scene(640, 480, seed), "JPEG"), 400, 100) for seed in range(8)]
    flags = ("--workers=1", "--threads-per-image=1")
    with two_tenants(tmp_path, *flags) as server:
        alone = [timed(server, photographs[number % 8]) for number in range(calls)]
        with flood(server, refined_noise(), callers, ATTACKER):
            server.wait_until(lambda: server.metric("superpixel_queue_depth") >= min(callers - 1, 4))
            before = server.stages_begun("decode")
            beside = [timed(server, photographs[number % 8]) for number in range(calls)]
            begun = server.stages_begun("decode") - before - calls
        print(f"{begun:.0f} images of the attacker during {calls} calls of the victim")
        for name, seconds in (("alone", alone), ("beside", beside)):
            print(f"victim {name}: p50 {1e3 * np.median(seconds):.0f} ms, max {1e3 * max(seconds):.0f} ms")
        # One begins while the victim's call arrives or its answer is on its way, one before its turn.
        assert begun <= 3 * calls + 3


def timed(server: RunningServer, message: pb.SegmentRequest) -> float:
    """Seconds of one call of the victim, which must succeed at once."""
    started = time.perf_counter()
    assert server.stub.Segment(message, metadata=VICTIM, timeout=PATIENCE_SECONDS).label_map.count == 400
    return time.perf_counter() - started


def test_without_tokens_refined_noise_leaves_room_for_photographs() -> None:
    """All from one address: the victim waits, and is not rejected for ever."""
    photograph = request(encoded(scene(640, 480), "JPEG"), 400, 100)
    with running_server("--workers=1", "--max-wait-seconds=1") as server:
        for _ in range(10):
            server.stub.Segment(photograph)
        with flood(server, refined_noise(), 8, None):
            server.wait_until(lambda: server.metric("superpixel_queue_depth") >= 2)
            answered = 0

            def is_answered() -> bool:
                nonlocal answered
                try:
                    answered += server.stub.Segment(photograph).label_map.count == 400
                except grpc.RpcError as error:
                    assert refusal_of(error).reason == "QUEUE_FULL"  # noqa: PT017
                return answered >= 5

            wait_until(is_answered)


def test_an_idle_server_serves_calls_after_files_that_are_slow_to_decode() -> None:
    """They make the estimate too high; calls with deadlines are tried nevertheless, and correct it."""
    throughput = Throughput()
    photograph = task(encoded(scene(1000, 970), "JPEG"), 50, Lane.INTERACTIVE)
    with bench(throughput=throughput) as on:
        slow = task(slow_to_decode(), 1, Lane.INTERACTIVE)
        for _ in range(10):
            on.put(slow).future.result(PATIENCE_SECONDS)
        poisoned = throughput.seconds(1, photograph.pixels)
        assert poisoned > 0
        started = time.monotonic()
        on.put(photograph, deadline=max(0.9 * poisoned, 1.0)).future.result(PATIENCE_SECONDS)
        took = time.monotonic() - started
        corrected = throughput.seconds(1, photograph.pixels)
        print(f"estimate {poisoned:.2f} s, took {took:.2f} s, then {corrected:.2f} s")
        assert corrected < max(poisoned, 3 * took)


@pytest.mark.slow
def test_42_megabytes_of_slow_files_do_not_make_an_idle_server_reject_deadlines() -> None:
    """On a real server; without the correction it rejected such deadlines for 50 s."""
    slow = request(slow_to_decode(40_000), 1)
    photograph = request(encoded(scene(4000, 3000), "JPEG"), 400)
    with running_server("--workers=2") as server:
        sent = 0
        while sent < 42_000_000:
            server.stub.Segment(slow)
            sent += len(slow.encoded_image)
        for _ in range(10):
            assert server.stub.Segment(photograph, timeout=60).label_map.count == 400


# Limits


def test_one_token_may_open_three_quarters_of_the_streams(tmp_path: Path) -> None:
    with two_tenants(tmp_path, "--max-streams=4") as server:
        streams = [open_stream(server, named(str(n)), metadata=ATTACKER) for n in range(3)]
        for stream in streams:
            assert next(stream.__enter__()).request_id
        with pytest.raises(grpc.RpcError) as caught:
            list(server.stub.SegmentStream(iter([named("4")]), metadata=ATTACKER))
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOKEN_LIMIT")
        assert refusal.metadata == {"limit": "max_streams_per_token"}
        assert "max_streams_per_token" in refusal.text
        assert refusal.retry_seconds is not None
        assert len(list(server.stub.SegmentStream(iter([named("1")]), metadata=VICTIM))) == 1
        for stream in streams:
            stream.__exit__(None, None, None)
        server.wait_until(lambda: server.metric("superpixel_streams") == 0)
        assert len(list(server.stub.SegmentStream(iter([named("1")]), metadata=ATTACKER))) == 1


def test_silent_calls_of_one_token_leave_room_for_another(tmp_path: Path) -> None:
    """The calls send no message. They may be as many as the setting says."""
    with (
        two_tenants(tmp_path, "--max-calls-per-token=5", "--max-inflight-calls=4") as server,
        silent_calls() as silent,
        server.open_channel() as channel,
    ):
        begun = [silent.begin(channel, SEGMENT, metadata=ATTACKER) for _ in range(20)]
        server.wait_until(lambda: sum(call.done() for call in begun) == 15)
        refusals = [refused(call.result) for call in begun if call.done()]
        assert {refusal.reason for refusal in refusals} == {"TOKEN_LIMIT"}
        assert {refusal.metadata["limit"] for refusal in refusals} == {"max_calls_per_token"}
        assert server.stub.Segment(SMALL, metadata=VICTIM).label_map.count == 5


def test_an_idle_stream_ends_and_makes_room(tmp_path: Path) -> None:
    with (
        two_tenants(tmp_path, "--stream-idle-seconds=1", "--max-streams=1") as server,
        open_stream(server, named("1"), metadata=ATTACKER) as stream,
    ):
        assert next(stream).request_id == "1"
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_IDLE")
        assert "stream_idle_seconds" in refusal.text
        assert refusal.retry_seconds == 0
        assert server.wait_for_line("idle_streams")["calls"] == 1
        server.wait_until(lambda: server.metric("superpixel_streams") == 0)
        assert len(list(server.stub.SegmentStream(iter([named("1")]), metadata=VICTIM))) == 1


def test_a_stream_whose_answers_are_not_read_ends(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8)
    message = request(
        raw(noise), include_hierarchy=True, include_regions=True, label_encoding=pb.LABEL_ENCODING_RAW_GZIP
    )
    flags = ("--stream-idle-seconds=1", "--stream-max-inflight=2")
    with (
        two_tenants(tmp_path, *flags) as server,
        open_stream(server, *(named(str(n), message) for n in range(40)), metadata=ATTACKER) as stream,
    ):
        assert server.wait_for_line("idle_streams")["calls"] == 1
        server.wait_until(lambda: server.metric("superpixel_streams") == 0)
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
        assert caught.value.code() in {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}


def test_a_stream_that_waits_for_the_server_is_not_idle(tmp_path: Path) -> None:
    flags = ("--workers=1", "--stream-idle-seconds=1", "--max-inflight-calls=1")
    with two_tenants(tmp_path, *flags, program=held.PROGRAM) as server:
        blocking = server.stub.Segment.future(request(held.image(), 5), metadata=VICTIM)
        server.wait_until_working()
        with open_stream(server, named("waits"), metadata=ATTACKER) as stream:
            server.wait_until(lambda: server.metric("superpixel_stream_images") == 1)
            time.sleep(1.5)
            assert server.metric("superpixel_streams") == 1
            blocking.cancel()
            assert next(stream).response.label_map.count == 5


def test_the_client_continues_after_an_idle_stream() -> None:
    picture = encoded(scene())

    def images() -> Iterator[tuple[int, bytes]]:
        yield 1, picture
        server.wait_for_line("idle_streams")
        yield 2, picture

    with running_server("--stream-idle-seconds=1") as server, Client(server.listen) as client:
        results = dict(client.segment_many(images(), counts=5, max_inflight=1))
    assert [results[key].count for key in (1, 2)] == [5, 5]


# Caches


def origin(server: RunningServer, message: pb.SegmentRequest, metadata: Any) -> str:
    _, done = server.stub.Segment.with_call(message, metadata=metadata)
    return dict(done.trailing_metadata())["x-superpixel-cache"]


def test_answers_are_not_shared_between_tokens(tmp_path: Path) -> None:
    message = request(encoded(scene(seed=61)), 5)
    with two_tenants(tmp_path, "--workers=1", "--cache-bytes=1000000", program=held.PROGRAM) as server:
        assert [origin(server, SMALL, VICTIM) for _ in range(2)] == ["miss", "hit"]
        assert [origin(server, SMALL, ATTACKER) for _ in range(2)] == ["miss", "hit"]
        # A stream uses the cache of its own token only.
        before = server.stages_begun("decode")
        origin(server, message, VICTIM)
        for metadata in (VICTIM, ATTACKER):
            assert len(list(server.stub.SegmentStream(iter([named("1", message)]), metadata=metadata))) == 1
        assert server.stages_begun("decode") == before + 2
        # Nor are simultaneous calls.
        blocking = server.stub.Segment.future(request(held.image(), 5), metadata=VICTIM)
        server.wait_until_working()
        same = request(encoded(scene(seed=62)), 5)
        callers = (VICTIM, ATTACKER, VICTIM, ATTACKER)
        calls = [server.stub.Segment.future(same, metadata=metadata) for metadata in callers]
        server.wait_until_working(waiting=2)
        server.wait_until(lambda: server.metric("grpc_server_started_total", grpc_method="Segment") == 10)
        blocking.cancel()
        origins = [dict(call.trailing_metadata())["x-superpixel-cache"] for call in calls if call.result()]
        assert sorted(origins[::2]) == sorted(origins[1::2]) == ["miss", "shared"]


def test_one_tokens_answers_do_not_evict_another_ones(tmp_path: Path) -> None:
    with two_tenants(tmp_path, "--cache-bytes=200000") as server:
        assert origin(server, SMALL, VICTIM) == "miss"
        for seed in range(60):
            assert origin(server, request(raw(scene(seed=100 + seed)), 5), ATTACKER) == "miss"
        assert server.metric("superpixel_cache_bytes") < 200_000
        assert origin(server, request(raw(scene(seed=100)), 5), ATTACKER) == "miss"  # evicted by its own
        assert origin(server, SMALL, VICTIM) == "hit"
