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
from superpixel_service.operations import logs
from superpixel_service.operations.traces import CannotTrace
from superpixel_service.security.reloading import UnusableFile
from superpixel_service.server import CannotListen, Server

_ALARM = 0
"""Not a signal: the engine is dead."""

log = structlog.get_logger()


def run(*, config: Path | None, **given: str) -> NoReturn:
    """Run the server until a signal ends it.

    Args:
        config: the settings' file.
        given: the settings named on the command line.
    """
    settings = read_settings(given, config).settings
    logs.configure(settings.log_level, settings.log_format)
    stop = _StopSignals()
    try:
        server = Server(settings, on_dead=stop.raise_alarm)
        addresses = server.start()
    except (BackendUnavailable, CannotListen, CannotTrace, UnusableFile) as error:
        logs.flush()
        raise CommandFailed(str(error)) from None
    except Exception:
        log.exception("cannot_start")
        logs.flush()
        raise CommandFailed("the server could not start; the log says why") from None
    # What is there by now stays: the collector need not look through it again and again.
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
    if stop.wait() == _ALARM:
        server.abort()
        logs.flush()
        os._exit(EXIT_ENGINE_DEAD)
    threading.Thread(target=_end_at_once, args=(stop,), name="second-signal", daemon=True).start()
    log.info("draining", grace_seconds=settings.grace_seconds)
    finished = server.drain()
    log.info("stopped", all_work_finished=finished)
    logs.flush()
    # Not by return: Python would wait for threads that read from callers or are in the engine, and gRPC would
    # cancel the calls that come just now.
    os._exit(EXIT_OK if finished else EXIT_FAILED)


class _StopSignals:
    """SIGTERM and SIGINT, to be waited for.

    A signal may reach any thread, those of libraries too, and Python's own handlers wait for the main thread
    to come out of whatever it waits in. What is written into a socket from the signal itself wakes its reader
    at once.
    """

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        signal.set_wakeup_fd(self._sender.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: None)

    def raise_alarm(self) -> None:
        """End what waits for a signal, as `_ALARM`."""
        self._sender.send(bytes([_ALARM]))

    def wait(self) -> int:
        """Until the next signal; its number."""
        return self._receiver.recv(1)[0]


def _end_at_once(stop: _StopSignals) -> None:
    """At the next signal, end the process with the shell's status for it."""
    os._exit(128 + stop.wait())
