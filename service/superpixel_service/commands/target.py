"""Which server a command talks to, and how."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Target:
    """A server.

    Attributes:
        address: HOST:PORT.
        tls: whether to reach it over TLS.
        ca: authorities to trust in; None: those that gRPC brings along.
        cert, key: our own certificate.
        token_file: holds our token.
    """

    address: str
    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token_file: Path | None = None
