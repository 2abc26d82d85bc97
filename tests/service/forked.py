"""Servers as forks of one process that has imported the program. They start in less than half the time."""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

_FORKS = multiprocessing.get_context("forkserver")
# The program first: it sets what gRPC reads when it is imported.
_FORKS.set_forkserver_preload(["superpixel_service.__main__", "superpixel_service.server", __name__])


def _run(
    stderr: Connection, module: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
) -> None:
    """Do what `python -m module ARGUMENTS` does."""
    os.dup2(stderr.fileno(), 2)
    stderr.close()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


class Forked:
    """A running program, with the attributes of `subprocess.Popen` that tests use."""

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        reader, writer = _FORKS.Pipe(duplex=False)
        given = (writer, module, list(arguments), dict(environment), Path.cwd())
        self._process = _FORKS.Process(target=_run, args=given)
        self._process.start()
        writer.close()
        with reader:
            self.stderr: TextIO | None = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired("superpixel", timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
