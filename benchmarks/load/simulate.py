"""Simulate an autoscaler with the pod that `benchmarks.load` measured; print the tables of docs/capacity.md.

Pods are queues with the measured service times and the recommended bounds. Callers use the pods in turn, find
new pods when one of their connections ends, and retry as the client does. The autoscaler is the algorithm of
Kubernetes' HorizontalPodAutoscaler with the settings of deploy/base.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.load import plots
from benchmarks.load.arrivals import Mix, Phase
from benchmarks.load.autoscaler import Autoscaler
from benchmarks.load.capacity import Pod, pods_needed
from benchmarks.load.docs import IMAGES, MEASURED, markdown, renew
from benchmarks.load.simulated_pods import Discovery
from benchmarks.load.simulation import Result, Simulation, World
from benchmarks.load.target import pod_settings
from benchmarks.report import say, say_table

AGE = float(pod_settings(1)["SUPERPIXEL_MAX_CONNECTION_AGE_SECONDS"])
AGES = (0.0, 60.0, 120.0, 300.0, 600.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
FROM_PODS = (2, 10, 50)
BURST = 4.0
"""How many times the load before it."""
BEFORE_SECONDS, BURST_SECONDS, AFTER_SECONDS = 120.0, 420.0, 120.0
STEADY_HEADER = ("pods", "calls", "p99 ms", "model p99 ms", "tries refused", "lost")
BURST_HEADER = (
    "pods before",
    "most pods",
    "metrics",
    "pods needed",
    "enough pods after, s",
    "calls lost",
    "pod hours",
    "runs",
)
AGE_HEADER = ("connection age, s", "calls lost", "runs")
QUEUE_AND_CPU = "queue and cpu"
RUN_PODS = 20
"""A burst from n pods is run RUN_PODS / n times: with few pods results scatter more, and runs are short."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What all simulated cases share.

    Attributes:
        pod: the measured pod, with the recommended cores and bounds.
        mix: image sizes and their shares.
        rate: calls per second and pod at a steady load.
        target: seconds, of p99.
        start_seconds: until a new pod serves.
    """

    pod: Pod
    mix: Mix
    rate: float
    target: float
    start_seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """Means over the runs of one burst.

    Attributes:
        pods: before the burst.
        most: the autoscaler's limit.
        metrics: names of the autoscaler's metrics.
        needed: pods that the model says the burst needs.
        enough_seconds: from the burst's start until that many pods serve; None: in some run they never did.
        lost: in each run, the calls given up, as a share of all calls.
        pod_hours: of a whole run.
    """

    pods: int
    most: int
    metrics: str
    needed: int
    enough_seconds: float | None
    lost: list[float]
    pod_hours: float

    def lost_text(self) -> str:
        """Return the mean, with the least and the most of several runs."""
        mean = sum(self.lost) / len(self.lost)
        return f"{mean:.1%}" + (f" ({min(self.lost):.1%} to {max(self.lost):.1%})" if self.lost[1:] else "")

    def cells(self) -> tuple[object, ...]:
        """Return the cells below `BURST_HEADER`."""
        enough = "never" if self.enough_seconds is None else f"{self.enough_seconds:.0f}"
        return (
            self.pods,
            self.most,
            self.metrics,
            self.needed,
            enough,
            self.lost_text(),
            f"{self.pod_hours:.2f}",
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
        help="load.json of benchmarks.load (default: the one behind docs/capacity.md)",
    )
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder for the plot (default: %(default)s)")
    parser.add_argument("--docs", action="store_true", help="also update the tables in docs/capacity.md")
    parser.add_argument(
        "--start-seconds", type=float, default=30.0, help="until a new pod serves (default: %(default)g)"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, help="numbers of pods at a steady load"
    )
    parser.add_argument(
        "--bursts", type=int, nargs="+", default=FROM_PODS, help="numbers of pods before a burst"
    )
    options = parser.parse_args(arguments)
    found = json.loads(options.measured.read_text())
    advice = found["advice"]
    if advice is None:
        raise SystemExit(f"{options.measured}: no load was within the target, so there is no pod to simulate")
    scenario = Scenario(
        pod=replace(
            Pod.from_json(found["pod"]),
            cores=advice["cores"],
            max_calls=advice["max_calls"],
            max_pixels=advice["max_pixels"],
        ),
        mix=Mix.parse(found["mix"]),
        rate=advice["working"],
        target=found["target_ms"] / 1e3,
        start_seconds=options.start_seconds,
    )
    metrics = {
        "cpu": {"cpu": advice["utilization"]},
        QUEUE_AND_CPU: {"queue_pixels": advice["queue_target"], "cpu": advice["utilization"]},
    }
    tables = []

    def show(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        say_table(title, header, rows)
        tables.append(f"{title}:\n\n{markdown(header, rows)}")

    show(
        f"Steady load, {scenario.rate:.1f} calls per second and pod of {scenario.pod.cores} cores, "
        "pods used in turn",
        STEADY_HEADER,
        [_steady_row(scenario, pods) for pods in options.sizes],
    )
    rows, drawn = [], []
    for pods in options.bursts:
        for name, targets in metrics.items():
            row, result = _burst(scenario, pods, name, targets)
            rows.append(row.cells())
            if name == QUEUE_AND_CPU:
                drawn.append((f"{pods} pods, then {BURST:g} times the load", result))
    show(
        f"{BURST:g} times the load for {BURST_SECONDS:g} s; "
        f"a new pod serves after {scenario.start_seconds:g} s",
        BURST_HEADER,
        rows,
    )
    few = min(options.bursts)
    ages = [_burst(scenario, few, QUEUE_AND_CPU, metrics[QUEUE_AND_CPU], age)[0] for age in AGES]
    show(
        f"The burst from {few} pods with the metrics {QUEUE_AND_CPU}, by the maximum age of a connection "
        "(0: every caller knows every pod at once)",
        AGE_HEADER,
        [(f"{age:g}", row.lost_text(), len(row.lost)) for age, row in zip(AGES, ages, strict=True)],
    )
    if options.docs:
        renew("simulated", "\n\n".join(tables))
    path = plots.write_webp(plots.draw_autoscaling(drawn), options.out / "load-autoscaling.webp")
    say(f"\nwrote {path}")


def _steady_row(scenario: Scenario, pods: int) -> tuple[object, ...]:
    rate = scenario.rate
    seconds = max(60.0, min(3600.0, 200_000 / (rate * pods)))
    world = World(
        scenario.pod,
        scenario.mix,
        (Phase(seconds, rate * pods),),
        scaling=None,
        pods=pods,
        discovery=Discovery(AGE),
    )
    result = Simulation(world).run(window_seconds=seconds)
    totals = result.totals
    return (
        pods,
        totals["calls"],
        f"{1e3 * (result.p99[-1] or 0):.0f}",
        f"{1e3 * scenario.pod.percentile(rate, scenario.mix, 99):.0f}",
        f"{totals['refused'] / totals['tries']:.3%}",
        f"{totals['lost'] / totals['calls']:.3%}",
    )


def _burst(
    scenario: Scenario, pods: int, metrics: str, targets: Mapping[str, float], age: float = AGE
) -> tuple[Row, Result]:
    """Simulate a burst; return the means over its runs, and the first run."""
    low, high = scenario.rate * pods, BURST * scenario.rate * pods
    needed = {rate: pods_needed(rate, scenario.pod, scenario.mix, scenario.target) for rate in (low, high)}

    def needed_at(seconds: float) -> int:
        return needed[high if 0 <= seconds - BEFORE_SECONDS < BURST_SECONDS else low]

    most = math.ceil(BURST * pods)
    world = World(
        scenario.pod,
        scenario.mix,
        (Phase(BEFORE_SECONDS, low), Phase(BURST_SECONDS, high), Phase(AFTER_SECONDS, low)),
        Autoscaler(dict(targets), least=min(2, pods), most=most),
        pods,
        start_seconds=scenario.start_seconds,
        discovery=Discovery(age) if age else None,
    )
    runs = max(1, RUN_PODS // pods)
    results = [Simulation(replace(world, seed=1 + run), needed_at).run() for run in range(runs)]
    enough = [_seconds_until(result, needed[high]) for result in results]
    reached = [seconds for seconds in enough if seconds is not None]
    row = Row(
        pods,
        most,
        metrics,
        needed[high],
        sum(reached) / runs if len(reached) == runs else None,
        [result.totals["lost"] / result.totals["calls"] for result in results],
        sum(result.pod_seconds for result in results) / 3600 / runs,
    )
    return row, results[0]


def _seconds_until(result: Result, pods: int) -> float | None:
    """Return the seconds from the burst's start until that many pods serve; None: they never do."""
    for seconds, serving in zip(result.seconds, result.pods, strict=True):
        if seconds > BEFORE_SECONDS and serving >= pods:
            return seconds - BEFORE_SECONDS
    return None


if __name__ == "__main__":
    main()
