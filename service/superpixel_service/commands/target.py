"""The server that a command calls."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Target:
    """A server, and how to connect to it.

    Attributes:
        address: HOST:PORT.
        tls: whether to use TLS.
        ca: PEM file of the authorities to trust; None: gRPC's own list.
        cert, key: PEM files of the client's certificate and its key.
        token_file: file with the client's token.
    """

    address: str
    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token_file: Path | None = None
