"""A server's curve: what becomes of calls at more and more of them a second, and the model beside it."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from benchmarks.load.arrivals import Mix, Phase, Size, Spacing, schedule
from benchmarks.load.capacity import Pod, ServiceTime
from benchmarks.load.generator import Outcome, Send, histogram, offer, percentile_ms
from benchmarks.load.target import OwnServer, Vitals
from benchmarks.timing import BUSY_CORES

SHARES = (0.3, 0.5, 0.65, 0.75, 0.85, 0.95, 1.1, 1.4)
"""Of the rate at which all cores are busy."""
LOST_SHARE = 0.01
ALONE_PERCENTILES = np.arange(2.5, 100, 5)
FEWEST = 5
"""Images of a size that are looked at, however long they take."""

Make = Callable[[Size], bytes]


@dataclass(frozen=True, slots=True)
class Point:
    """The curve at one rate; times in milliseconds, of calls that were answered.

    Attributes:
        offered, answered: calls a second.
        refused, failed: of all calls, the shares that were.
        refusal_p99: how long a refused caller waited to learn it.
        late: share of the calls that the generator sent late.
        queue_pixels: that waited at the server, in the mean.
        busy_cores: seconds of processor time a second, of the server.
        other_cores: the same of all that is neither the server nor the generator.
        peak_bytes: the most memory of the server.
        model_p50, model_p99, model_refused: the same by the model, at the offered rate and of the mix that
            was asked for: by chance more or fewer large images came.
    """

    offered: float
    answered: float
    refused: float
    failed: float
    p50: float | None
    p90: float | None
    p99: float | None
    p999: float | None
    refusal_p99: float | None
    late: float
    on_time: bool
    queue_pixels: float | None
    busy_cores: float | None
    other_cores: float | None
    peak_bytes: int | None
    model_p50: float
    model_p99: float
    model_refused: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a server needs for images of one size.

    Attributes:
        alone: seconds of a call with nothing else to do, at `ALONE_PERCENTILES`.
        each: seconds of one core for an image, by how many a busy server does.
        cpu: the same by its processor time; None where the server is not ours.
        others: cores that others kept busy meanwhile; None likewise.
    """

    alone: tuple[float, ...]
    each: float
    cpu: float | None
    others: float | None

    @property
    def service(self) -> float:
        """Seconds of one core that belongs to the server alone.

        By what a busy server does, which has all in it; but beside neighbours that take the core away, by
        processor time.
        """
        return self._beside_others or self.each

    @property
    def undisturbed(self) -> tuple[float, ...]:
        """Seconds of a call with nothing else to do; beside neighbours likewise by processor time."""
        return (self._beside_others,) if self._beside_others else self.alone

    @property
    def _beside_others(self) -> float | None:
        return self.cpu if self.others is not None and self.others > BUSY_CORES else None


def calibrate(
    size: Size, make: Make, senders: Sequence[Send], cores: int, seconds: float, own: OwnServer | None
) -> Calibration:
    """Calls of one size: one after the other, then more at a time than the server has cores."""
    _calls_at_once(size, make, senders, cores, 0.2 * seconds, fewest=cores)  # warms up
    alone = _calls_at_once(size, make, senders, 1, 0.3 * seconds)
    with _watching(own) as vitals:
        start = time.monotonic()
        busy = _calls_at_once(size, make, senders, 2 * cores + 2, 0.5 * seconds)
        took = time.monotonic() - start
    return Calibration(
        alone=tuple(float(each) for each in np.percentile(alone, ALONE_PERCENTILES)),
        each=cores * took / len(busy),
        cpu=vitals.cpu_seconds / len(busy) if own else None,
        others=vitals.other_seconds / vitals.seconds if own else None,
    )


def fit(pod_like: dict[str, int], calibrations: dict[Size, Calibration]) -> Pod:
    """The pod that was measured; `pod_like` has its `cores`, `max_calls` and `max_pixels`."""
    return Pod(
        **pod_like,
        service=ServiceTime.fit({size: found.service for size, found in calibrations.items()}),
        alone={size: found.undisturbed for size, found in calibrations.items()},
    )


def measure(
    rate: float,
    seconds: float,
    mix: Mix,
    spacing: Spacing,
    seed: int,
    make: Make,
    senders: Sequence[Send],
    pod: Pod,
    own: OwnServer | None,
) -> Point:
    """One point of the curve."""
    arrivals = schedule([Phase(seconds, rate)], mix, spacing, seed)
    with _watching(own) as vitals:
        outcome = offer(arrivals, seconds, make, senders)
    return summarize(outcome, mix, pod, vitals if own else None)


def summarize(outcome: Outcome, mix: Mix, pod: Pod, vitals: Vitals | None) -> Point:
    """The point of that outcome, and the model at the same rate."""
    times = histogram(call.seconds for call in outcome.answered)
    total = len(outcome.calls)
    return Point(
        offered=outcome.offered,
        answered=outcome.throughput,
        refused=len(outcome.refused) / total,
        failed=len(outcome.failed) / total,
        p50=percentile_ms(times, 50),
        p90=percentile_ms(times, 90),
        p99=percentile_ms(times, 99),
        p999=percentile_ms(times, 99.9),
        refusal_p99=percentile_ms(histogram(call.seconds for call in outcome.refused), 99),
        late=outcome.late_share,
        on_time=outcome.on_time,
        queue_pixels=float(np.mean(vitals.queue_pixels)) if vitals and vitals.queue_pixels else None,
        busy_cores=vitals.cpu_seconds / vitals.seconds if vitals else None,
        other_cores=vitals.other_seconds / vitals.seconds if vitals else None,
        peak_bytes=vitals.peak_bytes if vitals else None,
        model_p50=1e3 * pod.percentile(outcome.offered, mix, 50),
        model_p99=1e3 * pod.percentile(outcome.offered, mix, 99),
        model_refused=pod.queue(outcome.offered, mix).refused_share,
    )


def knee(points: Sequence[Point], target_ms: float) -> Point | None:
    """The highest offered load up to which p99 stays within the target and less than 1 % is lost.

    More load makes neither p99 nor losses less; where a point says so, it is chance, and it and its neighbour
    count as their mean (of p99 the geometric one): monotone regression (Ayer et al. 1955). So neither one
    unlucky point nor one lucky one decides. Points whose generator was late say nothing.
    """
    ordered = sorted((point for point in points if point.on_time), key=lambda point: point.offered)
    waits = _monotone([math.inf if point.p99 is None else math.log(point.p99) for point in ordered])
    losses = _monotone([point.refused + point.failed for point in ordered])
    found = None
    for point, wait, lost in zip(ordered, waits, losses, strict=True):
        if wait > math.log(target_ms) + 1e-9 or lost >= LOST_SHARE:
            break
        found = point
    return found


def _monotone(values: Sequence[float]) -> list[float]:
    """The nearest by least squares of those that never fall: neighbours that do are pooled."""
    pools: list[tuple[float, int]] = []  # mean, and of how many
    for value in values:
        mean, number = value, 1
        while pools and pools[-1][0] > mean:
            before, many = pools.pop()
            mean, number = (before * many + mean * number) / (many + number), many + number
        pools.append((mean, number))
    return [mean for mean, number in pools for _ in range(number)]


def _calls_at_once(
    size: Size, make: Make, senders: Sequence[Send], callers: int, seconds: float, fewest: int = FEWEST
) -> list[float]:
    """Seconds of each call, of callers that wait for an answer before the next call.

    Closed loops tell what a server can do, and what it takes while nobody else is there; not how long callers
    wait.
    """
    end, lock = time.monotonic() + seconds, threading.Lock()
    took: list[float] = []
    errors: list[Exception] = []

    def run(send: Send) -> None:
        number = 0
        try:
            while time.monotonic() < end or number < -(-fewest // callers):
                start = time.monotonic()
                send(make(size)).result()
                with lock:
                    took.append(time.monotonic() - start)
                number += 1
        except Exception as error:  # noqa: BLE001 (told by the caller's thread)
            errors.append(error)

    threads = [threading.Thread(target=run, args=(senders[n % len(senders)],)) for n in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise SystemExit(f"a call for an image of {size[0]}x{size[1]} failed: {errors[0]}")
    return took


@contextmanager
def _watching(own: OwnServer | None) -> Iterator[Vitals]:
    if own is None:
        yield Vitals()
        return
    with own.watched() as vitals:
        yield vitals
