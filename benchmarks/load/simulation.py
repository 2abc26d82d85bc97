"""Simulation of pods behind an autoscaler while the load changes.

Pods are those that `benchmarks.load` measured: queues with their cores, their bounds and their service time
per image size. Callers use the pods in turn, and retry a refused call as the client does, after the delay
that the pod asks for.
"""

import heapq
import math
from array import array
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
import simpy

from benchmarks.load.arrivals import Mix, Phase, pixels
from benchmarks.load.autoscaler import Autoscaler, Scaling, desired_pods
from benchmarks.load.capacity import Pod
from benchmarks.load.simulated_pods import Channel, Discovery, SimulatedPod
from superpixel_service.client.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class World:
    """The input of a simulation.

    Attributes:
        pod: the measured pod; all pods are alike.
        mix: image sizes and their shares.
        phases: the load, one phase after the other.
        scaling: the autoscaler; None: the number of pods stays.
        pods: number of pods at the start.
        start_seconds: from the autoscaler's decision until a new pod serves: node, image, process, warm-up,
            probe.
        metric_seconds: length of the window over which the queue's metric is averaged.
        scrape_seconds: interval between samples of a pod; the autoscaler sees nothing newer.
        patience_seconds: after which a caller gives up.
        retry: how callers retry.
        discovery: how callers find new pods; None: all know every pod at once, and share one turn.
        exponential: draw service times from an exponential distribution with the pod's mean, for tests
            against closed forms.
        seed: of the random numbers.
    """

    pod: Pod
    mix: Mix
    phases: tuple[Phase, ...]
    scaling: Autoscaler | None
    pods: int
    start_seconds: float = 30.0
    metric_seconds: float = 60.0
    scrape_seconds: float = 15.0
    patience_seconds: float = 30.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    discovery: Discovery | None = None
    exponential: bool = False
    seed: int = 1


_TOTALS: tuple[str, ...] = ("calls", "answered", "lost", "tries", "refused")


@dataclass
class Result:
    """The output of a simulation, in windows that end at `seconds`.

    Attributes:
        seconds: end of each window.
        pods: number of pods that serve.
        needed: number of pods that the model says the load needs; 0 if it was not asked.
        refused: refused tries, as a share of all tries.
        lost: calls given up, as a share of all calls that ended.
        p99: seconds from call to answer, waits and retries included; None if no call was answered.
        waits: seconds before work began, of each admitted call.
        totals: numbers of calls, answers, lost calls, tries and refused tries.
        pod_seconds: running time of all pods together.
    """

    seconds: list[float] = field(default_factory=list)
    pods: list[int] = field(default_factory=list)
    needed: list[int] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    p99: list[float | None] = field(default_factory=list)
    waits: "array[float]" = field(default_factory=lambda: array("d"))
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_TOTALS, 0))
    pod_seconds: float = 0.0


class Simulation:
    """One run of a world."""

    def __init__(self, world: World, needed: Callable[[float], int] | None = None) -> None:
        self._world = world
        self._needed = needed
        self._random = np.random.default_rng(world.seed)
        self._env = simpy.Environment()
        self._pods = [SimulatedPod(world.pod, 0.0) for _ in range(world.pods)]
        self._starting: list[float] = []  # when each will serve
        self._turn = 0
        self._services = [world.pod.service.seconds(size) for size in world.mix.sizes]
        self._pixels = [pixels(size) for size in world.mix.sizes]
        discovery = world.discovery
        self._channels = (
            [Channel(discovery, self._random, self._pods) for _ in range(discovery.callers)]
            if discovery
            else []
        )
        self._named: tuple[float, list[SimulatedPod]] = (-math.inf, [])  # DNS cache: until when, and what
        self._retries: list[tuple[float, float, int, int, int]] = []  # heap of `_try`'s arguments
        self.result = Result()
        self._window: dict[str, int] = dict.fromkeys(_TOTALS, 0)
        self._took: list[float] = []

    def run(self, window_seconds: float = 15.0) -> Result:
        """Run to the end of the phases."""
        end = sum(phase.seconds for phase in self._world.phases)
        self._env.process(self._callers())
        self._env.process(self._sampler())
        if self._world.scaling is not None:
            self._env.process(self._scaler(self._world.scaling))
        self._env.process(self._recorder(window_seconds))
        self._env.run(until=end + 1e-6)
        return self.result

    # One event per slice of time, not per call: events would take most of the run.
    def _callers(self) -> Generator[simpy.Event, None, None]:
        world = self._world
        longest = 0.5 if world.scaling else 60.0  # samples also see the rest of a slice, so it is short
        for phase in world.phases:
            slice_seconds = min(max(0.1, 100 / phase.rate), longest)
            until = self._env.now + phase.seconds
            while self._env.now < until - 1e-9:
                begin = self._env.now
                length = min(slice_seconds, until - begin)
                number = int(self._random.poisson(phase.rate * length))
                dues = begin + length * np.sort(self._random.random(number))
                kinds = self._random.choice(len(self._services), number, p=world.mix.shares)
                who = self._random.integers(max(1, len(self._channels)), size=number)
                for due, kind, caller in zip(dues.tolist(), kinds.tolist(), who.tolist(), strict=True):
                    self._retry_due(due)
                    self._window["calls"] += 1
                    self._try(due, due, kind, caller, 1)
                self._retry_due(begin + length)
                yield self._env.timeout(length)

    def _retry_due(self, now: float) -> None:
        while self._retries and self._retries[0][0] <= now:
            self._try(*heapq.heappop(self._retries))

    def _try(self, now: float, called: float, kind: int, caller: int, tries: int) -> None:
        world = self._world
        seconds = self._services[kind]
        if world.exponential:
            seconds = float(self._random.exponential(seconds))
        pod = self._next_pod(now, caller)
        self._window["tries"] += 1
        admitted, when = pod.offer(now, self._pixels[kind], seconds)
        if admitted:
            self._window["answered"] += 1
            self.result.waits.append(when - now)
            self._took.append(when + seconds - called)
            return
        self._window["refused"] += 1
        # As the server does, the pod asks for the time of its work in flight; the client adds its backoff.
        hint = min(max(when * self._random.uniform(0.5, 1.0), 0.05), 30.0)
        policy = world.retry
        backoff = min(policy.max_backoff_seconds, policy.first_backoff_seconds * 2.0 ** (tries - 1))
        again = now + hint + backoff * self._random.uniform(0.5, 1.0)
        if tries >= policy.max_attempts or again > called + world.patience_seconds:
            self._window["lost"] += 1
            return
        heapq.heappush(self._retries, (again, called, kind, caller, tries + 1))

    def _next_pod(self, now: float, caller: int) -> SimulatedPod:
        if self._channels:
            return self._channels[caller].pod(now, self._look_up)
        self._turn = (self._turn + 1) % len(self._pods)
        return self._pods[self._turn]

    def _look_up(self, now: float) -> Sequence[SimulatedPod]:
        """Return the DNS's answer. It is cached for a while, so it may lack the newest pods."""
        discovery = self._world.discovery
        if discovery is not None and now >= self._named[0]:
            self._named = (now + discovery.name_seconds, list(self._pods))
        return self._named[1]

    def _sampler(self) -> Generator[simpy.Event, None, None]:
        world = self._world
        while True:
            yield self._env.timeout(world.scrape_seconds)
            for pod in self._pods:
                pod.sample(self._env.now, world.metric_seconds)

    def _scaler(self, rules: Autoscaler) -> Generator[simpy.Event, None, None]:
        scaling = Scaling(rules)
        while True:
            yield self._env.timeout(rules.sync_seconds)
            now = self._env.now
            self._let_start(now)
            current = len(self._pods) + len(self._starting)
            known = [pod for pod in self._pods if pod.samples]
            wanted = max(
                desired_pods(
                    [self._metric(pod, name) for pod in known],
                    len(self._starting),
                    len(self._pods) - len(known),
                    target,
                    rules.tolerance,
                )
                for name, target in rules.targets.items()
            )
            decided = scaling.decide(now, current, wanted)
            for _ in range(decided - current):
                self._starting.append(now + self._world.start_seconds)
                self._env.process(self._start())
            for _ in range(current - decided):
                # The youngest pods stop first; they finish the calls that they admitted.
                if self._starting:
                    self._starting.pop()
                else:
                    self._pods.pop().serves = False

    def _metric(self, pod: SimulatedPod, name: str) -> float:
        if name == "cpu":
            return pod.samples[-1][2] / self._world.pod.cores  # metrics-server has the latest sample only
        return sum(sample[1] for sample in pod.samples) / len(pod.samples)

    def _start(self) -> Generator[simpy.Event, None, None]:
        yield self._env.timeout(self._world.start_seconds)
        self._let_start(self._env.now)

    def _let_start(self, now: float) -> None:
        ready = [when for when in self._starting if when <= now]
        self._starting = [when for when in self._starting if when > now]
        self._pods += [SimulatedPod(self._world.pod, now) for _ in ready]

    def _recorder(self, window_seconds: float) -> Generator[simpy.Event, None, None]:
        result = self.result
        while True:
            yield self._env.timeout(window_seconds)
            seen = self._window
            ended = seen["answered"] + seen["lost"]
            result.seconds.append(self._env.now)
            result.pods.append(len(self._pods))
            result.needed.append(self._needed(self._env.now - window_seconds / 2) if self._needed else 0)
            result.refused.append(seen["refused"] / seen["tries"] if seen["tries"] else 0.0)
            result.lost.append(seen["lost"] / ended if ended else 0.0)
            result.p99.append(float(np.percentile(self._took, 99)) if self._took else None)
            result.pod_seconds += window_seconds * (len(self._pods) + len(self._starting))
            for name, number in seen.items():
                result.totals[name] += number
            self._window, self._took = dict.fromkeys(_TOTALS, 0), []
