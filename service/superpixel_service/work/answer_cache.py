"""The cache of answers. Each token has a partition of its own, so no caller can notice what others sent."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Generic, Protocol, TypeAlias, TypeVar

Key: TypeAlias = tuple[object, ...]
"""Equal for two tasks if and only if image and parameters are equal."""


class Kept(Protocol):
    """An answer that can be kept."""

    @property
    def byte_count(self) -> int:
        """Bytes that it takes."""


_Kept = TypeVar("_Kept", bound=Kept)


class _Partition(Generic[_Kept]):
    """The answers of one token, least recently used first; not locked."""

    def __init__(self) -> None:
        self.byte_count = 0
        self._answers: OrderedDict[Key, _Kept] = OrderedDict()

    def get(self, key: Key) -> _Kept | None:
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def put(self, key: Key, answer: _Kept, max_bytes: int) -> None:
        if answer.byte_count > max_bytes:
            return
        before = self._answers.pop(key, None)
        self.byte_count += answer.byte_count - (before.byte_count if before else 0)
        self._answers[key] = answer
        self.shrink(max_bytes)

    def shrink(self, max_bytes: int) -> None:
        while self.byte_count > max_bytes:
            _, dropped = self._answers.popitem(last=False)
            self.byte_count -= dropped.byte_count


class AnswerCache(Generic[_Kept]):
    """A cache of answers. All methods may be called from any thread. With `max_bytes` 0 it stays empty.

    The partitions have equal, fixed sizes: if they competed for the memory, the time of a call would tell
    how much other tokens use.
    """

    def __init__(self, max_bytes: int, tokens: Callable[[], Collection[str]] = lambda: ("",)) -> None:
        """`tokens` returns the names of the tokens that have a partition at present."""
        self._max_bytes = max_bytes
        self._tokens = tokens
        self._lock = threading.Lock()
        self._names: frozenset[str] = frozenset()
        self._partitions: dict[str, _Partition[_Kept]] = {}

    @property
    def byte_count(self) -> int:
        """Bytes of the kept answers."""
        with self._lock:
            return sum(partition.byte_count for partition in self._partitions.values())

    def get(self, token: str, key: Key) -> _Kept | None:
        """The answer kept for `key` in the partition of `token`, or None."""
        with self._lock:
            partition = self._partitions.get(token)
            return None if partition is None else partition.get(key)

    def put(self, token: str, key: Key, answer: _Kept) -> None:
        """Keep `answer`, unless it is larger than the partition or the token has none."""
        names = frozenset(self._tokens())
        with self._lock:
            share = self._max_bytes // max(1, len(names))
            if names != self._names:
                self._names = names
                self._partitions = {name: self._partitions.get(name, _Partition()) for name in names}
                for partition in self._partitions.values():
                    partition.shrink(share)
            if token in names:
                self._partitions[token].put(key, answer, share)
