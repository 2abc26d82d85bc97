"""Send calls on a schedule, whether earlier calls were answered or not (open loop).

A caller that waits for each answer before the next call (closed loop) sends fewer calls while the server is
slow, so it measures the slowest times least often: coordinated omission. Here a schedule fixes when each call
is due, and a call's time counts from then. So a generator that falls behind never makes a server look fast;
its lateness is reported separately.
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
"""A call that is sent more than this after its due time is late; that is the generator's fault."""
LATE_SHARE = 0.01
"""Largest share of late calls at which a run still measures the server rather than the generator."""

REFUSALS = frozenset(
    {"QUEUE_FULL", "BYTES_IN_FLIGHT", "DEADLINE_UNREACHABLE", "TOO_MANY_STREAMS", "TOKEN_LIMIT"}
)
"""Error reasons of a server without room or time. All other errors are failures."""

_PRECISION = 3
"""Decimal digits of a histogram's values."""
_LONGEST_MICROSECONDS = 3_600_000_000

Ended = Any
"""A finished call. It is both a `grpc.Call` and a `grpc.Future`; grpc has no type for both."""

Send = Callable[[bytes], Ended]
"""Start a call with a serialized message."""


@dataclass(frozen=True, slots=True)
class Call:
    """A finished call; times are seconds after the run's start.

    Attributes:
        due: when the schedule asked for the call.
        sent: when it was sent.
        done: when it ended.
        size: of the image.
        code: name of the gRPC status code.
        reason: the server's reason for an error; empty if it gave none.
        hinted: whether an error has a retry hint both in its details and in its trailing metadata.
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
        """How long the caller waited, from the due time."""
        return self.done - self.due


@dataclass
class Outcome:
    """The finished calls of a run.

    Attributes:
        seconds: length of the schedule.
        calls: in the order in which they ended.
    """

    seconds: float
    calls: list[Call] = field(default_factory=list)

    @property
    def offered(self) -> float:
        """Calls due per second."""
        return len(self.calls) / self.seconds

    @property
    def answered(self) -> list[Call]:
        """Calls answered with a label map."""
        return [call for call in self.calls if call.code == "OK"]

    @property
    def refused(self) -> list[Call]:
        """Calls that the server refused for lack of room or time."""
        return [call for call in self.calls if call.reason in REFUSALS]

    @property
    def failed(self) -> list[Call]:
        """Calls neither answered nor refused, such as those without an answer before their deadline."""
        return [call for call in self.calls if call.code != "OK" and call.reason not in REFUSALS]

    @property
    def throughput(self) -> float:
        """Answers per second."""
        return len(self.answered) / self.seconds

    @property
    def lost_share(self) -> float:
        """Refused and failed calls, as a share of all calls."""
        return 1 - len(self.answered) / len(self.calls) if self.calls else 0.0

    @property
    def codes(self) -> Counter[tuple[str, str]]:
        """Number of calls by status code and reason."""
        return Counter((call.code, call.reason) for call in self.calls)

    @property
    def lateness(self) -> HdrHistogram:
        """Histogram of the microseconds from due time to sending."""
        return histogram(call.sent - call.due for call in self.calls)

    @property
    def late_share(self) -> float:
        """Calls that the generator sent late, as a share of all calls."""
        late = sum(call.sent - call.due > LATE_SECONDS for call in self.calls)
        return late / len(self.calls) if self.calls else 0.0

    @property
    def on_time(self) -> bool:
        """Whether the generator kept to the schedule."""
        return self.late_share <= LATE_SHARE


def histogram(seconds: Iterable[float]) -> HdrHistogram:
    """Return a histogram of times, in microseconds, with three digits."""
    out = HdrHistogram(1, _LONGEST_MICROSECONDS, _PRECISION)
    for each in seconds:
        out.record_value(max(1, round(1e6 * each)))
    return out


def percentile_ms(times: HdrHistogram, percentile: float) -> float | None:
    """Return a percentile (0 to 100) in milliseconds; None if the histogram is empty."""
    return times.get_value_at_percentile(percentile) / 1e3 if times.total_count else None


def offer(
    arrivals: Sequence[Arrival], seconds: float, make: Callable[[Size], bytes], senders: Sequence[Send]
) -> Outcome:
    """Send each call when it is due, and wait until all have ended.

    Args:
        arrivals: in the order of time.
        seconds: length of the schedule.
        make: returns the message for an image of that size. It is called right before a call is sent, so it
            must be fast.
        senders: used in turn.
    """
    lock = threading.Lock()
    ended = threading.Condition(lock)
    outcome = Outcome(seconds)

    def note(arrival: Arrival, sent: float, call: Ended) -> None:
        done = time.monotonic() - start
        code, reason, hinted = status_of(call)
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


def status_of(call: Ended) -> tuple[str, str, bool]:
    """Return a finished call's `code`, `reason` and `hinted`, see `Call`."""
    code = call.code()
    if code is grpc.StatusCode.OK:
        return "OK", "", False
    trailers = call.trailing_metadata() or ()
    unpushed = [(key, value) for key, value in trailers if key != PUSHBACK_KEY]
    error = from_call(code, call.details() or "", unpushed, request_id="")
    return code.name, error.reason, bool(error.retry_seconds) and len(unpushed) < len(trailers)


def message(file: bytes, counts: Sequence[int] = COUNTS) -> bytes:
    """Return a serialized request for an image file."""
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
    """Yield senders of raw messages, one per connection; they do not parse the answers."""
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
