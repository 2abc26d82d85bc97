"""What `Client` and `AsyncClient` share: the constructor, and the state of a new stream."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import grpc

from superpixel_service.client import wire
from superpixel_service.client.retry import RetryPolicy
from superpixel_service.client.security import call_metadata
from superpixel_service.client.stream import StreamBook


class BaseClient(ABC):
    """The common part of both clients. Arguments and errors as for `Client`."""

    def __init__(
        self,
        address: str,
        *,
        timeout: float = 30.0,
        retry: RetryPolicy | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._address = address
        self._timeout = wire.checked_timeout(timeout, timeout)
        self._closed = False  # by `close`; after it nothing is retried
        self._retry = retry or RetryPolicy()
        self._credentials = credentials
        self._metadata = call_metadata(address, credentials, token, metadata)
        self._open_channel()

    @abstractmethod
    def _open_channel(self) -> None:
        """Create the channel and the stub. gRPC connects at the first call."""

    def _new_book(self, max_inflight: int, timeout: float | None) -> StreamBook[Any]:
        """The state of a new `segment_many`."""
        default = min(4 * self._timeout, wire.LONGEST_SECONDS)
        return StreamBook(self._retry, max_inflight, wire.checked_timeout(timeout, default))
