"""Timing on a shared machine.

Contenders take turns, A B C A B C ..., so a slow period affects all of them. Results are medians over many
rounds; ratios are computed within a round. Rounds in which other processes kept a core busy are left out if
enough rounds remain: a second thread has no core of its own then.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BUSY_CORES = 0.15
"""A round is quiet if other processes use at most this share of one core."""

FEWEST_QUIET = 5
"""With fewer quiet rounds than this, all rounds count."""

BLOCK_SECONDS = 0.4
"""Shortest interval for measuring other processes: the system counts in hundredths of a second."""


@dataclass(slots=True)
class Times:
    """Seconds of each turn.

    Attributes:
        wall: elapsed time.
        cpu: processor time of all threads of this process. For work on one thread this is about the elapsed
            time on an idle machine; caches and memory are still shared.
        others: number of cores that other processes kept busy during each turn's round.
        rounds: the round of each turn, from 0; rounds that were not quiet may be missing.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Median elapsed time."""
        return statistics.median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """Median processor time."""
        return statistics.median(self.cpu)

    @property
    def busy_cores(self) -> float:
        """Median number of cores that other processes kept busy."""
        return statistics.median(self.others)

    @property
    def spread(self) -> float:
        """Interquartile range of the elapsed time, divided by the median."""
        if len(self.wall) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.wall, n=4)
        return (high - low) / self.seconds


def take_turns(
    contenders: Mapping[str, Callable[[], object]], rounds: int, *, patience: float = 0.0, warm: bool = True
) -> dict[str, Times]:
    """Time the contenders in turn.

    Args:
        contenders: functions to call, by name.
        rounds: number of quiet rounds to reach.
        patience: seconds to try; after that, `rounds` rounds of any kind are enough.
        warm: call each once before timing, because first calls allocate memory.
    """
    if warm:
        for call in contenders.values():
            call()
    times = {name: Times() for name in contenders}
    recorded = next(iter(times.values()))
    end = time.perf_counter() + patience
    while True:
        _time_block(contenders, times, rounds)
        quiet = _quiet_rounds(recorded)
        out_of_time = time.perf_counter() >= end
        if len(quiet) >= rounds or (out_of_time and len(recorded.wall) >= rounds):
            break
    if len(quiet) >= min(FEWEST_QUIET, rounds):
        for each in times.values():
            each.wall, each.cpu, each.others = (
                [values[index] for index in quiet] for values in (each.wall, each.cpu, each.others)
            )
            each.rounds = list(quiet)
    return times


def ratio(a: Times, b: Times) -> float:
    """Return the elapsed time of `a` divided by that of `b`: the median over rounds."""
    return statistics.median(x / y for x, y in zip(a.wall, b.wall, strict=True))


def cpu_ratio(a: Times, b: Times) -> float:
    """Return `ratio` in processor time."""
    return statistics.median(x / y for x, y in zip(a.cpu, b.cpu, strict=True))


def _time_block(
    contenders: Mapping[str, Callable[[], object]], times: Mapping[str, Times], rounds: int
) -> None:
    """Run rounds until the system's coarse count can show the share of other processes."""
    start, own_start, system_start = time.perf_counter(), time.process_time(), _system_seconds()
    done = 0
    while done < rounds and (done == 0 or time.perf_counter() - start < BLOCK_SECONDS):
        for name, call in contenders.items():
            cpu, wall = time.process_time(), time.perf_counter()
            call()
            times[name].wall.append(time.perf_counter() - wall)
            times[name].cpu.append(time.process_time() - cpu)
        done += 1
    own = time.process_time() - own_start
    others = (_system_seconds() - system_start - own) / (time.perf_counter() - start)
    for each in times.values():
        each.others += [max(0.0, others)] * done
        each.rounds = list(range(len(each.wall)))


def _quiet_rounds(times: Times) -> list[int]:
    return [index for index, others in enumerate(times.others) if others <= BUSY_CORES]


def _system_seconds() -> float:
    """Return the busy seconds of all cores since the system's start; 0 if the system does not report them."""
    try:
        line = Path("/proc/stat").read_text().partition("\n")[0]
    except OSError:
        return 0.0
    # cpu user nice system idle iowait irq softirq steal ...
    user, nice, system, _, _, irq, softirq, steal = (int(value) for value in line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
