"""Callers that misbehave as no gRPC client does: they send no message, read no answer, or write HTTP/2 by
hand."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

import grpc
import h2.config
import h2.connection
import h2.events
import h2.settings

from superpixel_service.contract import SERVICE
from tests.service.harness import PATIENCE_SECONDS, RunningServer


@dataclass
class SilentCalls:
    """Calls that begin and send no message before `release` is set."""

    release: threading.Event = field(default_factory=threading.Event)

    def begin(self, channel: grpc.Channel, method: str, *messages: bytes) -> grpc.Future:
        """Begin a call of `method` ("/package.Service/Method"); `messages` follow after the release."""

        def later() -> Iterator[bytes]:
            self.release.wait(2 * PATIENCE_SECONDS)
            yield from messages

        return channel.stream_unary(method).future(later(), timeout=3 * PATIENCE_SECONDS)


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

    def __init__(self, server: RunningServer) -> None:
        self._socket = connect(server.listen)
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._http.initiate_connection()

    def __enter__(self) -> Self:
        self._send()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _send(self) -> None:
        self._socket.sendall(self._http.data_to_send())

    def _send_head(self, number: int, method: str) -> None:
        head = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "a", "te": "trailers"}
        self._http.send_headers(number, [*head.items(), ("content-type", "application/grpc")])
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

    def call(self, method: str, *messages: bytes) -> int:
        """Send a whole call; returns its stream id."""
        number = self._http.get_next_available_stream_id()
        self._send_head(number, method)
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
