"""The queue's rules: which work runs next, unreachable deadlines, and when a rejected call may return."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import pytest

from superpixel_service.config import Settings
from superpixel_service.contract import Reason
from superpixel_service.errors import DeadlineUnreachable, Overloaded
from superpixel_service.model import Lane
from superpixel_service.work import throughput as throughput_module
from superpixel_service.work.admission import AdmissionQueue
from superpixel_service.work.caller import NOBODY, Caller
from superpixel_service.work.deadline import Deadline
from superpixel_service.work.job import Job
from superpixel_service.work.kind import Kind
from superpixel_service.work.throughput import Throughput
from tests.service.bench import bench, held_task, task
from tests.service.harness import PATIENCE_SECONDS, refused, request, wait_until
from tests.service.images import encoded, scene
from tests.service.mortal import mortal_server


@dataclass(eq=False)
class Piece:
    """Work for the queue that no engine does. It records being paused and resumed."""

    pixels: int
    lane: Lane
    byte_count: int = 1
    memory_to_begin: int = 0
    memory_at_most: int = 0
    caller: Caller = NOBODY
    kind: Kind = Kind.USUAL
    seconds_left: float | None = None
    held: list[str] = field(default_factory=list)

    def hold(self, patience: float) -> None:  # noqa: ARG002
        self.held.append("hold")

    def release(self) -> None:
        self.held.append("release")


def taken_soon(queue: AdmissionQueue[Piece], lane: Lane) -> "list[Piece | None]":
    """What a worker takes; a list that stays empty until then."""
    taken: list[Piece | None] = []
    threading.Thread(target=lambda: taken.append(queue.take(lane)), daemon=True).start()
    return taken


def test_the_worker_that_was_last_to_become_idle_gets_the_next_work() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings())
    workers: list[str] = []

    def work() -> None:
        while (piece := queue.take(Lane.INTERACTIVE)) is not None:
            workers.append(threading.current_thread().name)
            queue.finish(piece)

    def idle() -> int:
        return len(queue._idle[Lane.INTERACTIVE])

    with ThreadPoolExecutor(3) as pool:
        for number in range(3):
            pool.submit(work)
            wait_until(lambda number=number: idle() == number + 1)
        for number in range(6):
            queue.put(Piece(1, Lane.INTERACTIVE))
            wait_until(lambda number=number: len(workers) == number + 1 and idle() == 3)
        queue.close()
    assert len(set(workers)) == 1


def test_large_bulk_images_run_alone() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(bulk_alone_pixels=1000))
    small, large, last = Piece(10, Lane.BULK), Piece(1001, Lane.BULK), Piece(10, Lane.BULK)
    for piece in (small, large, last):
        queue.put(piece)
    assert queue.take(Lane.BULK) is small
    waiting = taken_soon(queue, Lane.BULK)
    also = taken_soon(queue, Lane.BULK)
    interactive = Piece(2000, Lane.INTERACTIVE)
    queue.put(interactive)
    assert queue.take(Lane.INTERACTIVE) is interactive  # large or not
    assert small.held == ["hold"]
    queue.finish(interactive)
    assert small.held == ["hold", "release"]
    time.sleep(0.05)
    assert waiting == also == []
    queue.finish(small)
    wait_until(lambda: [*waiting, *also] == [large])
    time.sleep(0.05)
    assert [*waiting, *also] == [large]
    queue.finish(large)
    wait_until(lambda: last in [*waiting, *also])


def test_bulk_work_starts_during_interactive_work_only_after_the_patience() -> None:
    for patience, begins in ((3600.0, False), (0.05, True)):
        queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(bulk_patience_seconds=patience))
        interactive, first, second = Piece(1, Lane.INTERACTIVE), Piece(1, Lane.BULK), Piece(1, Lane.BULK)
        for piece in (interactive, first, second):
            queue.put(piece)
        taken = [taken_soon(queue, Lane.BULK) for _ in range(2)]
        if begins:
            wait_until(lambda taken=taken: any(taken))
            assert first.held == ["hold"]
        time.sleep(0.2)
        assert [*taken[0], *taken[1]] == ([first] if begins else [])  # never two at a time
        assert queue.take(Lane.INTERACTIVE) is interactive
        queue.finish(interactive)
        wait_until(lambda taken=taken: len([*taken[0], *taken[1]]) == 2)
        assert first.held[1:] == (["release"] if begins else [])
        assert second.held == []


# Speed, deadlines, refusals


def learned(seconds_per_megapixel: float, images: int = 20) -> Throughput:
    speed = Throughput()
    for _ in range(images):
        # An image costs as much as thirty thousand pixels beside its own.
        speed.learn(970_000, seconds_per_megapixel, 1)
    return speed


def test_speed_is_estimated_for_the_whole_server_and_rather_too_fast() -> None:
    assert learned(2.0, images=7).seconds(1, 970_000) == 0  # too few to know
    assert learned(2.0).seconds(1, 970_000) == pytest.approx(2.0)
    assert learned(2.0).seconds(10, 9_700_000) == pytest.approx(20.0)
    speed = learned(2.0)
    for _ in range(20):
        speed.learn(970_000, 4.0, 4)  # four at once, each four seconds: one a second
    assert speed.seconds(1, 970_000) == pytest.approx(1.0)


def test_speed_is_unknown_a_minute_after_the_last_image(monkeypatch: pytest.MonkeyPatch) -> None:
    speed = learned(2.0)
    assert speed.seconds(1, 970_000) > 0
    now = time.monotonic()
    monkeypatch.setattr(throughput_module.time, "monotonic", lambda: now + 61)
    assert speed.seconds(1, 970_000) == 0


def test_unreachable_deadlines_are_rejected_before_any_work() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(), learned(1.0))
    image = Piece(970_000, Lane.INTERACTIVE)
    queue.put(replace(image, seconds_left=1.1))
    with pytest.raises(DeadlineUnreachable):
        queue.put(replace(image, seconds_left=1.9))  # one second of it waits already
    queue.put(replace(image, seconds_left=2.1))
    with pytest.raises(DeadlineUnreachable):
        queue.put(replace(image, seconds_left=2.9))
    with pytest.raises(DeadlineUnreachable):
        queue.put(replace(image, lane=Lane.BULK, seconds_left=2.9))
    queue.put(replace(image, lane=Lane.BULK, seconds_left=3.1))
    queue.put(replace(image, seconds_left=3.1))  # bulk work does not go before it
    queue.put(image)  # without a deadline there is none to miss
    assert queue.lanes()[Lane.INTERACTIVE].depth == 4


def test_queued_work_that_cannot_finish_in_time_is_not_started() -> None:
    """A worker takes it, but too little of its time is left."""
    with bench(learned(100.0)) as on:
        running = on.put(held_task(Lane.INTERACTIVE))  # an idle server would try the other one too
        job = Job(task(encoded(scene(1000, 970)), 50, Lane.INTERACTIVE), Deadline.after(30))
        assert on.queue.put_when_room(
            job, wanted=lambda: True
        )  # as an image of a stream, which waits for room
        wait_until(lambda: running.token.steps > 0)
        running.token.cancel()
        with pytest.raises(DeadlineUnreachable):
            job.future.result(PATIENCE_SECONDS)
        assert on.workers.begun()["decode", Lane.INTERACTIVE] == 1  # of the one that ran before


def test_rejections_say_when_there_will_be_room() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(max_inflight_calls=4), learned(1.0))
    for lane in (Lane.BULK, Lane.INTERACTIVE) * 2:
        queue.put(Piece(970_000, lane))
    waits = []
    for _ in range(50):
        with pytest.raises(Overloaded) as caught:
            queue.put(Piece(1, Lane.INTERACTIVE))
        waits.append(caught.value.retry_seconds)
    assert 2.0 <= min(waits) < 2.5  # half of the four seconds of work, and all of it, at random
    assert 3.5 < max(waits) <= 4.0


def test_calls_that_are_rejected_together_do_not_return_together() -> None:
    """Also if one decision rejects all of them."""
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(max_inflight_calls=4), learned(1.0))
    for _ in range(4):
        queue.put(Piece(970_000, Lane.INTERACTIVE))
    waits = [rejection.retry_seconds for _ in range(50) if (rejection := queue.expect())]
    assert len(waits) == 50
    assert 2.0 <= min(waits) < 2.5
    assert 3.5 < max(waits) <= 4.0


def test_no_call_is_admitted_that_would_wait_longer_than_max_wait_seconds() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(workers=1, max_wait_seconds=2.5), learned(1.0))
    image = Piece(970_000, Lane.INTERACTIVE)
    for _ in range(3):
        queue.put(replace(image, lane=Lane.BULK))  # does not go before interactive work
    for _ in range(3):
        assert queue.expect() is None
        queue.put(replace(image))
    for piece in (Piece(1, Lane.INTERACTIVE), Piece(1, Lane.BULK)):
        with pytest.raises(Overloaded) as caught:
            queue.put(piece)  # three seconds of work wait already
        assert caught.value.reason is Reason.QUEUE_FULL
        assert caught.value.retry_seconds is not None
        assert 3.0 <= caught.value.retry_seconds <= 6.0  # as long as the six images take, or half of that
    assert isinstance(queue.expect(), Overloaded)
    assert queue.put_when_room(Piece(1, Lane.BULK), wanted=lambda: True)  # of a stream, which waits anyway
    first = queue.take(Lane.INTERACTIVE)
    assert first is not None
    queue.finish(first)
    assert queue.expect() is None
    queue.put(replace(image))


def test_one_image_may_always_wait() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(workers=2, max_wait_seconds=0), learned(1.0))
    for taken in (0, 1, 2):  # whether the workers have taken their images makes no difference
        while queue.expect() is None:
            queue.put(Piece(970_000, Lane.INTERACTIVE))
        lane = queue.lanes()[Lane.INTERACTIVE]
        assert (lane.running, lane.depth) == (taken, 3 - taken)
        queue.take(Lane.INTERACTIVE)


def test_a_server_of_unknown_speed_does_not_limit_waits() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(max_wait_seconds=0), learned(1.0, images=7))
    for _ in range(10):
        queue.put(Piece(970_000, Lane.INTERACTIVE))
    assert queue.expect() is None


def test_a_real_server_knows_the_time_that_its_queue_needs(tmp_path: Path) -> None:
    """Its engine stalls while calls come in, so the queue is as long as the test makes it."""
    picture, length = request(encoded(scene(700, 500), "JPEG"), 50), 60
    flags = ("--workers=1", f"--max-inflight-calls={length}", "--max-wait-seconds=3600")
    with mortal_server(tmp_path, *flags) as mortal:
        server = mortal.server
        durations = []
        for _ in range(10):
            started = time.perf_counter()
            server.stub.Segment(picture)
            durations.append(time.perf_counter() - started)
        fastest = min(durations)
        mortal.order("stall")
        queued = [server.stub.Segment.future(picture) for _ in range(length - 1)]
        server.wait_until(lambda: server.metric("superpixel_queue_depth") == length - 2)

        # A deadline that the queue will not meet: the call is rejected, and no stage begins.
        def hurry() -> bool:
            """On a slow machine the deadline may pass before the call arrives; then call again."""
            hurried = server.stub.Segment.future(picture, timeout=length * fastest / 3)
            assert hurried.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            return server.metric("superpixel_requests_rejected_total", reason="DEADLINE_UNREACHABLE") > 0

        server.wait_until(hurry)
        queued.append(server.stub.Segment.future(picture, timeout=3600))
        server.wait_until(lambda: server.metric("superpixel_queue_depth") == length - 1)
        # A full queue: rejections name a time to retry, in the second half of the time that the queue needs.
        rejections = [refused(lambda: server.stub.Segment(picture)) for _ in range(10)]
        assert {rejection.reason for rejection in rejections} == {"QUEUE_FULL"}
        waits = [rejection.retry_seconds for rejection in rejections]
        assert min(filter(None, waits)) > length * fastest / 10
        assert len(set(waits)) > 1
        mortal.release()
        assert all(call.result().label_map.count == 50 for call in queued)
        assert server.stages_begun("decode") == server.stages_begun("encode") == 10 + length
