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
    outputs: Mapping[int, Connection],
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
) -> None:
    """Do what `python -m module ARGUMENTS` does, with these outputs by descriptor."""
    for descriptor, output in outputs.items():
        os.dup2(output.fileno(), descriptor)
        output.close()
    # New objects, because those of the first process may have been made for another kind of file.
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)  # runpy warns of a module that is imported already
    runpy.run_module(module, run_name="__main__", alter_sys=True)


class Forked:
    """A running program, with the attributes of `subprocess.Popen` that tests use.

    Its standard output is that of the tests, unless `reads_stdout`.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        reads_stdout: bool = False,
    ) -> None:
        pipes = {number: _FORKS.Pipe(duplex=False) for number in ((1, 2) if reads_stdout else (2,))}
        writers = {number: writer for number, (_, writer) in pipes.items()}
        given = (writers, module, list(arguments), dict(environment), Path.cwd())
        self._process = _FORKS.Process(target=_run, args=given)
        self._process.start()
        files: dict[int, TextIO] = {}
        for number, (reader, writer) in pipes.items():
            writer.close()
            with reader:
                copy = os.dup(reader.fileno())
            files[number] = os.fdopen(copy, encoding="utf-8", errors="surrogateescape")
        self.stdout: TextIO | None = files.get(1)
        self.stderr: TextIO | None = files[2]
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
