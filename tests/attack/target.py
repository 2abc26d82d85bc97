"""What an attack sees: addresses, a token, and how long it lasts."""

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc

from superpixel_service.contract import AUTHORIZATION_KEY, SEGMENT
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.harness import CHANNEL_OPTIONS, refusal_of

CALL_SECONDS = 30.0
Facts = dict[str, Any]
"""What an attack saw, for the verdict: by name, in JSON's types."""


@dataclass
class Target:
    """The target of an attack.

    Attributes:
        server: address of the first server; `health` is that of its health port.
        processes: ids of the servers' processes.
        gateway: address of the page, or empty.
        token: the attacker's; `victim_token` is for probes that the attack makes as the victim.
        seconds: how long the attack lasts.
    """

    server: str
    health: str
    processes: list[int]
    gateway: str
    token: str
    victim_token: str
    seconds: float
    _end: float = field(default=0.0, init=False)

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """The attacker's token as metadata."""
        return [(AUTHORIZATION_KEY, f"Bearer {self.token}")]

    def begin(self) -> None:
        """Say that everything is prepared, and wait for the word to begin."""
        print("prepared", flush=True)
        sys.stdin.readline()
        self._end = time.monotonic() + self.seconds

    def goes_on(self) -> bool:
        """Whether the time of the attack is not over."""
        return time.monotonic() < self._end

    def wait(self, seconds: float) -> None:
        """Sleep, at most until the end."""
        time.sleep(max(0.0, min(seconds, self._end - time.monotonic())))

    def channel(self, address: str = "", **options: Any) -> grpc.Channel:
        """A connection of its own."""
        own = (("grpc.use_local_subchannel_pool", 1),)
        return grpc.insecure_channel(address or self.server, options=[*CHANNEL_OPTIONS, *own], **options)

    def repeat(self, callers: int, call: Callable[[grpc.Channel, int], str]) -> Counter[str]:
        """Call from `callers` threads, each with a connection of its own, until the end.

        Args:
            callers: number of threads.
            call: makes one call, its number given, and returns its outcome.

        Returns:
            How often each outcome came.
        """
        outcomes: Counter[str] = Counter()
        lock = threading.Lock()

        def work(first: int) -> None:
            number = first
            with self.channel() as channel:
                while self.goes_on():
                    outcome = call(channel, number)
                    number += callers
                    with lock:
                        outcomes[outcome] += 1

        threads = [threading.Thread(target=work, args=(first,)) for first in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes

    def segment(self, channel: grpc.Channel, message: bytes) -> str:
        """Call `Segment` with a serialised request; returns the outcome."""
        method = channel.unary_unary(SEGMENT)
        return outcome_of(lambda: method(message, metadata=self.metadata, timeout=CALL_SECONDS))

    def send_all(self, callers: int, requests: Iterable[pb.SegmentRequest]) -> Facts:
        """Send these requests again and again, `callers` at a time; returns the outcomes."""
        messages = [request.SerializeToString() for request in requests]
        self.begin()
        return {
            "outcomes": self.repeat(
                callers, lambda channel, number: self.segment(channel, messages[number % len(messages)])
            )
        }


def outcome_of(call: Callable[[], object]) -> str:
    """OK, or the code and reason of the call's error."""
    try:
        call()
    except grpc.RpcError as error:
        try:
            reason = refusal_of(error).reason
        except AssertionError:  # from gRPC itself
            reason = ""
        return f"{error.code().name} {reason}".strip()
    return "OK"


def run(attack: Callable[[Target], Facts]) -> None:
    """Run an attack in this process: its target comes on standard input, its facts go to standard output."""
    target = Target(**json.loads(sys.stdin.readline()))
    print(json.dumps(attack(target)), flush=True)
