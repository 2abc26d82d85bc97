"""The server's certificate: read from files, tried before it is used, renewed without a restart."""

import os
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from superpixel_service.config import Settings
from superpixel_service.watched import UnusableFile, WatchedFiles

_HANDSHAKE_TURNS = 8
"""Messages that a handshake in memory takes, and some more."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that works.

    Attributes:
        chain: PEM, the server's own certificate first.
        key: PEM, not encrypted.
        client_ca: PEM; callers must show a certificate that one of these signed. None: they need none.
        expires: when it ends, in seconds since 1970.
    """

    chain: bytes
    key: bytes
    client_ca: bytes | None
    expires: float

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """As gRPC takes it."""
        return grpc.ssl_server_certificate_configuration(
            [(self.key, self.chain)], root_certificates=self.client_ca
        )


class ServerTls:
    """TLS of the main port, by the files that the settings name.

    New connections get the certificate that is there when they come; those that stand keep theirs.

    Attributes:
        files: the certificate, its key and the callers' CAs.

    Raises:
        UnusableFile: they cannot be used.
    """

    def __init__(self, chain: Path, key: Path, client_ca: Path | None) -> None:
        paths = (chain, key) if client_ca is None else (chain, key, client_ca)
        self.files: WatchedFiles[Certificate] = WatchedFiles("certificate", paths, _checked)
        self._lock = threading.Lock()
        self._given = self.files.value()
        self._ask_clients = client_ca is not None

    @classmethod
    def of(cls, settings: Settings) -> "ServerTls | None":
        """As set; None: plaintext."""
        if settings.tls_cert_file is None or settings.tls_key_file is None:
            return None
        return cls(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)

    def credentials(self) -> grpc.ServerCredentials:
        """For a server's port."""
        return grpc.dynamic_ssl_server_credentials(
            self._given.configuration(),
            self._newer,  # type: ignore[arg-type]  # None is documented, and missing in the stubs
            require_client_authentication=self._ask_clients,
        )

    def _newer(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC before every handshake; None: as before."""
        with self._lock:
            current = self.files.value()
            if current is self._given:
                return None
            self._given = current
            return current.configuration()


def _checked(contents: Sequence[bytes]) -> Certificate:
    """Try the files as a server and its caller would.

    gRPC itself takes anything that can be parsed, and then every handshake fails.
    """
    chain, key, *rest = contents
    client_ca = rest[0] if rest else None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with _as_path(chain) as chain_path, _as_path(key) as key_path:
            server.load_cert_chain(chain_path, key_path, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise UnusableFile("tls_key_file is not the key of the certificate in tls_cert_file") from None
        raise UnusableFile(
            "tls_cert_file must be a PEM certificate with those that signed it, tls_key_file its PEM key, "
            "not encrypted"
        ) from None
    if client_ca is not None:
        check_authorities(client_ca, "tls_client_ca_file")
    return Certificate(chain, key, client_ca, _expiry(server, chain))


def check_authorities(pem: bytes, name: str) -> None:
    """Raise `UnusableFile` unless these are certificates to trust in."""
    try:
        with _as_path(pem) as path:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (ssl.SSLError, ValueError):
        raise UnusableFile(f"{name} must hold PEM certificates of authorities") from None


def check_pair(chain: bytes, key: bytes, names: str) -> None:
    """Raise `UnusableFile` unless this is a certificate and its key."""
    try:
        with _as_path(chain) as chain_path, _as_path(key) as key_path:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
                chain_path, key_path, password=_no_password
            )
    except (ssl.SSLError, ValueError):
        raise UnusableFile(f"{names} must be a PEM certificate and its PEM key, not encrypted") from None


def _expiry(server: ssl.SSLContext, chain: bytes) -> float:
    """When the server's certificate ends, found out by a handshake in memory, which also tries it.

    The caller trusts just what is in the chain: which authorities real callers trust is not known here.
    """
    caller = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    caller.check_hostname = False
    caller.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with _as_path(chain) as chain_path:
        caller.load_verify_locations(chain_path)
    to_server, to_caller = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        caller.wrap_bio(to_caller, to_server),
        server.wrap_bio(to_server, to_caller, server_side=True),
    )
    try:
        for turn in range(_HANDSHAKE_TURNS):
            try:
                sides[turn % 2].do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLCertVerificationError as error:
        # The words are OpenSSL's, of a fixed list ("certificate has expired"), and for the operator.
        raise UnusableFile(f"tls_cert_file: {error.verify_message}") from None
    except ssl.SSLError:
        raise UnusableFile("tls_cert_file and tls_key_file do not make a TLS handshake") from None
    shown = sides[0].getpeercert()
    assert shown  # noqa: S101 (the handshake is over)
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))


def seconds_left(certificate: Certificate) -> float:
    """Until it ends."""
    return certificate.expires - time.time()


def _no_password() -> bytes:
    return b""  # otherwise OpenSSL asks at the terminal


@contextmanager
def _as_path(data: bytes) -> Iterator[str]:
    """A name for bytes in memory: what is checked is what was read, and a key is never on a disk.

    Text around the PEM blocks may be in any encoding, then; as a string Python takes ASCII only.
    """
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
