"""A TCP proxy in front of a server, which can refuse, delay or cut connections."""

import contextlib
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

_CHUNK = 64 << 10


class FaultyProxy:
    """Forwards connections to a port of this machine.

    Attributes:
        mode: "pass"; "refuse": a connection is reset at once; "slow": each chunk of an answer waits;
            "broken": an answer is cut after some bytes; "stall": nothing is forwarded.
        connections: number of connections taken.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.mode = "pass"
        self.connections = 0
        self._open = True
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def set(self, mode: str) -> None:
        """Change the mode; connections that are open are reset, as when a server restarts."""
        self.mode = mode
        if mode != "slow":
            for each in self._sockets:
                _reset(each)
            self._sockets.clear()

    def _accept(self) -> None:
        while self._open:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self.mode == "refuse":
                _reset(ours)
                continue
            theirs = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [ours, theirs]
            for one in ((ours, theirs, False), (theirs, ours, True)):
                threading.Thread(target=self._forward, args=one, daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, answer: bool) -> None:
        sent = 0
        is_cut = True
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                while self.mode == "stall":
                    time.sleep(0.05)
                if answer and self.mode == "slow":
                    time.sleep(0.1)
                if answer and self.mode == "broken" and sent + len(data) > 500:
                    sink.sendall(data[: max(0, 500 - sent)])
                    break
                sink.sendall(data)
                sent += len(data)
            else:
                is_cut = False
                sink.shutdown(socket.SHUT_WR)  # what is on its way still arrives
        if is_cut or not answer:
            _reset(source)
            _reset(sink)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        self._listener.close()
        self.set("pass")


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()
