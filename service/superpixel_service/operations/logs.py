"""The log: lines per call, per rejected image, and for server events; JSON, or text on a terminal."""

import atexit
import itertools
import logging
import os
import select
import sys
from typing import Literal

import structlog

from superpixel_service.background import BackgroundQueue
from superpixel_service.transport.call import Call, ImageEvent

log = structlog.get_logger()

_LONGEST_IMAGE_ID = 128
"""Longest part of a caller's image name that is logged, in characters."""


_MOST_LINES_WAITING = 1 << 14
"""A few megabytes: some seconds of a busy server's log, in case the reader is slow for a while."""

_FLUSH_SECONDS = 2.0

_GRPC_NATIVE = "grpc._cython.cygrpc"
_NOT_TEXT = "Invalid encoding on"
"""How gRPC's message about metadata that is not UTF-8 begins; gRPC then reads it as Latin-1."""


class LineWriter:
    """Writes lines on a thread of its own, so that no reader can block the server or end it.

    Lines that cannot be written (the reader is gone, the disk is full) are dropped. So are new lines while
    too many wait for a reader that stalls.

    Args:
        descriptor: an open file to write to.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._lines: BackgroundQueue[str] = BackgroundQueue(self._gather, finish=self._write_gathered)
        self._overflowed = self._failed = 0  # each is changed by one thread at a time

    @property
    def dropped(self) -> int:
        """Number of lines dropped."""
        return self._overflowed + self._failed

    def write(self, line: str) -> None:
        """Queue a line for writing. Only one thread may call this at a time."""
        if self._lines.size() + len(self._gathered) < _MOST_LINES_WAITING:
            self._lines.put(line)
        else:
            self._overflowed += 1

    def flush(self) -> None:
        """Do nothing; the logging library calls this after every line."""

    def wait(self, seconds: float) -> None:
        """Wait until all earlier lines are written or dropped, at most `seconds`."""
        self._lines.flush(seconds)

    def _gather(self, line: str) -> None:
        encoded = line.encode("utf-8", "backslashreplace")
        if self._gathered_bytes + len(encoded) > select.PIPE_BUF:
            self._write_gathered()
        self._gathered.append(encoded)
        self._gathered_bytes += len(encoded)

    def _write_gathered(self) -> None:
        # Each write hands over Python's lock, there and back. Other processes may write to the same pipe, so
        # no write is longer than what a pipe takes in one piece, except for a single long line.
        text = b"".join(self._gathered)
        left = memoryview(text)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            ends = itertools.accumulate(map(len, self._gathered))
            self._failed += sum(end > len(text) - len(left) for end in ends)
        self._gathered, self._gathered_bytes = [], 0


_writers: list[LineWriter] = []


def flush() -> None:
    """Wait briefly until the log is written, before something else writes to standard error."""
    for writer in _writers:
        writer.wait(_FLUSH_SECONDS)


def dropped() -> int:
    """Number of log lines that were dropped."""
    return sum(writer.dropped for writer in _writers)


def configure(level: str, log_format: Literal["auto", "json", "console"]) -> None:
    """Send all logging of this process, libraries included, to standard error in one format."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if console
        else structlog.processors.JSONRenderer(sort_keys=False)
    )
    format_errors = [] if console else [structlog.processors.format_exc_info]
    writer = LineWriter(sys.stderr.fileno())
    _writers.append(writer)
    atexit.register(flush)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            *format_errors,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type]  # it asks for no more
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forward()], level=level.upper(), force=True)
    logging.getLogger("PIL").setLevel(logging.WARNING)  # its debug lines contain parts of callers' files


class _Forward(logging.Handler):
    """Forwards log records of libraries to our log."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == _GRPC_NATIVE and record.getMessage().startswith(_NOT_TEXT):
            # Any caller can cause this, so it is no error, and the line contains none of the caller's bytes.
            log.debug("metadata_not_utf8")
            return
        write = getattr(log, record.levelname.lower(), log.error)
        write("library", logger=record.name, message=record.getMessage(), exc_info=record.exc_info)


def call_ended(call: Call, trace_id: str) -> None:
    """Log a line for a call; `trace_id` may be empty."""
    fields: dict[str, object] = {
        "method": call.method,
        "code": call.code.name,
        "request_id": call.request_id,
        "milliseconds": _milliseconds(call.seconds),
    }
    if trace_id:
        fields["trace_id"] = trace_id
    if call.caller:
        fields["caller"] = call.caller
    if call.images is not None:
        fields |= {"images": call.images, "refused": call.refused}
    if call.store is not None:
        fields |= {"store": call.store.store, "pixels": call.store.pixels}
        fields |= {f"{name}_ms": _milliseconds(seconds) for name, seconds in call.store.seconds.items()}
    log.info("call", **fields, **_outcome(call))


def image_ended(event: ImageEvent) -> None:
    """Log a line for an image of a stream: at level info if it was rejected, else debug."""
    write = log.debug if event.error is None else log.info
    write(
        "image",
        code="OK" if event.error is None else event.error.code.name,
        request_id=event.call_id,
        image_id=event.image_id[:_LONGEST_IMAGE_ID],
        milliseconds=_milliseconds(event.seconds),
        **_outcome(event),
    )


def _outcome(event: Call | ImageEvent) -> dict[str, object]:
    fields: dict[str, object] = {}
    if event.error is not None:
        fields |= {"reason": event.error.reason.value, "field": event.error.field}
    if event.task is not None:
        image = event.task.image
        fields |= {"format": image.format.value, "width": image.width, "height": image.height}
        fields |= {"image_bytes": image.byte_count, "counts": event.task.counts}
        if event.task.guidance is not None:
            fields |= {
                "guidance": event.task.guidance.names,
                "guidance_bytes": event.task.guidance.byte_count,
            }
        if event.task.mask is not None:
            fields |= {"mask_bytes": event.task.mask.byte_count}
    if event.answer is not None:
        fields |= {
            "base_count": event.answer.base_count,
            "response_bytes": event.answer.label_map.size,
            **{f"{name}_ms": _milliseconds(seconds) for name, seconds in event.answer.stages.items()},
        }
    return fields


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1e3, 3)
