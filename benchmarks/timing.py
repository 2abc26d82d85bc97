"""Times that survive a shared machine.

Contenders take turns, A B C A B C ..., so that a slow spell hits all of them; what counts is the median of
many rounds, and ratios are taken within a round. Rounds while other processes keep a core busy are left out,
as long as enough remain: a second thread has no core to run on then.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

BUSY_CORES = 0.15
"""A round is quiet if other processes take no more than this share of one core meanwhile."""

FEWEST_QUIET = 5
"""Below so many quiet rounds, all rounds count."""

BLOCK_SECONDS = 0.4
"""Other processes are looked at over a few rounds at once: the system counts in hundredths of a second."""


@dataclass(slots=True)
class Times:
    """Seconds of each turn.

    Attributes:
        wall: by the clock.
        cpu: of this process's threads, all together. For work on one thread it is what the clock would show
            on an idle machine, but for the caches and memory that others use meanwhile.
        others: how many cores other processes kept busy during each turn's round.
        rounds: which round each turn was of, from 0; some are missing where quiet ones were chosen.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The median by the clock."""
        return statistics.median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """The median of the processor's time."""
        return statistics.median(self.cpu)

    @property
    def busy_cores(self) -> float:
        """The median of what others kept busy."""
        return statistics.median(self.others)

    @property
    def spread(self) -> float:
        """How far the middle half of the turns lies apart, by the clock, over the median."""
        if len(self.wall) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.wall, n=4)
        return (high - low) / self.seconds


def take_turns(
    contenders: Mapping[str, Callable[[], object]], rounds: int, *, patience: float = 0.0, warm: bool = True
) -> dict[str, Times]:
    """Time the contenders in turns.

    Args:
        contenders: what to call, by name.
        rounds: how many quiet rounds to have.
        patience: seconds to wait for them; once they are over, so many rounds of any kind are enough.
        warm: call each once before, untimed: first calls allocate.
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
    """How much longer `a` took than `b` by the clock: the median over rounds."""
    return statistics.median(x / y for x, y in zip(a.wall, b.wall, strict=True))


def cpu_ratio(a: Times, b: Times) -> float:
    """As `ratio`, in processor time."""
    return statistics.median(x / y for x, y in zip(a.cpu, b.cpu, strict=True))


def _time_block(
    contenders: Mapping[str, Callable[[], object]], times: Mapping[str, Times], rounds: int
) -> None:
    """Rounds until other processes' share can be told from the system's coarse count."""
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
    """Seconds that all cores together have been busy since the start; 0 where the system does not say."""
    try:
        line = Path("/proc/stat").read_text().partition("\n")[0]
    except OSError:
        return 0.0
    # cpu user nice system idle iowait irq softirq steal ...
    user, nice, system, _, _, irq, softirq, steal = (int(value) for value in line.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
