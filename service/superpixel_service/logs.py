"""A line for each call and each refused image, and the server's own events: JSON, or text on a terminal."""

import atexit
import logging
import os
import sys
from typing import Literal

import structlog

from superpixel_service.calls import CallEvent, ImageEvent
from superpixel_service.telling import Teller

log = structlog.get_logger()

_LONGEST_IMAGE_ID = 128
"""Characters of a caller's name for an image that are worth a place in the log."""


_MOST_LINES_WAITING = 1 << 14
"""Some megabytes, and seconds of a busy server, for a reader that is slow for a while."""

_FLUSH_SECONDS = 2.0

_GRPC_NATIVE = "grpc._cython.cygrpc"
_NOT_TEXT = "Invalid encoding on"
"""So gRPC begins to tell, with a traceback, of metadata that is not UTF-8; it takes that for Latin-1."""


class LineWriter:
    """Writes lines from a thread of its own, so that no reader can hold up the server or end it.

    Lines that cannot be written (no reader any more, a full disk) are dropped, and so are those that come
    while too many wait for a reader that has stalled.

    Args:
        descriptor: an open file to write to.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: Teller[str] = Teller(self._write_now)
        self._overflowed = self._failed = 0  # each counted on one thread at a time

    @property
    def dropped(self) -> int:
        """Lines dropped so far."""
        return self._overflowed + self._failed

    def write(self, line: str) -> None:
        """Have a line written, soon; one caller at a time."""
        if self._lines.waiting() < _MOST_LINES_WAITING:
            self._lines.put(line)
        else:
            self._overflowed += 1

    def flush(self) -> None:
        """Nothing: asked for after every line, as of a file."""

    def wait(self, seconds: float) -> None:
        """Until all that came before is written or dropped, at most so long."""
        self._lines.flush(seconds)

    def _write_now(self, line: str) -> None:
        left = memoryview(line.encode("utf-8", "backslashreplace"))
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            self._failed += 1


_writers: list[LineWriter] = []


def flush() -> None:
    """Wait, for a moment at most, until what was logged is written: before others write to standard error."""
    for writer in _writers:
        writer.wait(_FLUSH_SECONDS)


def dropped() -> int:
    """Lines of the log that were not written, for want of a reader or of room."""
    return sum(writer.dropped for writer in _writers)


def configure(level: str, log_format: Literal["auto", "json", "console"]) -> None:
    """Send all logging of this process, that of libraries too, to standard error in one form."""
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
    logging.getLogger("PIL").setLevel(logging.WARNING)  # its debug lines hold parts of callers' files


class _Forward(logging.Handler):
    """Hands a library's log record to our own log."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == _GRPC_NATIVE and record.getMessage().startswith(_NOT_TEXT):
            log.debug("metadata_not_utf8")  # whoever likes can send such: no error, and none of their bytes
            return
        write = getattr(log, record.levelname.lower(), log.error)
        write("library", logger=record.name, message=record.getMessage(), exc_info=record.exc_info)


def call_ended(event: CallEvent, trace_id: str) -> None:
    """Log one line for a call; `trace_id` where it has one."""
    fields: dict[str, object] = {
        "method": event.method,
        "code": event.code.name,
        "request_id": event.request_id,
        "milliseconds": _milliseconds(event.seconds),
    }
    if trace_id:
        fields["trace_id"] = trace_id
    if event.caller:
        fields["caller"] = event.caller
    if event.images is not None:
        fields |= {"images": event.images, "refused": event.refused}
    log.info("call", **fields, **_outcome(event))


def image_ended(event: ImageEvent) -> None:
    """Log one line for an image of a stream: where it was refused; where not, for debugging only."""
    write = log.debug if event.error is None else log.info
    write(
        "image",
        code="OK" if event.error is None else event.error.code.name,
        request_id=event.call_id,
        image_id=event.image_id[:_LONGEST_IMAGE_ID],
        milliseconds=_milliseconds(event.seconds),
        **_outcome(event),
    )


def _outcome(event: CallEvent | ImageEvent) -> dict[str, object]:
    fields: dict[str, object] = {}
    if event.error is not None:
        fields |= {"reason": event.error.reason.value, "field": event.error.field}
    if event.task is not None:
        task = event.task
        fields |= {"format": task.format.value, "width": task.width, "height": task.height}
        fields |= {"image_bytes": task.byte_count, "counts": task.counts}
    if event.answer is not None:
        stages = event.answer.stages
        fields |= {
            "base_count": event.answer.base_count,
            "response_bytes": len(event.answer.label_map.data),
            "queue_ms": _milliseconds(stages.queue),
            "decode_ms": _milliseconds(stages.decode),
            "segment_ms": _milliseconds(stages.segment),
            "encode_ms": _milliseconds(stages.encode),
        }
    return fields


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1e3, 3)
