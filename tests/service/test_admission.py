"""The queue's rules: which work runs next, deadlines that cannot be met, and rejections that say when to come back."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import grpc
import pytest

from superpixel_service.config import Settings
from superpixel_service.contract import Reason
from superpixel_service.errors import DeadlineUnreachable, Overloaded
from superpixel_service.model import Lane
from superpixel_service.work import throughput as throughput_module
from superpixel_service.work.admission import AdmissionQueue
from superpixel_service.work.deadline import Deadline
from superpixel_service.work.job import Job
from superpixel_service.work.throughput import Throughput
from tests.service.bench import task, workers_with
from tests.service.harness import PATIENCE_SECONDS, begun, refusal_of, request, running_server, wait_until
from tests.service.images import encoded, scene


@dataclass(eq=False)
class Piece:
    """Work without an engine, for the queue's own rules."""

    pixels: int
    lane: Lane
    byte_count: int = 1
    seconds_left: float | None = None
    held: list[str] = field(default_factory=list)

    def hold(self, patience: float) -> None:  # noqa: ARG002
        self.held.append("hold")

    def release(self) -> None:
        self.held.append("release")


def taken_soon(queue: AdmissionQueue[Piece], lane: Lane) -> "list[Piece | None]":
    """What a worker takes, once it does."""
    taken: list[Piece | None] = []
    threading.Thread(target=lambda: taken.append(queue.take(lane)), daemon=True).start()
    return taken


def test_the_worker_that_worked_last_is_the_next_to_work() -> None:
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


def test_beside_interactive_work_bulk_work_is_begun_only_when_it_stood_still_for_long() -> None:
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


def learned(seconds_a_megapixel: float, images: int = 20) -> Throughput:
    speed = Throughput()
    for _ in range(images):
        # Thirty thousand pixels are what an image costs beside its own.
        speed.learn(970_000, seconds_a_megapixel, 1)
    return speed


def test_speed_is_that_of_the_whole_server_and_rather_too_high() -> None:
    assert learned(2.0, images=7).seconds(1, 970_000) == 0  # too few to know
    assert learned(2.0).seconds(1, 970_000) == pytest.approx(2.0)
    assert learned(2.0).seconds(10, 9_700_000) == pytest.approx(20.0)
    speed = learned(2.0)
    for _ in range(20):
        speed.learn(970_000, 4.0, 4)  # four at once, each four seconds: one a second
    assert speed.seconds(1, 970_000) == pytest.approx(1.0)


def test_what_was_slow_a_minute_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    speed = learned(2.0)
    assert speed.seconds(1, 970_000) > 0
    now = time.monotonic()
    monkeypatch.setattr(throughput_module.time, "monotonic", lambda: now + 61)
    assert speed.seconds(1, 970_000) == 0


def test_a_deadline_that_cannot_be_met_is_refused_before_work_is_spent() -> None:
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


def test_what_cannot_be_done_in_time_any_more_is_not_begun() -> None:
    """Its turn comes, but what is left is too little."""
    on = workers_with(Settings(workers=1, cache_bytes=0), learned(100.0))
    job = Job(task(encoded(scene(1000, 970)), 50, Lane.INTERACTIVE), Deadline.after(30))
    assert on.queue.put_when_room(job, wanted=lambda: True)  # as an image of a stream, which waits for room
    with pytest.raises(DeadlineUnreachable):
        job.future.result(PATIENCE_SECONDS)
    assert on.workers.begun()["decode", Lane.INTERACTIVE] == 0
    on.queue.close()
    on.workers.stop()


def test_refusals_tell_when_there_will_be_room() -> None:
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


def test_nobody_waits_longer_than_said() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(workers=1, max_wait_seconds=2.5), learned(1.0))
    image = Piece(970_000, Lane.INTERACTIVE)
    for _ in range(3):
        queue.put(replace(image, lane=Lane.BULK))  # does not go before interactive work
    for _ in range(3):
        assert queue.overloaded() is None
        queue.put(replace(image))
    for piece in (Piece(1, Lane.INTERACTIVE), Piece(1, Lane.BULK)):
        with pytest.raises(Overloaded) as caught:
            queue.put(piece)  # three seconds of work wait already
        assert caught.value.reason is Reason.QUEUE_FULL
        assert caught.value.retry_seconds is not None
        assert 3.0 <= caught.value.retry_seconds <= 6.0  # as long as the six images take, or half of that
    assert isinstance(queue.overloaded(), Overloaded)
    assert queue.put_when_room(Piece(1, Lane.BULK), wanted=lambda: True)  # of a stream, which waits anyway
    first = queue.take(Lane.INTERACTIVE)
    assert first is not None
    queue.finish(first)
    assert queue.overloaded() is None
    queue.put(replace(image))


def test_one_may_wait_however_long_it_takes() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(workers=2, max_wait_seconds=0), learned(1.0))
    for taken in (0, 1, 2):  # whether the workers have come to what is theirs makes no difference
        while queue.overloaded() is None:
            queue.put(Piece(970_000, Lane.INTERACTIVE))
        lane = queue.lanes()[Lane.INTERACTIVE]
        assert (lane.running, lane.depth) == (taken, 3 - taken)
        queue.take(Lane.INTERACTIVE)


def test_of_a_server_whose_speed_is_not_known_nobody_knows_the_wait() -> None:
    queue: AdmissionQueue[Piece] = AdmissionQueue(Settings(max_wait_seconds=0), learned(1.0, images=7))
    for _ in range(10):
        queue.put(Piece(970_000, Lane.INTERACTIVE))
    assert queue.overloaded() is None


def test_a_deadline_that_the_queue_will_not_meet_on_a_real_server() -> None:
    """The work saved is counted: stages begun, and images that came to no stage."""
    picture = encoded(scene(1400, 1000), "JPEG")
    with running_server("--workers=1") as server:
        for _ in range(10):
            server.stub.Segment(request(picture, 50))
        queued = [server.stub.Segment.future(request(picture, 50)) for _ in range(40)]
        server.wait_until(lambda: server.metric("superpixel_queue_depth") >= 30)
        hurried = server.stub.Segment.future(request(picture, 50), timeout=0.4)
        assert hurried.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        server.wait_until(
            lambda: server.metric("superpixel_requests_rejected_total", reason="DEADLINE_UNREACHABLE") == 1
        )
        patient = server.stub.Segment.future(request(picture, 50), timeout=600)
        assert patient.result().label_map.count == 50
        assert all(call.result().label_map.count == 50 for call in queued)
        assert begun(server, "decode") == begun(server, "encode") == 51


def test_a_full_server_tells_the_time_its_queue_needs() -> None:
    picture = encoded(scene(1400, 1000), "JPEG")
    with running_server("--workers=1", "--max-inflight-calls=40") as server:
        for _ in range(10):
            server.stub.Segment(request(picture, 50))
        with ThreadPoolExecutor(80) as pool:

            def call() -> float:
                try:
                    server.stub.Segment(request(picture, 50))
                except grpc.RpcError as error:
                    return refusal_of(error).retry_seconds or 0.0
                return 0.0

            waits = [wait for wait in pool.map(lambda _: call(), range(80)) if wait]
    assert waits
    # Forty images of 1.4 megapixels take longer than the 0.2 s that an idle server would have said.
    assert max(waits) > 0.3
    assert len(set(waits)) > 1
