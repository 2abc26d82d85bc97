"""What the commands that serve HTTP share: the socket, the server to call, the run until a signal."""

import contextlib
import importlib
import logging
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from superpixel_service.addresses import split_address
from superpixel_service.commands.config import read_settings
from superpixel_service.commands.output import CommandFailed
from superpixel_service.commands.target import Target
from superpixel_service.server import CannotListen, Server
from superpixel_service.work.memory import keep_freed_memory

_FREE_PORT = "127.0.0.1:0"
_PRIVATE_SETTINGS = {
    **dict.fromkeys(("listen", "health_listen", "metrics_listen"), _FREE_PORT),
    **dict.fromkeys(("tls_cert_file", "tls_key_file", "tls_client_ca_file", "token_file"), ""),
}
"""Settings of a command's own server, which only the command calls. They override the environment, which may
describe a server for others; the environment's other settings apply."""

_BACKLOG = 128
_SHUTDOWN_SECONDS = 3


def check_packages(what: str) -> None:
    """Check that the packages of the extra `web` are installed.

    Args:
        what: the subject of the error text.

    Raises:
        CommandFailed: one is missing.
    """
    try:
        for name in ("starlette", "uvicorn", "h11", "python_multipart"):
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise CommandFailed(
            f"{what} needs {error.name}, which is not installed; in a checkout: pip install '.[web]'"
        ) from None


def listen_on(address: str, flag: str = "listen") -> socket.socket:
    """Listen on HOST:PORT.

    Raises:
        CommandFailed: the address cannot be used.
    """
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError:
        raise CommandFailed(str(CannotListen(flag, address))) from None


@contextlib.contextmanager
def backend(server: Target | None, **settings: str) -> Iterator[Target]:
    """The server to call. If `server` is None, one in this process, on free ports.

    Args:
        server: as named on the command line.
        settings: of the server in this process.

    Raises:
        CommandFailed: the server cannot start.
    """
    if server is not None:
        yield server
        return
    keep_freed_memory()
    own = Server(read_settings({**_PRIVATE_SETTINGS, **settings}, None).settings)
    try:
        addresses = own.start()
    except CannotListen as error:
        raise CommandFailed(str(error)) from None
    try:
        yield Target(addresses.listen)
    finally:
        own.drain()


def run_until_signal(app: Any, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
    """Serve an ASGI application until SIGINT or SIGTERM.

    Args:
        app: the application.
        listener: the socket that takes connections.
        tls: the TLS context; None: plaintext.
    """
    import uvicorn

    from superpixel_service.http.protocol import ImpatientProtocol

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        http=ImpatientProtocol,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its other lines repeat ours
    config.load()
    config.ssl = tls
    server = uvicorn.Server(config)
    _end_at_once_on_second_signal(server)
    # uvicorn handles these signals while it runs, and raises them again afterwards; ignore them then.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)
    server.run(sockets=[listener])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _end_at_once_on_second_signal(server: Any) -> None:
    """Replace uvicorn's handling of a second signal, which cancels requests and prints tracebacks."""
    stop = server.handle_exit

    def handle(number: int, frame: object) -> None:
        if server.should_exit:
            os._exit(128 + number)
        stop(number, frame)

    server.handle_exit = handle
