"""A line on a terminal that says how far a long run has come."""

import shutil
import sys
import time
from types import TracebackType
from typing import Self

_SECONDS_BETWEEN = 0.1
_BAR = 24


class Progress:
    """Drawn over itself on standard error; where that is not a terminal, nothing is written."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._start = time.monotonic()
        self._next = self._start
        self._visible = sys.stderr.isatty()

    def show(self, made: int, failed: int) -> None:
        """Draw the line again, if it is time."""
        now = time.monotonic()
        done = made + failed
        if self._visible and (now >= self._next or done == self._total):
            self._next = now + _SECONDS_BETWEEN
            width = shutil.get_terminal_size().columns - 1
            self._write(self._line(done, failed, max(now - self._start, 1e-6))[:width])

    def _line(self, done: int, failed: int, seconds: float) -> str:
        filled = _BAR * done // self._total
        rate = done / seconds
        parts = [f"[{'#' * filled:-<{_BAR}}] {done:,} of {self._total:,}", f"{rate:.1f} images/s"]
        if done < self._total:
            parts.append(f"{_duration((self._total - done) / rate)} left")
        if failed:
            parts.append(f"{failed:,} failed")
        return "  ".join(parts)

    def _write(self, line: str) -> None:
        # Back to the first column, the line, and whatever was longer before is erased.
        sys.stderr.write(f"\r{line}\x1b[K")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        if self._visible and self._total:
            self._write(f"[{'-' * _BAR}] 0 of {self._total:,}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._visible:
            self._write("")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
