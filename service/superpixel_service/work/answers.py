"""Where an answer comes from: the cache, a job that another caller began (single flight), or a new job."""

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import replace

from superpixel_kernels import ALGORITHM_VERSION, DEFAULT_COMPACTNESS, GUIDANCE_VERSION
from superpixel_service.config import Settings
from superpixel_service.contract import StageSeconds
from superpixel_service.errors import CallCancelled, DeadlinePassed, Overloaded
from superpixel_service.model import Answer, CacheUse, Lane, RawImage, Task
from superpixel_service.work.admission import AdmissionQueue
from superpixel_service.work.answer_cache import AnswerCache, Key
from superpixel_service.work.caller import NOBODY, Caller
from superpixel_service.work.deadline import Deadline
from superpixel_service.work.job import Job, settle

# After this many consecutive cache misses, assume another miss.
_MISSES_OF_A_COLD_CACHE = 64


def key_of(task: Task) -> Key:
    """The cache key: everything that the answer depends on.

    The SHA-256 of the image and that of the guidance stand for their bytes: no caller can make others with
    the same hash.
    """
    image = task.image
    source = image.source
    shape = (source.width, source.height, source.channels) if isinstance(source, RawImage) else None
    return (
        source.sha256(),
        shape,
        image.orientation,
        image.sample_range,
        task.region,
        task.counts,
        DEFAULT_COMPACTNESS if task.compactness is None else task.compactness,
        task.encoding,
        task.include_hierarchy,
        task.include_regions,
        ALGORITHM_VERSION,
        None if task.guidance is None else (GUIDANCE_VERSION, task.guidance.spec.digest()),
        None if task.mask is None else (task.mask.spec.digest(), task.targets),
    )


class _Seat:
    """One caller's place at a job that other callers may share.

    Attributes:
        future: this caller's result.
    """

    def __init__(self, answers: "Answers", job: Job, deadline: Deadline) -> None:
        self._answers = answers
        self._job: Job | None = job
        self._once = threading.Lock()
        self._deadline = deadline
        self.future = job.future
        if job.key is not None:  # the job is shared: if this caller leaves, it continues for the others
            self.future = Future()
            job.future.add_done_callback(self._arrive)

    def leave(self) -> None:
        """Stop waiting. After the last caller the job is stopped."""
        with self._once:
            job, self._job = self._job, None
        if job is not None:
            self._answers.give_up(job)
            settle(self.future, None, self._deadline.why_ended())

    def _arrive(self, done: Future[Answer]) -> None:
        with self._once:
            self._job = None
        error = done.exception()
        settle(self.future, None if error else done.result(), error)


class Answers:
    """Finds an answer for each task: in the cache, from a job that another caller began, or from a new job.

    All methods may be called from any thread.
    """

    def __init__(
        self,
        settings: Settings,
        queue: AdmissionQueue[Job],
        tokens: Callable[[], Collection[str]] = lambda: ("",),
    ) -> None:
        """Find answers.

        Args:
            settings: the size of the cache.
            queue: takes new jobs.
            tokens: returns the names of the tokens whose answers are kept.
        """
        self._queue = queue
        self._caching = settings.cache_bytes > 0
        self._cache: AnswerCache[Answer] = AnswerCache(settings.cache_bytes, tokens)
        self._lock = threading.Lock()  # guards the following, and `callers` and `deadline` of jobs
        self._shareable: dict[tuple[Key, Lane], Job] = {}
        self._misses_in_a_row: dict[str, int] = {}  # by token

    @property
    def cache_byte_count(self) -> int:
        """Bytes of the kept answers."""
        return self._cache.byte_count

    def get(
        self,
        task: Task,
        deadline: Deadline,
        when_over: Callable[[Callable[[], None]], bool],
        caller: Caller = NOBODY,
    ) -> Answer:
        """Find or compute the answer to `task`, and wait for it.

        Args:
            task: what to do.
            deadline: when the caller stops waiting; no stage begins after it.
            when_over: registers a callback for the end of the call; returns False if it has ended already.
            caller: who asks. Only calls with the same token share answers and jobs.

        Raises:
            ServiceError: why there is no answer.
        """
        if deadline.passed():
            raise DeadlinePassed
        started = time.monotonic()
        found = self._find_or_put(task, deadline, caller)
        if isinstance(found, Answer):
            return found
        job, shared = found
        seat = _Seat(self, job, deadline)
        if not when_over(seat.leave):
            seat.leave()
        try:
            answer = seat.future.result(deadline.remaining())
        except TimeoutError:
            seat.leave()
            raise DeadlinePassed from None
        return _reused(answer, CacheUse.SHARED, time.monotonic() - started) if shared else answer

    def _find_or_put(
        self, task: Task, deadline: Deadline, caller: Caller = NOBODY
    ) -> Answer | tuple[Job, bool]:
        """The answer, or a job that will produce it, and whether another caller began that job."""
        job = Job(task, deadline, caller)
        if self._caching:
            job.key = (caller.token, *key_of(task))
        try:
            with self._lock:
                found = None if job.key is None else self._find(job, job.key)
                if found is None:
                    self._queue.put(job)
                    if job.key is not None:
                        self._shareable[job.key, job.lane] = job
                    return job, False
        except BaseException:
            task.release()
            raise
        task.release()
        return found if isinstance(found, Answer) else (found, True)

    def _find(self, job: Job, key: Key) -> Answer | Job | None:
        token = job.caller.token
        found = self._cached(token, key) or self._shareable.get((key, job.lane))
        self._misses_in_a_row[token] = 0 if found is not None else self._misses_in_a_row.get(token, 0) + 1
        if isinstance(found, Job):
            found.callers += 1
            found.deadline = max(found.deadline, job.deadline, key=lambda each: each.at)
        return found

    def _cached(self, token: str, key: Key) -> Answer | None:
        self._queue.check_open()
        answer = self._cache.get(token, key)
        return None if answer is None else _reused(answer, CacheUse.HIT, 0.0)

    def expect(self, token: str = "") -> Overloaded | None:
        """Expect a call; return its rejection before its message is read, or None: read the message.

        Args:
            token: name of the caller's token; empty: none.

        Reading a message first makes a rejection twice as expensive. The message is read nevertheless if the
        answer may be in the cache, because then it needs no room in the queue.
        """
        if self._caching and self._misses_in_a_row.get(token, 0) < _MISSES_OF_A_COLD_CACHE:
            return None
        return self._queue.expect(token)

    def admit(self, job: Job) -> None:
        """Compute the answer to a bulk job, or find it in the cache; wait for room in the queue first.

        Answers to bulk work are not kept: one pass through a data set would evict everything else.

        Raises:
            ServiceError: the job was given up, or the server is stopping. In both cases the future is never
                settled.
        """
        answer, queued = None, False
        try:
            if self._caching:
                job.key = (job.caller.token, *key_of(job.task))
                answer = self._cached(job.caller.token, job.key)
            if answer is None:
                queued = self._queue.put_when_room(job, wanted=lambda: job.stop_reason() is None)
        finally:
            if not queued:
                job.task.release()
        if answer is not None:
            job.settle(answer)
        elif not queued:
            raise job.stop_reason() or CallCancelled()

    def give_up(self, job: Job) -> None:
        """One caller no longer waits for the job.

        After the last caller the job leaves the queue, or stops before its next step.
        """
        with self._lock:
            job.callers -= 1
            if job.callers > 0:
                return
            self._unshare(job)
        job.token.cancel()
        if self._queue.withdraw(job):
            job.task.release()
            job.settle(None, job.stop_reason() or CallCancelled())

    def finished(self, job: Job, answer: Answer | None) -> None:
        """The job is over: end its sharing, and keep its answer if it is interactive work."""
        if job.key is None:
            return
        with self._lock:
            self._unshare(job)
            if answer is not None and job.lane is Lane.INTERACTIVE:
                self._cache.put(job.caller.token, job.key, answer)

    def _unshare(self, job: Job) -> None:
        if job.key is not None and self._shareable.get((job.key, job.lane)) is job:
            del self._shareable[job.key, job.lane]


def _reused(answer: Answer, use: CacheUse, waited: float) -> Answer:
    """The answer for a caller whose call needed no computation; its only timing is the wait."""
    return replace(answer, stages=StageSeconds(queue=waited), engine_seconds={}, cache=use)
