"""`superpixel app`: the annotation page, and the gateway that serves it."""

import contextlib
import signal
import socket
import sys
from collections.abc import Iterator

from superpixel_service.addresses import split_address
from superpixel_service.client import AsyncClient
from superpixel_service.commands.config import read_settings
from superpixel_service.commands.output import EXIT_OK, CommandFailed, write
from superpixel_service.commands.remote import identity
from superpixel_service.commands.target import Target
from superpixel_service.operations import logs
from superpixel_service.server import CannotListen, Server

_ANYWHERE = "127.0.0.1:0"
_PRIVATE = {
    **dict.fromkeys(("listen", "health_listen", "metrics_listen"), _ANYWHERE),
    **dict.fromkeys(("tls_cert_file", "tls_key_file", "tls_client_ca_file", "token_file"), ""),
}
"""Of the page's own server, which is there for the page alone, whatever the environment says of servers that
others call; all else it says holds."""

_BACKLOG = 128
_LEAVING_SECONDS = 3
_TIMEOUT_SECONDS = 60.0


def run(*, listen: str, server: Target | None) -> int:
    """Serve the page until a signal ends it.

    Args:
        listen: HOST:PORT of the page.
        server: a gRPC server; None: one is started for the page.
    """
    try:
        import uvicorn

        from superpixel_service.web import gateway
    except ModuleNotFoundError as error:
        raise CommandFailed(
            f"the page needs {error.name}, which is not installed; in a checkout: pip install '.[web]'"
        ) from None
    logs.configure("warning", "auto")
    with _listening(listen) as listener, _backend(server) as backend:
        credentials, token = identity(backend)

        def open_client() -> AsyncClient:
            return AsyncClient(
                backend.address, timeout=_TIMEOUT_SECONDS, credentials=credentials, token=token
            )

        app = gateway.build(open_client)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            timeout_graceful_shutdown=_LEAVING_SECONDS,
        )
        own = "" if server else " (its own; --server HOST:PORT takes another)"
        write(f"server: {backend.address}{own}", f"page:   http://{_address_of(listener)}/")
        sys.stdout.flush()
        # uvicorn heeds these while it runs, and raises them again when it is done.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: None)
        uvicorn.Server(config).run(sockets=[listener])
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
    return EXIT_OK


def _listening(address: str) -> socket.socket:
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError:
        raise CommandFailed(
            f"--listen: cannot listen on {address}: it is in use, or not ours to listen on"
        ) from None


def _address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.contextmanager
def _backend(server: Target | None) -> Iterator[Target]:
    """The server to call; one in this process, on free ports, where none is given."""
    if server is not None:
        yield server
        return
    own = Server(read_settings(_PRIVATE, None).settings)
    try:
        addresses = own.start()
    except CannotListen as error:
        raise CommandFailed(str(error)) from None
    try:
        yield Target(addresses.listen)
    finally:
        own.drain()
