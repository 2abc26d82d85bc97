"""Small messages that arrive slowly: how many arrive at once, and when one takes the place of another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from superpixel_service.transport import small_messages
from superpixel_service.transport.small_messages import ARRIVING, SmallMessages
from tests.service.harness import wait_until


class Message:
    """A message that arrives until the test ends it. Like gRPC, it takes a while to end after `cancel`."""

    def __init__(self, messages: SmallMessages, *, is_over: bool = False) -> None:
        self.entered, self.cancelled, self.over = (threading.Event() for _ in range(3))
        self._is_over = is_over
        self._messages = messages
        self.thread = threading.Thread(target=self._arrive)
        self.thread.start()

    def _arrive(self) -> None:
        with self._messages.arriving(self):
            self.entered.set()
            self.over.wait()

    def cancel(self) -> bool:
        self.cancelled.set()
        return not self._is_over


def count(messages: list[Message], name: str) -> int:
    return sum(getattr(message, name).is_set() for message in messages)


@contextmanager
def arriving(messages: SmallMessages, number: int, *, is_over: bool = False) -> Iterator[list[Message]]:
    begun = []
    for _ in range(number):
        begun.append(Message(messages, is_over=is_over))
        begun[-1].entered.wait()
    yield begun
    for message in begun:
        message.over.set()
        message.thread.join()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_messages, "_UNDISTURBED_SECONDS", 0.01)


def test_a_message_that_gives_way_keeps_its_place_until_it_is_out_of_memory() -> None:
    messages = SmallMessages()
    with arriving(messages, ARRIVING) as slow:
        others = [Message(messages) for _ in range(3)]
        wait_until(lambda: count(slow, "cancelled") == 3)
        assert [message.cancelled.is_set() for message in slow] == [True] * 3 + [False] * (ARRIVING - 3)
        # Long after the time that a message may arrive undisturbed, none has entered.
        assert not any(message.entered.wait(0.03) for message in others)
        for number, message in enumerate(slow[:3], start=1):
            message.over.set()
            wait_until(lambda number=number: count(others, "entered") == number)
        assert count(slow, "cancelled") == 3
        for message in others:
            message.over.set()
            message.thread.join()


def test_a_message_that_is_over_makes_room_at_once() -> None:
    messages = SmallMessages()
    with arriving(messages, ARRIVING, is_over=True) as slow:
        other = Message(messages)
        wait_until(other.entered.is_set)
        assert count(slow, "cancelled") == 1
        other.over.set()
        other.thread.join()
