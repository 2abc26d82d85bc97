"""Worker threads that make superpixels: the only place that knows the kernels.

Each worker has a workspace of its own (scratch memory, reused from image to image) and takes whole tasks of
its lane from the admission queue: decode, segment, encode. Before each of these, and within segment before
each step of the kernels, it looks whether the job is held or given up.
"""

import contextlib
import os
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field, replace

import numpy as np
import structlog
from numpy.typing import NDArray

import superpixel_kernels as kernels
from superpixel_kernels.codec import Regions as MeasuredRegions
from superpixel_kernels.errors import Cancelled
from superpixel_kernels.errors import DeviceLost as KernelsDeviceLost
from superpixel_kernels.params import DEFAULT_COMPACTNESS, MAX_COMPACTNESS
from superpixel_service.admission import AdmissionQueue
from superpixel_service.cache import AnswerCache, Key, key_of
from superpixel_service.calls import Deadline
from superpixel_service.config import Settings
from superpixel_service.decode import decode
from superpixel_service.encodings import to_png, to_raw_gzip
from superpixel_service.errors import (
    CallCancelled,
    DeadlinePassed,
    DeadlineUnreachable,
    DeviceLost,
    InvalidRequest,
    Overloaded,
    Reason,
    ServiceError,
)
from superpixel_service.orders import (
    Answer,
    CacheUse,
    LabelEncoding,
    Lane,
    MergeTree,
    Regions,
    StageSeconds,
    Task,
    WrittenMap,
    check_encoding,
)
from superpixel_service.speed import Speed

log = structlog.get_logger()

ALGORITHM_VERSION = kernels.ALGORITHM_VERSION
COMPACTNESS_DEFAULT = DEFAULT_COMPACTNESS
COMPACTNESS_RANGE = (0.0, MAX_COMPACTNESS)
ENGINE_STAGES = ("color", "smooth", "assign", "update", "components", "graph", "merge", "cut")
"""The engine's stages, by the names they have everywhere in the project."""


STAGES = ("decode", "segment", "encode")
"""What a worker does with an image, in this order."""

# Threads wait for each other at the end of every step, which a small image has not enough pixels for.
_PIXELS_A_THREAD = 1 << 15

# Where none of so many calls in a row found its answer made, the next one will hardly do.
_LOOKUPS_IN_VAIN = 64

# So many bugs in a row, each with another image perhaps, and the engine has to prove that it still works.
_FAILURES_OF_A_SUSPECT = 3


Workspace = kernels.Workspace | kernels.CudaWorkspace


@dataclass(eq=False, slots=True)
class Job:
    """A task in flight.

    Attributes:
        callers: how many wait for it.
        deadline: when the last of them stops waiting.
        key: what it is found by, by others who ask for the same; None: it is not to be found.
    """

    task: Task
    deadline: Deadline
    token: kernels.CancelToken = field(default_factory=kernels.CancelToken)
    future: Future[Answer] = field(default_factory=Future)
    admitted: float = field(default_factory=time.monotonic)
    callers: int = 1
    key: Key | None = None

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

    @property
    def seconds_left(self) -> float | None:
        """Until its deadline; None: it has none."""
        return self.deadline.remaining()

    def hold(self, patience: float) -> None:
        """Let no further step of it begin, but one every `patience` seconds."""
        self.token.hold(patience)

    def release(self) -> None:
        """Let it go on."""
        self.token.release()

    def given_up(self) -> ServiceError | None:
        """Why nobody waits for this job any more; None: somebody does."""
        if self.deadline.passed():
            return DeadlinePassed()
        return CallCancelled() if self.token.cancelled else None

    def settle(self, answer: Answer | None, error: BaseException | None = None) -> None:
        """Tell whoever waits; what comes first counts."""
        _settle(self.future, answer, error)


class _Seat:
    """One caller's place at a job that others may wait for, too.

    Attributes:
        future: what comes of it for this caller.
    """

    def __init__(self, engine: "Engine", job: Job, deadline: Deadline) -> None:
        self._engine = engine
        self._job: Job | None = job
        self._once = threading.Lock()
        self._deadline = deadline
        self.future = job.future
        if job.key is not None:  # others may wait for it, and are not to be told when this one leaves
            self.future = Future()
            job.future.add_done_callback(self._arrive)

    def leave(self) -> None:
        """Wait no longer. The last to leave stops the work."""
        with self._once:
            job, self._job = self._job, None
        if job is not None:
            self._engine.give_up(job)
            _settle(self.future, None, DeadlinePassed() if self._deadline.passed() else CallCancelled())

    def _arrive(self, done: Future[Answer]) -> None:
        with self._once:
            self._job = None
        error = done.exception()
        _settle(self.future, None if error else done.result(), error)


@dataclass(eq=False, slots=True)
class _Worker:
    """A thread that does the work of one lane, and what it has done.

    Attributes:
        begun: stages begun so far, by name; those of the server's own sample do not count.
        steps: steps begun in jobs that are over, likewise.
        died: an error ended the thread, or its device is lost.
        workspace: what it works in, once it is warm.
    """

    lane: Lane
    thread: threading.Thread | None = None
    job: Job | None = None
    begun: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STAGES, 0))
    steps: int = 0
    died: bool = False
    workspace: Workspace | None = None


class Engine:
    """Does tasks, a number of them at the same time.

    Attributes:
        backend: the engine in use, "cpu" or "cuda".

    Raises:
        BackendUnavailable: the engine that the settings name cannot run here.
    """

    def __init__(self, settings: Settings, queue: AdmissionQueue[Job], speed: Speed | None = None) -> None:
        self._settings = settings
        self._queue = queue
        self._speed = speed or Speed()
        cores = len(os.sched_getaffinity(0))
        self._workers = [_Worker(lane) for lane in Lane for _ in range(settings.lane_workers)]
        self.backend = kernels.choose_backend(settings.backend)
        threads = settings.threads_per_image or cores
        self._devices = {"cpu": f"{threads} threads, {kernels.available_instruction_sets()[-1]}"}
        self._cache = AnswerCache(settings.cache_bytes)
        self._lock = threading.Lock()  # over what follows, and over the callers of jobs
        self._findable: dict[tuple[Key, Lane], Job] = {}
        self._in_vain = 0  # calls in a row that found neither an answer nor a job to share
        self._answers = 0
        self._failures = 0  # bugs since the last answer
        self._sample: Task | None = None

    def start(self, sample: Task) -> None:
        """Start the workers. When this returns, each has done `sample` all the way and is warm.

        Raises:
            Exception: whatever kept a worker from doing it; the server cannot serve.
        """
        self._sample = sample
        warm: list[Future[Answer]] = [Future() for _ in self._workers]
        for index, (worker, first) in enumerate(zip(self._workers, warm, strict=True)):
            name = f"engine-{index}"
            worker.thread = threading.Thread(target=self._work, args=(worker, first), name=name, daemon=True)
            worker.thread.start()
        failures = [failure for first in warm if (failure := first.exception()) is not None]
        if failures:
            self._queue.close()
            self.stop()
            for failure in failures:
                traceback.clear_frames(failure.__traceback__)
            raise failures[0]
        log.info(
            "engine",
            backend=self.backend,
            device=self._devices[self.backend],
            **({"no_cuda": why} if self.backend == "cpu" and (why := kernels.why_no_cuda()) else {}),
        )

    def stop(self) -> None:
        """Wait for the workers to end, which they do when the queue is closed and what was in it is done."""
        for worker in self._workers:
            if worker.thread is not None:
                worker.thread.join()

    def backends(self) -> dict[str, str]:
        """What each backend that can run here runs on, by its name; the one in use comes first."""
        return {name: self._devices[name] for name in (self.backend, "cpu")}

    def run(self, task: Task, deadline: Deadline, when_over: Callable[[Callable[[], None]], bool]) -> Answer:
        """Have `task` done and wait for it, or find it done or under way.

        Args:
            task: what to do.
            deadline: when the caller stops waiting; no stage is begun after it.
            when_over: registers what to do when the caller is gone; returns False if it already is.

        Raises:
            ServiceError: there is no answer, and why.
        """
        if deadline.passed():
            raise DeadlinePassed
        started = time.monotonic()
        found = self._find_or_put(task, deadline)
        if isinstance(found, Answer):
            return found
        job, shared = found
        # Not a closure: this frame must be able to let go of the job, or an error's traceback would keep it.
        seat = _Seat(self, job, deadline)
        del job, found
        try:
            if not when_over(seat.leave):
                seat.leave()
            answer = seat.future.result(deadline.remaining())
        except TimeoutError:
            seat.leave()
            raise DeadlinePassed from None
        finally:
            del seat
        return _made_for_another(answer, CacheUse.SHARED, time.monotonic() - started) if shared else answer

    def _find_or_put(self, task: Task, deadline: Deadline) -> Answer | tuple[Job, bool]:
        """The answer, or a job of this or another caller (True: of another) that it will come from."""
        job = Job(task, deadline)
        if not self._settings.cache_bytes:
            self._queue.put(job)
            return job, False
        job.key = key_of(task)
        with self._lock:
            self._in_vain += 1
            answer = self._cached(job.key)
            if answer is not None:
                self._in_vain = 0
                return answer
            other = self._findable.get((job.key, job.lane))
            if other is not None:  # somebody waits for it: who leaves last makes it not findable
                self._in_vain = 0
                other.callers += 1
                other.deadline = max(other.deadline, deadline, key=lambda each: each.at)
                return other, True
            self._queue.put(job)
            self._findable[job.key, job.lane] = job
        return job, False

    def overloaded(self) -> Overloaded | None:
        """What a single call is to be refused with before its message is read; None: read it.

        To read a message and find no room costs twice what a refusal costs without, which a full server has
        to spare for work. It is read all the same where its answer may well be made: that takes no room.
        """
        if self._settings.cache_bytes and self._in_vain < _LOOKUPS_IN_VAIN:
            return None
        return self._queue.overloaded()

    def _cached(self, key: Key) -> Answer | None:
        self._queue.check_open()
        answer = self._cache.get(key)
        return None if answer is None else _made_for_another(answer, CacheUse.HIT, 0.0)

    def admit(self, job: Job) -> None:
        """Have `job` done, for whoever waits on its future; beforehand wait for room in the queue.

        An answer made before serves here, too. What is made for bulk work is not kept: a data set that passes
        through once would push out what people come back to.

        Raises:
            ServiceError: it was given up, or the server is about to stop; its future is never settled.
        """
        if self._settings.cache_bytes:
            job.key = key_of(job.task)
            answer = self._cached(job.key)
            if answer is not None:
                job.settle(answer)
                return
        if not self._queue.put_when_room(job, wanted=lambda: job.given_up() is None):
            raise job.given_up() or CallCancelled()

    def give_up(self, job: Job) -> None:
        """One caller less waits for the job.

        After the last it is taken out of the queue, or stops before its next step.
        """
        with self._lock:
            job.callers -= 1
            if job.callers > 0:
                return
            self._forget(job)
        job.token.cancel()
        if self._queue.withdraw(job):
            job.settle(None, job.given_up() or CallCancelled())

    def _forget(self, job: Job) -> None:
        """Let nobody find the job any more."""
        if job.key is not None and self._findable.get((job.key, job.lane)) is job:
            del self._findable[job.key, job.lane]

    # Of its life

    def begun(self) -> dict[tuple[str, Lane], int]:
        """Stages begun, by their name and lane."""
        total = {(stage, lane): 0 for stage in STAGES for lane in Lane}
        for worker in self._workers:
            for stage, count in worker.begun.items():
                total[stage, worker.lane] += count
        return total

    def steps(self) -> int:
        """Steps begun: stages of ours and, within segment and encode, those of the kernels."""
        return sum(worker.steps for worker in self._workers)

    def held(self) -> int:
        """Pieces of bulk work that stand still."""
        jobs = [worker.job for worker in self._workers]
        return sum(1 for job in jobs if job is not None and job.token.waiting)

    def gpu_used_bytes(self) -> dict[str, int]:
        """Bytes in use of the memory of each GPU that this engine runs on, by the GPU's name."""
        workspaces = [worker.workspace for worker in self._workers]
        used = {
            workspace.device_name: workspace
            for workspace in workspaces
            if isinstance(workspace, kernels.CudaWorkspace)
        }
        return {name: workspace.device_used_bytes for name, workspace in used.items()}

    @property
    def cache_bytes(self) -> int:
        """Bytes of the answers kept."""
        return self._cache.bytes_held

    def dead_workers(self) -> int:
        """Workers that an error ended."""
        return sum(1 for worker in self._workers if worker.died)

    def suspect(self) -> bool:
        """Whether there were so many bugs in a row that the engine should prove that it works."""
        return self._failures >= _FAILURES_OF_A_SUSPECT

    def progress(self) -> dict[str, object]:
        """Where each worker with something to do stands, by its name: unequal when a step was begun since.

        Work that is held is not to be done.
        """
        jobs = {f"worker {number}": worker.job for number, worker in enumerate(self._workers)}
        at: dict[str, object] = {
            name: (job.admitted, job.token.steps)
            for name, job in jobs.items()
            if job is not None and not job.token.waiting
        }
        if not any(jobs.values()):
            # What waits and is not taken is a queue that got stuck.
            at = {lane.value: state.depth for lane, state in self._queue.lanes().items() if state.depth}
        return at

    def prove(self, seconds: float) -> bool:
        """Have the sample done, as a caller would; whether that came to an answer in time.

        Where there is no room for it, or others get their answers meanwhile, nothing is left to be proven.
        """
        assert self._sample is not None  # noqa: S101 (called after `start`)
        job = Job(self._sample, Deadline.after(seconds))
        answers = self._answers
        try:
            self._queue.put(job)
        except ServiceError:
            return True
        try:
            job.future.result(seconds)
        except Exception:  # noqa: BLE001 (whatever it is, it is no answer)
            self.give_up(job)
        return self._answers > answers

    def abort(self) -> None:
        """The engine is dead: tell all who wait."""
        waiting = self._queue.withdraw_all()
        running = [worker.job for worker in self._workers if worker.job is not None]
        for job in running:
            job.token.cancel()
        for job in (*waiting, *running):
            job.settle(None, DeviceLost())

    # On a worker's thread

    def _work(self, worker: _Worker, warm: Future[Answer]) -> None:
        try:
            self._work_on(worker, warm)
        except BaseException as error:
            worker.died = True
            log.critical("worker_died", exc_info=error)
            if worker.job is not None:
                worker.job.settle(None, DeviceLost())
        finally:
            worker.workspace = None

    def _work_on(self, worker: _Worker, warm: Future[Answer]) -> None:
        assert self._sample is not None  # noqa: S101 (set before the threads start)
        try:
            worker.workspace = workspace = self._new_workspace()
            warm.set_result(self._run_stages(Job(self._sample, Deadline.after(None)), worker, workspace))
        except Exception as error:  # noqa: BLE001 (the starting thread raises it)
            warm.set_exception(error)
            return
        while (job := self._queue.take(worker.lane)) is not None:
            worker.job = job
            self._do(job, worker, workspace)
            worker.steps += job.token.steps if job.task is not self._sample else 0
            worker.job = None
            del job  # while it waits for the next one, a worker holds no image

    def _new_workspace(self) -> Workspace:
        if self.backend == "cpu":
            return kernels.Workspace(threads=self._settings.threads_per_image)
        limit = self._settings.max_device_bytes or None
        workspace = kernels.CudaWorkspace(self._settings.device, limit_bytes=limit)
        self._devices["cuda"] = workspace.device_name
        return workspace

    def _do(self, job: Job, worker: _Worker, workspace: Workspace) -> None:
        """Do the job and settle its future; before that, its caller finds room in the queue for more."""
        try:
            answer = self._answer(job, worker, workspace)
        except Exception as error:
            # The traceback's frames hold pixels and hierarchies; its text needs none of them.
            traceback.clear_frames(error.__traceback__)
            if isinstance(error, KernelsDeviceLost):
                log.critical("device_lost", exc_info=error)
                worker.died = True
                error = DeviceLost()
            if not isinstance(error, ServiceError | MemoryError):
                self._failures += 1
            self._land(job, None)
            self._queue.finish(job)
            job.settle(None, error)
        else:
            self._failures = 0
            self._answers += 1
            self._land(job, answer)
            stages = answer.stages
            # Merging pixels costs many times what everything else does, and only those who ask for it.
            usual = max(answer.counts) <= answer.base_count
            worked = stages.decode + stages.segment + stages.encode
            at_work = self._queue.finish(job)
            job.settle(answer)
            if usual:
                self._speed.learn(job.pixels, worked, at_work)

    def _land(self, job: Job, answer: Answer | None) -> None:
        """The job is over: let nobody find it any more, but its answer, if there is one."""
        if job.key is None:
            return
        with self._lock:
            self._forget(job)
            if answer is not None and job.lane is Lane.INTERACTIVE:
                self._cache.put(job.key, answer)

    def _answer(self, job: Job, worker: _Worker, workspace: Workspace) -> Answer:
        try:
            left = job.seconds_left
            if left is not None and 0 < left < self._speed.seconds(1, job.pixels):
                raise DeadlineUnreachable
            return self._run_stages(job, worker, workspace)
        except Cancelled:
            raise job.given_up() or CallCancelled() from None

    def _run_stages(self, job: Job, worker: _Worker, workspace: Workspace) -> Answer:
        task = job.task
        taken = self._begin_stage(job, worker, "decode")
        pixels, notices = decode(task.image, task.region)
        decoded = self._begin_stage(job, worker, "segment")
        hierarchy = kernels.segment(
            pixels,
            kernels.SegmentParams() if task.compactness is None else kernels.SegmentParams(task.compactness),
            threads=self._threads(pixels.shape[0] * pixels.shape[1], workspace),
            cancel=job.token,
            workspace=workspace,
        )
        segmented = self._begin_stage(job, worker, "encode")
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
                queue=taken - job.admitted + job.token.held_seconds,
                decode=decoded - taken,
                segment=segmented - decoded,
                encode=_working_time(job) - segmented,
            ),
            engine_seconds=dict(hierarchy.timings),
            backend=hierarchy.backend,
            algorithm_version=ALGORITHM_VERSION,
            cache=CacheUse.OFF if job.key is None else CacheUse.MISS,
        )

    def _begin_stage(self, job: Job, worker: _Worker, stage: str) -> float:
        """The time, in seconds that the job was not held, at which the stage begins.

        Raises:
            ServiceError, Cancelled: it does not begin, as nobody waits for it any more.
        """
        job.token.begin_step()
        over = job.given_up()
        if over is not None:
            raise over
        if job.task is not self._sample:
            worker.begun[stage] += 1
        return _working_time(job)

    def _threads(self, pixels: int, workspace: Workspace) -> int:
        """How many for an image: all where it is alone, one where many are at work.

        They share the cores either way, and a thread that waits for no other is faster.
        """
        if isinstance(workspace, kernels.CudaWorkspace):
            return 0
        share = workspace.threads // max(1, self._queue.side_by_side())
        return max(1, min(share, pixels // _PIXELS_A_THREAD))

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


def _settle(future: Future[Answer], answer: Answer | None, error: BaseException | None) -> None:
    """Give a future its answer or its error; what comes first counts."""
    with contextlib.suppress(InvalidStateError):
        if answer is None:
            future.set_exception(error)
        else:
            future.set_result(answer)


def _working_time(job: Job) -> float:
    """The monotonic clock, in seconds, without the time that the job was held."""
    return time.monotonic() - job.token.held_seconds


def _made_for_another(answer: Answer, use: CacheUse, waited: float) -> Answer:
    """The answer for a caller who did not have it made; waiting was all that it took."""
    stages = StageSeconds(queue=waited, decode=0.0, segment=0.0, encode=0.0)
    return replace(answer, stages=stages, engine_seconds={}, cache=use)
