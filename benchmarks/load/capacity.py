"""A queueing model: how long calls wait at a pod, and how many pods a load needs.

A pod is an M/G/c queue with bounded wait: `cores` servers, Poisson arrivals, service times that depend on the
image's size, first come first served; calls that would wait longer than a bound are refused. For exponential
service times the model is exact (M/M/c: Erlang 1917). Other service times scale the waits by (1 + scv) / 2:
for one server this gives the exact mean wait (Pollaczek 1930, Khinchine 1932), for more it is the usual
approximation (Lee and Longton 1959). docs/capacity.md compares the model with measurements.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.load.arrivals import Mix, Size, name_of, parse_size, pixels


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """Processor seconds that a pod spends on an image, everything included: `fixed + a_pixel * pixels`."""

    fixed: float
    a_pixel: float

    @classmethod
    def fit(cls, seconds: Mapping[Size, float]) -> "ServiceTime":
        """Fit a line by least squares of the relative errors; with one size, a line through the origin.

        Raises:
            ValueError: `seconds` is empty.
        """
        if not seconds:
            raise ValueError("seconds: must have at least one size")
        if len(seconds) == 1:
            ((size, each),) = seconds.items()
            return cls(0.0, each / pixels(size))
        measured = np.array(list(seconds.values()))
        line = np.array([[1.0, pixels(size)] for size in seconds]) / measured[:, None]
        fixed, a_pixel = np.linalg.lstsq(line, np.ones(len(measured)), rcond=None)[0]
        if fixed < 0:  # noise: times cannot be negative
            return cls(0.0, float(1 / np.mean(1 / line[:, 1])))
        return cls(float(fixed), float(a_pixel))

    def seconds(self, size: Size) -> float:
        """Return the service time of an image."""
        return self.fixed + self.a_pixel * pixels(size)

    def mean(self, mix: Mix) -> float:
        """Return the mean service time over a mix."""
        return sum(share * self.seconds(size) for size, share in zip(mix.sizes, mix.shares, strict=True))

    def scv(self, mix: Mix) -> float:
        """Return the squared coefficient of variation over a mix; 1 for the exponential distribution."""
        square = sum(
            share * self.seconds(size) ** 2 for size, share in zip(mix.sizes, mix.shares, strict=True)
        )
        return square / self.mean(mix) ** 2 - 1


@dataclass(frozen=True, slots=True)
class Queue:
    """An M/G/c queue in its steady state that refuses calls which would wait longer than `bound`.

    Attributes:
        rate: calls per second, including those refused.
        servers: number of servers, c.
        mean: of the service times, in seconds.
        scv: squared coefficient of variation of the service times.
        bound: longest wait in seconds; must be finite if the load is at or above the servers' capacity.
    """

    rate: float
    servers: int
    mean: float
    scv: float = 1.0
    bound: float = math.inf

    def __post_init__(self) -> None:
        if self.bound == math.inf and self.utilization >= 1:
            raise ValueError(f"rate: must be below {self.servers / self.mean:.4g} per second without a bound")

    @property
    def utilization(self) -> float:
        """Offered work as a share of the servers' capacity; above 1 if the servers can never do all of it."""
        return self.rate * self.mean / self.servers

    @property
    def _decay(self) -> float:
        """Rate of the waits' density exp(-decay * t), per second; negative above full load."""
        return 2 * (self.servers / self.mean - self.rate) / (1 + self.scv)

    def _mass(self, wait: float) -> float:
        """Integral of the density from 0 to `wait`, if the density at 0 is 1."""
        if abs(self._decay * wait) < 1e-9:
            return wait
        return -math.expm1(-self._decay * wait) / self._decay

    def _weights(self) -> tuple[float, float, float]:
        """Weights, not normalized, of the states in which a call finds a free server, waits, is refused."""
        offered = self.rate * self.mean
        states = [offered**n / math.factorial(n) for n in range(self.servers)]
        # Level crossing: the density of waits at 0 is the rate of calls that take the last free server.
        at_zero = self.rate * states[-1] * 2 / (1 + self.scv)
        waits = at_zero * self._mass(self.bound) if self.bound < math.inf else at_zero / self._decay
        above = 0.0
        if self.bound < math.inf:
            # Work above the bound: that of the last admitted call.
            above = at_zero * math.exp(-self._decay * self.bound) * self.mean / self.servers
            above *= (1 + self.scv) / 2
        return sum(states), waits, above

    @property
    def refused_share(self) -> float:
        """Refused calls as a share of all calls."""
        free, waits, above = self._weights()
        return above / (free + waits + above)

    @property
    def waiting_share(self) -> float:
        """Calls that find no free server, as a share of the admitted calls; without a bound: Erlang C."""
        free, waits, _ = self._weights()
        return waits / (free + waits)

    def share_within(self, seconds: float) -> float:
        """Return the calls that wait at most `seconds`, as a share of the admitted calls."""
        if seconds < 0:
            return 0.0
        if seconds >= self.bound:
            return 1.0
        whole = self._mass(self.bound) if self.bound < math.inf else 1 / self._decay
        return 1 - self.waiting_share * (1 - self._mass(seconds) / whole)

    @property
    def mean_wait(self) -> float:
        """Mean wait of the admitted calls, in seconds."""
        rate = self._decay
        if self.bound == math.inf:
            return self.waiting_share / rate
        if abs(rate * self.bound) < 1e-6:
            return self.waiting_share * self.bound / 2
        inside = 1 / rate - self.bound / math.expm1(rate * self.bound)
        return self.waiting_share * inside


@dataclass(frozen=True, slots=True)
class Pod:
    """A server with its bounds and its times per image.

    Attributes:
        cores: number of images processed at a time.
        max_calls: largest number of calls in flight (`max_inflight_calls`).
        max_pixels: largest number of pixels in flight (`max_inflight_pixels`).
        service: service time on one core.
        alone: by image size, evenly spaced percentiles of the seconds that a call takes on an idle server;
            a size that is missing takes its service time.
    """

    cores: int
    max_calls: int
    max_pixels: int
    service: ServiceTime
    alone: Mapping[Size, Sequence[float]]

    def bound(self, mix: Mix) -> float:
        """Return the longest wait in seconds: the work of the other calls that fit within the bounds."""
        calls = self.max_calls - self.cores
        room = self.max_pixels - (self.cores + 1) * mix.mean_pixels
        waiting = max(0.0, min(calls, room / mix.mean_pixels))
        return waiting * self.service.mean(mix) / self.cores

    def queue(self, rate: float, mix: Mix) -> Queue:
        """Return the pod's queue at `rate` calls per second."""
        return Queue(rate, self.cores, self.service.mean(mix), self.service.scv(mix), self.bound(mix))

    def capacity(self, mix: Mix) -> float:
        """Return the calls per second that keep all cores busy."""
        return self.cores / self.service.mean(mix)

    def percentile(self, rate: float, mix: Mix, percentile: float) -> float:
        """Return a percentile (0 to 100) of the seconds from call to answer, of admitted calls."""
        queue = self.queue(rate, mix)
        busy = min(1.0, queue.utilization)
        parts = []
        for size, share in zip(mix.sizes, mix.shares, strict=True):
            single = self.service.seconds(size)
            alone = self.alone.get(size, (single,))
            # An image uses all cores while it is alone, and one core beside others.
            parts += [(share / len(alone), each + busy * max(0.0, single - each)) for each in alone]
        longest = max(seconds for _, seconds in parts)

        def share_within(seconds: float) -> float:
            return sum(weight * queue.share_within(seconds - own) for weight, own in parts)

        return _first(lambda t: share_within(t) >= percentile / 100, longest + queue.bound)

    def highest_rate(self, mix: Mix, target: float, lost_share: float = 0.01) -> float:
        """Return the most calls per second with p99 within `target` seconds and at most `lost_share` refused.

        0 if no rate satisfies both.
        """

        def too_much(rate: float) -> bool:
            return self.percentile(rate, mix, 99) > target or self.queue(rate, mix).refused_share > lost_share

        least = 1e-3 * self.capacity(mix)
        if too_much(least):
            return 0.0
        return _first(too_much, 2 * self.capacity(mix), least)

    def queue_pixels(self, rate: float, mix: Mix) -> float:
        """Return the mean number of waiting pixels (Little 1961)."""
        queue = self.queue(rate, mix)
        return rate * (1 - queue.refused_share) * queue.mean_wait * mix.mean_pixels

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {
            "cores": self.cores,
            "max_calls": self.max_calls,
            "max_pixels": self.max_pixels,
            "fixed_seconds": self.service.fixed,
            "seconds_a_pixel": self.service.a_pixel,
            "alone_seconds": {name_of(size): list(values) for size, values in self.alone.items()},
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Pod":
        """Make a pod from the output of `to_json`."""
        return cls(
            found["cores"],
            found["max_calls"],
            found["max_pixels"],
            ServiceTime(found["fixed_seconds"], found["seconds_a_pixel"]),
            {parse_size(name): tuple(values) for name, values in found["alone_seconds"].items()},
        )


def pods_needed(load: float, pod: Pod, mix: Mix, target: float) -> int:
    """Return the pods that `load` calls per second need, spread evenly, for p99 within `target` seconds.

    Raises:
        ValueError: even an idle pod has a p99 above the target.
    """
    rate = pod.highest_rate(mix, target)
    if rate == 0:
        raise ValueError(f"target: {target} s is less than a call takes at an idle pod")
    return max(1, math.ceil(load / rate))


def _first(true_from: Callable[[float], bool], high: float, low: float = 0.0) -> float:
    """Find by bisection, to 0.01 %, where between `low` and `high` a monotone condition becomes true."""
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if true_from(middle) else (middle, high)
    return high
