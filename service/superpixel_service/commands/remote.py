"""Segments images on a server, and connects commands to servers."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import grpc

from superpixel_service.addresses import stays_here
from superpixel_service.client import (
    Client,
    DeadlineExceeded,
    InvalidRequest,
    MessageTooLarge,
    NotServed,
    Overloaded,
    RetryPolicy,
    Segmentation,
    SegmentError,
    ServerInfo,
    Unavailable,
    tls_credentials,
)
from superpixel_service.client.security import read_token
from superpixel_service.commands.label_maps import ImageRejected, ImageResult, Parameters, rejection
from superpixel_service.commands.output import EXIT_USAGE, CommandFailed, reason
from superpixel_service.commands.target import Target

_IN_FLIGHT = 8
"""Images sent and not answered: enough to keep the server's workers busy despite the network's delay."""

_TIMEOUT_SECONDS = 120.0
"""Deadline per image. It is long because the user can press Ctrl-C."""

_TEXTS: tuple[tuple[type[SegmentError], str], ...] = (
    (Unavailable, "no server answers there"),
    (DeadlineExceeded, "the server did not answer in time"),
    (MessageTooLarge, "the message is larger than the server accepts"),
    (NotServed, "this server does not offer the method"),
    (Overloaded, "the server is overloaded; try again later"),
)
"""Texts for errors without a reason: these come from gRPC itself, whose own texts are for programmers."""


class RemoteSegmenter:
    """Segments images on `server`, `jobs` of them at the same time; with `jobs` 0, eight."""

    def __init__(self, parameters: Parameters, server: Target, jobs: int) -> None:
        self._parameters = parameters
        self._address = server.address
        self._jobs = jobs or _IN_FLIGHT
        self._client = connect(server, timeout=_TIMEOUT_SECONDS)

    def algorithm_version(self) -> int:
        """The version of the server's engine."""
        return ask_info(self._client, self._address).algorithm_version

    def segment(self, image: Path) -> ImageResult:
        """Segment one image, as interactive work."""
        parameters = self._parameters
        try:
            answer = self._client.segment(
                image,
                counts=parameters.counts,
                compactness=parameters.compactness,
                include_hierarchy=parameters.hierarchy,
            )
        except (InvalidRequest, MessageTooLarge) as error:
            raise _rejection(image, error) from None
        except SegmentError as error:
            raise failure(self._address, error) from None
        return _result(answer)

    def segment_many(self, images: Iterable[Path]) -> Iterator[tuple[Path, ImageResult | ImageRejected]]:
        """Segment images over one stream, as bulk work."""
        parameters = self._parameters
        try:
            for image, answer in self._client.segment_many(
                ((image, image) for image in images),
                max_inflight=self._jobs,
                counts=parameters.counts,
                compactness=parameters.compactness,
                include_hierarchy=parameters.hierarchy,
            ):
                if isinstance(answer, Segmentation):
                    yield image, _result(answer)
                else:
                    yield image, _rejection(image, answer)
        except SegmentError as error:
            raise failure(self._address, error) from None


def connect(server: Target, *, timeout: float, retry: RetryPolicy | None = None) -> Client:
    """Create a client of the server.

    Raises:
        CommandFailed: as for `identity`.
    """
    credentials, token = identity(server)
    return Client(server.address, timeout=timeout, retry=retry, credentials=credentials, token=token)


def identity(server: Target) -> tuple[grpc.ChannelCredentials | None, str | None]:
    """Read the credentials for a connection to the server.

    Returns:
        The TLS credentials, or None for plaintext; and the token, or None.

    Raises:
        CommandFailed: a certificate or the token cannot be read from its file, or the token would be sent to
            another machine in plaintext.
    """
    try:
        credentials = tls_credentials(server.ca, server.cert, server.key) if server.tls else None
        token = None if server.token_file is None else read_token(server.token_file)
    except OSError as error:
        raise CommandFailed(reason(error)) from None
    except ValueError as error:
        raise CommandFailed(str(error)) from None
    if token is not None and credentials is None and not stays_here(server.address):
        raise CommandFailed(
            f"{server.address}: a token is not sent there in plaintext; use --tls, or --ca FILE",
            status=EXIT_USAGE,
        )
    return credentials, token


def ask_info(client: Client, address: str) -> ServerInfo:
    """Get the server's information.

    Raises:
        CommandFailed: the call failed.
    """
    try:
        return client.server_info()
    except SegmentError as error:
        raise failure(address, error) from None


def failure(address: str, error: SegmentError) -> CommandFailed:
    """The error of a call that failed for a reason other than the image."""
    return CommandFailed(f"{address}: {_text(error)}")


def _result(answer: Segmentation) -> ImageResult:
    return ImageResult(answer.spx, answer.base_count, tuple(notice.message for notice in answer.notices))


def _rejection(image: Path, error: SegmentError) -> ImageRejected:
    if isinstance(error.__cause__, OSError):  # the client could not read the file
        return ImageRejected(reason(error.__cause__, image))
    # `Unavailable` for a single image means that the image was given up, not that there is no server.
    text = error.message if isinstance(error, Unavailable) else _text(error)
    return rejection(image, error.field, text)


def _text(error: SegmentError) -> str:
    if error.reason or isinstance(error, InvalidRequest):
        return error.message.removeprefix(f"{error.field}: ")
    if isinstance(error, Unavailable) and "handshake" in error.message.lower():
        return "the TLS handshake failed: one side does not trust the other's certificate, or has none"
    text = next((text for kind, text in _TEXTS if isinstance(error, kind)), None)
    return text or f"the call failed with {error.code.name}"
