"""Whether this server works, by named checks; it looks at itself once a second.

- `engine`: no worker was ended by an error, and when the engine has had nothing to do for a while, or came
  upon bugs only, it can still do the server's own sample.
- `queue`: each worker's work moves on from step to step, and what waits is taken.
- `accepting`: the server takes on work: it is not draining.

When one of the first two fails there is no mending it from inside: the server ends and is started anew.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

ENGINE, QUEUE, ACCEPTING = CHECKS = ("engine", "queue", "accepting")

_LOOK_SECONDS = 1.0
_IDLE_SECONDS = 10.0
"""An engine that has had nothing to do for so long is looked at."""

log = structlog.get_logger()


class Patient(Protocol):
    """What is looked at: the engine."""

    def dead_workers(self) -> int:
        """Workers that an error ended."""

    def suspect(self) -> bool:
        """Whether it should prove that it works."""

    def progress(self) -> Mapping[str, object]:
        """Where each part with something to do stands, by its name: unequal when a step was begun since."""

    def prove(self, seconds: float) -> bool:
        """Have a sample done; whether that came to an answer in time."""


class Vitals:
    """Looks at the engine on a thread of its own.

    Args:
        engine: what is looked at.
        step_limit_seconds: so long one step may take.
        on_change: told the checks, each well or not, when one has changed.
        on_dead: told the name of a check that failed for good, once.
        on_look: called at each look: for what else is to be done about once a second.
    """

    def __init__(
        self,
        engine: Patient,
        step_limit_seconds: float,
        on_change: Callable[[Mapping[str, bool]], None],
        on_dead: Callable[[str], None],
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._step_limit = step_limit_seconds
        self._on_change = on_change
        self._on_dead = on_dead
        self._on_look = on_look
        self._lock = threading.Lock()
        self._checks = dict.fromkeys(CHECKS, False)
        self._stopped = threading.Event()
        self._stands: dict[str, tuple[object, float]] = {}  # where each part stands, and since when
        self._proven = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="vitals", daemon=True)

    def start(self) -> None:
        """The server is warm and takes on work: all is well, until a look says otherwise."""
        self._set(dict.fromkeys(CHECKS, True))
        self._proven = time.monotonic()
        self._thread.start()

    def drain(self) -> None:
        """The server takes on no more work; nothing changes that again."""
        self._stopped.set()
        self._set({**self._checks, ACCEPTING: False})

    def _run(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            self._on_look()
            for name, is_well in ((QUEUE, self._moves), (ENGINE, self._works)):
                if not is_well() and not self._stopped.is_set():
                    self._set({**self._checks, name: False})
                    self._on_dead(name)
                    return

    def _moves(self) -> bool:
        now, before = time.monotonic(), self._stands
        self._stands = {}
        for name, at in self._engine.progress().items():
            seen_at, since = before.get(name, (at, now))
            self._stands[name] = (at, since if seen_at == at else now)
        return all(now - since < self._step_limit for _, since in self._stands.values())

    def _works(self) -> bool:
        if self._engine.dead_workers():
            return False
        now = time.monotonic()
        if self._stands:
            self._proven = now  # it is at work, and that it moves on is another check
        if not self._engine.suspect() and now - self._proven < _IDLE_SECONDS:
            return True
        self._proven = now
        return self._engine.prove(self._step_limit)

    def _set(self, checks: dict[str, bool]) -> None:
        with self._lock:
            changed = {name: well for name, well in checks.items() if self._checks[name] is not well}
            self._checks = checks
            if changed:
                self._on_change(checks)
                log.info("health", **checks)
