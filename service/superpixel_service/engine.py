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

import numpy as np
from numpy.typing import NDArray

import superpixel_kernels as kernels
from superpixel_kernels.codec import Regions as MeasuredRegions
from superpixel_kernels.errors import Cancelled
from superpixel_kernels.params import DEFAULT_COMPACTNESS, MAX_COMPACTNESS
from superpixel_service.admission import AdmissionQueue
from superpixel_service.calls import Deadline
from superpixel_service.config import Settings
from superpixel_service.decode import decode
from superpixel_service.encodings import to_png, to_raw_gzip
from superpixel_service.errors import (
    CallCancelled,
    DeadlinePassed,
    InvalidRequest,
    Reason,
    ServiceError,
)
from superpixel_service.orders import (
    Answer,
    LabelEncoding,
    Lane,
    MergeTree,
    Regions,
    StageSeconds,
    Task,
    WrittenMap,
    check_encoding,
)

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
        give_up = functools.partial(self.give_up, job)
        try:
            if not when_over(give_up):
                give_up()
            return job.future.result(deadline.remaining())
        except TimeoutError:
            give_up()
            raise DeadlinePassed from None
        finally:
            del job, give_up

    def admit(self, job: Job) -> None:
        """Have `job` done, for whoever waits on its future; beforehand wait for room in the queue.

        Raises:
            ServiceError: it was given up, or the server is about to stop; its future is never settled.
        """
        if not self._queue.put_when_room(job, wanted=lambda: job.given_up() is None):
            raise job.given_up() or CallCancelled()

    def give_up(self, job: Job) -> None:
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
        check_encoding(task.encoding, counts[0])
        write = _write_spx if task.encoding is LabelEncoding.SPX else _write_plain
        label_map = write(hierarchy, task, counts, job.token)
        return Answer(
            width=width,
            height=height,
            base_count=hierarchy.base_count,
            label_map=label_map,
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


def _write_spx(
    hierarchy: kernels.Hierarchy, task: Task, counts: tuple[int, ...], token: kernels.CancelToken
) -> WrittenMap:
    data = hierarchy.encode(
        counts[0],
        include_hierarchy=task.include_hierarchy,
        include_regions=task.include_regions,
        levels=() if task.include_hierarchy else counts[1:],
        cancel=token,
    )
    return WrittenMap(task.encoding, data)


def _write_plain(
    hierarchy: kernels.Hierarchy, task: Task, counts: tuple[int, ...], token: kernels.CancelToken
) -> WrittenMap:
    """As a file of labels and nothing else; what belongs to it goes beside."""
    finest, *coarser = counts
    labels = hierarchy.cut(finest, cancel=token)
    luts = [hierarchy.lut(finest, count, cancel=token) for count in coarser]
    tree = None
    if task.include_hierarchy:
        merges = hierarchy.tree(finest, cancel=token)
        tree = MergeTree(merges.into, merges.order, hierarchy.heights(finest, cancel=token))
    return WrittenMap(
        encoding=task.encoding,
        data=to_png(labels, finest) if task.encoding is LabelEncoding.PNG else to_raw_gzip(labels),
        luts=(np.empty(0, np.int32), *luts),
        hierarchy=tree,
        regions=_as_columns(hierarchy.regions(finest, cancel=token)) if task.include_regions else None,
    )


def _as_columns(measured: MeasuredRegions) -> Regions:
    owners: NDArray[np.int64] = np.repeat(np.arange(len(measured.area)), np.diff(measured.neighbor_offsets))
    return Regions(
        area=measured.area,
        box=measured.box,
        centroid=measured.centroid,
        mean_rgb=measured.mean_color,
        adjacent=np.stack([owners, measured.neighbors], axis=1),
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
