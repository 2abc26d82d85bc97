"""`superpixel app`: run the gateway that serves the annotation page."""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superpixel_service import __version__
from superpixel_service.addresses import join_address, split_address
from superpixel_service.client import AsyncClient
from superpixel_service.commands.http_server import backend, check_packages, listen_on, run_until_signal
from superpixel_service.commands.large_failures import failures
from superpixel_service.commands.output import EXIT_OK, EXIT_USAGE, CommandFailed, write
from superpixel_service.commands.remote import identity
from superpixel_service.commands.target import Target
from superpixel_service.large.store import Store
from superpixel_service.operations import logs
from superpixel_service.resources import raise_file_limit
from superpixel_service.web import files

_TIMEOUT_SECONDS = 60.0


def run(
    *,
    listen: str,
    server: Target | None,
    allow_host: Sequence[str],
    static: Path | None = None,
    store: str = "",
    selection: Path | None = None,
) -> int:
    """Serve the page until a signal ends it, or write it to `static`.

    Args:
        listen: HOST:PORT of the page.
        server: the gRPC server to call; None: start one for the page.
        allow_host: host names of the page, besides localhost, IP addresses and the machine's own name.
        static: the folder for a page of plain files; None: serve the page.
        store: a store to annotate; empty: images that the user opens.
        selection: the file that keeps the work on the store; None: beside the store.
    """
    if static is not None:
        return _write_static(static)
    if store:
        if server is not None:
            raise CommandFailed("--store: needs no --server; give one of them", status=EXIT_USAGE)
        return _serve_store(listen, store, selection, allow_host)
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
        _serve(app, listener, f"server: {target.address}{own}")
    return EXIT_OK


def _serve_store(listen: str, store: str, selection: Path | None, allow_host: Sequence[str]) -> int:
    check_packages("the page")
    from superpixel_service.web import store_gateway
    from superpixel_service.web.store_work import StoreWork

    if selection is None:
        if "://" in store:
            raise CommandFailed("--selection FILE: name a file that keeps the work", status=EXIT_USAGE)
        selection = Path(store.rstrip("/") + ".selection.json")
    logs.configure("warning", "auto")
    with failures():
        work = StoreWork(Store(store), selection)
        _ = work.store.tree
    with listen_on(listen) as listener:
        app = store_gateway.build(work, [*allow_host, socket.gethostname(), split_address(listen)[0]])
        _serve(app, listener, f"store:  {store}", f"work:   {selection}")
    return EXIT_OK


def _serve(app: Any, listener: socket.socket, *lines: str) -> None:
    """Serve an application until a signal ends it."""
    write(*lines, f"page:   http://{join_address(*listener.getsockname()[:2])}/")
    sys.stdout.flush()
    run_until_signal(app, listener)


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
