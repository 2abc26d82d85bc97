"""The victim: a process that sends 640x480 photographs at a steady rate, and writes what became of each.

The calls are made by the clock, however late the answers are. Each photograph differs from all before it, so
that none is answered from the cache.
"""

import asyncio
import io
import json
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image

from superpixel_service.client import AsyncClient, SegmentError
from tests.service.harness import PATIENCE_SECONDS

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
SIZE = (640, 480)
RATE = 10.0
"""Photographs per second: alone, they take about a fifth of one core."""

DEADLINE_SECONDS = 10.0
_CALLS_AT_ONCE = 128


def photographs() -> list[bytes]:
    """The example photographs as JPEG files of 640x480."""
    files = []
    for path in sorted(PHOTOS.glob("*.jpg")):
        with Image.open(path) as photo:
            file = io.BytesIO()
            photo.convert("RGB").resize(SIZE).save(file, "JPEG", quality=90)
            files.append(file.getvalue())
    return files


def numbered(jpeg: bytes, number: int) -> bytes:
    """The same picture in a file with a comment that makes it differ."""
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + struct.pack(">Q", number) + jpeg[2:]


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        due: when it was due, by the monotonic clock.
        seconds: from then until its end.
        outcome: OK, or the code and reason of its error.
    """

    due: float
    seconds: float
    outcome: str


@dataclass(frozen=True)
class Period:
    """What the victim got in a period."""

    seconds: float
    calls: Sequence[Call]

    @property
    def answered(self) -> list[float]:
        """Seconds of the calls that were answered."""
        return [call.seconds for call in self.calls if call.outcome == "OK"]

    @property
    def share(self) -> float:
        """The share of the calls that were answered."""
        return len(self.answered) / len(self.calls) if self.calls else 0.0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.answered) / self.seconds

    def milliseconds(self, percent: float) -> float:
        """A percentile of the answered calls' times; infinity if there was none."""
        return float(1e3 * np.percentile(self.answered, percent)) if self.answered else float("inf")


class Victim:
    """Runs the process and collects its calls."""

    def __init__(self, address: str, token: str) -> None:
        self.calls: list[Call] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.attack.victim", address, token],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answered = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.calls.append(Call(**json.loads(line)))
            if self.calls[-1].outcome == "OK":
                self._answered.set()

    def wait_for_an_answer(self) -> None:
        """Wait until one call is answered from now on."""
        self._answered.clear()
        assert self._answered.wait(PATIENCE_SECONDS), "the victim gets no answer"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let the calls in flight end, and end the process."""
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def period(self, start: float, end: float) -> Period:
        """The calls that were due between two times; call it after `stop`."""
        return Period(end - start, [call for call in self.calls if start <= call.due < end])


async def _send(segment: Callable[[bytes], Awaitable[object]]) -> None:
    """Make calls until standard input ends."""
    files = photographs()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_CALLS_AT_ONCE))
    ended = asyncio.Event()
    threading.Thread(
        target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(ended.set)), daemon=True
    ).start()

    async def call(number: int, due: float) -> None:
        try:
            await segment(numbered(files[number % len(files)], number))
            outcome = "OK"
        except SegmentError as error:
            outcome = f"{error.code.name} {error.reason}".strip()
        except HTTPError as error:
            outcome = f"HTTP {error.code}"
        except OSError as error:
            outcome = type(error).__name__
        print(json.dumps({"due": due, "seconds": time.monotonic() - due, "outcome": outcome}), flush=True)

    start, number = time.monotonic(), 0
    calls: set[asyncio.Task[None]] = set()
    while not ended.is_set():
        due = start + number / RATE
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), max(0.0, due - time.monotonic()))
        calls = {task for task in calls if not task.done()} | {asyncio.create_task(call(number, due))}
        number += 1
    await asyncio.wait(calls)


async def _main(address: str, token: str) -> None:
    if address.startswith("http"):

        def post(image: bytes) -> None:
            headers = {"content-type": "image/jpeg"}
            with urlopen(
                Request(f"{address}api/segment", image, headers), timeout=DEADLINE_SECONDS
            ) as answer:
                answer.read()

        await _send(lambda image: asyncio.to_thread(post, image))
        return
    wanted: dict[str, Any] = {"counts": (400, 100)}
    async with AsyncClient(address, timeout=DEADLINE_SECONDS, token=token) as client:
        await _send(lambda image: client.segment(image, **wanted))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
