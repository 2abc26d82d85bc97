"""Answers that may be asked for again, by what was asked: bounded in bytes, the longest unused go first."""

import hashlib
import threading
from collections import OrderedDict
from typing import TypeAlias

from superpixel_kernels import ALGORITHM_VERSION, DEFAULT_COMPACTNESS
from superpixel_service.orders import Answer, RawImage, Task

Key: TypeAlias = tuple[object, ...]
"""Equal for two tasks if and only if they are the same image and the same wishes."""


def key_of(task: Task) -> Key:
    """What the answer to `task` depends on; of the image a SHA-256, which callers cannot make collide."""
    image = task.image
    source = image.source
    shape = (source.width, source.height, source.channels) if isinstance(source, RawImage) else None
    return (
        hashlib.sha256(source.data).digest(),
        shape,
        image.orientation,
        task.region,
        task.counts,
        DEFAULT_COMPACTNESS if task.compactness is None else task.compactness,
        task.encoding,
        task.include_hierarchy,
        task.include_regions,
        ALGORITHM_VERSION,
    )


class AnswerCache:
    """May be used from any thread. One of no bytes keeps nothing."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._answers: OrderedDict[Key, Answer] = OrderedDict()
        self._bytes = 0

    @property
    def bytes_held(self) -> int:
        """Bytes of the answers kept."""
        return self._bytes

    def get(self, key: Key) -> Answer | None:
        """The answer kept for `key`; None: there is none."""
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
            return answer

    def put(self, key: Key, answer: Answer) -> None:
        """Keep `answer`, if it is not larger than all that may be kept."""
        if answer.byte_count > self._max_bytes:
            return
        with self._lock:
            before = self._answers.pop(key, None)
            self._bytes += answer.byte_count - (before.byte_count if before else 0)
            self._answers[key] = answer
            while self._bytes > self._max_bytes:
                _, dropped = self._answers.popitem(last=False)
                self._bytes -= dropped.byte_count
