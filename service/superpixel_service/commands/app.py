"""`superpixel app`: run the gateway that serves the annotation page."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from superpixel_service import __version__
from superpixel_service.addresses import join_address, split_address
from superpixel_service.client import AsyncClient
from superpixel_service.commands.config import read_settings
from superpixel_service.commands.output import EXIT_OK, CommandFailed, write
from superpixel_service.commands.remote import identity
from superpixel_service.commands.target import Target
from superpixel_service.operations import logs
from superpixel_service.resources import raise_file_limit
from superpixel_service.server import CannotListen, Server
from superpixel_service.web import files

_FREE_PORT = "127.0.0.1:0"
_PRIVATE_SETTINGS = {
    **dict.fromkeys(("listen", "health_listen", "metrics_listen"), _FREE_PORT),
    **dict.fromkeys(("tls_cert_file", "tls_key_file", "tls_client_ca_file", "token_file"), ""),
}
"""Settings of the page's own server, which only the page calls. They override the environment, which may
describe a server for others; the environment's other settings apply."""

_BACKLOG = 128
_SHUTDOWN_SECONDS = 3
_TIMEOUT_SECONDS = 60.0


def run(*, listen: str, server: Target | None, allow_host: Sequence[str], static: Path | None = None) -> int:
    """Serve the page until a signal ends it, or write it to `static`.

    Args:
        listen: HOST:PORT of the page.
        server: the gRPC server to call; None: start one for the page.
        allow_host: host names of the page, besides localhost, IP addresses and the machine's own name.
        static: the folder for a page of plain files; None: serve the page.
    """
    if static is not None:
        return _write_static(static)
    try:
        import uvicorn

        from superpixel_service.web import gateway
        from superpixel_service.web.protocol import ImpatientProtocol
    except ModuleNotFoundError as error:
        raise CommandFailed(
            f"the page needs {error.name}, which is not installed; in a checkout: pip install '.[web]'"
        ) from None
    logs.configure("warning", "auto")
    raise_file_limit()
    with _listen(listen) as listener, _backend(server) as backend:
        credentials, token = identity(backend)

        def open_client() -> AsyncClient:
            return AsyncClient(
                backend.address, timeout=_TIMEOUT_SECONDS, credentials=credentials, token=token
            )

        app = gateway.build(open_client, [*allow_host, socket.gethostname(), split_address(listen)[0]])
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            http=ImpatientProtocol,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        own = "" if server else " (started for the page; --server HOST:PORT uses another)"
        address = join_address(*listener.getsockname()[:2])
        write(f"server: {backend.address}{own}", f"page:   http://{address}/")
        sys.stdout.flush()
        gateway_server = uvicorn.Server(config)
        _end_at_once_on_second_signal(gateway_server)
        # uvicorn handles these signals while it runs, and raises them again afterwards; ignore them then.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: None)
        gateway_server.run(sockets=[listener])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
    return EXIT_OK


def _write_static(folder: Path) -> int:
    if not files.HAS_ENGINE:
        raise CommandFailed(
            "this package was built without the engine for browsers; in a checkout: "
            "make static STATIC_DIR=DIR"
        )
    try:
        files.write_static(folder, __version__)
    except FileExistsError as error:
        raise CommandFailed(str(error)) from None
    write(f"page: {folder / 'index.html'} (its folder can be served by any web server)")
    return EXIT_OK


def _end_at_once_on_second_signal(gateway: Any) -> None:
    """Replace uvicorn's handling of a second signal, which cancels requests and prints tracebacks."""
    stop = gateway.handle_exit

    def handle(number: int, frame: object) -> None:
        if gateway.should_exit:
            os._exit(128 + number)
        stop(number, frame)

    gateway.handle_exit = handle


def _listen(address: str) -> socket.socket:
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError:
        raise CommandFailed(str(CannotListen("listen", address))) from None


@contextlib.contextmanager
def _backend(server: Target | None) -> Iterator[Target]:
    """The server to call. If `server` is None, one in this process, on free ports."""
    if server is not None:
        yield server
        return
    own = Server(read_settings(_PRIVATE_SETTINGS, None).settings)
    try:
        addresses = own.start()
    except CannotListen as error:
        raise CommandFailed(str(error)) from None
    try:
        yield Target(addresses.listen)
    finally:
        own.drain()
