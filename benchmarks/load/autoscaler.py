"""The algorithm of Kubernetes' HorizontalPodAutoscaler.

Each metric wants ceil(current * metric / target) pods, unless the ratio is within a tolerance of 1. Policies
limit how fast the number of pods may change; stabilization windows delay a change.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Policy:
    """The largest change within a period: a number of pods, or a percentage of the pods at its start."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_seconds: float


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for one direction. The policy that allows the largest change counts (`selectPolicy: Max`)."""

    policies: tuple[Policy, ...]
    window_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """The settings of a HorizontalPodAutoscaler; the defaults are those of deploy/base.

    Attributes:
        targets: by metric, the target for its mean over the pods; "cpu" is a share of the requested cores.
    """

    targets: dict[str, float]
    least: int = 2
    most: int = 200
    up: Rules = Rules((Policy("Percent", 100, 30), Policy("Pods", 2, 30)))
    down: Rules = Rules((Policy("Pods", 1, 60),), 300)
    tolerance: float = 0.1
    sync_seconds: float = 15.0


def desired_pods(
    values: Sequence[float], unready: int, missing: int, target: float, tolerance: float = 0.1
) -> int:
    """Return the number of pods that one metric wants.

    With every value known this is ceil(current * mean / target), or `current` within the tolerance. For pods
    without a value Kubernetes assumes one that makes the change smaller: 0 if the known values say to scale
    up; the target, for pods that serve, if they say to scale down. If that reverses the direction, the number
    stays.

    Args:
        values: the metric of each pod for which it is known.
        unready: number of pods that do not serve yet.
        missing: number of pods that serve, but have no value yet.
        target: the wanted mean.
        tolerance: largest distance of mean / target from 1 at which nothing changes.
    """
    current = len(values) + unready + missing
    if not values:
        return current
    ratio = sum(values) / len(values) / target
    damped = unready if ratio > 1 else 0
    if not damped and not missing:
        return current if _near(ratio, tolerance) else _round_up(ratio * len(values))
    counted = len(values) + missing + damped
    again = (sum(values) + (missing * target if ratio < 1 else 0.0)) / counted / target
    if _near(again, tolerance) or (again > 1) is not (ratio > 1):
        return current
    wanted = _round_up(again * counted)
    reversed_ = (again < 1 and wanted > current) or (again > 1 and wanted < current)
    return current if reversed_ else wanted


def _near(ratio: float, tolerance: float) -> bool:
    return 1 - tolerance <= ratio <= 1 + tolerance


def _round_up(pods: float) -> int:
    return math.ceil(round(pods, 9))  # in floating point 1.1 * 10 is above 11


@dataclass
class Scaling:
    """An autoscaler's memory: its past recommendations and changes."""

    rules: Autoscaler
    _recommended: deque[tuple[float, int]] = field(default_factory=deque)
    _changes: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, now: float, current: int, wanted: int) -> int:
        """Return the number of pods from now on.

        Args:
            now: seconds; never decreases from call to call.
            current: the number of pods now.
            wanted: what the metrics want; the largest, if there are several metrics.
        """
        rules = self.rules
        self._recommended.append((now, wanted))
        keep = max(rules.up.window_seconds, rules.down.window_seconds)
        while self._recommended[0][0] < now - keep:
            self._recommended.popleft()

        def recommended_within(seconds: float) -> list[int]:
            return [pods for when, pods in self._recommended if when >= now - seconds]

        lowest = min(recommended_within(rules.up.window_seconds))
        highest = max(recommended_within(rules.down.window_seconds))
        stable = min(max(current, lowest), highest)
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
            return _round_up(at_start * (1 + policy.value / 100))
        return math.floor(round(at_start * (1 - policy.value / 100), 9))
