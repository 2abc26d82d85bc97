"""OpenTelemetry traces: a span for each call, and beneath it one for each stage of each image.

Spans are made when their call or image has ended, of what is known then, so nothing of this is on the way of
a call; where traces are off, nothing of OpenTelemetry is loaded. A caller's W3C trace context (`traceparent`
in the call's metadata) is the call's parent, and its trace id is in the log either way. Where to send spans,
sampling and the service's name are set as everywhere, by the variables `OTEL_*`.
"""

from __future__ import (
    annotations,  # of OpenTelemetry there are names in annotations only, where traces are off
)

import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from superpixel_service import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from superpixel_service.calls import Call, CallEvent, ImageEvent
    from superpixel_service.config import Settings
    from superpixel_service.orders import Answer, TaskSummary

# W3C Trace Context, version 00. Later versions may add to it, but not change this.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)
_LONGEST_STATE = 512
"""Characters of `tracestate`; what is longer is left out, as the standard allows."""

_CLOSE_SECONDS = 3.0
"""How long a stopping server tries to send its last spans."""

_SERVERS_FAULT = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes that make a server's span an error, by OpenTelemetry's conventions for gRPC."""


class CannotTrace(Exception):
    """Traces are asked for, and OpenTelemetry is not installed."""

    def __init__(self) -> None:
        super().__init__("--traces: OpenTelemetry is not installed; pip install 'superpixel-service[otel]'")


@dataclass(slots=True)
class Trace:
    """Where a call belongs.

    Attributes:
        id: the caller's trace id, 32 hexadecimal digits; empty where it sent none.
        parent: the caller's trace context, as it came.
        span: the call's own span, once there is one.
    """

    id: str = ""
    parent: Mapping[str, str] = field(default_factory=dict)
    span: Span | None = None


def read(metadata: Iterable[tuple[str, str | bytes]]) -> Trace:
    """The trace context in a call's metadata."""
    parent = state = ""
    for key, value in metadata:
        if key == "traceparent" and isinstance(value, str):
            parent = value
        elif key == "tracestate" and isinstance(value, str) and len(value) <= _LONGEST_STATE:
            state = value
    match = _TRACEPARENT.fullmatch(parent)
    return Trace() if match is None else Trace(match[1], {"traceparent": parent, "tracestate": state})


class Traces:
    """Makes spans of what has ended."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._api = trace
        self._provider = provider
        self._tracer = provider.get_tracer("superpixel_service", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def of(cls, settings: Settings) -> Traces | None:
        """As set; None: none are made.

        Raises:
            CannotTrace: OpenTelemetry is not installed.
        """
        if settings.traces == "off":
            return None
        try:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise CannotTrace from None
        own = {"service.version": __version__}
        if "OTEL_SERVICE_NAME" not in os.environ:
            own["service.name"] = "superpixel"
        provider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider)

    def close(self) -> None:
        """Send what is not sent yet, as far as that is soon done."""
        last = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        last.start()
        last.join(_CLOSE_SECONDS)

    def image_ended(self, call: Call, event: ImageEvent) -> None:
        """An image of a stream was answered or refused."""
        if call.trace.span is None:
            call.trace.span = self._begin(call.service, call.method, call.trace, _wall(call.started))
        end = _wall(event.ended)
        span = self._tracer.start_span(
            "image",
            context=self._api.set_span_in_context(call.trace.span),
            start_time=end - _nanoseconds(event.seconds),
            attributes={**_task(event.task), "superpixel.image_id": event.image_id[:128]},
        )
        if event.error is not None:
            span.set_attribute("superpixel.reason", event.error.reason.value)
        if event.answer is not None:
            self._stages(span, event.answer, event.task, end)
        span.end(end)

    def call_ended(self, event: CallEvent) -> str:
        """A call has ended; its trace id."""
        end = _wall(event.ended)
        span = event.trace.span or self._begin(
            event.service, event.method, event.trace, end - _nanoseconds(event.seconds)
        )
        span.set_attributes(
            {
                **_task(event.task),
                "rpc.grpc.status_code": int(event.code.value[0]),
                "superpixel.request_id": event.request_id,
            }
        )
        if event.error is not None:
            span.set_attribute("superpixel.reason", event.error.reason.value)
        if event.code in _SERVERS_FAULT:
            span.set_status(self._api.StatusCode.ERROR)
        if event.answer is not None:
            self._stages(span, event.answer, event.task, end - _nanoseconds(event.ended - event.answered))
        span.end(end)
        return format(span.get_span_context().trace_id, "032x")

    def _begin(self, service: str, method: str, trace: Trace, start: int) -> Span:
        return self._tracer.start_span(
            f"{service}/{method}",
            context=self._propagator.extract(trace.parent),
            kind=self._api.SpanKind.SERVER,
            start_time=start,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        )

    def _stages(self, parent: Span, answer: Answer, task: TaskSummary | None, end: int) -> None:
        """The stages, one after the other up to `end`; those that took no time were left out."""
        context = self._api.set_span_in_context(parent)
        stages = [(name, _nanoseconds(seconds), more) for name, seconds, more in _stages(answer, task)]
        start = end - sum(length for _, length, _ in stages)
        for name, length, attributes in stages:
            if length > 0:
                span = self._tracer.start_span(name, context=context, start_time=start, attributes=attributes)
                span.end(start + length)
            start += length


def _task(task: TaskSummary | None) -> dict[str, Any]:
    if task is None:
        return {}
    return {"superpixel.width": task.width, "superpixel.height": task.height}


def _stages(answer: Answer, task: TaskSummary | None) -> Iterator[tuple[str, float, dict[str, Any]]]:
    """Name, seconds and attributes of each stage."""
    yield "queue", answer.stages.queue, {}
    source: dict[str, Any] = {}
    if task is not None:
        source = {"superpixel.format": task.format.value, "superpixel.bytes": task.byte_count}
    yield "decode", answer.stages.decode, source
    engine = {f"superpixel.engine.{name}_seconds": value for name, value in answer.engine_seconds.items()}
    made = {"superpixel.backend": answer.backend, "superpixel.base_count": answer.base_count}
    yield "segment", answer.stages.segment, {**made, **engine}
    written = {
        "superpixel.encoding": answer.label_map.encoding.value,
        "superpixel.response_bytes": len(answer.label_map.data),
        "superpixel.counts": list(answer.counts),
    }
    yield "encode", answer.stages.encode, written


def _wall(monotonic: float) -> int:
    """Nanoseconds since 1970 of a time on the monotonic clock, in seconds."""
    return time.time_ns() - _nanoseconds(time.monotonic() - monotonic)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
