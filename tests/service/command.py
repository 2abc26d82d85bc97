"""The `superpixel` command as users start it: in a process of its own."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import pytest

from superpixel_service import cli
from tests.service.forked import Forked
from tests.service.harness import PATIENCE_SECONDS

COMMAND = (sys.executable, "-m", "superpixel_service")


def superpixel(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it until it ends, as a fork (see `forked`)."""
    variables = {**os.environ, **environment}
    run = Forked("superpixel_service.__main__", [*map(str, arguments)], variables, reads_stdout=True)
    assert run.stdout is not None
    assert run.stderr is not None
    try:
        with run.stdout, run.stderr, ThreadPoolExecutor(2) as readers:
            texts = [readers.submit(output.read) for output in (run.stdout, run.stderr)]
            status = run.wait(PATIENCE_SECONDS)
            printed, said = (text.result(PATIENCE_SECONDS) for text in texts)
    finally:
        run.kill()
    return subprocess.CompletedProcess([*map(str, arguments)], status, printed, said)


def superpixel_program(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run it until it ends, in an interpreter of its own as users do."""
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)


def ran(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in this process, as `called` does, and read its output without a fixture."""
    texts = [io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape", write_through=True) for _ in range(2)]
    with redirect_stdout(texts[0]), redirect_stderr(texts[1]):
        status = _status_here(arguments, environment)
    outputs = (text.buffer.getvalue().decode("utf-8", "surrogateescape") for text in texts)
    return subprocess.CompletedProcess([*map(str, arguments)], status, *outputs)


def called(
    capsys: pytest.CaptureFixture[str], *arguments: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it in this process, which is quicker. It must not change the process, but for signal handlers."""
    status = _status_here(arguments, environment)
    printed = capsys.readouterr()
    return subprocess.CompletedProcess([*map(str, arguments)], status, printed.out, printed.err)


def _status_here(arguments: Sequence[object], environment: Mapping[str, str]) -> Any:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            return cli.main([*map(str, arguments)])
        except SystemExit as exit_of_argparse:
            return exit_of_argparse.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def started(
    *arguments: object, program: Sequence[str] = COMMAND[1:], **options: Any
) -> subprocess.Popen[str]:
    """Start it and return at once. `program` are the interpreter's arguments; see `harness.program_with`."""
    return subprocess.Popen([sys.executable, *program, *map(str, arguments)], text=True, **options)


def messages(run: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines on standard error; each must be a message of the command."""
    lines = run.stderr.splitlines()
    assert all(line.startswith("superpixel: ") for line in lines), run.stderr
    return [line.removeprefix("superpixel: ") for line in lines]
