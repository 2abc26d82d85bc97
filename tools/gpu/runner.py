"""Runs steps in turn, each with a time limit; a failed or hung step does not stop the next ones."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tools.gpu import ROOT, SKIPPED

GRACE = 4.0
"""Seconds to end after SIGABRT, and again after SIGKILL. A process may hang in a driver for longer."""


@dataclass(frozen=True, slots=True)
class Step:
    """A program to run.

    Attributes:
        name: for the summary table.
        seconds: its time limit.
        command: program and arguments.
        essential: the run passes only if this step does.
        may_skip: the run may pass if this step ends with exit status `SKIPPED`, or if it has too little time.
    """

    name: str
    seconds: float
    command: Sequence[str]
    essential: bool = True
    may_skip: bool = False

    @property
    def may_miss(self) -> bool:
        """Whether the run may pass without a result of this step."""
        return self.may_skip or not self.essential


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended.

    Attributes:
        step: the step.
        result: one word, or two.
        passed: whether the run may pass.
        seconds: how long it took.
        note: the last line of its output, unless it passed.
    """

    step: Step
    result: str
    passed: bool
    seconds: float
    note: str


class Stopped(BaseException):
    """SIGTERM arrived."""


class Report:
    """Standard output and a file with the same lines, each behind `mark` if the run is a rehearsal.

    Args:
        path: of the file.
        mark: "" on a GPU.
    """

    def __init__(self, path: Path, mark: str) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._mark = mark
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file; what a step's orphan writes later is lost."""
        with self._lock:
            self._file.close()

    def say(self, line: str = "") -> None:
        """Write one line."""
        marked = line if line.startswith(self._mark) else f"{self._mark}{line}"
        with self._lock:
            if self._file.closed:
                return
            self._file.write(f"{marked}\n")
            self._file.flush()
            with suppress(BrokenPipeError):
                sys.stdout.write(f"{marked}\n")
                sys.stdout.flush()


def run_all(
    steps: Sequence[Step], out: Path, *, seconds: float, environment: Mapping[str, str], mark: str = ""
) -> bool:
    """Run the steps; write `check.log` and `summary.txt` to `out`, the table to standard output last.

    Args:
        steps: in their order.
        out: an existing folder.
        seconds: for all steps together; steps without time left do not run.
        environment: of the steps.
        mark: put before every line.

    Returns:
        Whether all essential steps passed.
    """
    report = Report(out / "check.log", mark)
    end = time.monotonic() + seconds
    outcomes: list[Outcome] = []
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        for step in steps:
            left = end - time.monotonic()
            if left < 1:
                outcomes.append(Outcome(step, "not run", step.may_miss, 0.0, "no time left"))
                continue
            report.say(f"=== {step.name} (at most {min(step.seconds, left):.0f} s)")
            outcomes.append(_run(step, min(step.seconds, left), environment, report))
            last = outcomes[-1]
            report.say(f"=== {step.name}: {last.result}, {last.seconds:.1f} s")
    except (Stopped, KeyboardInterrupt):
        outcomes += [Outcome(step, "not run", False, 0.0, "stopped") for step in steps[len(outcomes) :]]
    finally:
        signal.signal(signal.SIGTERM, before)
    passed = all(outcome.passed for outcome in outcomes)
    table = summary(outcomes, passed)
    (out / "summary.txt").write_text("".join(f"{mark}{line}\n" for line in table), encoding="utf-8")
    for line in ("", *table):
        report.say(line)
    report.close()
    return passed


def summary(outcomes: Sequence[Outcome], passed: bool) -> list[str]:
    """Return the lines of the summary table."""
    cells = [("step", "", "result", "seconds", "")]
    cells += [
        (
            each.step.name,
            "essential" if each.step.essential else "",
            each.result,
            f"{each.seconds:.1f}",
            each.note[:120],
        )
        for each in outcomes
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    lines = [
        "  ".join([
            *(cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)),
            row[3].rjust(widths[3]),
            row[4],
        ]).rstrip()
        for row in cells
    ]  # fmt: skip
    return [*lines, f"all essential steps passed: {'yes' if passed else 'NO'}"]


def _stop(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise Stopped


def _run(step: Step, limit: float, environment: Mapping[str, str], report: Report) -> Outcome:
    start = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603 (our own programs)
            step.command,
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Outcome(step, "FAILED", not step.essential, 0.0, str(error))
    lines: list[str] = []

    def read() -> None:
        if process.stdout is None:
            raise AssertionError("stdout must be a pipe")
        with process.stdout:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                report.say(lines[-1])

    # In a thread: a program that outlives the step may keep the pipe open.
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    timed_out = killed = False
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        timed_out = True
        killed = _end(process)
    finally:
        _signal(process, signal.SIGKILL)  # also its children, and also if this process was stopped
    reader.join(GRACE)
    took = time.monotonic() - start
    note = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if timed_out:
        note = f"limit {limit:.0f} s" + ("" if killed else "; survived SIGKILL")
        return Outcome(step, "TIMED OUT", step.may_miss, took, note)
    if process.returncode == SKIPPED and step.may_skip:
        return Outcome(step, "skipped", True, took, note)
    if process.returncode != 0:
        failed = f"exit status {process.returncode}: {note}"
        return Outcome(step, "FAILED", not step.essential, took, failed)
    return Outcome(step, "ok", True, took, "")


def _end(process: "subprocess.Popen[str]") -> bool:
    """Abort the step's processes (Python prints where it hung), then kill them; return whether they ended."""
    for number in (signal.SIGABRT, signal.SIGKILL):
        _signal(process, number)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            continue
        return True
    return False


def _signal(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
