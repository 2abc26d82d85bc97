"""The `superpixel` command.

Exit status: 0 done; 1 it could not be done (the reason is the last line on standard error); 2 it was asked
for wrongly.
"""

import argparse
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence

import structlog
from pydantic import ValidationError

from superpixel_service import __version__, logs
from superpixel_service.config import ENVIRONMENT_PREFIX, Settings, explain, flag
from superpixel_service.server import CannotListen, Server

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2

log = structlog.get_logger()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = vars(_parser().parse_args(arguments))
    given.pop("command")
    try:
        settings = Settings(**given)
    except ValidationError as error:
        return _fail(EXIT_USAGE, *explain(error))
    return _serve(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="superpixel", description="Nested superpixels for annotation platforms."
    )
    parser.add_argument("--version", action="version", version=f"superpixel {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="run the gRPC server",
        description="Run the gRPC server until SIGTERM or SIGINT; a second one ends it at once. Every flag "
        f"can be set in the environment instead: --max-image-bytes as {ENVIRONMENT_PREFIX}MAX_IMAGE_BYTES.",
    )
    for name, setting in Settings.model_fields.items():
        serve.add_argument(
            flag(name),
            dest=name,
            default=argparse.SUPPRESS,  # not given: the environment's turn, then the default's
            metavar="VALUE",
            help=f"{setting.description} (default {setting.default})",
        )
    return parser


def _serve(settings: Settings) -> int:
    logs.configure(settings.log_level, settings.log_format)
    stop = _StopSignals()
    server = Server(settings)
    try:
        addresses = server.start()
    except CannotListen as error:
        return _fail(EXIT_FAILED, str(error))
    except Exception:
        log.exception("cannot_start")
        return _fail(EXIT_FAILED, "the server could not start; the log says why")
    log.info(
        "ready",
        listen=addresses.listen,
        health=addresses.health,
        metrics=addresses.metrics,
        pid=os.getpid(),
        version=__version__,
    )
    stop.wait()
    threading.Thread(target=_end_at_once, args=(stop,), name="second-signal", daemon=True).start()
    log.info("draining", grace_seconds=settings.grace_seconds)
    finished = server.drain()
    log.info("stopped", all_work_finished=finished)
    if not finished:
        # Threads may still be in the engine; they end with the process.
        sys.stderr.flush()
        os._exit(EXIT_FAILED)
    return EXIT_OK


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

    def wait(self) -> int:
        """Until the next signal; its number."""
        return self._receiver.recv(1)[0]


def _end_at_once(stop: _StopSignals) -> None:
    """At the next signal, end the process with the shell's status for it."""
    os._exit(128 + stop.wait())


def _fail(status: int, *lines: str) -> int:
    for line in lines:
        print(f"superpixel: {line}", file=sys.stderr)  # noqa: T201
    return status
