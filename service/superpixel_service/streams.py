"""Many images over one call: who reads them, who answers, and what holds the sender back.

A stream has two threads, however many images are in flight. gRPC's own sends the answers; the caller that
does not read them blocks it. A reader takes in images: it asks gRPC for the next one only while fewer than
`stream_max_inflight` are unanswered and the queue has room, and what nobody asks for, HTTP/2 keeps at the
sender. Nothing waits for an image: the worker that is done with it puts the answer into the stream's list.
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

from superpixel_service.calls import Call, ImageEvent
from superpixel_service.config import Settings
from superpixel_service.engine import Engine, Job
from superpixel_service.errors import (
    CallCancelled,
    DeadlinePassed,
    DeviceLost,
    Draining,
    Overloaded,
    Reason,
    as_service_error,
)
from superpixel_service.orders import Answer, Task, TaskSummary

Image = tuple[str, Callable[[], Task]]
"""The caller's name for an image, and what accepts the image or raises why it is refused."""


class Stream:
    """One stream of images. All methods but `answers` may be called from any thread."""

    def __init__(self, engine: Engine, call: Call, max_inflight: int) -> None:
        self._engine = engine
        self._call = call
        self._max_inflight = max_inflight
        self._changed = threading.Condition()
        self._unanswered = 0  # images taken in, whose answers are not sent
        self._finished: deque[ImageEvent] = deque()
        self._jobs: dict[int, Job] = {}  # what the engine has of this stream
        self._next_job = 0
        self._input_ended = False
        self._failure: Exception | None = None  # why no more can be read
        self._draining: Draining | None = None  # what the stream is to end with, all being answered
        self._abandoned = False
        self.opened = time.monotonic()

    @property
    def unanswered(self) -> int:
        """Images taken in and not yet answered."""
        return self._unanswered

    def start(self, images: Iterator[Image]) -> None:
        """Begin to take in images, on a thread of the stream's own."""
        threading.Thread(target=self._read, args=(images,), name="stream-reader", daemon=True).start()

    def answers(self) -> Iterator[ImageEvent]:
        """What came of the images, as they are done; over when all that was taken in is answered.

        Asking for the next one says that the one before is sent.

        Raises:
            Draining: the server is about to stop; all that was taken in is answered.
            CallCancelled, DeadlinePassed: the caller is gone.
            Exception: what the reader came upon.
        """
        while True:
            event = self._next_answer()
            if event is None:
                return
            yield event
            del event  # while the next one is waited for, this one is let go of
            with self._changed:
                self._unanswered -= 1
                self._changed.notify_all()

    def drain(self, ending: Draining) -> None:
        """Take in no more; end with `ending` when all is answered."""
        with self._changed:
            self._draining = self._draining or ending
            self._changed.notify_all()

    def abandon(self) -> None:
        """The caller is gone: stop all work."""
        with self._changed:
            self._abandoned = True
            jobs = list(self._jobs.values())
            self._changed.notify_all()
        for job in jobs:
            self._engine.give_up(job)

    def _next_answer(self) -> ImageEvent | None:
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or self._finished or self._complete())
            if self._abandoned:
                raise DeadlinePassed() if self._call.deadline.passed() else CallCancelled()
            if self._finished:
                return self._finished.popleft()
            if self._failure is not None:
                raise self._failure
            if not self._input_ended and self._draining is not None:
                raise self._draining
            return None

    def _complete(self) -> bool:
        return self._unanswered == 0 and (self._input_ended or self._draining is not None)

    def _ends(self) -> bool:
        """Whether no more is to be taken in."""
        return self._draining is not None or self._abandoned

    def _read(self, images: Iterator[Image]) -> None:
        failure = None
        try:
            while self._wait_for_turn() and self._take_in_next(images):
                pass
        except StopIteration:
            pass
        except grpc.RpcError:  # so gRPC tells a reader that the caller is gone
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
        """Until one more image may be taken in; False: none ever may."""
        with self._changed:
            self._changed.wait_for(lambda: self._unanswered < self._max_inflight or self._ends())
            return not self._ends()

    def _take_in_next(self, images: Iterator[Image]) -> bool:
        """Read an image and hand it to the engine; False: the stream ends, and the image gets no answer.

        Raises:
            StopIteration: there is no further image.
            Exception: there is no reading on.
        """
        image_id, accept = next(images)
        started = time.monotonic()
        with self._changed:
            if self._ends():
                return False
            self._unanswered += 1
        summary = None
        try:
            task = accept()
            summary = task.summary()
            self._hand_over(Job(task, self._call.deadline), image_id, summary, started)
        except (Draining, DeviceLost, CallCancelled, DeadlinePassed):
            with self._changed:
                self._unanswered -= 1
                self._changed.notify_all()
            return False
        except Exception as error:  # noqa: BLE001 (one bad image does not end the stream)
            self._add_event(image_id, started, summary, error=error)
        return True

    def _hand_over(self, job: Job, image_id: str, summary: TaskSummary, started: float) -> None:
        number = self._next_job
        self._next_job += 1
        with self._changed:
            if self._abandoned:  # too late for `abandon` to find the job
                raise CallCancelled
            self._jobs[number] = job
        try:
            self._engine.admit(job)
        except BaseException:
            with self._changed:
                del self._jobs[number]
            raise
        # The job itself stays out of this: with it, job and future would hold each other and the image.
        job.future.add_done_callback(functools.partial(self._job_done, number, image_id, summary, started))

    def _job_done(
        self, number: int, image_id: str, summary: TaskSummary, started: float, future: Future[Answer]
    ) -> None:
        with self._changed:
            del self._jobs[number]
        error = future.exception()
        if error is None:
            self._add_event(image_id, started, summary, answer=future.result())
        else:
            assert isinstance(error, Exception)  # noqa: S101 (a worker passes on no other)
            self._add_event(image_id, started, summary, error=error)

    def _add_event(
        self,
        image_id: str,
        started: float,
        summary: TaskSummary | None,
        *,
        answer: Answer | None = None,
        error: Exception | None = None,
    ) -> None:
        call_id = self._call.request_id
        told = None if error is None else as_service_error(error, call_id)
        event = ImageEvent(call_id, image_id, time.monotonic() - started, summary, answer, told)
        with self._changed:
            self._finished.append(event)
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class StreamsState:
    """The streams at one moment.

    Attributes:
        open: how many there are.
        unanswered: images that they have taken in and not yet answered.
    """

    open: int
    unanswered: int


class Streams:
    """The open streams of a server: a bounded number, as each holds two threads for as long as it likes."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._lock = threading.Lock()
        self._open: set[Stream] = set()
        self._draining = False

    @contextmanager
    def open(self, call: Call) -> Iterator[Stream]:
        """A stream of images that `call` brings.

        Raises:
            Draining: the server is about to stop.
            Overloaded: as many streams are open as the server serves.
        """
        stream = Stream(self._engine, call, self._settings.stream_max_inflight)
        with self._lock:
            if self._draining:
                raise Draining
            if len(self._open) >= self._settings.max_streams:
                raise Overloaded(Reason.TOO_MANY_STREAMS, "too many streams are open; try again later")
            self._open.add(stream)
        try:
            yield stream
        finally:
            stream.abandon()
            with self._lock:
                self._open.remove(stream)

    def drain(self) -> None:
        """End each stream when all that it has taken in is answered; open no more."""
        with self._lock:
            self._draining = True
            streams = list(self._open)
        for stream in streams:
            stream.drain(Draining())

    def end_old(self) -> None:
        """End streams that are open for longer than a connection may be, likewise."""
        oldest = time.monotonic() - self._settings.max_connection_age_seconds
        with self._lock:
            old = [stream for stream in self._open if stream.opened <= oldest]
        for stream in old:
            stream.drain(
                Draining("this stream was open for long enough; send the unanswered images over another")
            )

    def state(self) -> StreamsState:
        """How the streams stand."""
        with self._lock:
            return StreamsState(len(self._open), sum(stream.unanswered for stream in self._open))
