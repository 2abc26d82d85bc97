"""Device memory that calls share: who waits for whom, and who fails."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from superpixel_kernels import CancelToken, CudaWorkspace, cuda, segment
from superpixel_kernels.cuda.room import Room
from superpixel_kernels.errors import AboveDeviceLimit, Cancelled, OutOfMemory
from tests.kernels import images
from tests.kernels.fake_cupy import FakeCupy
from tests.kernels.test_cuda_faults import install

pytestmark = pytest.mark.unsanitized  # Python alone, on a fake CuPy

SIZE = (400, 300)
NEED = cuda.bytes_needed(*SIZE)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def fake(monkeypatch):
    """A GPU with room for one image and a half."""
    return install(FakeCupy(memory=int(1.5 * NEED)), monkeypatch)


def workspace():
    return CudaWorkspace(limit_bytes=1 << 40)


def until(condition):
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.002)


class InUse:
    """A call that holds memory until `end`."""

    def __init__(self, pool, cancel=None):
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.workspace = workspace()
        self.done = pool.submit(
            segment, images.photo(*SIZE), workspace=self.workspace, on_regions=self.hold, cancel=cancel
        )
        assert self.reached.wait(60)

    def hold(self, _regions):
        self.reached.set()
        assert self.go_on.wait(60)

    def end(self):
        self.go_on.set()
        self.done.result(60)


@pytest.mark.usefixtures("fake")
def test_a_call_waits_for_a_workspace_in_use(pool):
    first, later = InUse(pool), workspace()
    second = pool.submit(segment, images.photo(*SIZE), workspace=later)
    until(lambda: later._room._waiting)
    assert later.held_bytes == 0  # it keeps nothing while it waits
    assert not second.done()
    first.end()
    assert second.result(60).base_count == 1
    assert later.waited_seconds > 0
    assert first.workspace.waited_seconds == 0


@pytest.mark.usefixtures("fake")
def test_many_calls_share_what_there_is(pool):
    workspaces = [workspace() for _ in range(8)]
    calls = [pool.submit(segment, images.photo(*SIZE), workspace=each) for each in workspaces]
    assert all(call.result(60).base_count == 1 for call in calls)


@pytest.mark.usefixtures("fake")
def test_an_image_that_never_fits_does_not_wait(pool):
    first = InUse(pool)
    capped = CudaWorkspace(limit_bytes=NEED - 1)
    with pytest.raises(
        AboveDeviceLimit, match=f"needs {NEED} bytes of device memory, and the cap is {NEED - 1}"
    ):
        segment(images.photo(*SIZE), workspace=capped)
    with pytest.raises(AboveDeviceLimit) as caught:
        segment(images.photo(1600, 300), workspace=workspace())  # more than the whole GPU
    assert (caught.value.needed_bytes, caught.value.limit_bytes) == (
        cuda.bytes_needed(1600, 300), int(1.5 * NEED)
    )  # fmt: skip
    first.end()


def test_memory_of_other_programs_is_not_waited_for(fake):
    fake.used += NEED
    with pytest.raises(OutOfMemory, match="too little free memory"):
        segment(images.photo(*SIZE), workspace=workspace())
    fake.used -= NEED


@pytest.mark.usefixtures("fake")
def test_a_call_that_waits_can_be_cancelled(pool):
    first, token, later = InUse(pool), CancelToken(), workspace()
    second = pool.submit(segment, images.photo(*SIZE), workspace=later, cancel=token)
    until(lambda: later._room._waiting)
    token.cancel()
    with pytest.raises(Cancelled):
        second.result(60)
    first.end()
    assert segment(images.photo(*SIZE), workspace=later).base_count == 1


@pytest.mark.usefixtures("fake")
def test_a_paused_call_goes_on_if_another_needs_its_memory(pool):
    token, later = CancelToken(), workspace()
    holder = workspace()
    room = holder._room
    token.hold()
    # It has memory when it pauses, before its first stage.
    first = pool.submit(segment, images.photo(*SIZE), workspace=holder, cancel=token)
    until(lambda: token.waiting)
    assert not first.done()
    second = pool.submit(segment, images.photo(*SIZE), workspace=later)
    assert second.result(60).base_count == first.result(60).base_count == 1
    assert not room._waiting


# --- the room alone -----------------------------------------------------------------------------------------


class Memory:
    """A device with `size` bytes, and the order in which calls get them."""

    def __init__(self, size):
        self.free = size
        self.order = []

    def take(self, call, name, size, has=0):
        mine = [has]

        def attempt():
            if self.free < size:
                raise OutOfMemory(name)
            self.free -= size
            mine[0] += size
            self.order.append(name)

        def give_back():
            self.free += mine[0]
            mine[0] = 0

        call.allocate(attempt, give_back)
        return give_back


def test_a_small_call_does_not_overtake_a_large_one(pool):
    room, memory = Room(), Memory(10)

    def use(name, size):
        with room.call() as call:
            memory.take(call, name, size)()

    with room.call() as first:
        give_back = memory.take(first, "first", 6)
        large = pool.submit(use, "large", 8)
        until(lambda: len(room._waiting) == 1)
        small = pool.submit(use, "small", 2)  # it would fit now
        until(lambda: len(room._waiting) == 2)
        give_back()
    large.result(60)
    small.result(60)
    assert memory.order == ["first", "large", "small"]


def test_a_call_does_not_wait_for_one_that_waits_for_it(pool):
    """The first is in its caller's function, which waits until the second one has ended."""
    room, memory = Room(), Memory(10)
    ended = threading.Event()

    def wait():
        with room.call() as call:
            memory.take(call, "first", 6)
            with call.outside():
                reached.set()
                assert ended.wait(60)

    reached = threading.Event()
    first = pool.submit(wait)
    assert reached.wait(60)
    with room.call() as second:
        with second.outside():
            pass  # it has now what the first one waits for
        with pytest.raises(OutOfMemory):
            memory.take(second, "second", 6)
    ended.set()
    first.result(60)


def test_a_call_gives_back_what_it_has_before_it_waits(pool):
    """Two calls that both need more: neither keeps what the other one needs."""
    room, memory = Room(), Memory(10)
    both = threading.Barrier(2)

    def grow(name):
        with room.call() as call:
            memory.take(call, name, 5)
            both.wait()
            memory.take(call, name, 8, has=5)()

    for call in [pool.submit(grow, name) for name in ("a", "b")]:
        call.result(60)
    assert memory.free == 10
