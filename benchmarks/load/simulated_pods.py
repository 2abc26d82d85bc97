"""Simulated pods, and the connections by which a caller reaches them."""

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.load.capacity import Pod


@dataclass(frozen=True, slots=True)
class Discovery:
    """How callers find new pods: each looks up the service's name when one of its connections ends.

    Attributes:
        age_seconds: maximum age of a connection (`max_connection_age_seconds`); gRPC varies it by a tenth.
        callers: number of callers; each has its own channel, so one connection to every pod that it knows.
        lookup_seconds: shortest time between two lookups of one caller (client/wire.py).
        name_seconds: how long the cluster's DNS caches an answer; 30 in kubeadm's CoreDNS configuration.
    """

    age_seconds: float
    callers: int = 40
    lookup_seconds: float = 2.0
    name_seconds: float = 30.0


class SimulatedPod:
    """A queue that its cores serve first come, first served; the work in flight is bounded as in the server.

    In this order a call's wait is known when the call arrives, so calls need no events of their own.
    """

    def __init__(self, pod: Pod, born: float) -> None:
        self._pod = pod
        self.born = born
        self.serves = True
        self._free = [born] * pod.cores  # heap: when each core becomes free
        self._leaving: list[tuple[float, int]] = []  # heap: end and pixels of the calls in flight
        self._entering: deque[tuple[float, int]] = deque()  # start and pixels of the waiting calls
        self._pixels = self._waiting = 0
        self._work: deque[tuple[float, float]] = deque()  # start and end of the work since the last sample
        self.samples: deque[tuple[float, float, float]] = deque()  # time, waiting pixels, busy cores

    def offer(self, now: float, size_pixels: int, seconds: float) -> tuple[bool, float]:
        """Admit a call, or refuse it.

        Returns:
            Whether the call is admitted. If so, when its work begins; otherwise, after how many seconds the
            caller should come back.
        """
        leaving = self._leaving
        while leaving and leaving[0][0] <= now:
            self._pixels -= heapq.heappop(leaving)[1]
        if len(leaving) >= self._pod.max_calls or self._pixels + size_pixels > self._pod.max_pixels:
            return False, max(0.0, sum(free - now for free in self._free if free > now) / len(self._free))
        start = max(now, self._free[0])
        end = start + seconds
        heapq.heapreplace(self._free, end)
        heapq.heappush(leaving, (end, size_pixels))
        self._pixels += size_pixels
        if start > now:
            self._entering.append((start, size_pixels))
            self._waiting += size_pixels
        self._work.append((start, end))
        return True, start

    def sample(self, now: float, keep_seconds: float) -> None:
        """Record the waiting pixels and the mean number of busy cores since the last sample."""
        while self._entering and self._entering[0][0] <= now:
            self._waiting -= self._entering.popleft()[1]
        since = self.samples[-1][0] if self.samples else self.born
        busy = sum(
            min(end, now) - max(start, since) for start, end in self._work if start < now and end > since
        )
        while self._work and self._work[0][1] <= now:
            self._work.popleft()
        self.samples.append((now, float(self._waiting), busy / max(now - since, 1e-9)))
        while self.samples[0][0] <= now - keep_seconds:
            self.samples.popleft()


class Channel:
    """One caller's connections: one to each pod that it knows, used in turn."""

    def __init__(self, rules: Discovery, random: np.random.Generator, pods: Sequence[SimulatedPod]) -> None:
        self._rules = rules
        self._random = random
        self._ends = {pod: random.uniform(0, rules.age_seconds) for pod in pods}
        self._pods = list(pods)
        self._next_end = min(self._ends.values())
        self._turn = int(random.integers(len(pods)))
        self._looked_up = -math.inf
        self._needs_lookup = False

    def pod(self, now: float, look_up: Callable[[float], Sequence[SimulatedPod]]) -> SimulatedPod:
        """Return the next pod in turn. Pods that drain are skipped: the client watches each pod's health."""
        if now >= self._next_end:
            self._ends = {pod: end if end > now else now + self._life() for pod, end in self._ends.items()}
            self._next_end = min(self._ends.values())
            self._needs_lookup = True
        if self._needs_lookup and now >= self._looked_up + self._rules.lookup_seconds:
            self._update(now, look_up(now))
        while True:
            self._turn = (self._turn + 1) % len(self._pods)
            pod = self._pods[self._turn]
            if pod.serves:
                return pod
            # The pod's end closed the connection. The autoscaler's minimum keeps some pods, so the list never
            # becomes empty.
            self._pods.remove(pod)
            del self._ends[pod]
            self._needs_lookup = True

    def _update(self, now: float, found: Sequence[SimulatedPod]) -> None:
        self._looked_up, self._needs_lookup = now, False
        self._pods = [pod for pod in found if pod.serves]
        self._ends = {pod: self._ends.get(pod) or now + self._life() for pod in self._pods}
        self._next_end = min(self._ends.values())

    def _life(self) -> float:
        return self._rules.age_seconds * self._random.uniform(0.9, 1.1)
