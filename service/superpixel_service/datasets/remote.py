"""Segments the images of a data set on a server."""

import hashlib
import time
from collections.abc import Callable, Mapping
from functools import partial

from superpixel_service import client
from superpixel_service.client.retry import is_transient
from superpixel_service.contract import Reason
from superpixel_service.datasets.errors import DataSetFailed
from superpixel_service.datasets.items import Item
from superpixel_service.datasets.retries import retried
from superpixel_service.datasets.worker import Outcome, Spec, clamped_counts, text_of
from superpixel_service.errors import InvalidRequest


class ServerEngine:
    """A `FileEngine` that sends files to a server, as bulk work.

    Args:
        server: the client, which threads share.
        spec: what to make of the files.
        algorithm_version: of the run; a server with another version ends the run.
        retry_for: how long to wait for a server that does not answer, in seconds.
        failed: makes the error that ends the run if the server does not answer.
    """

    def __init__(
        self,
        server: client.Client,
        spec: Spec,
        algorithm_version: int,
        retry_for: float,
        failed: Callable[[client.SegmentError], Exception],
    ) -> None:
        self._server = server
        self._spec = spec
        self._version = algorithm_version
        self._retry_for = retry_for
        self._failed = failed

    def segment(self, item: Item, data: bytes, maps: Mapping[str, bytes] | None = None) -> Outcome:
        """See `FileEngine`."""
        begin = time.perf_counter()
        outcome = partial(Outcome, item, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        try:
            wanted = {**self._spec.wanted, "priority": "bulk"}
            if maps:
                wanted["guidance"] = client.Guidance(**{**self._spec.guidance, **maps})
            answer = self._segment(data, wanted)
        except (InvalidRequest, client.InvalidRequest) as error:
            return outcome(error=text_of(error))
        except client.MessageTooLarge:
            return outcome(error="the file is larger than the server accepts")
        if answer.algorithm_version != self._version:
            raise DataSetFailed(
                f"the server now has version {answer.algorithm_version} of the algorithm, and had "
                f"{self._version} when this run began; choose another --out"
            )
        return outcome(
            spx=answer.spx,
            width=answer.width,
            height=answer.height,
            counts=tuple(answer.counts),
            base_count=answer.base_count,
            seconds=time.perf_counter() - begin,
            notices=tuple(notice.message for notice in answer.notices),
        )

    def _segment(self, data: bytes, wanted: dict[str, object]) -> client.Segmentation:
        try:
            return self._answer(data, wanted)
        except client.InvalidRequest as error:
            if not (self._spec.clamp and error.reason == Reason.COUNT_OUT_OF_RANGE):
                raise
        local = {name: value for name, value in wanted.items() if name != "priority"}
        return self._answer(data, {**wanted, "counts": clamped_counts(data, local)})

    def _answer(self, data: bytes, wanted: dict[str, object]) -> client.Segmentation:
        """The server's answer. Waits for a server that does not answer."""

        def ask() -> client.Segmentation:
            return self._server.segment(data, **wanted)  # type: ignore[arg-type]

        try:
            return retried(ask, _is_permanent, self._retry_for)
        except (client.InvalidRequest, client.MessageTooLarge):
            raise
        except client.SegmentError as error:
            raise self._failed(error) from None


def _is_permanent(error: Exception) -> bool:
    if isinstance(error, client.DeadlineExceeded):
        return False
    return not (isinstance(error, client.SegmentError) and is_transient(error))
