"""A client that sends an image over a slow line: the server looks hung, and is not."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np

from superpixel_service.client import Client, RetryPolicy
from tests.service.harness import PATIENCE_SECONDS, running_server
from tests.service.images import encoded
from tests.service.test_stalled_callers import connect

BYTES_PER_SECOND = 100_000


def carry(source: socket.socket, target: socket.socket, bytes_per_second: float | None) -> None:
    with suppress(OSError):
        while data := source.recv(4096):
            target.sendall(data)
            if bytes_per_second is not None:
                time.sleep(len(data) / bytes_per_second)
    for side in (source, target):
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)


@contextmanager
def slow_line(address: str) -> Iterator[str]:
    """The address of a line for one connection. Much waits in front of it, as in front of a real one."""

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as near, connect(address) as far:
            back = threading.Thread(target=carry, args=(far, near, None))
            back.start()
            carry(near, far, BYTES_PER_SECOND)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(PATIENCE_SECONDS)


def test_an_upload_that_takes_longer_than_a_ping_may_take_goes_on() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (500, 600, 3), np.uint8)
    image = encoded(noise, compress_level=0)
    assert len(image) > 8 * BYTES_PER_SECOND
    once = RetryPolicy(max_attempts=1)
    with (
        running_server() as server,
        slow_line(server.listen) as address,
        Client(address, timeout=PATIENCE_SECONDS, retry=once) as client,
    ):
        assert client.segment(image, counts=5).count == 5
