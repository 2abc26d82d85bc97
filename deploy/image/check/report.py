"""Failed checks, commands that must succeed, and lines of progress."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class CheckFailed(Exception):
    """A check failed; the message says which one."""


def check(condition: object, message: str) -> None:
    """Raise `CheckFailed` with `message` unless `condition` is true."""
    if not condition:
        raise CheckFailed(message)


def run(*command: str | Path, **options: Any) -> str:
    """Run a command that must succeed, and return its standard output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, **options)  # noqa: S603
    check(done.returncode == 0, f"exit status {done.returncode}: {' '.join(map(str, command))}")
    return str(done.stdout)


def say(text: str) -> None:
    """Print a line of progress with the time of day."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()
