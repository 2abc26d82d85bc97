"""How long calls wait at a pod, and how many pods a load takes: a model small enough to be checked by hand.

A pod is a queue with `cores` servers, Poisson arrivals, service times that depend on the image's size, first
come first served, and a bound on the wait beyond which calls are refused: M/G/c with bounded wait. For
exponential service times all of it is exact (M/M/c: Erlang 1917); others stretch the waits' scale by
(1 + scv) / 2, which is exact in the mean for one server (Pollaczek 1930, Khinchine 1932) and the usual
approximation for more (Lee and Longton 1959). docs/capacity.md says how far it is from what was measured.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.load.arrivals import Mix, Size, name_of, parse_size, pixels


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """Processor seconds that an image takes of a pod, all in all: `fixed + a_pixel * pixels`."""

    fixed: float
    a_pixel: float

    @classmethod
    def fit(cls, seconds: Mapping[Size, float]) -> "ServiceTime":
        """The line with the least relative errors; through the origin where there is but one size.

        Raises:
            ValueError: there is no size.
        """
        if not seconds:
            raise ValueError("seconds: must have at least one size")
        if len(seconds) == 1:
            ((size, each),) = seconds.items()
            return cls(0.0, each / pixels(size))
        measured = np.array(list(seconds.values()))
        line = np.array([[1.0, pixels(size)] for size in seconds]) / measured[:, None]
        fixed, a_pixel = np.linalg.lstsq(line, np.ones(len(measured)), rcond=None)[0]
        if fixed < 0:  # noise: no image takes less than nothing
            return cls(0.0, float(1 / np.mean(1 / line[:, 1])))
        return cls(float(fixed), float(a_pixel))

    def seconds(self, size: Size) -> float:
        """Of an image."""
        return self.fixed + self.a_pixel * pixels(size)

    def mean(self, mix: Mix) -> float:
        """Of the images of a mix."""
        return sum(share * self.seconds(size) for size, share in zip(mix.sizes, mix.shares, strict=True))

    def scv(self, mix: Mix) -> float:
        """Squared coefficient of variation over a mix; 1 is that of the exponential distribution."""
        square = sum(
            share * self.seconds(size) ** 2 for size, share in zip(mix.sizes, mix.shares, strict=True)
        )
        return square / self.mean(mix) ** 2 - 1


@dataclass(frozen=True, slots=True)
class Queue:
    """M/G/c in its steady state; calls that would wait longer than `bound` are refused.

    Attributes:
        rate: calls a second, refused ones too.
        servers: c.
        mean, scv: of the service times.
        bound: seconds, or infinite; finite where the load is at or above what the servers can do.
    """

    rate: float
    servers: int
    mean: float
    scv: float = 1.0
    bound: float = math.inf

    def __post_init__(self) -> None:
        if self.bound == math.inf and self.utilization >= 1:
            raise ValueError(f"rate: must be below {self.servers / self.mean:.4g} a second without a bound")

    @property
    def utilization(self) -> float:
        """Offered work over what the servers can do; above 1 where calls are refused for good."""
        return self.rate * self.mean / self.servers

    @property
    def _decay(self) -> float:
        """Of the density of waits, which is exp(-decay * t); negative above full load."""
        return 2 * (self.servers / self.mean - self.rate) / (1 + self.scv)

    def _mass(self, wait: float) -> float:
        """Of waits from 0 to `wait`, where the density at 0 is 1."""
        if abs(self._decay * wait) < 1e-9:
            return wait
        return -math.expm1(-self._decay * wait) / self._decay

    def _weights(self) -> tuple[float, float, float]:
        """How often a call meets a free server, must wait, is refused; not yet adding up to 1."""
        offered = self.rate * self.mean
        states = [offered**n / math.factorial(n) for n in range(self.servers)]
        # Level crossing: the density of waits at 0 is the rate of calls that find just one server free.
        at_zero = self.rate * states[-1] * 2 / (1 + self.scv)
        waits = at_zero * self._mass(self.bound) if self.bound < math.inf else at_zero / self._decay
        above = 0.0
        if self.bound < math.inf:
            # What the last one admitted brought along, above the bound.
            above = at_zero * math.exp(-self._decay * self.bound) * self.mean / self.servers
            above *= (1 + self.scv) / 2
        return sum(states), waits, above

    @property
    def refused_share(self) -> float:
        """Of all calls."""
        free, waits, above = self._weights()
        return above / (free + waits + above)

    @property
    def waiting_share(self) -> float:
        """Of the calls that are not refused, those that find no server free (Erlang C without a bound)."""
        free, waits, _ = self._weights()
        return waits / (free + waits)

    def share_within(self, seconds: float) -> float:
        """Of the calls that are not refused, those that wait at most so long."""
        if seconds < 0:
            return 0.0
        if seconds >= self.bound:
            return 1.0
        whole = self._mass(self.bound) if self.bound < math.inf else 1 / self._decay
        return 1 - self.waiting_share * (1 - self._mass(seconds) / whole)

    @property
    def mean_wait(self) -> float:
        """Seconds, of the calls that are not refused."""
        rate = self._decay
        if self.bound == math.inf:
            return self.waiting_share / rate
        if abs(rate * self.bound) < 1e-6:
            return self.waiting_share * self.bound / 2
        inside = 1 / rate - self.bound / math.expm1(rate * self.bound)
        return self.waiting_share * inside


@dataclass(frozen=True, slots=True)
class Pod:
    """A server with its bounds, and what images cost there.

    Attributes:
        cores: as many images are worked on at a time.
        max_calls, max_pixels: in flight, as `max_inflight_calls` and `max_inflight_pixels`.
        service: seconds of one core.
        alone: seconds that a call takes at a server with nothing else to do, by size, some percentiles
            evenly spaced; sizes that are not among them take what `service` says.
    """

    cores: int
    max_calls: int
    max_pixels: int
    service: ServiceTime
    alone: Mapping[Size, Sequence[float]]

    def bound(self, mix: Mix) -> float:
        """How long a call may have to wait: the work of what else fits within the bounds."""
        calls = self.max_calls - self.cores
        room = self.max_pixels - (self.cores + 1) * mix.mean_pixels
        waiting = max(0.0, min(calls, room / mix.mean_pixels))
        return waiting * self.service.mean(mix) / self.cores

    def queue(self, rate: float, mix: Mix) -> Queue:
        """At so many calls a second."""
        return Queue(rate, self.cores, self.service.mean(mix), self.service.scv(mix), self.bound(mix))

    def capacity(self, mix: Mix) -> float:
        """Calls a second that keep all cores busy."""
        return self.cores / self.service.mean(mix)

    def percentile(self, rate: float, mix: Mix, percentile: float) -> float:
        """Seconds from call to answer, of calls that are not refused."""
        queue = self.queue(rate, mix)
        busy = min(1.0, queue.utilization)
        parts = []
        for size, share in zip(mix.sizes, mix.shares, strict=True):
            single = self.service.seconds(size)
            alone = self.alone.get(size, (single,))
            # Alone an image has all cores; beside others, one.
            parts += [(share / len(alone), each + busy * max(0.0, single - each)) for each in alone]
        longest = max(seconds for _, seconds in parts)

        def share_within(seconds: float) -> float:
            return sum(weight * queue.share_within(seconds - own) for weight, own in parts)

        return _first(lambda t: share_within(t) >= percentile / 100, longest + queue.bound)

    def highest_rate(self, mix: Mix, target: float, lost_share: float = 0.01) -> float:
        """Calls a second at which p99 is just within `target` seconds and no more than that share is lost.

        0 where no rate does it.
        """

        def too_much(rate: float) -> bool:
            return self.percentile(rate, mix, 99) > target or self.queue(rate, mix).refused_share > lost_share

        least = 1e-3 * self.capacity(mix)
        if too_much(least):
            return 0.0
        return _first(too_much, 2 * self.capacity(mix), least)

    def queue_pixels(self, rate: float, mix: Mix) -> float:
        """Pixels that wait, in the mean (Little 1961)."""
        queue = self.queue(rate, mix)
        return rate * (1 - queue.refused_share) * queue.mean_wait * mix.mean_pixels

    def to_json(self) -> dict[str, Any]:
        """For `from_json`."""
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
        """Of what `to_json` made."""
        return cls(
            found["cores"],
            found["max_calls"],
            found["max_pixels"],
            ServiceTime(found["fixed_seconds"], found["seconds_a_pixel"]),
            {parse_size(name): tuple(values) for name, values in found["alone_seconds"].items()},
        )


def pods_needed(load: float, pod: Pod, mix: Mix, target: float) -> int:
    """For so many calls a second, spread evenly, with p99 within `target` seconds.

    Raises:
        ValueError: not even an idle pod answers within the target.
    """
    rate = pod.highest_rate(mix, target)
    if rate == 0:
        raise ValueError(f"target: {target} s is less than a call takes at an idle pod")
    return max(1, math.ceil(load / rate))


def _first(true_from: Callable[[float], bool], high: float, low: float = 0.0) -> float:
    """Where a condition that stays true once it is becomes true, between `low` and `high`, to 0.01 %."""
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if true_from(middle) else (middle, high)
    return high
