"""`superpixel serve`: run the gRPC server."""

import gc
import os
import signal
import socket
import threading
from pathlib import Path
from typing import NoReturn

import structlog

from superpixel_kernels.errors import BackendUnavailable
from superpixel_service import __version__
from superpixel_service.commands.config import read_settings
from superpixel_service.commands.output import EXIT_ENGINE_DEAD, EXIT_FAILED, EXIT_OK, CommandFailed
from superpixel_service.large.errors import LargeFailed
from superpixel_service.operations import logs
from superpixel_service.operations.traces import CannotTrace
from superpixel_service.resources import raise_file_limit
from superpixel_service.security.reloading import UnusableFile
from superpixel_service.server import CannotListen, Server
from superpixel_service.work.memory import keep_freed_memory

_ENGINE_DEAD = 0
"""Stands for "the engine is dead" among the numbers of signals."""

log = structlog.get_logger()


def run(*, config: Path | None, **flags: str) -> NoReturn:
    """Run the server until a signal ends it.

    Args:
        config: the TOML file of settings.
        flags: the settings named on the command line.
    """
    settings = read_settings(flags, config).settings
    keep_freed_memory()  # before the log's thread, which could get a heap of its own
    logs.configure(settings.log_level, settings.log_format)
    raise_file_limit()
    stop = _StopSignals()
    try:
        server = Server(settings, on_dead=stop.engine_died)
        addresses = server.start()
    except (BackendUnavailable, CannotListen, CannotTrace, LargeFailed, UnusableFile) as error:
        logs.flush()
        raise CommandFailed(str(error)) from None
    except Exception:
        log.exception("cannot_start")
        logs.flush()
        raise CommandFailed("the server could not start; the log says why") from None
    # Everything that exists now stays, so the garbage collector need not scan it again.
    gc.collect()
    gc.freeze()
    log.info(
        "ready",
        listen=addresses.listen,
        health=addresses.health,
        metrics=addresses.metrics,
        tls=settings.tls_cert_file is not None,
        tokens=settings.token_file is not None,
        pid=os.getpid(),
        version=__version__,
    )
    if stop.wait() == _ENGINE_DEAD:
        server.abort()
        logs.flush()
        os._exit(EXIT_ENGINE_DEAD)
    threading.Thread(target=_end_at_once, args=(stop,), name="second-signal", daemon=True).start()
    log.info("draining", grace_seconds=settings.grace_seconds)
    finished = server.drain()
    log.info("stopped", all_work_finished=finished)
    logs.flush()
    # A normal return would wait for threads that read from callers or run the engine, and gRPC would cancel
    # calls that arrive now.
    os._exit(EXIT_OK if finished else EXIT_FAILED)


class _StopSignals:
    """Lets a thread wait for SIGTERM, SIGINT and SIGHUP.

    A Python signal handler runs only when the main thread next executes Python code, which may be late. But
    the interpreter writes the signal's number into a socket at once, on any thread. This wakes the reader.
    """

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        signal.set_wakeup_fd(self._sender.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # `nohup` sets SIGHUP to be ignored.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda _number, _frame: None)

    def engine_died(self) -> None:
        """Make `wait` return `_ENGINE_DEAD`."""
        self._sender.send(bytes([_ENGINE_DEAD]))

    def wait(self) -> int:
        """Wait for the next signal; returns its number."""
        return self._receiver.recv(1)[0]


def _end_at_once(stop: _StopSignals) -> None:
    """Wait for the next signal, and end the process with the shell's status for it."""
    # A terminal that closes sends SIGHUP more than once.
    while (number := stop.wait()) == signal.SIGHUP:
        pass
    os._exit(128 + number)
