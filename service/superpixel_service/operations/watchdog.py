"""The server's checks of itself, once per second.

- `engine`: no error ended a worker. After a while without work, or after several bugs in a row, the engine
  can still segment the server's own sample.
- `queue`: every worker with a job moves from step to step, and workers take waiting jobs.
- `serving`: gRPC's own threads are alive, and calls find a thread.
- `accepting`: the server accepts work, because it is not draining.

If one of the first three fails, the process cannot repair itself: it ends, and Kubernetes starts a new one.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

ENGINE, QUEUE, SERVING, ACCEPTING = CHECKS = ("engine", "queue", "serving", "accepting")

_LOOK_SECONDS = 1.0
_LONGEST_LOOK_SECONDS = 3.0
"""A longer time between two checks means that the process did not run."""

_IDLE_SECONDS = 10.0
"""An engine that has had no work for this long is tested."""

log = structlog.get_logger()


class Watched(Protocol):
    """What the watchdog looks at: the workers."""

    def dead_workers(self) -> int:
        """Number of workers that an error ended."""

    def suspect(self) -> bool:
        """Whether the engine must be tested."""

    def progress(self) -> Mapping[str, object]:
        """The position of each worker with something to do, by name; it changes with every step."""

    def prove(self, seconds: float) -> bool:
        """Segment a sample; returns whether an answer came in time."""


class Watchdog:
    """Checks the workers on a thread of its own.

    Args:
        workers: what it checks.
        step_limit_seconds: longest time for one step.
        on_change: called when a check has changed, with all checks and whether each passes.
        on_dead: called once, with the name of a check that failed permanently.
        on_look: called before each check, about once per second.
        is_serving: whether gRPC's threads work.
    """

    def __init__(
        self,
        workers: Watched,
        step_limit_seconds: float,
        on_change: Callable[[Mapping[str, bool]], None],
        on_dead: Callable[[str], None],
        on_look: Callable[[], None] = lambda: None,
        is_serving: Callable[[], bool] = lambda: True,
    ) -> None:
        self._workers = workers
        self._step_limit = step_limit_seconds
        self._on_change = on_change
        self._on_dead = on_dead
        self._on_look = on_look
        self._is_serving = is_serving
        self._lock = threading.Lock()
        self._checks = dict.fromkeys(CHECKS, False)
        self._stopped = threading.Event()
        self._positions: dict[str, tuple[object, float]] = {}  # each position, and since when
        self._clock = 0.0  # seconds that the watchdog has seen pass; a stopped process sees none
        self._looked = self._proven = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """The server is warm and accepts work: all checks pass until one fails."""
        self._set(dict.fromkeys(CHECKS, True))
        self._looked = self._proven = time.monotonic()
        self._thread.start()

    def drain(self) -> None:
        """The server accepts no more work, from now on."""
        self._stopped.set()
        self._set({**self._checks, ACCEPTING: False})

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            before, self._looked = self._looked, time.monotonic()
            self._clock += min(self._looked - before, _LONGEST_LOOK_SECONDS)
            self._on_look()
            for name, is_well in ((SERVING, self._is_serving), (QUEUE, self._moves), (ENGINE, self._works)):
                if not is_well() and not self._stopped.is_set():
                    self._set({**self._checks, name: False})
                    self._on_dead(name)
                    return

    def _moves(self) -> bool:
        now, before = self._clock, self._positions
        self._positions = {}
        for name, at in self._workers.progress().items():
            seen_at, since = before.get(name, (at, now))
            self._positions[name] = (at, since if seen_at == at else now)
        return all(now - since < self._step_limit for _, since in self._positions.values())

    def _works(self) -> bool:
        if self._workers.dead_workers():
            return False
        now = time.monotonic()
        if self._positions:
            self._proven = now  # a worker has work; `queue` checks that it advances
        if not self._workers.suspect() and now - self._proven < _IDLE_SECONDS:
            return True
        self._proven = now
        # Try twice: if the process was stopped meanwhile (SIGSTOP), the first try ran out of time.
        return self._workers.prove(self._step_limit) or self._workers.prove(self._step_limit)

    def _set(self, checks: dict[str, bool]) -> None:
        with self._lock:
            changed = {name: well for name, well in checks.items() if self._checks[name] is not well}
            self._checks = checks
            if changed:
                self._on_change(checks)
                log.info("health", **checks)
