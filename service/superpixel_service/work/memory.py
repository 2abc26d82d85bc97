"""What the C library's allocator does with freed memory.

By default glibc sometimes returns an image's freed memory to the system and sometimes keeps it: its
thresholds depend on the sizes that were freed before. If it returns the memory, the next image causes page
faults; they take an eighth of the time of a 1920x1080 image. So a server keeps freed memory while it works,
and returns it when it is idle, together with the engine's scratch memory.
"""

import ctypes
from collections.abc import Callable

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of mallopt(3)

_KEPT_BYTES = 64 << 20
"""Freed memory that the allocator keeps at the end of each heap (it calls them arenas)."""

_MAPPED_BYTES = 32 << 20
"""Larger blocks are always returned when freed. glibc accepts no larger threshold."""

_IDLE_LOOKS = 10


def keep_freed_memory() -> None:
    """Keep freed memory for the next image. Does nothing if the C library is not glibc.

    Call this before the process starts a thread: until then, each thread may get a heap of its own.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        # One heap for all threads: malloc_trim cannot return the end of another.
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


class IdleMemory:
    """Returns memory to the system once per idle period.

    Args:
        free: frees what the next image can allocate again.
    """

    def __init__(self, free: Callable[[], None] = lambda: None) -> None:
        self._free = free
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._work = 0
        self._idle_looks = 0

    def look(self, work: int) -> bool:
        """Check for work; call this once per second. After ten checks without work, return the memory.

        Args:
            work: a number that grows with the work done.

        Returns:
            Whether memory was returned to the system now.
        """
        if work != self._work:
            self._work, self._idle_looks = work, 0
            return False
        self._idle_looks += 1
        if self._idle_looks != _IDLE_LOOKS:
            return False
        self._free()
        return self._trim is not None and bool(self._trim(0))
