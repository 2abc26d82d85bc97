"""Segments images on a server, and connects commands to servers."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import grpc

from superpixel_service.addresses import stays_here
from superpixel_service.client import (
    Client,
    DeadlineExceeded,
    InvalidImage,
    InvalidRequest,
    MessageTooLarge,
    NotServed,
    Overloaded,
    RetryPolicy,
    Segmentation,
    SegmentError,
    ServerInfo,
    StoreDescription,
    Unavailable,
    tls_credentials,
)
from superpixel_service.client.retry import is_transient
from superpixel_service.client.security import read_token
from superpixel_service.commands.label_maps import ImageRejected, ImageResult, Parameters, rejection
from superpixel_service.commands.output import EXIT_USAGE, CommandFailed, reason
from superpixel_service.commands.target import Target
from superpixel_service.contract import Reason

IN_FLIGHT = 8
"""Images sent and not answered: enough to keep the server's workers busy despite the network's delay."""

TIMEOUT_SECONDS = 120.0
"""Deadline per image. It is long because the user can press Ctrl-C."""

_TEXTS: tuple[tuple[type[SegmentError], str], ...] = (
    (Unavailable, "no server answers there"),
    (DeadlineExceeded, "the server did not answer in time"),
    (MessageTooLarge, "the message is larger than the server accepts"),
    (NotServed, "this server does not offer the method"),
    (Overloaded, "the server is overloaded; try again later"),
)
"""Texts for errors without a reason: these come from gRPC itself, whose own texts are for programmers."""


_ASK_SECONDS = 10.0
_ASK_AGAIN_SECONDS = 0.5

_MAX_BLAMES = 3
"""An image that began this many streams in a row without an answer is given up: it may end the servers."""


class RemoteSegmenter:
    """Segments images on a server.

    Args:
        parameters: the parameters for every image.
        server: the server.
        jobs: images in work at the same time; 0: eight.
        retry_for: how long `segment_many` waits for a server that stopped answering, in seconds.
    """

    def __init__(self, parameters: Parameters, server: Target, jobs: int, retry_for: float) -> None:
        self._parameters = parameters
        self._address = server.address
        self._jobs = jobs or IN_FLIGHT
        self._retry_for = retry_for
        self._client = connect(server, timeout=TIMEOUT_SECONDS)
        self._version = 0

    def algorithm_version(self) -> int:
        """The version of the server's engine."""
        self._version = ask_info(self._client, self._address).algorithm_version
        return self._version

    def guidance_version(self) -> int:
        """The version of guidance of the server."""
        version = ask_info(self._client, self._address).guidance_version
        if version is None:
            raise CommandFailed(f"{self._address}: this server does not know guidance")
        return version

    def segment(self, image: Path) -> ImageResult:
        """Segment one image, as interactive work."""
        try:
            return _result(self._segment(image, "interactive"))
        except (InvalidRequest, MessageTooLarge) as error:
            raise _rejection(image, error) from None
        except SegmentError as error:
            raise failure(self._address, error) from None

    def segment_many(self, images: Iterable[Path]) -> Iterator[tuple[Path, ImageResult | ImageRejected]]:
        """Segment images over one stream, as bulk work. If the server stops answering, wait for it."""
        backlog, blames = _Backlog(images), 0
        while True:
            answered = False
            try:
                for image, answer in self._client.segment_many(
                    ((image, image) for image in backlog),
                    max_inflight=self._jobs,
                    **self._parameters.wanted(),
                ):
                    result = self._outcome(image, answer)
                    backlog.remove(image)
                    answered = True
                    yield image, result
            except SegmentError as error:
                if not (self._retry_for and is_transient(error)):
                    raise failure(self._address, error) from None
            else:
                return
            blames = 0 if answered else blames + 1
            self._wait_for_server()
            # A stream sends its first image alone, and the server had answered just before.
            if blames > _MAX_BLAMES and (suspect := backlog.take_first()):
                blames = 0
                text = "each time it was sent, the connection to the server was lost"
                yield suspect, ImageRejected(f"{suspect}: {text}")

    def _segment(self, image: Path, priority: Literal["interactive", "bulk"]) -> Segmentation:
        parameters = self._parameters
        try:
            return self._client.segment(image, **parameters.wanted(image, priority))
        except InvalidRequest as error:
            if not (parameters.clamp and error.reason == Reason.COUNT_OUT_OF_RANGE):
                raise
        # Imported on demand: it loads the engine and the decoders.
        from superpixel_service.commands.local import clamp_counts

        return self._client.segment(image, **clamp_counts(image, parameters).wanted(image, priority))

    def _outcome(self, image: Path, answer: Segmentation | SegmentError) -> ImageResult | ImageRejected:
        out_of_range = isinstance(answer, SegmentError) and answer.reason == Reason.COUNT_OUT_OF_RANGE
        if self._parameters.clamp and out_of_range:
            try:
                answer = self._segment(image, "bulk")
            except ImageRejected as rejected:
                return rejected
            except (InvalidRequest, MessageTooLarge) as error:
                answer = error
        return _result(answer) if isinstance(answer, Segmentation) else _rejection(image, answer)

    def _wait_for_server(self) -> None:
        """Wait until the server answers, at most `retry_for` seconds."""
        give_up_at = time.monotonic() + self._retry_for
        while True:
            try:
                version = self._client.server_info(timeout=_ASK_SECONDS).algorithm_version
                break
            except SegmentError as error:
                is_away = is_transient(error) or isinstance(error, DeadlineExceeded)
                if not is_away or time.monotonic() >= give_up_at:
                    raise failure(self._address, error) from None
            time.sleep(_ASK_AGAIN_SECONDS)
        if version != self._version:
            raise CommandFailed(
                f"{self._address}: the server now has version {version} of the algorithm, and had "
                f"{self._version} when this run began; choose another --out"
            )


class _Backlog:
    """Images that have no result. Iterating takes the images that an earlier stream left, then new ones."""

    def __init__(self, images: Iterable[Path]) -> None:
        self._images = iter(images)
        self._taken: dict[Path, None] = {}  # in order

    def __iter__(self) -> Iterator[Path]:
        yield from list(self._taken)
        for image in self._images:
            self._taken[image] = None
            yield image

    def remove(self, image: Path) -> None:
        del self._taken[image]

    def take_first(self) -> Path | None:
        """Remove the oldest image; None: there is none."""
        first = next(iter(self._taken), None)
        if first is not None:
            del self._taken[first]
        return first


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


def ask_store(client: Client, address: str, name: str) -> StoreDescription:
    """Get what a store of the server says about itself.

    Raises:
        CommandFailed: the call failed.
    """
    try:
        return client.store(name)
    except SegmentError as error:
        raise failure(address, error) from None


def failure(address: str, error: SegmentError) -> CommandFailed:
    """The error of a call that failed for a reason other than the image."""
    return CommandFailed(f"{address}: {_text(error)}")


def _result(answer: Segmentation) -> ImageResult:
    return ImageResult(
        answer.spx, answer.counts, answer.base_count, tuple(notice.message for notice in answer.notices)
    )


def _rejection(image: Path, error: SegmentError) -> ImageRejected:
    if isinstance(error, InvalidImage) and isinstance(
        error.__cause__, OSError
    ):  # the client could not read the file
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
