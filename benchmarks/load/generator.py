"""Calls by the clock, whatever becomes of those before them (open loop).

A caller who waits for an answer before the next call (closed loop) calls less while the server is slow, so
just the worst is measured least: coordinated omission. Here each call has the moment it is due from a
schedule made before, and its time counts from then, not from when it was sent. A generator that falls behind
thus never makes a server look fast; how far it fell behind is a figure of its own.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from hdrh.histogram import HdrHistogram

from benchmarks.load.arrivals import Arrival, Size
from superpixel_service.client.errors import from_call
from superpixel_service.contract import PUSHBACK_KEY
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb

METHOD = "/superpixel.v1.SuperpixelService/Segment"
COUNTS = (400, 100)
CHANNELS = 4
DEADLINE_SECONDS = 30.0

LATE_SECONDS = 0.01
"""A call sent later than that after it was due is late, by the generator's fault."""
LATE_SHARE = 0.01
"""With more of them late, a run says more about the generator than about the server."""

REFUSALS = frozenset({"QUEUE_FULL", "BYTES_IN_FLIGHT", "DEADLINE_UNREACHABLE", "TOO_MANY_STREAMS"})
"""Reasons by which a server says that it has no room or no time; all else that is not OK is a failure."""

_PRECISION = 3
"""Decimal digits that a histogram keeps."""
_LONGEST_MICROSECONDS = 3_600_000_000

Ended = Any
"""A call that has ended: both a `grpc.Call` and a `grpc.Future`, for which grpc has no name."""

Send = Callable[[bytes], Ended]
"""Begins a call with that message."""


@dataclass(frozen=True, slots=True)
class Call:
    """What became of a call; times are seconds after the run's start.

    Attributes:
        due, sent, done: when it should have been sent, when it was, when its end was known.
        reason: of an error, as the server calls it.
        hinted: of an error, whether it says in both ways when to come back.
    """

    due: float
    sent: float
    done: float
    size: Size
    code: str
    reason: str = ""
    hinted: bool = False

    @property
    def seconds(self) -> float:
        """How long the caller waited: from when the call was due."""
        return self.done - self.due


@dataclass
class Outcome:
    """What came of calls.

    Attributes:
        seconds: for which calls were due.
    """

    seconds: float
    calls: list[Call] = field(default_factory=list)

    @property
    def offered(self) -> float:
        """Calls a second that were due."""
        return len(self.calls) / self.seconds

    @property
    def answered(self) -> list[Call]:
        """With a label map."""
        return [call for call in self.calls if call.code == "OK"]

    @property
    def refused(self) -> list[Call]:
        """For want of room or time."""
        return [call for call in self.calls if call.reason in REFUSALS]

    @property
    def failed(self) -> list[Call]:
        """Neither answered nor refused; a call that nobody answered before its deadline is one."""
        return [call for call in self.calls if call.code != "OK" and call.reason not in REFUSALS]

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return len(self.answered) / self.seconds

    @property
    def lost_share(self) -> float:
        """Of all calls, those refused or failed."""
        return 1 - len(self.answered) / len(self.calls) if self.calls else 0.0

    @property
    def codes(self) -> Counter[tuple[str, str]]:
        """How many calls ended with each code and reason."""
        return Counter((call.code, call.reason) for call in self.calls)

    @property
    def lateness(self) -> HdrHistogram:
        """Microseconds from due to sent."""
        return histogram(call.sent - call.due for call in self.calls)

    @property
    def late_share(self) -> float:
        """Of all calls, those that the generator sent late."""
        late = sum(call.sent - call.due > LATE_SECONDS for call in self.calls)
        return late / len(self.calls) if self.calls else 0.0

    @property
    def on_time(self) -> bool:
        """Whether the generator did its part."""
        return self.late_share <= LATE_SHARE


def histogram(seconds: Iterable[float]) -> HdrHistogram:
    """Of times, in microseconds, to three digits."""
    out = HdrHistogram(1, _LONGEST_MICROSECONDS, _PRECISION)
    for each in seconds:
        out.record_value(max(1, round(1e6 * each)))
    return out


def percentile_ms(times: HdrHistogram, percentile: float) -> float | None:
    """Milliseconds; None of an empty histogram."""
    return times.get_value_at_percentile(percentile) / 1e3 if times.total_count else None


def offer(
    arrivals: Sequence[Arrival], seconds: float, make: Callable[[Size], bytes], senders: Sequence[Send]
) -> Outcome:
    """Send each call when it is due, and wait for the end of all.

    Args:
        arrivals: in the order of time.
        seconds: how long the schedule is.
        make: the message of a call for an image of that size; called right before it is sent, so it must be
            quick.
        senders: take turns.
    """
    lock = threading.Lock()
    ended = threading.Condition(lock)
    outcome = Outcome(seconds)

    def note(arrival: Arrival, sent: float, call: Ended) -> None:
        done = time.monotonic() - start
        code, reason, hinted = told(call)
        with lock:
            outcome.calls.append(Call(arrival.due, sent, done, arrival.size, code, reason, hinted))
            ended.notify_all()

    start = time.monotonic()
    for number, arrival in enumerate(arrivals):
        message = make(arrival.size)
        time.sleep(max(0.0, start + arrival.due - time.monotonic()))
        sent = time.monotonic() - start
        call = senders[number % len(senders)](message)
        call.add_done_callback(partial(note, arrival, sent))
    with lock:
        ended.wait_for(lambda: len(outcome.calls) == len(arrivals))
    return outcome


def told(call: Ended) -> tuple[str, str, bool]:
    """Code and reason with which a call ended, and whether an error says in both ways when to come back."""
    code = call.code()
    if code is grpc.StatusCode.OK:
        return "OK", "", False
    trailers = call.trailing_metadata() or ()
    unpushed = [(key, value) for key, value in trailers if key != PUSHBACK_KEY]
    error = from_call(code, call.details() or "", unpushed, request_id="")
    return code.name, error.reason, bool(error.retry_seconds) and len(unpushed) < len(trailers)


def message(file: bytes, counts: Sequence[int] = COUNTS) -> bytes:
    """A request for an image file, as it goes over the wire."""
    return pb.SegmentRequest(
        encoded_image=file, target_counts=counts, include_hierarchy=True
    ).SerializeToString()


@contextmanager
def senders(
    address: str,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    token: str | None = None,
    deadline: float = DEADLINE_SECONDS,
    channels: int = CHANNELS,
) -> Iterator[list[Send]]:
    """Ways to send a message as it is and to not look into the answer, each over a connection of its own."""
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    with ExitStack() as stack:
        found: list[Send] = []
        for _ in range(channels):
            channel = stack.enter_context(
                grpc.insecure_channel(address, options)
                if credentials is None
                else grpc.secure_channel(address, credentials, options)
            )
            grpc.channel_ready_future(channel).result(timeout=10)
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
            found.append(partial(call.future, timeout=deadline, metadata=metadata))
        yield found
