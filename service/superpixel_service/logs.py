"""A line for each call and each refused image, and the server's own events: JSON, or text on a terminal."""

import logging
import sys
from typing import Literal

import structlog

from superpixel_service.calls import CallEvent, ImageEvent

log = structlog.get_logger()

_LONGEST_IMAGE_ID = 128
"""Characters of a caller's name for an image that are worth a place in the log."""


_GRPC_NATIVE = "grpc._cython.cygrpc"
_NOT_TEXT = "Invalid encoding on"
"""So gRPC begins to tell, with a traceback, of metadata that is not UTF-8; it takes that for Latin-1."""


def configure(level: str, log_format: Literal["auto", "json", "console"]) -> None:
    """Send all logging of this process, that of libraries too, to standard error in one form."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if console
        else structlog.processors.JSONRenderer(sort_keys=False)
    )
    format_errors = [] if console else [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            *format_errors,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
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
