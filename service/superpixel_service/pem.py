"""Checks of PEM files, for a server's certificate and for a client's."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager


def check_authorities(pem: bytes, name: str) -> None:
    """Check that `pem` holds certificates of authorities.

    Raises:
        ValueError: it does not; the text begins with `name`.
    """
    try:
        with as_path(pem) as path:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (ssl.SSLError, ValueError):
        raise ValueError(f"{name} must hold PEM certificates of authorities") from None


def check_pair(chain: bytes, key: bytes, names: str) -> None:
    """Check that these are a certificate with its chain, and its key.

    Raises:
        ValueError: they are not; the text begins with `names`.
    """
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), chain, key)
    except (ssl.SSLError, ValueError):
        raise ValueError(f"{names} must be a PEM certificate and its PEM key, not encrypted") from None


def load_pair(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """Load a certificate and its key into `context`.

    Raises:
        ssl.SSLError, ValueError: they cannot be used.
    """
    with as_path(chain) as chain_path, as_path(key) as key_path:
        context.load_cert_chain(chain_path, key_path, password=_no_password)


@contextmanager
def as_path(data: bytes) -> Iterator[str]:
    """A path to bytes in memory. OpenSSL reads files only, and a key must not be written to a disk.

    A path also allows text of any encoding around the PEM blocks; Python's string argument allows ASCII only.
    """
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _no_password() -> bytes:
    return b""  # without this OpenSSL asks at the terminal
