"""The port that serves Prometheus' /metrics."""

import contextlib
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from superpixel_service.addresses import split_address

# A connection without a request is closed after this time.
_SILENCE_SECONDS = 30.0


def serve_metrics(registry: CollectorRegistry, address: str, connections: int) -> WSGIServer:
    """Answer GET /metrics on `address`, on a thread of its own.

    Args:
        registry: what is served.
        address: HOST:PORT.
        connections: how many may be open; further ones are closed at once.

    Raises:
        OSError: cannot listen on the address.
    """
    host, port = split_address(address)
    server, _ = start_http_server(port, host, registry)
    handled: set[object] = set()
    server.RequestHandlerClass = _impatient(server.RequestHandlerClass, handled)
    server.verify_request = lambda *_: len(handled) < connections  # type: ignore[method-assign]
    return server


def _impatient(handler: Any, handled: set[object]) -> Any:
    """The handler with a timeout, because each silent connection occupies a thread.

    `handled` then has one object per open connection.
    """

    class Impatient(handler):  # type: ignore[misc]
        timeout = _SILENCE_SECONDS

        def __init__(self, *arguments: Any) -> None:
            handled.add(self)
            try:
                super().__init__(*arguments)
            finally:
                handled.discard(self)

        def handle(self) -> None:
            with contextlib.suppress(TimeoutError):
                super().handle()

    return Impatient
