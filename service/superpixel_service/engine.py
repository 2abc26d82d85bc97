"""Worker threads that make superpixels: the only place that knows the kernels.

Each worker has a workspace of its own (scratch memory, reused from image to image) and takes whole tasks from
the admission queue: decode, segment, encode.
"""

import functools
import os
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import superpixel_kernels as kernels
from superpixel_kernels.errors import Cancelled
from superpixel_kernels.params import DEFAULT_COMPACTNESS, MAX_COMPACTNESS
from superpixel_service.admission import AdmissionQueue
from superpixel_service.calls import Deadline
from superpixel_service.config import Settings
from superpixel_service.decode import decode
from superpixel_service.errors import (
    CallCancelled,
    DeadlinePassed,
    InvalidRequest,
    Reason,
    ServiceError,
)
from superpixel_service.orders import Answer, Lane, StageSeconds, Task

ALGORITHM_VERSION = kernels.ALGORITHM_VERSION
COMPACTNESS_DEFAULT = DEFAULT_COMPACTNESS
COMPACTNESS_RANGE = (0.0, MAX_COMPACTNESS)
ENGINE_STAGES = ("color", "smooth", "assign", "update", "components", "graph", "merge", "cut")
"""The engine's stages, by the names they have everywhere in the project."""


@dataclass(eq=False, slots=True)
class Job:
    """A task in flight."""

    task: Task
    deadline: Deadline
    token: kernels.CancelToken = field(default_factory=kernels.CancelToken)
    future: Future[Answer] = field(default_factory=Future)
    admitted: float = field(default_factory=time.monotonic)

    @property
    def pixels(self) -> int:
        """Pixels to decode and segment."""
        return self.task.pixels

    @property
    def byte_count(self) -> int:
        """Bytes of the image as sent."""
        return self.task.image.byte_count

    @property
    def lane(self) -> Lane:
        """Whose turn it is."""
        return self.task.lane

    def given_up(self) -> ServiceError | None:
        """Why nobody waits for this job any more; None: somebody does."""
        if self.deadline.passed():
            return DeadlinePassed()
        return CallCancelled() if self.token.cancelled else None


class Engine:
    """Does tasks, a number of them at the same time.

    Attributes:
        backend: the engine in use, "cpu" or "cuda"; known after `start`.
    """

    def __init__(self, settings: Settings, queue: AdmissionQueue[Job]) -> None:
        self._settings = settings
        self._queue = queue
        self._workers = settings.workers or len(os.sched_getaffinity(0))
        workspace = kernels.Workspace(threads=settings.threads_per_image)
        self._device = f"{workspace.threads} threads, {workspace.instruction_set}"
        self._threads: list[threading.Thread] = []
        self.backend = ""

    def start(self, sample: Task) -> None:
        """Start the workers. When this returns, each has done `sample` all the way and is warm.

        Raises:
            Exception: whatever kept a worker from doing it; the server cannot serve.
        """
        warm: list[Future[Answer]] = [Future() for _ in range(self._workers)]
        for index, first in enumerate(warm):
            name = f"engine-{index}"
            worker = threading.Thread(target=self._work, args=(sample, first), name=name, daemon=True)
            self._threads.append(worker)
            worker.start()
        failures = [failure for first in warm if (failure := first.exception()) is not None]
        if failures:
            self._queue.close()
            self.stop()
            for failure in failures:
                traceback.clear_frames(failure.__traceback__)
            raise failures[0]
        self.backend = warm[0].result().backend

    def stop(self) -> None:
        """Wait for the workers to end, which they do when the queue is closed and what was in it is done."""
        for worker in self._threads:
            worker.join()

    def backends(self) -> dict[str, str]:
        """What each backend that can run here runs on, by its name; the one in use comes first."""
        others = (name for name in kernels.available_backends() if name != self.backend)
        return dict.fromkeys((self.backend, *others), self._device)

    def run(self, task: Task, deadline: Deadline, when_over: Callable[[Callable[[], None]], bool]) -> Answer:
        """Have `task` done and wait for it.

        Args:
            task: what to do.
            deadline: when the caller stops waiting; no stage is begun after it.
            when_over: registers what to do when the caller is gone; returns False if it already is.

        Raises:
            ServiceError: there is no answer, and why.
        """
        if deadline.passed():
            raise DeadlinePassed
        job = Job(task, deadline)
        self._queue.put(job)
        # Not a closure: this frame must be able to let go of the job, or an error's traceback would keep it.
        give_up = functools.partial(self._give_up, job)
        try:
            if not when_over(give_up):
                give_up()
            return job.future.result(deadline.remaining())
        except TimeoutError:
            give_up()
            raise DeadlinePassed from None
        finally:
            del job, give_up

    def _give_up(self, job: Job) -> None:
        """Nobody waits for the job any more: take it out of the queue, or stop it before its next stage."""
        job.token.cancel()
        if self._queue.withdraw(job):
            job.future.set_exception(job.given_up() or CallCancelled())

    def _work(self, sample: Task, warm: Future[Answer]) -> None:
        workspace = kernels.Workspace(threads=self._settings.threads_per_image)
        try:
            warm.set_result(self._answer(Job(sample, Deadline.after(None)), workspace))
        except Exception as error:  # noqa: BLE001 (the starting thread raises it)
            warm.set_exception(error)
            return
        while (job := self._queue.take()) is not None:
            self._do(job, workspace)
            del job  # while it waits for the next one, a worker holds no image

    def _do(self, job: Job, workspace: kernels.Workspace) -> None:
        """Do the job and settle its future; before that, its caller finds room in the queue for more."""
        try:
            answer = self._answer(job, workspace)
        except Exception as error:  # noqa: BLE001 (the call's own thread raises it)
            # The traceback's frames hold pixels and hierarchies; its text needs none of them.
            traceback.clear_frames(error.__traceback__)
            self._queue.finish(job)
            job.future.set_exception(error)
        else:
            self._queue.finish(job)
            job.future.set_result(answer)

    def _answer(self, job: Job, workspace: kernels.Workspace) -> Answer:
        try:
            return self._run_stages(job, workspace)
        except Cancelled:
            raise job.given_up() or CallCancelled() from None

    def _run_stages(self, job: Job, workspace: kernels.Workspace) -> Answer:
        task = job.task
        taken = _begin_stage(job)
        pixels, notices = decode(task.image, task.region)
        decoded = _begin_stage(job)
        hierarchy = kernels.segment(
            pixels,
            kernels.SegmentParams() if task.compactness is None else kernels.SegmentParams(task.compactness),
            backend=self._settings.backend,
            cancel=job.token,
            workspace=workspace,
        )
        segmented = _begin_stage(job)
        counts = task.counts or (hierarchy.base_count,)
        height, width = hierarchy.shape
        self._check_refinement(counts[0], hierarchy.base_count, width * height)
        data = hierarchy.encode(
            counts[0],
            include_hierarchy=task.include_hierarchy,
            levels=() if task.include_hierarchy else counts[1:],
            cancel=job.token,
        )
        return Answer(
            width=width,
            height=height,
            base_count=hierarchy.base_count,
            data=data,
            counts=counts,
            whole_base=not task.counts,
            notices=notices,
            stages=StageSeconds(
                queue=taken - job.admitted,
                decode=decoded - taken,
                segment=segmented - decoded,
                encode=time.monotonic() - segmented,
            ),
            engine_seconds=dict(hierarchy.timings),
            backend=hierarchy.backend,
            algorithm_version=ALGORITHM_VERSION,
        )

    def _check_refinement(self, count: int, base_count: int, pixels: int) -> None:
        if count > base_count and pixels > self._settings.refinement_max_pixels:
            raise InvalidRequest(
                Reason.COUNT_ABOVE_BASE,
                f"must be at most {base_count}, this image's base count, as it has more than "
                f"{self._settings.refinement_max_pixels} pixels",
                field="target_counts",
                metadata={"base_count": str(base_count)},
            )


def _begin_stage(job: Job) -> float:
    """The time, in seconds, at which the job's next stage begins.

    Raises:
        ServiceError: it does not begin, as nobody waits for it any more.
    """
    over = job.given_up()
    if over is not None:
        raise over
    return time.monotonic()
