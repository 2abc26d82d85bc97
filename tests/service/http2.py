"""Callers that misbehave as no gRPC client does: they send no message, read no answer, or write HTTP/2 by
hand."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack

from superpixel_service.contract import SERVICE
from tests.service.harness import PATIENCE_SECONDS, RunningServer


@dataclass
class SilentCalls:
    """Calls that begin and send no message before `release` is set."""

    release: threading.Event = field(default_factory=threading.Event)

    def begin(
        self, channel: grpc.Channel, method: str, *messages: bytes, metadata: Any = None
    ) -> grpc.Future:
        """Begin a call of `method` ("/package.Service/Method"); `messages` follow after the release."""

        def later() -> Iterator[bytes]:
            self.release.wait(2 * PATIENCE_SECONDS)
            yield from messages

        return channel.stream_unary(method).future(later(), timeout=3 * PATIENCE_SECONDS, metadata=metadata)


@contextmanager
def silent_calls() -> Iterator[SilentCalls]:
    """Calls that stay silent at most until the end of the block."""
    calls = SilentCalls()
    try:
        yield calls
    finally:
        calls.release.set()


def connect(address: str) -> socket.socket:
    """A connection to HOST:PORT."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE_SECONDS)


class _Caller:
    """One HTTP/2 connection, written frame by frame."""

    def __init__(self, server: RunningServer, address: str = "") -> None:
        self._socket = connect(address or server.listen)
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._http.initiate_connection()

    def __enter__(self) -> Self:
        self._send()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _send(self) -> None:
        self._socket.sendall(self._http.data_to_send())

    def _send_head(self, number: int, method: str, **more: str) -> None:
        head = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "a", "te": "trailers"}
        self._http.send_headers(number, [*head.items(), ("content-type", "application/grpc"), *more.items()])
        self._send()


class MessagelessCaller(_Caller):
    """Sends the head of a call of `Segment`, and never its message."""

    def begin(self) -> None:
        """Send the head."""
        self._send_head(1, f"/{SERVICE}/Segment")

    def end(self) -> dict[str, str] | None:
        """The trailers that end the call; None if the connection ends first."""
        with suppress(ConnectionResetError):
            while data := self._socket.recv(1 << 16):
                for event in self._http.receive_data(data):
                    found = dict(getattr(event, "headers", None) or ())
                    if "grpc-status" in found:
                        return found
                self._send()
        return None


def reset_calls(address: str, method: str, count: int, is_over: threading.Event) -> int:
    """Begin calls on one connection and reset each at once, until there are `count` or `is_over` is set.

    Frames are written by hand, because h2 is slower than the server. Returns the number of calls.
    """
    head = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "a", "te": "trailers"}
    encoder = hpack.Encoder()
    first, again = (encoder.encode([*head.items(), ("content-type", "application/grpc")]) for _ in range(2))
    sent = 0
    with connect(address) as connection:
        threading.Thread(target=_read_all, args=(connection,), daemon=True).start()
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b""))
        with suppress(OSError):  # the server may end the connection
            while sent < count and not is_over.is_set():
                frames = b""
                for _ in range(50):
                    number = 2 * sent + 1
                    frames += _frame(1, 4, number, again if sent else first)
                    frames += _frame(3, 0, number, struct.pack(">I", 8))
                    sent += 1
                connection.sendall(frames)
    return sent


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _read_all(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(1 << 16):
            pass


class UnfinishedCaller(_Caller):
    """Sends the beginning of a message.

    Attributes:
        sent: bytes of it that were sent before the server ended the call.
    """

    sent = 0

    def send(self, method: str, announced: int, sent: int) -> None:
        """Call `method` and send `sent` of the `announced` bytes of the message."""
        number = self._http.get_next_available_stream_id()
        self._send_head(number, method)
        self._http.send_data(number, b"\0" + struct.pack(">I", announced))
        self._send()
        while self.sent < sent:
            room = self._http.local_flow_control_window(number)
            size = min(room, self._http.max_outbound_frame_size, sent - self.sent)
            if size > 0:
                self._http.send_data(number, bytes(size))
                self.sent += size
                self._send()
                continue
            events = self._http.receive_data(self._socket.recv(1 << 16))
            if any(isinstance(event, h2.events.StreamEnded | h2.events.StreamReset) for event in events):
                return
            self._send()


class UnreadingCaller(_Caller):
    """Sends calls and grants no room for the messages of their answers.

    Attributes:
        ended: stream ids of calls that the server has ended.
    """

    def __init__(self, server: RunningServer) -> None:
        super().__init__(server)
        self._http.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        self.ended: set[int] = set()

    def _listen(self) -> None:
        for event in self._http.receive_data(self._socket.recv(1 << 16)):
            if isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self.ended.add(event.stream_id)
        self._send()

    def call(self, method: str, *messages: bytes, timeout: str = "") -> int:
        """Send a whole call, as soon as the server allows one more; returns its stream id.

        `timeout` is the deadline as gRPC writes it, such as "3S". This caller does not give up at it.
        """
        while self._http.open_outbound_streams >= self._http.remote_settings.max_concurrent_streams:
            self._listen()
        number = self._http.get_next_available_stream_id()
        self._send_head(number, method, **({"grpc-timeout": timeout} if timeout else {}))
        rest = b"".join(b"\0" + struct.pack(">I", len(message)) + message for message in messages)
        while rest and number not in self.ended:
            room = min(self._http.local_flow_control_window(number), self._http.max_outbound_frame_size)
            if room <= 0:
                self._send()
                self._listen()
                continue
            self._http.send_data(number, rest[:room], end_stream=len(rest) <= room)
            rest = rest[room:]
        self._send()
        return number

    def wait_for_the_end_of(self, numbers: set[int]) -> None:
        """Wait until the server has ended these calls."""
        while not numbers <= self.ended:
            self._listen()
