"""The server's certificate: read from files, tested before use, renewed without a restart."""

import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from superpixel_service.config import Settings
from superpixel_service.pem import as_path, check_authorities, load_pair
from superpixel_service.security.reloading import UnusableFile, WatchedFiles

_HANDSHAKE_TURNS = 8
"""More than the messages of a handshake in memory."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that was tested.

    Attributes:
        chain: PEM, the server's own certificate first.
        key: PEM, not encrypted.
        client_ca: PEM; callers must present a certificate that one of these signed. None: they need none.
        expires: when it ends, in seconds since 1970.
    """

    chain: bytes
    key: bytes
    client_ca: bytes | None
    expires: float

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """The certificate as gRPC takes it."""
        return grpc.ssl_server_certificate_configuration(
            [(self.key, self.chain)], root_certificates=self.client_ca
        )


class ServerTls:
    """TLS of the main port, from the files that the settings name.

    New connections get the current certificate; open ones keep theirs.

    Attributes:
        files: the certificate, its key, and the CAs of the callers.

    Raises:
        UnusableFile: they cannot be used.
    """

    def __init__(self, chain: Path, key: Path, client_ca: Path | None, *, allow_shared: bool) -> None:
        paths = (chain, key) if client_ca is None else (chain, key, client_ca)
        self.files: WatchedFiles[Certificate] = WatchedFiles(
            "certificate", paths, _checked, () if allow_shared else (key,)
        )
        self._lock = threading.Lock()
        self._given = self.files.value()
        self._ask_clients = client_ca is not None

    @classmethod
    def of(cls, settings: Settings) -> "ServerTls | None":
        """TLS as the settings say; None: plaintext."""
        if settings.tls_cert_file is None or settings.tls_key_file is None:
            return None
        return cls(
            settings.tls_cert_file,
            settings.tls_key_file,
            settings.tls_client_ca_file,
            allow_shared=settings.allow_shared_files,
        )

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials for a server's port."""
        return grpc.dynamic_ssl_server_credentials(
            self._given.configuration(),
            self._newer,  # type: ignore[arg-type]  # None is documented, and missing in the stubs
            require_client_authentication=self._ask_clients,
        )

    def context(self) -> ssl.SSLContext:
        """A context for Python's own servers, whose every handshake gets the current certificate."""
        current = self.files.value()
        latest = [(current, _context_of(current))]

        def choose(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            newest = self.files.value()
            with self._lock:
                if newest is not latest[0][0]:
                    latest[0] = newest, _context_of(newest)
                connection.context = latest[0][1]

        first = _context_of(current)
        first.sni_callback = choose  # called in every handshake, also without a name
        return first

    def _newer(self) -> grpc.ServerCertificateConfiguration | None:
        """The certificate if it has changed, else None. gRPC calls this before every handshake."""
        with self._lock:
            current = self.files.value()
            if current is self._given:
                return None
            self._given = current
            return current.configuration()


def _context_of(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_pair(context, certificate.chain, certificate.key)
    if certificate.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        with as_path(certificate.client_ca) as path:
            context.load_verify_locations(path)
    return context


def _checked(contents: Sequence[bytes]) -> Certificate:
    """Test the files as a server and its caller use them.

    gRPC accepts every file that it can parse; if the certificate is bad, every handshake then fails.
    """
    chain, key, *rest = contents
    client_ca = rest[0] if rest else None
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        load_pair(server, chain, key)
    except (ssl.SSLError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise UnusableFile("tls_key_file is not the key of the certificate in tls_cert_file") from None
        raise UnusableFile(
            "tls_cert_file must be a PEM certificate with those that signed it, tls_key_file its PEM key, "
            "not encrypted"
        ) from None
    if client_ca is not None:
        try:
            check_authorities(client_ca, "tls_client_ca_file")
        except ValueError as error:
            raise UnusableFile(str(error)) from None
    return Certificate(chain, key, client_ca, _expiry(server, chain))


def _expiry(server: ssl.SSLContext, chain: bytes) -> float:
    """When the certificate ends. A handshake in memory finds out, and also tests it.

    The caller there trusts the chain itself: which authorities real callers trust is not known here.
    """
    caller = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    caller.check_hostname = False
    caller.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with as_path(chain) as chain_path:
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
        # OpenSSL's words, from a fixed list ("certificate has expired"); the operator reads them.
        raise UnusableFile(f"tls_cert_file: {error.verify_message}") from None
    except ssl.SSLError:
        raise UnusableFile("tls_cert_file and tls_key_file do not make a TLS handshake") from None
    shown = sides[0].getpeercert()
    assert shown  # noqa: S101 (the handshake is over)
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))
