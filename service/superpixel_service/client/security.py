"""TLS and tokens of a client. No token leaves the machine in plaintext."""

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
    """Create TLS credentials, for `Client(credentials=...)`.

    Args:
        ca: PEM file of the authorities to trust; None: gRPC's own list.
        cert: PEM file of the client's certificate with its chain, for servers that require one.
        key: PEM file of the key of `cert`, not encrypted.

    Raises:
        ValueError: a file has the wrong content, or only one of `cert` and `key` is given.
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
    """Read a token from a file that contains nothing else.

    Raises:
        ValueError: the file has other content. The text does not quote it.
        OSError: the file cannot be read.
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
    """The metadata to send with every call: `metadata` and the token.

    Raises:
        ValueError: the token is malformed, or would be sent to another machine in plaintext.
    """
    pairs = tuple(metadata)
    if token is not None:
        if not _TOKEN.fullmatch(token):
            raise ValueError("token must be printable ASCII without spaces")
        pairs += ((AUTHORIZATION_KEY, f"Bearer {token}"),)
    has_token = any(key.lower() == AUTHORIZATION_KEY for key, _ in pairs)
    if has_token and credentials is None and not stays_here(address):
        raise ValueError(f"a token is not sent to {address} in plaintext: pass credentials=tls_credentials()")
    return pairs
