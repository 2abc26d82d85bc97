"""The arguments of `superpixel http`."""

import argparse
import re
from pathlib import Path

from superpixel_service.commands import argument_types as types
from superpixel_service.commands.image_arguments import add_server

DESCRIPTION = (
    "Serve the HTTP API until SIGINT or SIGTERM: POST /v1/segment, POST /v1/select, GET /v1/info, and its "
    "OpenAPI description, /v1/openapi.json. It passes images on to a gRPC server. It needs the extra `web`."
)

_ORIGIN = re.compile(r"\*|https?://[^\s/?#]+")


def add_http(http: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    http.add_argument(
        "--listen",
        type=types.address,
        default="127.0.0.1:8081",
        metavar="HOST:PORT",
        help="address of the API (default 127.0.0.1:8081)",
    )
    http.add_argument(
        "--metrics-listen",
        type=types.address,
        default="127.0.0.1:9465",
        metavar="HOST:PORT",
        help="address of Prometheus' /metrics (default 127.0.0.1:9465)",
    )
    _add_protection(http)
    http.add_argument(
        "--calls",
        type=types.positive,
        default=32,
        metavar="N",
        help="calls to the gRPC server at the same time; eight times as many may wait (default 32)",
    )
    http.add_argument(
        "--timeout",
        type=types.seconds,
        default=60.0,
        metavar="SECONDS",
        help="longest time for one call to the gRPC server, with its retries (default 60)",
    )
    http.add_argument(
        "--keep-bytes",
        type=types.coordinate,
        default=256 << 20,
        metavar="BYTES",
        help="memory for maps that are kept for /v1/select; 0: none (default 268435456)",
    )
    http.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="default info: one line per request",
    )
    http.add_argument(
        "--log-format",
        choices=("auto", "json", "console"),
        default="auto",
        help="auto: console on a terminal",
    )
    add_server(http, "the gRPC server to call (default: one is started for the API)")


def _add_protection(http: argparse.ArgumentParser) -> None:
    http.add_argument(
        "--tls-cert-file",
        type=Path,
        metavar="FILE",
        help="the API's certificate with its chain (PEM); turns TLS on; reloaded when it changes",
    )
    http.add_argument("--tls-key-file", type=Path, metavar="FILE", help="key of the certificate (PEM)")
    http.add_argument(
        "--tls-client-ca-file",
        type=Path,
        metavar="FILE",
        help="authorities (PEM); callers must present a certificate that one of them signed",
    )
    http.add_argument(
        "--accept-tokens",
        type=Path,
        metavar="FILE",
        help="callers must send a token from this file (`superpixel token new`); reloaded when it changes; "
        "the tokens are passed on to the gRPC server",
    )
    http.add_argument(
        "--allow-shared-files",
        action="store_true",
        help="accept a key file and a token file that other users may read or change",
    )
    http.add_argument(
        "--allow-plaintext", action="store_true", help="allow listening without TLS beyond this machine"
    )
    http.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another host name of the API (localhost, IP addresses, this machine's name need no flag)",
    )
    http.add_argument(
        "--cors-origin",
        action="append",
        type=_origin,
        default=[],
        metavar="ORIGIN",
        help="pages of this origin, such as https://labels.example, may call; repeatable; *: every origin",
    )


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"must be * or an origin such as https://labels.example; got {text!r}"
        )
    return text.lower()
