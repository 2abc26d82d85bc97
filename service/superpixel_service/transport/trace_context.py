"""The caller's trace context (W3C Trace Context), from a call's metadata."""

from __future__ import (
    annotations,  # OpenTelemetry is optional: its names occur in annotations only
)

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Span

# Version 00. Later versions may append fields, but not change this part.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)
_LONGEST_STATE = 512
"""Characters of `tracestate`. A longer one is dropped, as the standard allows."""


@dataclass(slots=True)
class Trace:
    """The trace that a call belongs to.

    Attributes:
        id: the caller's trace id, 32 hexadecimal digits; empty if the caller sent none.
        parent: the caller's trace context, as sent.
        span: the call's own span, once it exists.
    """

    id: str = ""
    parent: Mapping[str, str] = field(default_factory=dict)
    span: Span | None = None


def read_trace(metadata: Iterable[tuple[str, str | bytes]]) -> Trace:
    """The trace context in a call's metadata."""
    parent = state = ""
    for key, value in metadata:
        if key == "traceparent" and isinstance(value, str):
            parent = value
        elif key == "tracestate" and isinstance(value, str) and len(value) <= _LONGEST_STATE:
            state = value
    match = _TRACEPARENT.fullmatch(parent)
    return Trace() if match is None else Trace(match[1], {"traceparent": parent, "tracestate": state})
