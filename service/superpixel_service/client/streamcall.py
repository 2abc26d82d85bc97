"""One call of SegmentStream, on its own threads. Both clients use it.

`grpc.aio` is not used for streams: if the server ends the call while the client sends a message, it reports
"Internal error from Core" instead of the call's status. The client needs the status to decide on a retry.
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
"""An answer, or the end of the call: its error, or None if it succeeded."""

# How long the server may take to end a call after the client has sent its last message.
_FINISH_SECONDS = 5.0


def error_of(error: grpc.RpcError, request_id: str) -> SegmentError:
    """Convert the exception of a gRPC call."""
    call: Any = error  # it is a grpc.Call too
    return errors.from_call(call.code(), call.details() or "", call.trailing_metadata() or (), request_id)


def closed_error(request_id: str) -> Cancelled:
    """The error of a call on a closed client."""
    return Cancelled(grpc.StatusCode.CANCELLED, "the client was closed", request_id=request_id)


class StreamCall:
    """One streaming call. The constructor opens it.

    Args:
        stub: the stub to call.
        request_id: the call's id.
        metadata: further metadata to send.
        put: called with each event, in order, on another thread; the last event is the end of the call.
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
        """Send the message as soon as flow control permits."""
        self._to_send.put(message)

    def finish(self) -> None:
        """Half-close the call, and wait for the server to end it."""
        self._to_send.put(None)
        self._reader.join(_FINISH_SECONDS)

    def close(self) -> None:
        """Cancel the call if it has not ended, and wait for its reader thread."""
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
