"""Workers, queue and cache of a server in this process; tests can inspect their jobs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

import superpixel_kernels as kernels
from superpixel_service.config import Settings
from superpixel_service.images.decode import open_image
from superpixel_service.model import EncodedImage, Lane, SegmentSpec, Task, accept
from superpixel_service.work.admission import AdmissionQueue
from superpixel_service.work.answers import Answers
from superpixel_service.work.deadline import Deadline
from superpixel_service.work.job import Job
from superpixel_service.work.throughput import Throughput
from superpixel_service.work.warmup import sample_task
from superpixel_service.work.workers import Workers
from tests.service import held


def task(source: bytes, count: int, lane: Lane) -> Task:
    spec = SegmentSpec(EncodedImage(source), target_counts=(count,), lane=lane)
    return accept(spec, open_image(spec, Settings()))


@dataclass
class Bench:
    """Workers in this process."""

    queue: AdmissionQueue[Job]
    answers: Answers
    workers: Workers
    released: threading.Event = field(default_factory=threading.Event)
    """Set it to let held images go on."""

    def put(self, work: Task, deadline: float | None = None) -> Job:
        image = replace(work.image, source=replace(work.image.source))  # the worker frees its bytes
        job = Job(replace(work, image=image), Deadline.after(deadline))
        self.queue.put(job)
        return job


@contextmanager
def bench(throughput: Throughput | None = None, **settings: float) -> Iterator[Bench]:
    chosen = Settings(
        **{"workers": 1, "cache_bytes": 0, **settings}  # type: ignore[arg-type]
    )
    on = workers_with(chosen, throughput or Throughput())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "segment", held.holding(on.released.is_set))
        try:
            yield on
        finally:
            on.queue.close()
            on.workers.abort()
            on.workers.stop()


def workers_with(settings: Settings, throughput: Throughput) -> Bench:
    queue: AdmissionQueue[Job] = AdmissionQueue(settings, throughput)
    answers = Answers(settings, queue)
    workers = Workers(settings, queue, answers, throughput)
    workers.start(lambda: sample_task(settings))
    return Bench(queue, answers, workers)


def held_task(lane: Lane) -> Task:
    """Takes a step per millisecond until it is cancelled or `Bench.released` is set."""
    return task(held.image(), 5, lane)
