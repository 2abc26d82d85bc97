"""Three times as many calls as a server can answer: `python -m tests.service.overload --seconds 60`.

Callers that wait for their answers keep the server busy: this measures its capacity. Then calls arrive by the
clock, whether or not earlier ones are answered: at 80 % of capacity, and at three times. Then capacity again.
Other programs change the machine's speed within seconds, so this is repeated in short turns, and the answers
of each turn are compared with the capacity before and after it. Health probes come all the time. The server
has one core and this process another. All images differ, and there is no cache.
"""

import argparse
import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import grpc
import numpy as np
from benchmarks.load.arrivals import Arrival
from benchmarks.load.generator import offer as open_loop
from benchmarks.load.generator import senders
from grpc_health.v1 import health_pb2, health_pb2_grpc

from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.service.harness import PATIENCE_SECONDS, RunningServer, request, running_server
from tests.service.images import encoded, scene

FLAGS = ("--workers=1", "--threads-per-image=1", "--max-wait-seconds=0.005")
"""The operator chooses how long an admitted call may wait: here about the time of one image."""

SIZE = (481, 321)
IMAGES = 120
CHANNELS = 4
TURNS = 30
PROBE_SECONDS = 0.05

DEADLINE_SECONDS = 1.0
"""Deadline of the long form's calls: a later answer counts as none."""


@dataclass
class Load:
    """The outcome of calls at some rate.

    Attributes:
        cpu_seconds: processor time of the server meanwhile.
        codes: how many calls ended with each code and reason.
        without_hint: number of rejections without a time to retry, in either of its two forms.
        admitted, refused: seconds of calls that were answered, and of calls that were not.
        late: seconds that calls were sent after they were due; the generator causes these.
        health: status and seconds of each probe meanwhile.
        memory: bytes of the server meanwhile.
    """

    seconds: float
    cpu_seconds: float = 0.0
    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    without_hint: int = 0
    admitted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    health: list[tuple[str, float]] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def add(self, other: "Load") -> None:
        """Count the calls of another time too."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    @property
    def goodput(self) -> float:
        """Answers per second."""
        return len(self.admitted) / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Answers per second of the server's processor time."""
        return len(self.admitted) / self.cpu_seconds

    def report(self, name: str) -> str:
        """For people."""
        codes = ", ".join(f"{code} {reason} {count}" for (code, reason), count in sorted(self.codes.items()))
        return (
            f"{name}: {self.goodput:.1f} images/s, p99 {p99_ms(self.admitted):.0f} ms; {codes}; sent late by "
            f"{p99_ms(self.late):.1f} ms at p99"
        )


def p99_ms(seconds: Sequence[float]) -> float:
    return float(1e3 * np.percentile(seconds, 99)) if seconds else 0.0


class Generator:
    """Calls a server."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        pictures = [encoded(scene(*SIZE, seed), "JPEG") for seed in range(IMAGES)]
        requests = [request(picture, 400, 100) for picture in pictures]
        self._requests = itertools.cycle(requests)
        self._messages = itertools.cycle([each.SerializeToString() for each in requests])
        channels = [server.open_channel(("grpc.use_local_subchannel_pool", 1)) for _ in range(CHANNELS)]
        self._stubs = itertools.cycle([pb_grpc.SuperpixelServiceStub(channel) for channel in channels])
        self._lock = threading.Lock()

    def capacity(self, seconds: float) -> float:
        """Images per second for two callers that each wait for an answer before the next call.

        So one image always waits when another is done, and none is rejected.
        """
        start = time.monotonic()
        end = start + seconds
        done: list[int] = []

        def call() -> None:
            count = 0
            while time.monotonic() < end:
                with self._lock:
                    stub, message = next(self._stubs), next(self._requests)
                stub.Segment(message)
                count += 1
            done.append(count)

        threads = [threading.Thread(target=call) for _ in range(2)]
        with self._watching(Load(seconds)):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return sum(done) / (time.monotonic() - start)

    def offer(self, rate: float, seconds: float, timeout: float = PATIENCE_SECONDS) -> Load:
        """Make `rate` calls per second by the clock, each with `timeout` seconds."""
        load = Load(seconds)
        cpu_before = self._server.cpu_seconds()
        due = [Arrival(number / rate, SIZE) for number in range(int(rate * seconds))]
        with self._watching(load), senders(self._server.listen, deadline=timeout) as ways:
            outcome = open_loop(due, seconds, lambda _: next(self._messages), ways)
        load.cpu_seconds = self._server.cpu_seconds() - cpu_before
        load.codes = outcome.codes
        # A call whose time is over needs no hint; every other rejection does.
        refusals = [call for call in outcome.calls if (call.code, call.reason) != ("DEADLINE_EXCEEDED", "")]
        load.without_hint = sum(call.code != "OK" and not call.hinted for call in refusals)
        load.admitted = [call.seconds for call in outcome.answered]
        load.refused = [call.seconds for call in outcome.calls if call.code != "OK"]
        load.late = [call.sent - call.due for call in outcome.calls]
        return load

    @contextmanager
    def _watching(self, load: Load) -> Iterator[None]:
        stop = threading.Event()

        def watch() -> None:
            with grpc.insecure_channel(self._server.health) as channel:  # one: probes must not add load
                stub = health_pb2_grpc.HealthStub(channel)
                while not stop.wait(PROBE_SECONDS):
                    start = time.monotonic()
                    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS)
                    said = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
                    load.health.append((said, time.monotonic() - start))
                    load.memory.append(self._server.resident_bytes())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@contextmanager
def apart() -> Iterator[RunningServer]:
    """A server on one core; this process, from then on, on the others, if there are any."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    try:
        with running_server(*FLAGS) as server:
            os.sched_setaffinity(0, cores[1:] or cores)
            yield server
    finally:
        os.sched_setaffinity(0, cores)


def main() -> int:
    """Run, print, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="at three times capacity, in all")
    turn = parser.parse_args().seconds / TURNS
    print(f"load average {os.getloadavg()[0]:.1f}")
    with apart() as server:
        generator = Generator(server)
        generator.capacity(2)
        some, much = Load(0.0), Load(0.0)
        capacities, shares, costs, memory = [generator.capacity(turn / 2)], [], [], 0
        for _ in range(TURNS):
            some.add(generator.offer(0.8 * capacities[-1], turn / 2, DEADLINE_SECONDS))
            memory = memory or server.resident_bytes()
            load = generator.offer(3 * capacities[-1], turn, DEADLINE_SECONDS)
            cpu_before = server.cpu_seconds()
            capacities.append(generator.capacity(turn / 2))
            cpu_per_image = (server.cpu_seconds() - cpu_before) / (capacities[-1] * turn / 2)
            shares.append(2 * load.goodput / (capacities[-2] + capacities[-1]))
            costs.append((load.cpu_seconds - cpu_per_image * len(load.admitted)) / len(load.refused))
            much.add(load)
        grown = server.resident_bytes() - memory
    print(f"capacity, images/s: {', '.join(f'{each:.0f}' for each in capacities)}")
    print(f"answered at 300 %, of it: {', '.join(f'{share:.0%}' for share in shares)}")
    print(f"processor time per rejection, median: {1e3 * np.median(costs):.2f} ms")
    print(some.report("at 80 %"))
    print(much.report("at 300 %"))
    slowest = max(seconds for _, seconds in much.health)
    missed = 0
    for name, value, limit in (
        ("goodput below capacity, share, median of turns", 1 - float(np.median(shares)), 0.1),
        ("p99 of admitted calls, times that at 80 %", p99_ms(much.admitted) / p99_ms(some.admitted), 2.0),
        ("p99 of rejections, ms", p99_ms(much.refused), 50.0),
        ("slowest health probe, ms", 1e3 * slowest, 100.0),
        ("probes that did not say SERVING", sum(said != "SERVING" for said, _ in much.health), 0),
        ("rejections without a time to retry", much.without_hint, 0),
        ("memory grown meanwhile, MB", grown / 1e6, 20.0),
    ):
        missed += value > limit
        print(f"  {'reached' if value <= limit else 'MISSED'}  {name}: {value:.3g} (at most {limit:g})")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
