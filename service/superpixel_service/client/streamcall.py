"""One call of SegmentStream, on threads of its own: for both clients.

`grpc.aio` is not used for streams: where a message is being sent as the server ends the call, it reports
"Internal error from Core" in place of the call's status, and that status decides what happens next.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import grpc

from superpixel_service.client import errors, wire
from superpixel_service.client.errors import Cancelled, SegmentError
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc

Event: TypeAlias = pb.SegmentStreamResponse | SegmentError | None
"""An answer, or the end of the call: its error, None where it ended well."""

# How long the server may take to end a call in which everything is said.
_FINISH_SECONDS = 5.0


def error_of(error: grpc.RpcError, request_id: str) -> SegmentError:
    """What a call raised, in the client's terms."""
    call: Any = error  # it is a grpc.Call, too
    return errors.from_call(call.code(), call.details() or "", call.trailing_metadata() or (), request_id)


def closed_error(request_id: str) -> Cancelled:
    """For a call that is not made, as its client is closed."""
    return Cancelled(grpc.StatusCode.CANCELLED, "the client was closed", request_id=request_id)


class StreamCall:
    """One call, from its begin.

    Args:
        stub: where to make it.
        request_id: its id.
        metadata: sent with it, beside its id.
        put: told, on another thread, what the server says, in order; the end of the call is the last.
    """

    def __init__(
        self,
        stub: pb_grpc.SuperpixelServiceStub,
        request_id: str,
        metadata: Sequence[tuple[str, str]],
        put: Callable[[Event], object],
    ) -> None:
        self._request_id = request_id
        self._put = put
        self._to_send: queue.SimpleQueue[pb.SegmentStreamRequest | None] = queue.SimpleQueue()
        self._call: Any = stub.SegmentStream(
            iter(self._to_send.get, None), metadata=wire.with_id(metadata, request_id)
        )
        self._reader = threading.Thread(target=self._read, name="superpixel-stream", daemon=True)
        self._reader.start()

    def send(self, message: pb.SegmentStreamRequest) -> None:
        """Send as soon as flow control lets it."""
        self._to_send.put(message)

    def finish(self) -> None:
        """Say that no more is coming, and let the server end the call."""
        self._to_send.put(None)
        self._reader.join(_FINISH_SECONDS)

    def close(self) -> None:
        """End the call, if it has not ended, and the threads that serve it."""
        self._call.cancel()
        self._to_send.put(None)
        self._reader.join()

    def _read(self) -> None:
        try:
            for response in self._call:
                self._put(response)
        except grpc.RpcError as error:
            self._put(error_of(error, self._request_id))
        else:
            self._put(None)
