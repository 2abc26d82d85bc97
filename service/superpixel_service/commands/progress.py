"""What a run over many images shows: a progress line on a terminal, finished files, and the result."""

import shutil
import sys
import time
from types import TracebackType
from typing import Self

from superpixel_service.commands.output import say, write

_UPDATE_SECONDS = 0.1
_BAR_WIDTH = 24


class Progress:
    """A line on standard error that redraws itself. If standard error is no terminal, nothing is written."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._start = time.monotonic()
        self._next_update = self._start
        self._visible = sys.stderr.isatty()
        self._quiet = self._visible and sys.stdout.isatty()

    def show(self, made: int, failed: int) -> None:
        """Redraw the line, if it is due."""
        now = time.monotonic()
        done = made + failed
        if self._visible and (now >= self._next_update or done == self._total):
            self._next_update = now + _UPDATE_SECONDS
            width = shutil.get_terminal_size().columns - 1
            self._write(self._line(done, failed, max(now - self._start, 1e-6))[:width])

    def write(self, *files: str) -> None:
        """Write names of finished files to standard output at once, unless the line is on its terminal."""
        if not self._quiet:  # they would garble the line
            write(*files)
            sys.stdout.flush()

    def _line(self, done: int, failed: int, seconds: float) -> str:
        filled = _BAR_WIDTH * done // self._total
        rate = done / seconds
        parts = [f"[{'#' * filled:-<{_BAR_WIDTH}}] {done:,} of {self._total:,}", f"{rate:.1f} images/s"]
        if done < self._total:
            parts.append(f"{duration((self._total - done) / rate)} left")
        if failed:
            parts.append(f"{failed:,} failed")
        return "  ".join(parts)

    def _write(self, line: str) -> None:
        # Return to the first column, write the line, and erase the rest of a longer previous line.
        sys.stderr.write(f"\r{line}\x1b[K")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        if self._visible and self._total:
            self._write(f"[{'-' * _BAR_WIDTH}] 0 of {self._total:,}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._visible:
            self._write("")


def say_result(made: int, already_there: int, failed: int, left: int) -> None:
    """Say how many images a run did, and how to continue if some are left."""
    say(f"{made:,} made, {already_there:,} already there, {failed:,} failed")
    if left:
        say(f"stopped with {left:,} left; run the same command again to continue")


def duration(seconds: float) -> str:
    """A time as M:SS or H:MM:SS."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
