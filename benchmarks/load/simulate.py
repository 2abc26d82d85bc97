"""An autoscaler before pods, simulated: what becomes of calls while the number of pods follows the load.

Pods are those that `benchmarks.load` measured: queues with their cores and bounds, and processor seconds by
image size. Each caller takes turns among the pods that it knows, finds new ones when a connection of its own
ends, and tries again as the client does, after what a refusing pod asks for. The HorizontalPodAutoscaler is
Kubernetes' algorithm: desired = ceil(current * metric / target), a tolerance, policies for each period,
stabilization windows. docs/capacity.md shows what comes out.
"""

import argparse
import heapq
import json
import math
from array import array
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import simpy

from benchmarks.load import plots
from benchmarks.load.arrivals import Mix, Phase, pixels
from benchmarks.load.capacity import Pod, pods_needed
from benchmarks.load.docs import IMAGES, markdown, renew
from benchmarks.load.target import pod_settings
from benchmarks.report import say, say_table
from superpixel_service.client.retry import RetryPolicy

# ---- the autoscaler ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Policy:
    """How much may change within a period: so many pods, or percent of those at its start."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_seconds: float


@dataclass(frozen=True, slots=True)
class Rules:
    """Of one direction; of several policies the one that allows most counts (`selectPolicy: Max`)."""

    policies: tuple[Policy, ...]
    window_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """A HorizontalPodAutoscaler, as deploy/base has it.

    Attributes:
        targets: of each metric, the mean over pods at which it is to be kept; "cpu" is a share of the
            request.
    """

    targets: dict[str, float]
    least: int = 2
    most: int = 200
    up: Rules = Rules((Policy("Percent", 100, 30), Policy("Pods", 2, 30)))
    down: Rules = Rules((Policy("Pods", 1, 60),), 300)
    tolerance: float = 0.1
    sync_seconds: float = 15.0


def desired_pods(current: int, metric: float, target: float, tolerance: float = 0.1) -> int:
    """ceil(current * metric / target), or `current` where the ratio is within the tolerance of 1."""
    ratio = metric / target
    if _near(ratio, tolerance):
        return current
    return math.ceil(round(current * ratio, 9))  # 1.1 * 10 is not above 11


def desired_of_pods(
    values: Sequence[float], unready: int, missing: int, target: float, tolerance: float = 0.1
) -> int:
    """The same where the metric is not known of every pod.

    As Kubernetes has it: where the known ones say to scale up, the others count as 0, which damps it; where
    they say to scale down, those that serve count as the target. Where that turns the direction, nothing
    changes.

    Args:
        values: of the pods whose metric is known.
        unready: pods that do not serve yet.
        missing: pods that serve, of which nothing is known yet.
        target: the mean that is wanted.
        tolerance: of the ratio of both.
    """
    current = len(values) + unready + missing
    if not values:
        return current
    ratio = sum(values) / len(values) / target
    damped = unready if ratio > 1 else 0
    if not damped and not missing:
        return current if _near(ratio, tolerance) else math.ceil(round(ratio * len(values), 9))
    counted = len(values) + missing + damped
    again = (sum(values) + (missing * target if ratio < 1 else 0.0)) / counted / target
    if _near(again, tolerance) or (again > 1) is not (ratio > 1):
        return current
    wanted = math.ceil(round(again * counted, 9))
    turned = (again < 1 and wanted > current) or (again > 1 and wanted < current)
    return current if turned else wanted


def _near(ratio: float, tolerance: float) -> bool:
    return 1 - tolerance <= ratio <= 1 + tolerance


@dataclass
class Scaling:
    """What an autoscaler remembers from look to look: its recommendations, and its changes."""

    rules: Autoscaler
    _said: deque[tuple[float, int]] = field(default_factory=deque)
    _changes: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, now: float, current: int, wanted: int) -> int:
        """The number of pods from now on.

        Args:
            now: seconds; never goes back.
            current: pods there are.
            wanted: by the metrics; of several metrics the highest.
        """
        rules = self.rules
        self._said.append((now, wanted))
        keep = max(rules.up.window_seconds, rules.down.window_seconds)
        while self._said[0][0] < now - keep:
            self._said.popleft()

        def said_within(seconds: float) -> list[int]:
            return [said for when, said in self._said if when >= now - seconds]

        lowest, highest = (
            min(said_within(rules.up.window_seconds)),
            max(said_within(rules.down.window_seconds)),
        )
        stable = min(max(current, lowest), highest)  # the gentlest of the windows
        if stable > current:
            allowed = max(self._limit(policy, now, current, up=True) for policy in rules.up.policies)
            stable = max(current, min(stable, allowed, rules.most))
        elif stable < current:
            allowed = min(self._limit(policy, now, current, up=False) for policy in rules.down.policies)
            stable = min(current, max(stable, allowed, rules.least))
        stable = min(max(stable, rules.least), rules.most)
        if stable != current:
            self._changes.append((now, stable - current))
        return stable

    def _limit(self, policy: Policy, now: float, current: int, *, up: bool) -> int:
        changed = sum(
            change
            for when, change in self._changes
            if when > now - policy.period_seconds and (change > 0) is up
        )
        at_start = current - changed
        if policy.kind == "Pods":
            return at_start + (policy.value if up else -policy.value)
        if up:
            return math.ceil(round(at_start * (1 + policy.value / 100), 9))
        return math.floor(round(at_start * (1 - policy.value / 100), 9))


# ---- pods and calls ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Discovery:
    """How callers come to know of new pods: by a look at the service's name when a connection ends.

    Attributes:
        age_seconds: of a connection at its end, as `max_connection_age_seconds`; gRPC varies it by a tenth.
        callers: each with a channel of its own, and so a connection to every pod that it knows.
        lookup_seconds: between two looks of a caller, at least (client/wire.py).
        name_seconds: for which the cluster's DNS keeps an answer; 30 as kubeadm sets CoreDNS up.
    """

    age_seconds: float
    callers: int = 40
    lookup_seconds: float = 2.0
    name_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class World:
    """All that is simulated.

    Attributes:
        pod: what each pod is.
        mix: of images.
        phases: of the load, one after the other.
        start_seconds: from the autoscaler's decision to a pod that serves: node, image, process, warm-up,
            probe.
        metric_seconds: how far back the mean of the queue's metric goes.
        scrape_seconds: between looks at a pod; the autoscaler sees nothing newer.
        patience_seconds: after which a caller gives up.
        retry: how callers try again.
        discovery: how they find new pods; None: all know at once of all, and take turns together.
        exponential: service times exponentially distributed around those of the pod, for tests against
            closed forms.
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
    """Over time, in windows that end at `seconds`.

    Attributes:
        pods: that serve.
        needed: that the model says the load needs; 0 where it was not asked.
        refused: tries refused, of all tries.
        lost: calls given up, of all calls that ended.
        p99: seconds from call to answer, waits and retries included; None where none was answered.
        waits: seconds before work began, of each admitted call.
        totals: numbers of calls, answers, lost calls, tries and refused tries.
        pod_seconds: the sum of the time that pods were there.
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


class SimulatedPod:
    """First come, first served by its cores; what is in flight is bounded as at the server.

    As whoever is first is served first, a call's wait is known when it comes: no event is needed for it.
    """

    def __init__(self, pod: Pod, born: float) -> None:
        self._pod = pod
        self.born = born
        self.serves = True
        self._free = [born] * pod.cores  # heap: when each core is
        self._leaving: list[tuple[float, int]] = []  # heap: end and pixels of what is in flight
        self._entering: deque[tuple[float, int]] = deque()  # start and pixels of what waits
        self._pixels = self._waiting = 0
        self._work: deque[tuple[float, float]] = deque()  # since the last look: start and end
        self.samples: deque[tuple[float, float, float]] = deque()  # when, pixels that wait, busy cores

    def offer(self, now: float, size_pixels: int, seconds: float) -> tuple[bool, float]:
        """Admit a call, or not.

        Returns:
            Whether it is admitted; when its work begins, or how long to stay away.
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

    def look(self, now: float, keep_seconds: float) -> None:
        """Take a sample of what waits and, since the last look, of how busy the cores were."""
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
    """A caller's connections, one to each pod that it knows."""

    def __init__(self, rules: Discovery, random: np.random.Generator, pods: Sequence[SimulatedPod]) -> None:
        self._rules = rules
        self._random = random
        self._ends = {pod: random.uniform(0, rules.age_seconds) for pod in pods}
        self._pods = list(pods)
        self._next_end = min(self._ends.values())
        self._turn = int(random.integers(len(pods)))
        self._looked = -math.inf
        self._to_look = False

    def pod(self, now: float, look_up: Callable[[float], Sequence[SimulatedPod]]) -> SimulatedPod:
        """Whose turn it is. Pods that drain are not called: the client watches each one's health."""
        if now >= self._next_end:
            self._ends = {pod: end if end > now else now + self._life() for pod, end in self._ends.items()}
            self._next_end = min(self._ends.values())
            self._to_look = True
        if self._to_look and now >= self._looked + self._rules.lookup_seconds:
            self._know(now, look_up(now))
        while True:
            self._turn = (self._turn + 1) % len(self._pods)
            pod = self._pods[self._turn]
            if pod.serves:
                return pod
            # Its end ended the connection. The autoscaler's least pods stay, so some are left.
            self._pods.remove(pod)
            del self._ends[pod]
            self._to_look = True

    def _know(self, now: float, found: Sequence[SimulatedPod]) -> None:
        self._looked, self._to_look = now, False
        self._pods = [pod for pod in found if pod.serves]
        self._ends = {pod: self._ends.get(pod) or now + self._life() for pod in self._pods}
        self._next_end = min(self._ends.values())

    def _life(self) -> float:
        return self._rules.age_seconds * self._random.uniform(0.9, 1.1)


class Simulation:
    """A world, run once."""

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
        self._named: tuple[float, list[SimulatedPod]] = (-math.inf, [])  # what the DNS keeps, and until when
        self._retries: list[tuple[float, float, int, int, int]] = []  # heap: when, then as `_try` takes them
        self.result = Result()
        self._window: dict[str, int] = dict.fromkeys(_TOTALS, 0)
        self._took: list[float] = []

    def run(self, window_seconds: float = 15.0) -> Result:
        """To the end of the phases."""
        end = sum(phase.seconds for phase in self._world.phases)
        self._env.process(self._callers())
        self._env.process(self._looks())
        if self._world.scaling is not None:
            self._env.process(self._scaler(self._world.scaling))
        self._env.process(self._recorder(window_seconds))
        self._env.run(until=end + 1e-6)
        return self.result

    # Calls come in slices of time, in their order: an event of simpy for each would take most of the run.
    def _callers(self) -> Generator[simpy.Event, None, None]:
        world = self._world
        longest = 0.5 if world.scaling else 60.0  # what looks at the pods sees no further ahead
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
                    self._try_those_due(due)
                    self._window["calls"] += 1
                    self._try(due, due, kind, caller, 1)
                self._try_those_due(begin + length)
                yield self._env.timeout(length)

    def _try_those_due(self, now: float) -> None:
        while self._retries and self._retries[0][0] <= now:
            self._try(*heapq.heappop(self._retries))

    def _try(self, now: float, called: float, kind: int, caller: int, tries: int) -> None:
        world = self._world
        seconds = self._services[kind]
        if world.exponential:
            seconds = float(self._random.exponential(seconds))
        pod = self._whose_turn(now, caller)
        self._window["tries"] += 1
        admitted, when = pod.offer(now, self._pixels[kind], seconds)
        if admitted:
            self._window["answered"] += 1
            self.result.waits.append(when - now)
            self._took.append(when + seconds - called)
            return
        self._window["refused"] += 1
        # The pod's hint is its work in flight (work.throughput); the client adds its backoff.
        hint = min(max(when * self._random.uniform(0.5, 1.0), 0.05), 30.0)
        policy = world.retry
        backoff = min(policy.max_backoff_seconds, policy.first_backoff_seconds * 2.0 ** (tries - 1))
        again = now + hint + backoff * self._random.uniform(0.5, 1.0)
        if tries >= policy.max_attempts or again > called + world.patience_seconds:
            self._window["lost"] += 1
            return
        heapq.heappush(self._retries, (again, called, kind, caller, tries + 1))

    def _whose_turn(self, now: float, caller: int) -> SimulatedPod:
        if self._channels:
            return self._channels[caller].pod(now, self._look_up)
        self._turn = (self._turn + 1) % len(self._pods)
        return self._pods[self._turn]

    def _look_up(self, now: float) -> Sequence[SimulatedPod]:
        """What the name has: an answer that is kept for a while, so it may lack the newest."""
        discovery = self._world.discovery
        if discovery is not None and now >= self._named[0]:
            self._named = (now + discovery.name_seconds, list(self._pods))
        return self._named[1]

    def _looks(self) -> Generator[simpy.Event, None, None]:
        world = self._world
        while True:
            yield self._env.timeout(world.scrape_seconds)
            for pod in self._pods:
                pod.look(self._env.now, world.metric_seconds)

    def _scaler(self, rules: Autoscaler) -> Generator[simpy.Event, None, None]:
        scaling = Scaling(rules)
        while True:
            yield self._env.timeout(rules.sync_seconds)
            now = self._env.now
            self._let_start(now)
            current = len(self._pods) + len(self._starting)
            known = [pod for pod in self._pods if pod.samples]
            wanted = max(
                desired_of_pods(
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
                # The youngest go first; what they had admitted, they finish.
                if self._starting:
                    self._starting.pop()
                else:
                    self._pods.pop().serves = False

    def _metric(self, pod: SimulatedPod, name: str) -> float:
        if name == "cpu":
            return pod.samples[-1][2] / self._world.pod.cores  # metrics-server has the latest look alone
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


# ---- what docs/capacity.md shows ---------------------------------------------------------------------------

AGE = float(pod_settings(1)["SUPERPIXEL_MAX_CONNECTION_AGE_SECONDS"])
MEASURED = Path(__file__).parent / "measured.json"
SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
BURST = 4.0
BEFORE_SECONDS, BURST_SECONDS, AFTER_SECONDS = 120.0, 420.0, 120.0
FROM_PODS = (2, 10, 50)
STEADY_HEADER = ("pods", "calls", "p99 ms", "model p99 ms", "tries refused", "lost")
BURST_HEADER = ("pods", "at most", "metrics", "needed", "enough after, s", "calls lost", "pod hours", "runs")
AGES = (0.0, 60.0, 120.0, 300.0, 600.0)
AGE_HEADER = ("connections end after, s", "calls lost", "runs")
RUN_PODS = 20
"""Of one burst that many pods make so many runs: with few, chance is large, and a run short."""


@dataclass(frozen=True, slots=True)
class Row:
    """A burst, in figures: means over runs.

    Attributes:
        most: that the autoscaler may have.
        enough_seconds: from the burst's start until as many pods serve as the model says; None: in some run
            never.
        lost: of all calls, those given up, in each run.
        pod_hours: of the whole run.
    """

    pods: int
    most: int
    metrics: str
    needed: int
    enough_seconds: float | None
    lost: list[float]
    pod_hours: float

    def lost_text(self) -> str:
        """Their mean, and between which the runs are."""
        mean = sum(self.lost) / len(self.lost)
        return f"{mean:.1%}" + (f" ({min(self.lost):.1%} to {max(self.lost):.1%})" if self.lost[1:] else "")

    def cells(self) -> tuple[object, ...]:
        """Under `BURST_HEADER`."""
        enough = "never" if self.enough_seconds is None else f"{self.enough_seconds:.0f}"
        hours = f"{self.pod_hours:.2f}"
        return (
            self.pods,
            self.most,
            self.metrics,
            self.needed,
            enough,
            self.lost_text(),
            hours,
            len(self.lost),
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, print, and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.simulate", description=__doc__)
    parser.add_argument(
        "--measured",
        type=Path,
        default=MEASURED,
        metavar="JSON",
        help="of benchmarks.load (default: the docs')",
    )
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder for the plot (default: %(default)s)")
    parser.add_argument("--docs", action="store_true", help="also renew the tables of docs/capacity.md")
    parser.add_argument("--start-seconds", type=float, default=30.0, help="of a pod (default: %(default)g)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="pods at a steady load")
    parser.add_argument("--bursts", type=int, nargs="+", default=FROM_PODS, help="pods before a burst")
    options = parser.parse_args(arguments)
    found = json.loads(options.measured.read_text())
    if found["advice"] is None:
        raise SystemExit(f"{options.measured}: no load was within the target, so there is no pod to simulate")
    advice, mix, target = found["advice"], Mix.parse(found["mix"]), found["target_ms"] / 1e3
    pod = replace(
        Pod.from_json(found["pod"]),
        cores=advice["cores"],
        max_calls=advice["max_calls"],
        max_pixels=advice["max_pixels"],
    )
    steady_title = (
        f"Steady, {advice['working']:.1f} calls a second and pod of {pod.cores} cores, taking turns"
    )
    steady = [_steady_row(pods, pod, mix, advice["working"]) for pods in options.sizes]
    say_table(steady_title, STEADY_HEADER, steady)
    metrics = {
        "cpu": {"cpu": advice["utilization"]},
        "queue and cpu": {"queue_pixels": advice["queue_target"], "cpu": advice["utilization"]},
    }
    rows, drawn = [], []
    for pods in options.bursts:
        for name, targets in metrics.items():
            row, result = _burst(
                pods, name, targets, pod, mix, advice["working"], target, options.start_seconds
            )
            rows.append(row)
            if name != "cpu":
                drawn.append((f"{pods} pods, then {BURST:g} times the load", result))
    burst_title = (
        f"{BURST:g} times the load for {BURST_SECONDS:g} s; a pod serves after {options.start_seconds:g} s"
    )
    bursts = [row.cells() for row in rows]
    say_table(burst_title, BURST_HEADER, bursts)
    few = min(options.bursts)
    age_title = (
        f"The burst from {few} pods, queue and cpu, by the age at which connections end (0: all know all)"
    )
    ages = []
    for age in AGES:
        row, _ = _burst(few, name, targets, pod, mix, advice["working"], target, options.start_seconds, age)
        ages.append((f"{age:g}", row.lost_text(), len(row.lost)))
    say_table(age_title, AGE_HEADER, ages)
    if options.docs:
        tables = (
            (steady_title, STEADY_HEADER, steady),
            (burst_title, BURST_HEADER, bursts),
            (age_title, AGE_HEADER, ages),
        )
        parts = [f"{title}:\n\n{markdown(header, rows)}" for title, header, rows in tables]
        renew("simulated", "\n\n".join(parts))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "load-autoscaling.svg"
    path.write_text(plots.draw_autoscaling(drawn))
    say(f"\nwrote {path}")


def _steady_row(pods: int, pod: Pod, mix: Mix, rate: float) -> tuple[object, ...]:
    seconds = max(60.0, min(3600.0, 200_000 / (rate * pods)))
    world = World(pod, mix, (Phase(seconds, rate * pods),), None, pods, discovery=Discovery(AGE))
    result = Simulation(world).run(window_seconds=seconds)
    totals = result.totals
    return (
        pods,
        totals["calls"],
        f"{1e3 * (result.p99[-1] or 0):.0f}",
        f"{1e3 * pod.percentile(rate, mix, 99):.0f}",
        f"{totals['refused'] / totals['tries']:.3%}",
        f"{totals['lost'] / totals['calls']:.3%}",
    )


def _burst(
    pods: int,
    name: str,
    targets: dict[str, float],
    pod: Pod,
    mix: Mix,
    rate: float,
    target: float,
    start_seconds: float,
    age: float = AGE,
) -> tuple[Row, Result]:
    """In figures, and one of the runs."""
    low, high = rate * pods, BURST * rate * pods
    phases = (Phase(BEFORE_SECONDS, low), Phase(BURST_SECONDS, high), Phase(AFTER_SECONDS, low))
    needed = {each: pods_needed(each, pod, mix, target) for each in (low, high)}

    def needed_at(seconds: float) -> int:
        return needed[high if 0 <= seconds - BEFORE_SECONDS < BURST_SECONDS else low]

    most = math.ceil(BURST * pods)
    scaling = Autoscaler(targets, least=min(2, pods), most=most)
    world = World(
        pod,
        mix,
        phases,
        scaling,
        pods,
        start_seconds=start_seconds,
        discovery=Discovery(age) if age else None,
    )
    runs = max(1, RUN_PODS // pods)
    results = [Simulation(replace(world, seed=1 + run), needed_at).run() for run in range(runs)]
    enough = [
        next(
            (
                seconds - BEFORE_SECONDS
                for seconds, there in zip(result.seconds, result.pods, strict=True)
                if seconds > BEFORE_SECONDS and there >= needed[high]
            ),
            None,
        )
        for result in results
    ]
    found = [seconds for seconds in enough if seconds is not None]
    row = Row(
        pods,
        most,
        name,
        needed[high],
        sum(found) / runs if len(found) == runs else None,
        [result.totals["lost"] / result.totals["calls"] for result in results],
        sum(result.pod_seconds for result in results) / 3600 / runs,
    )
    return row, results[0]


if __name__ == "__main__":
    main()
