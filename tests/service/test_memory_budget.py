"""The memory budget: which images begin, which wait for memory with their regions, and which are rejected."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from superpixel_service.budgets import largest_photo_bytes
from superpixel_service.config import Settings
from superpixel_service.errors import CallCancelled, OutOfMemory
from superpixel_service.model import Lane
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.work.admission import AdmissionQueue
from superpixel_service.work.memory_budget import MemoryBudget
from tests.service.harness import RunningServer, refused, request, running_server, wait_until
from tests.service.images import raw
from tests.service.test_admission import Piece, taken_soon


def never() -> None:
    """A wait that nothing ends."""


def test_images_begin_while_any_of_them_could_still_rise_to_its_most() -> None:
    budget = MemoryBudget(100, 80)
    assert budget.may_begin(1000, 1000)  # none is in work
    budget.begin("a", 30, 35)
    assert budget.may_begin(60, 70)
    assert not budget.may_begin(60, 71)
    budget.begin("b", 10, 1000)  # may rise by 70, to the largest
    assert not budget.may_begin(1, 1)
    assert budget.raise_at_once("b", 20)  # its last charge
    assert budget.may_begin(45, 45)
    assert not budget.may_begin(46, 46)
    budget.end("a")
    assert budget.charged == 20


def test_a_charge_rises_at_once_if_there_is_room_and_never_falls() -> None:
    budget = MemoryBudget(100, 40)
    budget.begin("a", 30, 40)
    budget.begin("b", 30, 40)
    assert budget.raise_at_once("a", 70)
    assert not budget.raise_at_once("b", 31)
    assert budget.raise_at_once("a", 20)
    assert budget.charged == 100
    assert budget.raise_at_once("the server's sample", 1000)  # did not begin here
    assert budget.charged == 100


def test_images_wait_for_memory_in_the_order_in_which_they_asked() -> None:
    budget = MemoryBudget(100, 60)
    for name in ("a", "b", "c"):
        budget.begin(name, 10, 60)
    assert budget.raise_at_once("a", 60)
    done: list[str] = []

    def wait(name: str, charge: int) -> threading.Thread:
        thread = threading.Thread(
            target=lambda: (budget.raise_when_room(name, charge, never), done.append(name))
        )
        thread.start()
        return thread

    first = wait("b", 60)
    wait_until(lambda: len(budget._waiting) == 1)
    assert not budget.raise_at_once("c", 11)  # "b" asked first
    second = wait("c", 11)
    wait_until(lambda: len(budget._waiting) == 2)
    assert not done
    budget.end("a")
    for thread in (first, second):
        thread.join()
    assert sorted(done) == ["b", "c"]
    assert budget.charged == 71


def test_a_wait_for_memory_ends_with_its_call() -> None:
    budget = MemoryBudget(100, 60)
    budget.begin("a", 90, 90)
    budget.begin("b", 10, 60)

    def stop() -> None:
        raise CallCancelled

    with pytest.raises(CallCancelled):
        budget.raise_when_room("b", 20, stop)
    budget.end("a")
    assert budget.raise_at_once("b", 60)


def queue(**settings: int) -> AdmissionQueue[Piece]:
    return AdmissionQueue(
        Settings(max_image_pixels=1, max_inflight_pixels=1000, workers=4, **settings)  # type: ignore[arg-type]
    )


LARGE = 100 << 20


def test_a_worker_takes_an_image_once_there_is_memory_for_it() -> None:
    memory = queue(max_inflight_memory_bytes=3 * LARGE, max_image_memory_bytes=2 * LARGE)
    pieces = [Piece(1, Lane.INTERACTIVE, memory_to_begin=LARGE, memory_at_most=2 * LARGE) for _ in range(3)]
    for piece in pieces:
        memory.put(piece)
    assert [memory.take(Lane.INTERACTIVE) for _ in range(2)] == pieces[:2]
    taken = taken_soon(memory, Lane.INTERACTIVE)
    memory.charge_memory(pieces[0], 2 * LARGE, never)
    assert memory.memory_bytes == 3 * LARGE
    memory.finish(pieces[1])
    assert not taken  # 2 + 1, and the third may rise by 1: more than 3
    memory.finish(pieces[0])
    wait_until(lambda: taken == pieces[2:])


def test_a_second_charge_does_not_wait() -> None:
    memory = queue(max_inflight_memory_bytes=3 * LARGE, max_image_memory_bytes=3 * LARGE)
    pieces = [Piece(1, Lane.INTERACTIVE, memory_to_begin=LARGE, memory_at_most=LARGE) for _ in range(2)]
    for piece in pieces:
        memory.put(piece)
        assert memory.take(Lane.INTERACTIVE) is piece
    memory.charge_memory(pieces[0], 2 * LARGE, None)
    with pytest.raises(OutOfMemory):
        memory.charge_memory(pieces[1], 2 * LARGE, None)
    assert memory.memory_bytes == 3 * LARGE


def test_paused_bulk_work_goes_on_if_interactive_work_waits_for_its_memory() -> None:
    memory = queue(max_inflight_memory_bytes=2 * LARGE, max_image_memory_bytes=2 * LARGE)
    bulk = Piece(1, Lane.BULK, memory_to_begin=2 * LARGE)
    memory.put(bulk)
    assert memory.take(Lane.BULK) is bulk
    interactive = Piece(1, Lane.INTERACTIVE, memory_to_begin=LARGE)
    memory.put(interactive)
    assert bulk.held == ["hold"]
    taken = taken_soon(memory, Lane.INTERACTIVE)
    wait_until(lambda: bulk.held == ["hold", "release"])
    memory.finish(bulk)
    wait_until(lambda: taken == [interactive])


def test_bulk_work_waits_while_answers_of_streams_wait_to_be_read() -> None:
    room = threading.Event()
    memory = queue()
    memory.hold_back_bulk(room.is_set)
    pieces = [Piece(1, Lane.BULK), Piece(1, Lane.INTERACTIVE)]
    memory.put(pieces[0])
    taken = taken_soon(memory, Lane.BULK)
    memory.put(pieces[1])
    assert memory.take(Lane.INTERACTIVE) is pieces[1]
    memory.finish(pieces[1])
    assert not taken
    room.set()
    memory.look_again()
    wait_until(lambda: taken == pieces[:1])


# ---- a server ----------------------------------------------------------------------------------------------


def noise(side: int, seed: int = 0) -> pb.RawImage:
    return raw(np.random.default_rng(seed).integers(0, 2, (side, side), np.uint8) * 255)


MILLION = largest_photo_bytes(1_000_000)
"""Memory of a photograph of a megapixel."""


def test_an_image_with_too_many_regions_is_rejected_and_a_plain_one_of_its_size_is_served() -> None:
    flags = (f"--max-image-memory-bytes={MILLION}", "--max-image-pixels=1000000", "--workers=1")
    with running_server(*flags) as server:
        refusal = refused(lambda: server.stub.Segment(request(noise(1000), 50, compactness=0.0)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MEMORY_ABOVE_LIMIT")
        assert set(refusal.fields) == {"raw_image"}
        assert refusal.metadata["limit_bytes"] == str(MILLION)
        assert int(refusal.metadata["needed_bytes"]) > MILLION
        assert int(refusal.metadata["base_count"]) > 300_000
        assert refusal.retry_seconds is None
        assert server.stages_begun("encode") == 0
        plain = request(raw(np.zeros((1000, 1000), np.uint8)), 50)
        assert server.stub.Segment(plain).label_map.count == 50
        assert server.stub.Segment(request(noise(200), 50, compactness=0.0)).label_map.count == 50


@pytest.fixture(scope="module")
def small_answers() -> Iterator[RunningServer]:
    with running_server("--max-answer-bytes=1000000") as server:
        yield server


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"label_encoding": pb.LABEL_ENCODING_PNG, "include_regions": True}, "ANSWER_ABOVE_LIMIT"),
        (
            {"label_encoding": pb.LABEL_ENCODING_RAW_GZIP, "counts": range(30_000, 30_032)},
            "ANSWER_ABOVE_LIMIT",
        ),
        ({"label_encoding": pb.LABEL_ENCODING_SPX, "counts": range(30_000, 30_032)}, None),
        ({"label_encoding": pb.LABEL_ENCODING_PNG}, None),
    ],
)
def test_an_answer_above_the_limit_is_rejected_before_it_is_made(
    small_answers: RunningServer, asked: dict[str, Any], code: str | None
) -> None:
    asked = {"counts": (30_000,), "compactness": 0.0} | asked
    message = request(noise(400), *asked.pop("counts"), **asked)
    if code is None:
        assert len(small_answers.stub.Segment(message).SerializeToString()) < 1_000_000
        return
    before = small_answers.stages_begun("encode")
    refusal = refused(lambda: small_answers.stub.Segment(message))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, code)
    assert (set(refusal.fields), refusal.metadata["limit_bytes"]) == ({"target_counts"}, "1000000")
    assert small_answers.stages_begun("encode") == before


def test_noise_beside_noise_waits_for_memory_and_all_are_served() -> None:
    needed = 600 * 1_000_000  # one such image takes about half of this
    flags = (
        f"--max-image-memory-bytes={needed * 6 // 10}",
        f"--max-inflight-memory-bytes={needed}",
        "--max-image-pixels=1000000",
        "--workers=4",
        "--cache-bytes=0",
    )
    with running_server(*flags) as server:
        calls = [
            server.stub.Segment.future(request(noise(1000, seed), 50, compactness=0.0)) for seed in range(6)
        ]
        assert [call.result().label_map.count for call in calls] == [50] * 6
