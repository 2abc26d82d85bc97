"""The two lanes: interactive work goes before bulk work.

The order is read from the kernels' steps of each image, not from the clock.
"""

import time
from pathlib import Path

import numpy as np
import pytest

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service.errors import CallCancelled
from superpixel_service.model import Lane
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service import held
from tests.service.bench import bench, held_task, task
from tests.service.harness import PATIENCE_SECONDS, request, running_server, wait_until
from tests.service.images import encoded, raw, scene

SMALL = request(raw(scene()), 5)


def test_while_interactive_work_is_in_flight_no_step_of_bulk_work_begins() -> None:
    small = task(encoded(scene(400, 300)), 50, Lane.INTERACTIVE)
    with bench(bulk_patience_seconds=3600) as on:
        bulk = on.put(held_task(Lane.BULK))
        steps: list[tuple[int, int]] = []
        for at_least in (3, 12, 20, 40):
            wait_until(lambda least=at_least: bulk.token.steps >= least)
            first, second = on.put(small), on.put(small)
            begun = bulk.token.steps
            ended: list[int] = []
            first.future.add_done_callback(lambda _, ended=ended: ended.append(bulk.token.steps))
            second.future.result(PATIENCE_SECONDS)
            steps.append((begun, *ended))  # type: ignore[arg-type]
            assert not bulk.future.done()
        on.released.set()
        answer = bulk.future.result(PATIENCE_SECONDS)
    assert [before for before, _ in steps] == [after for _, after in steps]
    assert len({before for before, _ in steps}) == 4  # it advanced in between
    assert codec.decode(answer.label_map.data).count == 5
    assert answer.stages.queue > 0


def test_paused_bulk_work_gives_the_same_answer_and_counts_its_wait_as_queue_time() -> None:
    source = encoded(scene(500, 400))
    with bench(bulk_patience_seconds=3600, workers=2) as on:
        alone = on.put(task(source, 60, Lane.BULK)).future.result(PATIENCE_SECONDS)
        blocking = on.put(held_task(Lane.INTERACTIVE))
        bulk = on.put(task(source, 60, Lane.BULK))
        begun = time.monotonic()
        wait_until(lambda: blocking.token.steps > 10)
        assert bulk.token.steps == 0  # it is not begun
        waited = time.monotonic() - begun
        blocking.token.cancel()
        paused = bulk.future.result(PATIENCE_SECONDS)
    assert paused.label_map.data == alone.label_map.data
    assert paused.stages.queue >= waited


def test_bulk_work_advances_after_its_patience() -> None:
    """It advances step by step beside interactive work without pause, and new bulk work begins."""
    with bench(bulk_patience_seconds=0.02) as on:
        bulk = on.put(held_task(Lane.BULK))
        wait_until(lambda: bulk.token.steps >= 3)
        blocking = on.put(held_task(Lane.INTERACTIVE))
        begun = bulk.token.steps
        wait_until(lambda: bulk.token.steps >= begun + 3)
        assert not blocking.future.done()
        bulk.token.cancel()
        late = on.put(held_task(Lane.BULK))
        wait_until(lambda: late.token.steps >= 3)
        assert not blocking.future.done()


def test_cancelled_bulk_work_begins_no_further_step_while_paused() -> None:
    with bench(bulk_patience_seconds=3600) as on:
        bulk = on.put(held_task(Lane.BULK))
        wait_until(lambda: bulk.token.steps >= 5)
        blocking = on.put(held_task(Lane.INTERACTIVE))
        begun = bulk.token.steps
        wait_until(lambda: bulk.token.waiting)
        on.answers.give_up(bulk)
        with pytest.raises(CallCancelled):
            bulk.future.result(PATIENCE_SECONDS)
        assert bulk.token.steps == begun
        assert not blocking.future.done()


def test_a_cancelled_job_begins_no_further_step() -> None:
    with bench() as on:
        job = on.put(held_task(Lane.INTERACTIVE))
        wait_until(lambda: job.token.steps >= 20)
        on.answers.give_up(job)
        begun = job.token.steps
        with pytest.raises(CallCancelled):
            job.future.result(PATIENCE_SECONDS)
        assert job.token.steps == begun


def test_interactive_calls_overtake_a_bulk_stream(tmp_path: Path) -> None:
    """On a real server with bulk images running and waiting."""
    slow = request(held.image(), 7)
    flags = ("--workers=1", "--bulk-patience-seconds=3600")
    environment = {held.RELEASE: str(tmp_path / "go")}
    with running_server(*flags, program=held.PROGRAM, environment=environment) as server:
        wanted = [pb.SegmentStreamRequest(request=each) for each in (slow, slow, SMALL)]
        stream = server.stub.SegmentStream(iter(wanted))
        server.wait_until(lambda: server.stages_begun("segment", lane="bulk") >= 1)
        blocking = server.stub.Segment.future(slow)
        server.wait_until(lambda: server.metric("superpixel_bulk_held") == 1)
        assert server.stages_begun("decode", lane="bulk") == 1
        blocking.cancel()
        assert server.stub.Segment(SMALL).label_map.count == 5
        (tmp_path / "go").touch()
        assert sorted(answer.response.label_map.count for answer in stream) == [5, 7, 7]
        assert server.metric("superpixel_bulk_held") == 0


# Threads


def test_threads_of_an_image() -> None:
    """All for an image that is alone; one each if many run, and for the smallest."""
    used: list[int] = []
    whole = kernels.segment

    def watched(*arguments: object, threads: int, **named: object) -> kernels.Hierarchy:
        used.append(threads)
        return whole(*arguments, threads=threads, **named)  # type: ignore[arg-type]

    large, tiny = encoded(scene(600, 500)), encoded(scene(60, 50))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "segment", watched)
        with bench(workers=2, threads_per_image=2) as on:
            used.clear()
            on.put(task(large, 50, Lane.INTERACTIVE)).future.result(PATIENCE_SECONDS)
            on.put(task(large, 50, Lane.BULK)).future.result(PATIENCE_SECONDS)
            on.put(task(tiny, 50, Lane.INTERACTIVE)).future.result(PATIENCE_SECONDS)
            assert used == [2, 2, 1]
            used.clear()
            many = [on.put(task(large, 50, Lane.INTERACTIVE)) for _ in range(6)]
            answers = [job.future.result(PATIENCE_SECONDS).label_map.data for job in many]
            assert used.count(1) >= 4
            assert np.unique(answers).size == 1
