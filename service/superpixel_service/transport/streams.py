"""Many images over one call: reading, answering, and flow control.

A stream uses two threads, however many images are in flight. gRPC's thread sends the answers, and blocks if
the caller does not read them. A reader thread asks gRPC for the next image only while fewer than
`stream_max_inflight` images are unanswered and the queue has room; HTTP/2 keeps the rest at the sender. No
thread waits for a single image: the worker that finishes it appends the answer to the stream's list.
"""

import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from superpixel_service.config import Settings
from superpixel_service.errors import (
    CallCancelled,
    DeadlinePassed,
    DeviceLost,
    Draining,
    NoThread,
    OutOfMemory,
    Overloaded,
    ServiceError,
    StreamIdle,
    as_service_error,
)
from superpixel_service.model import Answer, Task
from superpixel_service.transport.call import Call, ImageEvent
from superpixel_service.transport.gate import PATIENCE_WHEN_BUSY_SECONDS
from superpixel_service.transport.unsent import UnsentAnswer, UnsentAnswers
from superpixel_service.work.answers import Answers
from superpixel_service.work.job import Job

Image = tuple[str, Callable[[], Task]]
"""The caller's name for an image, and a function that accepts the image or raises why not."""


class Stream:
    """One stream of images. All methods but `answers` may be called from any thread."""

    def __init__(
        self,
        answers: Answers,
        call: Call,
        max_inflight: int,
        unsent: UnsentAnswers,
        cancel: Callable[[], object],
    ) -> None:
        self._answers = answers
        self._call = call
        self._cancel = cancel
        self._max_inflight = max_inflight
        self._unsent = unsent
        self._cancel = cancel
        self._last_read = time.monotonic()
        self._changed = threading.Condition()
        self._unanswered = 0  # images read, whose answers are not sent
        self._finished: deque[tuple[ImageEvent, UnsentAnswer | None]] = deque()
        self._sending: UnsentAnswer | None = None
        self._jobs: dict[int, Job] = {}  # jobs of this stream in the queue or in work
        self._next_job = 0
        self._input_ended = False
        self._failure: Exception | None = None  # why reading ended
        self._draining: ServiceError | None = (
            None  # the error that ends the stream once all images are answered
        )
        self._abandoned = False
        self.opened = time.monotonic()
        self._last_event = self.opened  # when an image was last read, finished or answered

    @property
    def unanswered(self) -> int:
        """Number of images read and not yet answered."""
        return self._unanswered

    def start(self, images: Iterator[Image]) -> None:
        """Begin to read images, on a thread of this stream.

        Raises:
            NoThread: the system starts none.
        """
        reader = threading.Thread(target=self._read, args=(images,), name="stream-reader", daemon=True)
        try:
            reader.start()
        except RuntimeError:
            raise NoThread from None

    def answers(self) -> Iterator[ImageEvent]:
        """The result of each image, as they finish. Ends when every image that was read is answered.

        Asking for the next result means that the last one was sent.

        Raises:
            Draining: the server is stopping; every image that was read is answered.
            CallCancelled, DeadlinePassed: the caller is gone.
            Exception: why reading ended.
        """
        while True:
            event = self._next_answer()
            if event is None:
                return
            yield event
            del event  # an idle stream must not keep an answer in memory
            self._last_read = time.monotonic()
            self._unsent.leave(self._sending)
            with self._changed:
                self._unanswered -= 1
                self._last_event = time.monotonic()
                self._changed.notify_all()

    def drain(self, ending: ServiceError) -> None:
        """Read no more images; end with `ending` when all are answered."""
        with self._changed:
            self._draining = self._draining or ending
            self._changed.notify_all()

    def idle_seconds(self) -> float:
        """How long the stream has waited for its caller to send or to read, in seconds."""
        with self._changed:
            waits = not self._ends() and not self._jobs
            return time.monotonic() - self._last_event if waits else 0.0

    def end_idle(self, seconds: float) -> None:
        """End the stream, which was idle for `seconds`."""
        if self._unanswered > 0:
            self._cancel()  # its thread waits in gRPC for the caller to read
        self.drain(StreamIdle(seconds))

    def abandon(self) -> None:
        """The caller is gone: stop all work."""
        with self._changed:
            self._abandoned = True
            jobs = list(self._jobs.values())
            unsent = [self._sending, *(answer for _, answer in self._finished)]
            self._finished.clear()
            self._changed.notify_all()
        for job in jobs:
            self._answers.give_up(job)
        for answer in unsent:
            self._unsent.leave(answer)

    def _next_answer(self) -> ImageEvent | None:
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or self._finished or self._complete())
            if self._abandoned:
                raise self._call.deadline.why_ended()
            if self._finished:
                event, self._sending = self._finished.popleft()
                return event
            if self._failure is not None:
                raise self._failure
            if not self._input_ended and self._draining is not None:
                raise self._draining
            return None

    def _complete(self) -> bool:
        return self._unanswered == 0 and (self._input_ended or self._draining is not None)

    def _ends(self) -> bool:
        """Whether the stream reads no further image."""
        return self._draining is not None or self._abandoned

    def _read(self, images: Iterator[Image]) -> None:
        failure = None
        try:
            while self._wait_for_turn() and self._read_next(images):
                pass
        except StopIteration:
            pass
        except grpc.RpcError as error:  # gRPC's report that the caller is gone
            error.__traceback__ = None  # gRPC keeps the error with the call; its frames lead back to the call
            self.abandon()
        except Exception as error:  # noqa: BLE001 (the call's own thread raises it)
            failure = error
        else:
            return  # draining or abandoned; there may be more to read
        with self._changed:
            self._input_ended = True
            self._failure = failure
            self._changed.notify_all()

    def _wait_for_turn(self) -> bool:
        """Wait until one more image may be read; False: the stream ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._unanswered < self._max_inflight or self._ends())
            return not self._ends()

    def _read_next(self, images: Iterator[Image]) -> bool:
        """Read an image and queue it; False: the stream ends, and the image gets no answer.

        Raises:
            StopIteration: there is no further image.
            Exception: reading cannot go on.
        """
        image_id, accept = next(images)
        started = time.monotonic()
        with self._changed:
            if self._ends():
                return False
            self._unanswered += 1
            self._last_event = time.monotonic()
        task = None
        try:
            task = accept()
            self._hand_over(Job(task, self._call.deadline, self._call.tenant), image_id, started)
        except (Draining, DeviceLost, CallCancelled, DeadlinePassed):
            with self._changed:
                self._unanswered -= 1
                self._changed.notify_all()
            return False
        except Exception as error:  # noqa: BLE001 (one bad image does not end the stream)
            self._add_event(image_id, started, task, error=error)
        return True

    def _hand_over(self, job: Job, image_id: str, started: float) -> None:
        number = self._next_job
        self._next_job += 1
        with self._changed:
            if self._abandoned:  # too late for `abandon` to find the job
                raise CallCancelled
            self._jobs[number] = job
        try:
            self._answers.admit(job)
        except BaseException:
            with self._changed:
                del self._jobs[number]
            raise
        job.future.add_done_callback(functools.partial(self._job_done, number, image_id, job.task, started))

    def _job_done(
        self, number: int, image_id: str, task: Task, started: float, future: Future[Answer]
    ) -> None:
        with self._changed:
            del self._jobs[number]
        error = future.exception()
        if error is None:
            self._add_event(image_id, started, task, answer=future.result())
        else:
            assert isinstance(error, Exception)  # noqa: S101 (a worker passes on no other)
            self._add_event(image_id, started, task, error=error)

    def _add_event(
        self,
        image_id: str,
        started: float,
        task: Task | None,
        *,
        answer: Answer | None = None,
        error: Exception | None = None,
    ) -> None:
        call_id = self._call.request_id
        unsent = None
        if answer is not None:
            try:
                unsent = self._unsent.enter(len(answer.message), self._end, lambda: self._last_read)
            except Overloaded:
                answer, error = None, OutOfMemory()
        sent = None if error is None else as_service_error(error, call_id)
        event = ImageEvent(call_id, image_id, time.monotonic() - started, task, answer, sent)
        with self._changed:
            if not self._abandoned:
                self._finished.append((event, unsent))
                unsent = None
            self._last_event = time.monotonic()
            self._changed.notify_all()
        self._unsent.leave(unsent)

    def _end(self) -> None:
        """End the call, whose caller does not read, and free its answers."""
        self._cancel()
        self.abandon()


@dataclass(frozen=True, slots=True)
class StreamsState:
    """The state of all streams at one moment.

    Attributes:
        open: number of open streams.
        unanswered: number of images that they have read and not yet answered.
    """

    open: int
    unanswered: int


class Streams:
    """The open streams of a server.

    Attributes:
        unsent: their answers that wait to be read.
    """

    def __init__(
        self, answers: Answers, settings: Settings, on_room: Callable[[], None] = lambda: None
    ) -> None:
        """`on_room` is called after an answer was sent."""
        self._answers = answers
        self._settings = settings
        self.unsent = UnsentAnswers(settings.max_unsent_bytes, on_room)
        self._lock = threading.Lock()
        self._open: set[Stream] = set()
        self._draining = False

    @contextmanager
    def open(self, call: Call, cancel: Callable[[], object] = lambda: None) -> Iterator[Stream]:
        """Open the stream of `call`. If the server drains, the stream ends at once.

        Args:
            call: the stream's call.
            cancel: ends it if its caller does not read.
        """
        stream = Stream(self._answers, call, self._settings.stream_max_inflight, self.unsent, cancel)
        with self._lock:
            if self._draining:
                stream.drain(Draining())
            self._open.add(stream)
        try:
            yield stream
        finally:
            stream.abandon()
            with self._lock:
                self._open.remove(stream)

    def drain(self) -> None:
        """End each stream once every image that it has read is answered; open no more."""
        with self._lock:
            self._draining = True
            streams = list(self._open)
        for stream in streams:
            stream.drain(Draining())

    def end_old(self) -> None:
        """End streams older than a connection may be, once every image that they have read is answered."""
        oldest = time.monotonic() - self._settings.max_connection_age_seconds
        with self._lock:
            old = [stream for stream in self._open if stream.opened <= oldest]
        for stream in old:
            stream.drain(
                Draining("this stream was open for long enough; send the unanswered images over another")
            )

    def end_idle(self) -> int:
        """End the streams whose callers neither send nor read; returns how many."""
        with self._lock:
            idle = {stream: stream.idle_seconds() for stream in self._open}
        limit = self._settings.stream_idle_seconds
        busy = min(limit, PATIENCE_WHEN_BUSY_SECONDS)
        if 2 * sum(seconds > busy for seconds in idle.values()) > self._settings.max_streams:
            limit = busy
        late = [stream for stream, seconds in idle.items() if seconds > limit]
        for stream in late:
            stream.end_idle(limit)
        return len(late)

    def state(self) -> StreamsState:
        """The state of the streams."""
        with self._lock:
            return StreamsState(len(self._open), sum(stream.unanswered for stream in self._open))
