"""`superpixel http`: run the HTTP API."""

import logging
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, ProcessCollector

from superpixel_service.addresses import is_loopback, join_address, split_address, stays_here
from superpixel_service.client import AsyncClient
from superpixel_service.commands.http_server import backend, check_packages, listen_on, run_until_signal
from superpixel_service.commands.output import EXIT_OK, EXIT_USAGE, CommandFailed, write
from superpixel_service.commands.remote import identity
from superpixel_service.commands.target import Target
from superpixel_service.operations import logs
from superpixel_service.operations.metrics_port import serve_metrics
from superpixel_service.resources import raise_file_limit
from superpixel_service.security.reloading import UnusableFile
from superpixel_service.security.tls import ServerTls
from superpixel_service.security.tokens import Tokens
from superpixel_service.server import CannotListen

_METRICS_CONNECTIONS = 16


def run(
    *,
    listen: str,
    metrics_listen: str,
    tls_cert_file: Path | None,
    tls_key_file: Path | None,
    tls_client_ca_file: Path | None,
    accept_tokens: Path | None,
    allow_shared_files: bool,
    allow_plaintext: bool,
    allow_host: Sequence[str],
    cors_origin: Sequence[str],
    calls: int,
    timeout: float,
    keep_bytes: int,
    log_level: str,
    log_format: Literal["auto", "json", "console"],
    server: Target | None,
) -> int:
    """Serve the API until a signal ends it. The arguments are those of `http_arguments`."""
    check_packages("the HTTP API")
    from superpixel_service.api.application import Options, build

    _check_plaintext(
        listen, tls_cert_file, tls_key_file, tls_client_ca_file, accept_tokens, server, allow_plaintext
    )
    logs.configure(log_level, log_format)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # its warnings contain callers' bytes
    raise_file_limit()
    try:
        tls = None
        if tls_cert_file is not None and tls_key_file is not None:
            tls = ServerTls(tls_cert_file, tls_key_file, tls_client_ca_file, allow_shared=allow_shared_files)
        tokens = None if accept_tokens is None else Tokens(accept_tokens, allow_shared=allow_shared_files)
    except UnusableFile as error:
        raise CommandFailed(str(error)) from None
    settings = {} if accept_tokens is None else {"token_file": str(accept_tokens)}
    if allow_shared_files:
        settings["allow_shared_files"] = "true"
    with listen_on(listen) as listener, backend(server, **settings) as target:
        credentials, token = identity(target)

        def open_client() -> AsyncClient:
            return AsyncClient(target.address, timeout=timeout, credentials=credentials, token=token)

        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        options = Options(
            tokens=tokens,
            own_token=token is not None,
            names=[*allow_host, socket.gethostname(), split_address(listen)[0]],
            origins=cors_origin,
            calls=calls,
            keep_bytes=keep_bytes,
            registry=registry,
        )
        app = build(open_client, options)
        try:
            metrics = serve_metrics(registry, metrics_listen, _METRICS_CONNECTIONS)
        except OSError:
            raise CommandFailed(str(CannotListen("metrics_listen", metrics_listen))) from None
        own = "" if server else " (started for the API; --server HOST:PORT uses another)"
        scheme = "http" if tls is None else "https"
        write(
            f"server:  {target.address}{own}",
            f"metrics: http://{_address_of(metrics.socket)}/metrics",
            f"api:     {scheme}://{_address_of(listener)}/v1/openapi.json",
        )
        sys.stdout.flush()
        run_until_signal(app, listener, None if tls is None else tls.context())
        metrics.shutdown()
        metrics.server_close()
    return EXIT_OK


def _check_plaintext(
    listen: str,
    cert: Path | None,
    key: Path | None,
    client_ca: Path | None,
    accept_tokens: Path | None,
    server: Target | None,
    allow_plaintext: bool,
) -> None:
    """The server's rules for TLS and tokens, for the API and for its way to the server.

    Raises:
        CommandFailed: tokens or images would cross a network in plaintext.
    """
    if (cert is None) != (key is None):
        raise _wrong("--tls-cert-file and --tls-key-file go together: give both or none")
    if client_ca is not None and cert is None:
        raise _wrong("--tls-client-ca-file needs --tls-cert-file and --tls-key-file")
    if accept_tokens is not None and server is not None and not (server.tls or stays_here(server.address)):
        raise _wrong(f"{server.address}: tokens are not passed on in plaintext; use --tls, or --ca FILE")
    if cert is not None or is_loopback(split_address(listen)[0]):
        return
    if accept_tokens is not None:
        raise _wrong(
            f"with --accept-tokens and --listen {listen} callers would send tokens in plaintext: give "
            "--tls-cert-file and --tls-key-file, or listen on 127.0.0.1"
        )
    if not allow_plaintext:
        raise _wrong(
            f"--listen {listen} would be plaintext on a network: give --tls-cert-file and --tls-key-file, or "
            "--allow-plaintext"
        )


def _address_of(listener: socket.socket) -> str:
    return join_address(*listener.getsockname()[:2])


def _wrong(text: str) -> CommandFailed:
    return CommandFailed(text, status=EXIT_USAGE)
