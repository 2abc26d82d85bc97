"""TLS and tokens, on the caller's side; and that no token leaves the machine in plaintext."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import grpc

from superpixel_service.addresses import stays_here
from superpixel_service.contract import AUTHORIZATION_KEY
from superpixel_service.pem import check_authorities, check_pair

_TOKEN = re.compile(r"[\x21-\x7e]+")


def tls_credentials(
    ca: str | os.PathLike[str] | None = None,
    cert: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
) -> grpc.ChannelCredentials:
    """TLS for `Client(credentials=...)`.

    Args:
        ca: PEM file of the authorities to trust in; None: those that gRPC brings along.
        cert: PEM file of our own certificate, with those that signed it, for servers that want one.
        key: PEM file of its key, not encrypted.

    Raises:
        ValueError: a file does not hold what it should, or `cert` and `key` are not both given.
        OSError: a file cannot be read.
    """
    if (cert is None) != (key is None):
        raise ValueError("cert and key go together: give both or none")
    authorities = None if ca is None else Path(ca).read_bytes()
    own_chain = None if cert is None else Path(cert).read_bytes()
    own_key = None if key is None else Path(key).read_bytes()
    if authorities is not None:
        check_authorities(authorities, f"{ca}")
    if own_chain is not None and own_key is not None:
        check_pair(own_chain, own_key, f"{cert} and {key}")
    return grpc.ssl_channel_credentials(authorities, own_key, own_chain)


def read_token(file: str | os.PathLike[str]) -> str:
    """The token that is all of the file.

    Raises:
        ValueError: it holds something else; nothing of that is told.
        OSError: it cannot be read.
    """
    token = Path(file).read_text("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"{os.fspath(file)} must hold one token and nothing else")
    return token


def call_metadata(
    address: str,
    credentials: grpc.ChannelCredentials | None,
    token: str | None,
    metadata: Sequence[tuple[str, str]],
) -> tuple[tuple[str, str], ...]:
    """What is sent with every call.

    Raises:
        ValueError: a token would be sent in plaintext to another machine, or is none.
    """
    sent = tuple(metadata)
    if token is not None:
        if not _TOKEN.fullmatch(token):
            raise ValueError("token must be printable ASCII without spaces")
        sent += ((AUTHORIZATION_KEY, f"Bearer {token}"),)
    has_token = any(key.lower() == AUTHORIZATION_KEY for key, _ in sent)
    if has_token and credentials is None and not stays_here(address):
        raise ValueError(f"a token is not sent to {address} in plaintext: pass credentials=tls_credentials()")
    return sent
