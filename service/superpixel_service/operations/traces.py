"""OpenTelemetry traces: a span for each call, and beneath it one for each stage of each image.

Spans are created after their call or image has ended, so they do not delay it. If traces are off,
OpenTelemetry is not loaded. A caller's W3C trace context (`traceparent` in the call's metadata) is the parent
of the call's span. Its trace id is in the log even if traces are off. The standard variables `OTEL_*` set the
destination of the spans, the sampling and the service's name.
"""

from __future__ import (
    annotations,  # OpenTelemetry is optional: its names occur in annotations only
)

import os
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc

from superpixel_service import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from superpixel_service.config import Settings
    from superpixel_service.model import Answer, Task
    from superpixel_service.transport.call import Call, ImageEvent
    from superpixel_service.transport.trace_context import Trace

_CLOSE_SECONDS = 3.0
"""Longest time that a stopping server spends on sending its last spans."""

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
"""Codes that make a server's span an error (OpenTelemetry's conventions for gRPC)."""


class CannotTrace(Exception):
    """Traces are on, but OpenTelemetry is not installed."""

    def __init__(self) -> None:
        super().__init__("--traces: OpenTelemetry is not installed; in a checkout: pip install '.[otel]'")


class Traces:
    """Creates the spans of calls and images that have ended."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._api = trace
        self._provider = provider
        self._tracer = provider.get_tracer("superpixel_service", __version__)
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def of(cls, settings: Settings) -> Traces | None:
        """Traces as the settings say; None: off.

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
        """Send the remaining spans, for a few seconds at most."""
        last = threading.Thread(target=self._provider.shutdown, name="traces-end", daemon=True)
        last.start()
        last.join(_CLOSE_SECONDS)

    def image_ended(self, call: Call, event: ImageEvent) -> None:
        """An image of a stream was answered or rejected."""
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

    def call_ended(self, call: Call) -> str:
        """Make the span of a call that has ended; returns its trace id."""
        end = _wall(call.ended)
        span = call.trace.span or self._begin(
            call.service, call.method, call.trace, end - _nanoseconds(call.seconds)
        )
        span.set_attributes(
            {
                **_task(call.task),
                "rpc.grpc.status_code": int(call.code.value[0]),
                "superpixel.request_id": call.request_id,
            }
        )
        if call.error is not None:
            span.set_attribute("superpixel.reason", call.error.reason.value)
        if call.code in _SERVERS_FAULT:
            span.set_status(self._api.StatusCode.ERROR)
        if call.answer is not None:
            self._stages(span, call.answer, call.task, end - _nanoseconds(call.ended - call.answered))
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

    def _stages(self, parent: Span, answer: Answer, task: Task | None, end: int) -> None:
        """Spans of the stages, one after the other up to `end`; stages that took no time are left out."""
        context = self._api.set_span_in_context(parent)
        stages = [(name, _nanoseconds(seconds), more) for name, seconds, more in _stages(answer, task)]
        start = end - sum(length for _, length, _ in stages)
        for name, length, attributes in stages:
            if length > 0:
                span = self._tracer.start_span(name, context=context, start_time=start, attributes=attributes)
                span.end(start + length)
            start += length


def _task(task: Task | None) -> dict[str, Any]:
    if task is None:
        return {}
    return {"superpixel.width": task.image.width, "superpixel.height": task.image.height}


def _stages(answer: Answer, task: Task | None) -> Iterator[tuple[str, float, dict[str, Any]]]:
    """Name, seconds and attributes of each stage."""
    source: dict[str, Any] = {}
    if task is not None:
        source = {"superpixel.format": task.image.format.value, "superpixel.bytes": task.image.byte_count}
    engine = {f"superpixel.engine.{name}_seconds": value for name, value in answer.engine_seconds.items()}
    made = {"superpixel.backend": answer.backend, "superpixel.base_count": answer.base_count}
    written = {
        "superpixel.encoding": answer.label_map.encoding.value,
        "superpixel.response_bytes": answer.label_map.size,
        "superpixel.counts": list(answer.counts),
    }
    attributes = {"decode": source, "segment": {**made, **engine}, "encode": written}
    for name, seconds in answer.stages.items():
        yield name, seconds, attributes.get(name, {})


def _wall(monotonic: float) -> int:
    """Nanoseconds since 1970 of a time on the monotonic clock."""
    return time.time_ns() - _nanoseconds(time.monotonic() - monotonic)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
