"""Output that all benchmarks share: tables on the terminal, goals, results as JSON."""

import argparse
import datetime
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.peers import versions

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Goal:
    """A target of the project, and what was measured.

    Attributes:
        name: of the measure.
        measured: the value and the limit, as text.
        reached: None if the machine was too busy to decide.
    """

    name: str
    measured: str
    reached: bool | None

    @classmethod
    def at_most(cls, name: str, value: float, limit: float, unit: str = "") -> "Goal":
        """Return a goal that is reached if `value` is at most `limit`."""
        return cls(name, f"{value:.3g}{unit} (at most {limit:g})", value <= limit)

    @classmethod
    def at_least(cls, name: str, value: float, limit: float, unit: str = "") -> "Goal":
        """Return a goal that is reached if `value` is at least `limit`."""
        return cls(name, f"{value:.3g}{unit} (at least {limit:g})", value >= limit)


def make_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark: `--json` and `--plots`."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write plots to FOLDER")
    return parser


def add_jobs_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--jobs`, for benchmarks that do not measure time."""
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count(),
        help="photographs processed at a time (default: one per core)",
    )


def for_each(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int, what: str
) -> Iterator[Result]:
    """Yield `function` of each item, in order, computed by `jobs` processes; show progress on a terminal."""
    if jobs <= 1:
        yield from _with_progress(map(function, items), len(items), what)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from _with_progress(pool.map(function, items), len(items), what)


def say(text: str = "") -> None:
    """Print a line to standard output, and flush."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: first column aligned left, others right; floats with four significant digits."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    say(f"\n{title}")
    for index, row in enumerate(cells):
        first, *others = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        say("  " + "  ".join([first, *others]).rstrip())
        if index == 0:
            say("  " + "  ".join("-" * width for width in widths))


def say_goals(goals: Iterable[Goal]) -> None:
    """Print the goals, each with whether it was reached."""
    say("\nGoals")
    words = {True: "reached", False: "MISSED", None: "unclear"}
    for goal in goals:
        say(f"  {words[goal.reached]:7}  {goal.name}: {goal.measured}")


def write_json(path: Path | None, figures: dict[str, Any], goals: Sequence[Goal]) -> None:
    """Write the figures, the goals, the date and the machine to `path`, unless it is None."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg(),
            "python": platform.python_version(),
        },
        "versions": versions(),
        "goals": [asdict(goal) for goal in goals],
        **figures,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def read_goals(path: Path) -> list[Goal]:
    """Read the goals from a file that `write_json` wrote."""
    return [Goal(**goal) for goal in json.loads(path.read_text())["goals"]]


def processor() -> str:
    """Return the name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _with_progress(results: Iterable[Result], total: int, what: str) -> Iterator[Result]:
    terminal = sys.stderr.isatty()
    for done, result in enumerate(results, start=1):
        if terminal:
            sys.stderr.write(f"\r{what}: {done} of {total}" + ("\r\033[K" if done == total else ""))
            sys.stderr.flush()
        yield result


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
