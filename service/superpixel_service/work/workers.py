"""Worker threads: each takes jobs of its lane from the queue and segments them in a workspace of its own."""

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import structlog

import superpixel_kernels as kernels
from superpixel_kernels.errors import AboveDeviceLimit, Cancelled
from superpixel_kernels.errors import DeviceLost as KernelsDeviceLost
from superpixel_service.budgets import scratch_bytes
from superpixel_service.config import Settings
from superpixel_service.errors import CallCancelled, DeadlineUnreachable, DeviceLost, ServiceError
from superpixel_service.model import Answer, CacheUse, Lane, Task
from superpixel_service.resources import find_resources, usable_cores
from superpixel_service.work import cost
from superpixel_service.work.admission import AdmissionQueue
from superpixel_service.work.answers import Answers
from superpixel_service.work.deadline import Deadline
from superpixel_service.work.decode_processes import ForkServer
from superpixel_service.work.decoders import Decoder
from superpixel_service.work.job import Job
from superpixel_service.work.kind import Kind
from superpixel_service.work.segmenter import STAGES, Segmenter, Workspace
from superpixel_service.work.throughput import Throughput

log = structlog.get_logger()

# Threads wait for each other after every step; on smaller images this costs more than it saves.
_PIXELS_PER_THREAD = 1 << 15

# After this many consecutive bugs, possibly with different images, the server tests its engine.
_FAILURES_OF_A_SUSPECT = 3


@dataclass(eq=False, slots=True)
class _Worker:
    """A thread that works for one lane, and what it has done.

    Attributes:
        begun: number of stages begun, by name.
        steps: number of steps begun, in finished jobs.
        died: an error ended the thread, or its device is lost.
        workspace: set once the worker is warm.
        working: held while the thread uses the workspace.
    """

    lane: Lane
    decoder: Decoder
    thread: threading.Thread | None = None
    job: Job | None = None
    begun: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STAGES, 0))
    steps: int = 0
    died: bool = False
    workspace: Workspace | None = None
    working: threading.Lock = field(default_factory=threading.Lock)


def for_the_engine(settings: Settings) -> Settings:
    """The settings with the number of workers that suits the engine that they choose.

    Raises:
        BackendUnavailable: the engine that the settings name cannot run here.
    """
    return settings.for_backend(kernels.choose_backend(settings.backend, settings.device))


class Workers:
    """The worker threads of all lanes.

    Attributes:
        backend: the engine in use, "cpu" or "cuda".

    Raises:
        BackendUnavailable: the engine that the settings name cannot run here.
    """

    def __init__(
        self,
        settings: Settings,
        queue: AdmissionQueue[Job],
        answers: Answers,
        throughput: Throughput,
        serialize: Callable[[Answer], bytes] = lambda _answer: b"",
    ) -> None:
        """`serialize` makes an answer's message without its timings; b"" leaves the answer as it is."""
        self._settings = settings
        self._queue = queue
        self._answers = answers
        self._throughput = throughput
        self._serialize = serialize
        self._fork_server = ForkServer()
        self._workers = [
            _Worker(lane, Decoder(self._fork_server, settings.step_limit_seconds))
            for lane in Lane
            for _ in range(settings.lane_workers)
        ]
        self.backend = kernels.choose_backend(settings.backend, settings.device)
        self._image_threads = settings.threads_per_image or usable_cores()
        self._devices = {"cpu": f"{self._image_threads} threads, {kernels.available_instruction_sets()[-1]}"}
        self._answered = 0
        self._failures = 0  # bugs since the last answer
        self._sample: Callable[[], Task]

    def start(self, sample: Callable[[], Task]) -> None:
        """Start the threads, and return when each has finished one sample.

        Args:
            sample: makes the task that warms a worker up, and that later proves that the engine works.

        Raises:
            Exception: why a worker could not do the sample; the server cannot serve.
        """
        self._sample = sample
        warm: list[Future[Answer]] = [Future() for _ in self._workers]
        for index, (worker, first) in enumerate(zip(self._workers, warm, strict=True)):
            worker.thread = threading.Thread(
                target=self._work, args=(worker, first), name=f"engine-{index}", daemon=True
            )
            worker.thread.start()
        failures = [failure for first in warm if (failure := first.exception()) is not None]
        if failures:
            self._queue.close()
            self.stop()
            for failure in failures:
                traceback.clear_frames(failure.__traceback__)
            raise failures[0]
        found = find_resources()
        log.info(
            "resources",
            cores=found.cores,
            cores_from=found.cores_from,
            memory_bytes=found.memory_bytes,
            memory_from=found.memory_from,
            workers=self._settings.lane_workers,
            image_memory_bytes=self._settings.max_image_memory_bytes,
            inflight_memory_bytes=self._settings.max_inflight_memory_bytes,
            needed_bytes=self._settings.needed_bytes,
        )
        if self._settings.needed_bytes > found.memory_bytes:
            log.warning(
                "memory_short", needed_bytes=self._settings.needed_bytes, memory_bytes=found.memory_bytes
            )
        log.info(
            "engine",
            backend=self.backend,
            device=self._devices[self.backend],
            **(
                {"no_cuda": why}
                if self._settings.backend == "auto" and (why := kernels.why_no_cuda(self._settings.device))
                else {}
            ),
        )

    def stop(self) -> None:
        """Wait for the threads to end. They end once the queue is closed and empty."""
        for worker in self._workers:
            if worker.thread is not None:
                worker.thread.join()
        self._fork_server.close()

    def abort(self) -> None:
        """The engine is dead: fail all jobs."""
        waiting = self._queue.withdraw_all()
        running = [worker.job for worker in self._workers if worker.job is not None]
        for job in running:
            job.token.cancel()
        for job in (*waiting, *running):
            job.settle(None, DeviceLost())

    # ---- what metrics and the server's information show

    def backends(self) -> dict[str, str]:
        """The device of each backend that can run here, by name; the one in use comes first."""
        return {name: self._devices[name] for name in (self.backend, "cpu")}

    def begun(self) -> dict[tuple[str, Lane], int]:
        """Number of stages begun, by name and lane."""
        total = {(stage, lane): 0 for stage in STAGES for lane in Lane}
        for worker in self._workers:
            for stage, count in worker.begun.items():
                total[stage, worker.lane] += count
        return total

    def steps(self) -> int:
        """Number of steps begun: our stages and, within segment and encode, the kernels' own steps."""
        return sum(worker.steps for worker in self._workers)

    def held(self) -> int:
        """Number of bulk jobs that interactive work pauses at present."""
        jobs = [worker.job for worker in self._workers]
        return sum(1 for job in jobs if job is not None and job.token.waiting)

    def gpu_used_bytes(self) -> dict[str, int]:
        """Bytes in use, by any process, of each GPU that the workers run on, by name; none of a lost GPU."""
        workspaces = [worker.workspace for worker in self._workers]
        used = {
            workspace.device_name: workspace
            for workspace in workspaces
            if isinstance(workspace, kernels.CudaWorkspace)
        }
        try:
            return {name: workspace.device_used_bytes for name, workspace in used.items()}
        except KernelsDeviceLost:
            return {}  # a scrape must still give the other metrics

    def decode_processes_replaced(self) -> Mapping[str, int]:
        """Number of decode processes that were replaced, by cause."""
        return self._fork_server.replaced

    # ---- what the watchdog looks at

    def dead_workers(self) -> int:
        """Number of workers that an error ended."""
        return sum(1 for worker in self._workers if worker.died)

    def suspect(self) -> bool:
        """Whether there were enough consecutive bugs to test the engine."""
        return self._failures >= _FAILURES_OF_A_SUSPECT

    def progress(self) -> dict[str, object]:
        """The position of each worker that has something to do, by name; it changes with every step.

        Paused jobs do not count as something to do.
        """
        jobs = {f"worker {number}": worker.job for number, worker in enumerate(self._workers)}
        at: dict[str, object] = {
            name: (job.admitted, job.token.steps)
            for name, job in jobs.items()
            if job is not None and not (job.token.waiting or job.waits_for_memory)
        }
        if not any(jobs.values()):
            # All workers are idle: if jobs wait nevertheless, the queue is stuck.
            at = {lane.value: state.depth for lane, state in self._queue.lanes().items() if state.depth}
        return at

    def prove(self, seconds: float) -> bool:
        """Compute the sample like a caller's image; returns whether an answer came in time.

        Also True if the queue is full or other callers get answers meanwhile: then no test is needed.
        """
        job = Job(self._sample(), Deadline.after(seconds), counted=False)
        answered = self._answered
        try:
            self._queue.put(job)
        except ServiceError:
            return True
        try:
            job.future.result(seconds)
        except Exception:  # noqa: BLE001 (any error means that there is no answer)
            self._answers.give_up(job)
        return self._answered > answered

    def free_idle_memory(self) -> None:
        """Free what idle workers and their decoders keep. On a GPU the workspaces free theirs anyway."""
        for worker in self._workers:
            worker.decoder.free_memory()
            if not isinstance(worker.workspace, kernels.Workspace) or not worker.working.acquire(False):
                continue
            try:
                worker.workspace.free_memory()
            finally:
                worker.working.release()

    # ---- on a worker's thread

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
            worker.decoder.close()

    def _work_on(self, worker: _Worker, warm: Future[Answer]) -> None:
        try:
            worker.workspace = self._new_workspace()
            segmenter = Segmenter(worker.workspace, self._settings.refinement_max_pixels)
            sample = Job(self._sample(), Deadline.after(None), counted=False)
            warm.set_result(self._segment(sample, worker, segmenter))
        except Exception as error:  # noqa: BLE001 (the starting thread raises it)
            warm.set_exception(error)
            return
        while (job := self._queue.take(worker.lane)) is not None:
            worker.job = job
            with worker.working:
                self._do(job, worker, segmenter)
            if job.counted:
                worker.steps += job.token.steps
            worker.job = None
            del job  # an idle worker must not keep a job in memory

    def _new_workspace(self) -> Workspace:
        if self.backend == "cpu":
            kept = scratch_bytes(self._settings.lane_workers, self._settings.max_inflight_memory_bytes)
            return kernels.Workspace(threads=self._image_threads, kept_bytes=kept)
        limit = self._settings.max_device_bytes or None
        workspace = kernels.CudaWorkspace(self._settings.device, limit_bytes=limit)
        self._devices["cuda"] = workspace.device_name
        return workspace

    def _do(self, job: Job, worker: _Worker, segmenter: Segmenter) -> None:
        """Do the job, take it out of the queue, and settle its future."""
        begun = job.working_time()
        try:
            answer = self._segment_in_time(job, worker, segmenter)
        except Exception as error:
            # The traceback's frames hold pixels and hierarchies.
            traceback.clear_frames(error.__traceback__)
            if isinstance(error, KernelsDeviceLost):
                log.critical("device_lost", exc_info=error)
                worker.died = True
                error = DeviceLost()
            if not isinstance(error, ServiceError | MemoryError):
                self._failures += 1
            self._answers.finished(job, None)
            self._queue.finish(job, job.working_time() - begun)
            job.settle(None, error)
        else:
            self._failures = 0
            self._answered += 1
            self._answers.finished(job, answer)
            worked = job.working_time() - begun
            at_work = self._queue.finish(job, worked)
            job.settle(answer)
            # A count above the base of an image with few regions costs many times the usual.
            if job.kind is Kind.FINE or max(answer.counts) <= answer.base_count:
                self._throughput.learn(job.pixels, worked, at_work, job.kind)

    def _segment_in_time(self, job: Job, worker: _Worker, segmenter: Segmenter) -> Answer:
        try:
            left = job.seconds_left
            if (
                left is not None
                and 0 < left < self._throughput.seconds(1, job.pixels, job.kind)
                and not self._queue.is_probe(job)
            ):
                raise DeadlineUnreachable
            return self._segment(job, worker, segmenter)
        except Cancelled:
            raise job.stop_reason() or CallCancelled() from None
        except AboveDeviceLimit as error:
            raise cost.above_device_limit(job.task, error) from None
        finally:
            job.task.release()

    def _segment(self, job: Job, worker: _Worker, segmenter: Segmenter) -> Answer:
        def on_stage(stage: str) -> None:
            job.token.begin_step()
            reason = job.stop_reason()
            if reason is not None:
                raise reason
            if job.counted:
                worker.begun[stage] += 1

        device_waits = _device_waits(segmenter.workspace)

        def on_regions(regions: int) -> None:
            nonlocal device_waits
            now = _device_waits(segmenter.workspace)
            job.memory_seconds += now - device_waits
            device_waits = now
            self._charge_memory(job, regions)

        taken = time.monotonic()
        with worker.decoder.in_use():
            answer = segmenter.run(
                job.task,
                decode=lambda image, region: worker.decoder.decode(image, region, job.stop_reason),
                threads=lambda pixels: self._threads(pixels, segmenter.workspace),
                cancel=job.token,
                on_stage=on_stage,
                on_regions=on_regions,
                on_refinement=lambda regions: self._charge_memory(job, regions, waits=False),
                finish=self._as_message,
                clock=job.working_time,
            )
        return replace(
            answer,
            stages=replace(answer.stages, queue=taken - job.admitted + job.idle_seconds),
            cache=CacheUse.OFF if job.key is None else CacheUse.MISS,
        )

    def _charge_memory(self, job: Job, regions: int, *, waits: bool = True) -> None:
        """Check and charge the memory that the image takes with its regions; wait until there is room."""
        cost.check_answer_asked(job.task, regions, self._settings.max_answer_bytes)
        needed = cost.check_memory(job.task, regions, self._settings.max_image_memory_bytes)

        if not waits:  # two images that wait for the second time could wait for each other
            self._queue.charge_memory(job, needed, None)
            return

        def check() -> None:
            reason = job.stop_reason()
            if reason is not None:
                raise reason

        begun = time.monotonic()
        job.waits_for_memory = True
        try:
            self._queue.charge_memory(job, needed, check)
        finally:
            job.waits_for_memory = False
            job.memory_seconds += time.monotonic() - begun

    def _as_message(self, answer: Answer) -> Answer:
        message = self._serialize(answer)
        cost.check_answer_bytes(len(message), self._settings.max_answer_bytes)
        return answer.as_message(message) if message else answer

    def _threads(self, pixels: int, workspace: Workspace) -> int:
        """Threads for an image: all if it is the only one, one if many images share the cores."""
        if isinstance(workspace, kernels.CudaWorkspace):
            return 0
        share = workspace.threads // max(1, self._queue.side_by_side())
        return max(1, min(share, pixels // _PIXELS_PER_THREAD))


def _device_waits(workspace: Workspace) -> float:
    """How long the calls of a workspace have waited for device memory."""
    return workspace.waited_seconds if isinstance(workspace, kernels.CudaWorkspace) else 0.0
