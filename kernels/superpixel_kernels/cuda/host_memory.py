"""Page-locked host memory, which a GPU reads and writes without a detour: bounded, and used again.

Page-locking takes longer than the copies that it speeds up, and new ordinary memory costs page faults. So the
memory of arrays that are no longer used is kept for later ones.
"""

import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LIMIT_BYTES = 256 << 20
"""Most page-locked memory of all arrays on one GPU, in use or kept. It cannot be swapped out."""

_LEAST_BYTES = 1 << 16


class HostMemory:
    """Makes arrays in page-locked memory, or in ordinary memory beyond the limit. For any thread.

    Args:
        allocate: returns new page-locked memory of this many bytes; raises `MemoryError` if there is none.
        limit_bytes: most page-locked memory in use and kept.
    """

    def __init__(self, allocate: Callable[[int], NDArray[np.uint8]], limit_bytes: int = LIMIT_BYTES) -> None:
        self._allocate = allocate
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._taken_bytes = 0  # in use or kept
        self._kept: list[NDArray[np.uint8]] = []
        # Arrays end in any thread, also in one that holds the lock when garbage is collected.
        self._returned: deque[NDArray[np.uint8]] = deque()

    @property
    def taken_bytes(self) -> int:
        """Bytes of page-locked memory in use or kept."""
        return self._taken_bytes

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An uninitialised array, C order. Its memory is used again after its last view ends."""
        memory = self._take(math.prod(shape) * np.dtype(dtype).itemsize)
        if memory is None:
            return np.empty(shape, dtype)
        lent: NDArray[np.uint8] = np.asarray(_Loan(memory, self._returned))
        return np.ndarray(shape, dtype, buffer=lent)

    def free_unused(self) -> None:
        """Free the memory that is kept for later arrays."""
        with self._lock:
            self._keep_returned()
            self._taken_bytes -= sum(memory.size for memory in self._kept)
            self._kept.clear()

    def _keep_returned(self) -> None:
        while self._returned:
            self._kept.append(self._returned.popleft())

    def _take(self, size: int) -> NDArray[np.uint8] | None:
        wanted = _rounded(size)
        with self._lock:
            self._keep_returned()
            fitting = [memory for memory in self._kept if wanted <= memory.size <= 2 * wanted]
            if fitting:
                best = min(fitting, key=lambda memory: memory.size)
                self._kept = [memory for memory in self._kept if memory is not best]
                return best
            # The longest unused first.
            while self._kept and self._taken_bytes + wanted > self._limit:
                self._taken_bytes -= self._kept.pop(0).size
            if self._taken_bytes + wanted > self._limit:
                return None
            try:
                memory = self._allocate(wanted)
            except MemoryError:
                return None
            self._taken_bytes += wanted
            return memory


class _Loan:
    """Memory in use by an array and its views; they keep this object alive."""

    def __init__(self, memory: NDArray[np.uint8], returned: "deque[NDArray[np.uint8]]") -> None:
        self._memory = memory
        self._returned = returned
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        self._returned.append(self._memory)


def is_page_locked(array: NDArray[Any]) -> bool:
    """Whether an array is in memory that `HostMemory` page-locked."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, _Loan)


def _rounded(size: int) -> int:
    """The size to allocate: in steps of a quarter of a power of two, so that similar images share memory."""
    step = max(_LEAST_BYTES, 1 << max(0, size.bit_length() - 3))
    return max(1, -(-size // step)) * step
