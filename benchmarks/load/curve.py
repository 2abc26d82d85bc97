"""Measure a server's curve: times, refusals and failures at rising load, with the model beside them."""

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
"""Loads of the sweep, as shares of the rate that keeps all cores busy."""
LOST_SHARE = 0.01
ALONE_PERCENTILES = np.arange(2.5, 100, 5)
FEWEST = 5
"""Calls that are measured per image size, even if that takes longer than planned."""

Make = Callable[[Size], bytes]


@dataclass(frozen=True, slots=True)
class Point:
    """The curve at one rate. Times are in milliseconds, of answered calls; shares are of all calls.

    Attributes:
        offered: calls due per second.
        answered: calls answered per second.
        refused: share of refused calls.
        failed: share of failed calls.
        p50: percentile of the time from a call's due time to its answer; the same for p90, p99, p999.
        refusal_p99: 99th percentile of the time until a refused caller knew.
        late: share of the calls that the generator sent late.
        on_time: whether `late` is small enough for the point to count.
        queue_pixels: mean number of pixels that waited in the server.
        busy_cores: processor seconds of the server per second.
        other_cores: the same of all processes except the server and the generator.
        peak_bytes: largest memory of the server.
        model_p50: by the model at the offered rate, with the nominal mix (the calls that came had by chance
            more or fewer large images); the same for model_p99 and model_refused.
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
    """The times that a server takes for images of one size.

    Attributes:
        alone: seconds of a call on an idle server, at `ALONE_PERCENTILES`.
        each: core seconds per image, from the throughput of a busy server.
        cpu: processor seconds per image; None if we did not start the server.
        others: cores that other processes kept busy meanwhile; None if we did not start the server.
    """

    alone: tuple[float, ...]
    each: float
    cpu: float | None
    others: float | None

    @property
    def service(self) -> float:
        """Seconds per image of a core that the server does not share.

        The throughput of a busy server includes every cost. But if other processes took the cores away, the
        processor time counts.
        """
        return self._if_disturbed or self.each

    @property
    def undisturbed(self) -> tuple[float, ...]:
        """Seconds of a call on an idle server; the processor time if other processes took the cores away."""
        return (self._if_disturbed,) if self._if_disturbed else self.alone

    @property
    def _if_disturbed(self) -> float | None:
        return self.cpu if self.others is not None and self.others > BUSY_CORES else None


def calibrate(
    size: Size, make: Make, senders: Sequence[Send], cores: int, seconds: float, own: OwnServer | None
) -> Calibration:
    """Measure calls of one size: first one at a time, then more at a time than the server has cores."""
    _calls_at_once(size, make, senders, cores, 0.2 * seconds, fewest=cores)  # warm-up
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


def fit(limits: dict[str, int], calibrations: dict[Size, Calibration]) -> Pod:
    """Fit the model of the measured pod; `limits` has its `cores`, `max_calls` and `max_pixels`."""
    return Pod(
        **limits,
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
    """Measure one point of the curve, at `rate` calls per second for `seconds`."""
    arrivals = schedule([Phase(seconds, rate)], mix, spacing, seed)
    with _watching(own) as vitals:
        outcome = offer(arrivals, seconds, make, senders)
    return summarize(outcome, mix, pod, vitals if own else None)


def summarize(outcome: Outcome, mix: Mix, pod: Pod, vitals: Vitals | None) -> Point:
    """Return the point for an outcome, with the model at the same rate."""
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
    """Return the highest offered load up to which p99 is within the target and less than 1 % is lost.

    More load cannot lower p99 or the losses. If a point says so, that is chance: it and its neighbour both
    count as their mean (of p99, the geometric mean). This is monotone regression (Ayer et al. 1955); a single
    lucky or unlucky point does not decide. Points whose generator was late are left out.
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
    """Return the nondecreasing values nearest by least squares: neighbours that fall are pooled."""
    pools: list[tuple[float, int]] = []  # mean and number of values
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
    """Return the seconds of each call, by callers that wait for an answer before the next call.

    Such a closed loop measures capacity and the time of a lone call. It does not measure how long callers
    wait under load.
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
        except Exception as error:  # noqa: BLE001 (raised below, in the calling thread)
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
