"""Page-locked memory for images and results: bounded, used again, never while it is in use."""

import gc
import threading

import numpy as np
import pytest

from superpixel_kernels.cuda.host_memory import HostMemory, is_page_locked


class Pages:
    """Allocates ordinary memory, and counts."""

    def __init__(self):
        self.sizes = []

    def __call__(self, size):
        self.sizes.append(size)
        return np.full(size, 0xA5, np.uint8)


@pytest.fixture
def pages():
    return Pages()


def test_memory_is_used_again(pages):
    memory = HostMemory(pages)
    for side in (400, 400, 390, 400):
        array = memory.empty((side, side), np.int32)
        assert array.shape == (side, side)
        assert is_page_locked(array)
        del array
    assert len(pages.sizes) == 1
    assert memory.taken_bytes == pages.sizes[0] < 1.25 * 4 * 400 * 400


def test_a_view_keeps_the_memory(pages):
    memory = HostMemory(pages)
    view = memory.empty((100, 100), np.int32)[10:20, ::2].T
    assert is_page_locked(view)
    view[:] = 7
    other = memory.empty((100, 100), np.int32)
    other[:] = 9
    assert (view == 7).all()
    assert len(pages.sizes) == 2


def test_beyond_the_limit_memory_is_ordinary(pages):
    memory = HostMemory(pages, limit_bytes=1 << 20)
    arrays = [memory.empty((300_000,), np.uint8) for _ in range(6)]
    locked = [is_page_locked(array) for array in arrays]
    assert locked == [True, True, True, False, False, False]
    assert memory.taken_bytes == sum(pages.sizes) <= 1 << 20
    assert not is_page_locked(memory.empty((2 << 20,), np.uint8))
    arrays.clear()
    gc.collect()
    assert is_page_locked(memory.empty((1 << 20,), np.uint8))
    assert memory.taken_bytes <= 1 << 20


def test_unused_memory_of_another_size_makes_way(pages):
    memory = HostMemory(pages, limit_bytes=1 << 20)
    memory.empty((900_000,), np.uint8)
    assert is_page_locked(memory.empty((200_000,), np.uint8))
    assert is_page_locked(memory.empty((200_000,), np.uint8))
    assert pages.sizes[1:] == [pages.sizes[1]]


def test_unused_memory_can_be_freed(pages):
    memory = HostMemory(pages)
    used = memory.empty((100_000,), np.uint8)
    memory.empty((100_000,), np.uint8)
    assert memory.taken_bytes == sum(pages.sizes)
    memory.free_unused()
    assert memory.taken_bytes == pages.sizes[0]
    assert is_page_locked(used)


def test_where_the_system_has_no_page_locked_memory_it_is_ordinary():
    def fail(size):
        raise MemoryError(size)

    memory = HostMemory(fail)
    array = memory.empty((3, 5), np.float64)
    assert (array.shape, array.dtype) == ((3, 5), np.float64)
    assert not is_page_locked(array)
    assert memory.taken_bytes == 0


def test_an_empty_array(pages):
    assert HostMemory(pages).empty((0, 4), np.int32).shape == (0, 4)


def test_many_threads(pages):
    memory = HostMemory(pages, limit_bytes=4 << 20)
    wrong = []

    def work(rank):
        for _ in range(200):
            array = memory.empty((70_000,), np.uint8)
            array[:] = rank
            if not (array == rank).all():
                wrong.append(rank)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert memory.taken_bytes <= 4 << 20
