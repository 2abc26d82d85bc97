"""Label maps made by a server."""

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
from superpixel_service.commands.label_maps import Made, Parameters, Refused, refusal
from superpixel_service.commands.output import EXIT_USAGE, CommandFailed, reason
from superpixel_service.commands.target import Target

_IN_FLIGHT = 8
"""Images sent and not answered: enough for the server's workers never to wait for the network."""

_TIMEOUT_SECONDS = 120.0
"""For one image; a person who does not want to wait so long has Ctrl-C."""

_WORDS: tuple[tuple[type[SegmentError], str], ...] = (
    (Unavailable, "no server answers there"),
    (DeadlineExceeded, "the server did not answer in time"),
    (MessageTooLarge, "the server takes no message of this size"),
    (NotServed, "this server does not offer that"),
    (Overloaded, "the server has no room; try again later"),
)
"""What to say where the server itself said nothing: gRPC's own texts are for programmers."""


class OnServer:
    """Has label maps made by `server`, of `jobs` images at the same time; 0: a few."""

    def __init__(self, parameters: Parameters, server: Target, jobs: int) -> None:
        self._parameters = parameters
        self._address = server.address
        self._jobs = jobs or _IN_FLIGHT
        self._client = connect(server, timeout=_TIMEOUT_SECONDS)

    def algorithm_version(self) -> int:
        """That of the server."""
        return ask_info(self._client, self._address).algorithm_version

    def make(self, image: Path) -> Made:
        """Send one image; other callers' images may come before it, but no bulk work."""
        parameters = self._parameters
        try:
            answer = self._client.segment(
                image,
                counts=parameters.counts,
                compactness=parameters.compactness,
                include_hierarchy=parameters.hierarchy,
            )
        except (InvalidRequest, MessageTooLarge) as error:
            raise _refused(image, error) from None
        except SegmentError as error:
            raise failure(self._address, error) from None
        return _made(answer)

    def make_many(self, images: Iterable[Path]) -> Iterator[tuple[Path, Made | Refused]]:
        """Send them over one stream, as work that gives way to people who wait."""
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
                    yield image, _made(answer)
                else:
                    yield image, _refused(image, answer)
        except SegmentError as error:
            raise failure(self._address, error) from None


def connect(server: Target, *, timeout: float, retry: RetryPolicy | None = None) -> Client:
    """A client of that server.

    Raises:
        CommandFailed: as `identity`.
    """
    credentials, token = identity(server)
    return Client(server.address, timeout=timeout, retry=retry, credentials=credentials, token=token)


def identity(server: Target) -> tuple[grpc.ChannelCredentials | None, str | None]:
    """How to reach the server and who we are there: credentials for TLS, None for plaintext; our token.

    Raises:
        CommandFailed: certificates or token are not to be had from their files, or the token is not for
            plaintext.
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
    """What the server says about itself.

    Raises:
        CommandFailed: it does not say.
    """
    try:
        return client.server_info()
    except SegmentError as error:
        raise failure(address, error) from None


def failure(address: str, error: SegmentError) -> CommandFailed:
    """A call that failed whatever the image."""
    return CommandFailed(f"{address}: {_text(error)}")


def _made(answer: Segmentation) -> Made:
    return Made(answer.spx, answer.base_count, tuple(notice.message for notice in answer.notices))


def _refused(image: Path, error: SegmentError) -> Refused:
    if isinstance(error.__cause__, OSError):  # nothing was sent: the file could not be read
        return Refused(reason(error.__cause__, image))
    # Of one image, it does not mean that there is no server.
    text = error.message if isinstance(error, Unavailable) else _text(error)
    return refusal(image, error.field, text)


def _text(error: SegmentError) -> str:
    if error.reason or isinstance(error, InvalidRequest):
        return error.message.removeprefix(f"{error.field}: ")
    if isinstance(error, Unavailable) and "handshake" in error.message.lower():
        return "the TLS handshake failed: one side does not trust the other's certificate, or has none"
    own = next((words for kind, words in _WORDS if isinstance(error, kind)), None)
    return own or f"the call failed with {error.code.name}"
