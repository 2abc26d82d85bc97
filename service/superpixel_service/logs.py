"""One line a call, and the server's own events: JSON, or for people where a terminal is looking."""

import logging
import sys
from typing import Literal

import structlog

from superpixel_service.calls import CallEvent

log = structlog.get_logger()


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
        write = getattr(log, record.levelname.lower(), log.error)
        write("library", logger=record.name, message=record.getMessage(), exc_info=record.exc_info)


def call_ended(event: CallEvent) -> None:
    """Log one line for a call."""
    fields: dict[str, object] = {
        "method": event.method,
        "code": event.code.name,
        "request_id": event.request_id,
        "milliseconds": _milliseconds(event.seconds),
    }
    if event.error is not None:
        fields |= {"reason": event.error.reason.value, "field": event.error.field}
    if event.task is not None:
        image = event.task.image
        fields |= {"format": image.format.value, "width": image.width, "height": image.height}
        fields |= {"image_bytes": image.byte_count, "counts": event.task.counts}
    if event.answer is not None:
        stages = event.answer.stages
        fields |= {
            "base_count": event.answer.base_count,
            "response_bytes": len(event.answer.data),
            "queue_ms": _milliseconds(stages.queue),
            "decode_ms": _milliseconds(stages.decode),
            "segment_ms": _milliseconds(stages.segment),
            "encode_ms": _milliseconds(stages.encode),
        }
    log.info("call", **fields)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1e3, 3)
