"""`superpixel app`: run the gateway that serves the annotation page."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from superpixel_service import __version__
from superpixel_service.addresses import join_address, split_address
from superpixel_service.client import AsyncClient
from superpixel_service.commands.http_server import backend, check_packages, listen_on, run_until_signal
from superpixel_service.commands.output import EXIT_OK, CommandFailed, write
from superpixel_service.commands.remote import identity
from superpixel_service.commands.target import Target
from superpixel_service.operations import logs
from superpixel_service.resources import raise_file_limit
from superpixel_service.web import files

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
    check_packages("the page")
    from superpixel_service.web import gateway

    logs.configure("warning", "auto")
    raise_file_limit()
    with listen_on(listen) as listener, backend(server) as target:
        credentials, token = identity(target)

        def open_client() -> AsyncClient:
            return AsyncClient(target.address, timeout=_TIMEOUT_SECONDS, credentials=credentials, token=token)

        app = gateway.build(open_client, [*allow_host, socket.gethostname(), split_address(listen)[0]])
        own = "" if server else " (started for the page; --server HOST:PORT uses another)"
        address = join_address(*listener.getsockname()[:2])
        write(f"server: {target.address}{own}", f"page:   http://{address}/")
        sys.stdout.flush()
        run_until_signal(app, listener)
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
