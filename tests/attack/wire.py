"""HTTP/2 written by hand: connections that break its rules or use up what it allows."""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

import hpack

from tests.service.harness import PATIENCE_SECONDS
from tests.service.http2 import connect

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
ACK = END_STREAM = 1
END_HEADERS = 4
MAX_FRAME = 16_384
_INITIAL_WINDOW = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _text(value: str) -> bytes:
    """A string of a header block, not compressed."""
    data = value.encode()
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, length = len(data) - 127, bytearray([127])
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes(length) + bytes([rest]) + data


def header_block(method: str, more: Iterable[tuple[str, str]] = ()) -> bytes:
    """The header block of a gRPC call; it needs and leaves no state in the connection."""
    pairs = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "attacker"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *more,
    ]
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in pairs)


def grpc_message(data: bytes, *, compressed: bool = False) -> bytes:
    """A message with gRPC's prefix of five bytes."""
    return struct.pack(">BI", compressed, len(data)) + data


class Connection:
    """One connection. A thread reads its frames and answers pings, so that the server does not close it.

    Attributes:
        ended: whether the server has closed it.
        resets: number of calls that the server reset.
        trailers: number of calls that ended with each gRPC status.
    """

    def __init__(self, address: str, *, window: int | None = None) -> None:
        self.ended = False
        self.resets = 0
        self.trailers: Counter[str] = Counter()
        self._next = 1
        self._lock = threading.Lock()
        self._socket = connect(address)
        self._socket.settimeout(PATIENCE_SECONDS)
        settings = b"" if window is None else struct.pack(">HI", _INITIAL_WINDOW, window)
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))
        threading.Thread(target=self._read, daemon=True).start()

    def close(self) -> None:
        """Close it."""
        self.ended = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def send(self, data: bytes) -> bool:
        """Send bytes; False if the connection has ended."""
        try:
            with self._lock:
                self._socket.sendall(data)
        except OSError:
            self.ended = True
        return not self.ended

    def stream(self) -> int:
        """A new stream id."""
        self._next += 2
        return self._next - 2

    def call(
        self, method: str, message: bytes, metadata: Iterable[tuple[str, str]] = (), **prefix: bool
    ) -> None:
        """Send a whole call, at most as large as the first windows allow (65,535 bytes)."""
        stream = self.stream()
        data = grpc_message(message, **prefix)
        assert len(data) < 1 << 16
        out = frame(HEADERS, END_HEADERS, stream, header_block(method, metadata))
        for start in range(0, len(data), MAX_FRAME):
            piece = data[start : start + MAX_FRAME]
            out += frame(DATA, END_STREAM if start + MAX_FRAME >= len(data) else 0, stream, piece)
        self.send(out)

    def _read(self) -> None:
        decoder = hpack.Decoder()
        buffer = b""
        with suppress(OSError, hpack.HPACKError):
            while data := self._socket.recv(1 << 16):
                buffer += data
                while len(buffer) >= 9:
                    length = int.from_bytes(buffer[:3])
                    if len(buffer) < 9 + length:
                        break
                    kind, flags, payload = buffer[3], buffer[4], buffer[9 : 9 + length]
                    buffer = buffer[9 + length :]
                    if kind == SETTINGS and not flags & ACK:
                        self.send(frame(SETTINGS, ACK, 0))
                    elif kind == PING and not flags & ACK:
                        self.send(frame(PING, ACK, 0, payload))
                    elif kind == DATA and length:
                        self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", length)))
                    elif kind == RESET:
                        self.resets += 1
                    elif kind == HEADERS:
                        head = dict(decoder.decode(payload))
                        if "grpc-status" in head:
                            self.trailers[head["grpc-status"]] += 1
        self.ended = True
