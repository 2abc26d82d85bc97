"""The host side of the CUDA engine when CUDA fails, on a fake CuPy."""

import gc
import weakref
from functools import partial

import numpy as np
import pytest

import superpixel_kernels as kernels
from superpixel_kernels import CudaWorkspace, segment
from superpixel_kernels.cuda import Tuning, cupy_device, engine
from superpixel_kernels.cuda.host_memory import HostMemory, is_page_locked
from superpixel_kernels.cuda.stage import Stage
from superpixel_kernels.cuda.workspace import Workspace, grid_of, image_layout
from superpixel_kernels.errors import BackendUnavailable, DeviceLost, OutOfMemory
from superpixel_kernels.tiled import segment_tiled
from tests.kernels import images
from tests.kernels.fake_cupy import CompileException, CUDADriverError, CUDARuntimeError, FakeCupy, OnDevice
from tests.kernels.tiled_tools import CountingSource, MemoryStore, assert_equal_to_segment

pytestmark = pytest.mark.unsanitized  # Python alone, on a fake CuPy


@pytest.fixture
def fake(monkeypatch):
    return install(FakeCupy(), monkeypatch)


@pytest.fixture(autouse=True)
def nothing_is_remembered():
    yield
    kernels.why_no_cuda.cache_clear()
    cupy_device._compiled.cache_clear()


def install(fake, monkeypatch):
    monkeypatch.setattr(cupy_device, "_import", lambda _name: fake)
    monkeypatch.setattr(cupy_device, "_opened", set())
    monkeypatch.setattr(engine, "_open", weakref.WeakKeyDictionary())
    monkeypatch.setattr(engine, "_rooms", weakref.WeakValueDictionary())
    kernels.why_no_cuda.cache_clear()
    cupy_device._compiled.cache_clear()
    return fake


# --- while the device is opened -----------------------------------------------------------------------------

OUT_OF_MEMORY = "cudaErrorMemoryAllocation: out of memory"
OPENING = {
    "attributes": ("attributes", CUDARuntimeError(46, "cudaErrorDevicesUnavailable: busy"), "busy"),
    "stream": ("Stream", CUDARuntimeError(2, OUT_OF_MEMORY), "out of memory"),
    "event": ("Event", CUDARuntimeError(999, "cudaErrorUnknown: unknown error"), "unknown error"),
    "properties": (
        "getDeviceProperties",
        CUDARuntimeError(101, "cudaErrorInvalidDevice: no"),
        "InvalidDevice",
    ),
    "headers": ("compile", RuntimeError("Failed to find the CUDA headers.\nSee the docs."), "headers"),
    "folder": ("compile", OSError(30, "Read-only file system"), "Read-only file system"),
    "compiler": ("compile", CompileException("error: ..."), "cannot be compiled"),
    "driver": ("compile", CUDADriverError(218, "CUDA_ERROR_INVALID_PTX"), "cannot be compiled"),
    "count": ("getDeviceCount", CUDARuntimeError(35, "cudaErrorInsufficientDriver: old"), "no usable NVIDIA"),
    "library": ("getVersion", OSError("libnvrtc.so.13"), "NVRTC"),
}


@pytest.mark.parametrize("case", OPENING)
def test_auto_takes_the_cpu_if_the_gpu_cannot_be_opened_and_says_why(case, fake):
    call, error, reason = OPENING[case]
    fake.faults[call] = error
    assert kernels.choose_backend("auto") == "cpu"
    assert segment(images.photo(8, 8)).backend == "cpu"
    why = kernels.why_no_cuda()
    assert reason in why
    assert "\n" not in why
    for call in (lambda: kernels.choose_backend("cuda"), CudaWorkspace):
        with pytest.raises(BackendUnavailable) as caught:
            call()
        assert str(caught.value) == f"backend 'cuda': {why}"


@pytest.mark.usefixtures("fake")
def test_a_gpu_that_can_be_opened_is_taken():
    assert kernels.why_no_cuda() is None
    assert kernels.choose_backend("auto") == kernels.choose_backend("cuda") == "cuda"


@pytest.mark.usefixtures("fake")
def test_auto_looks_at_the_gpu_that_will_be_used():
    assert kernels.choose_backend("auto", 3) == "cpu"
    assert kernels.why_no_cuda(3) == "no GPU with index 3: this machine has 1"


# --- after the device is lost -------------------------------------------------------------------------------


def test_every_call_after_a_loss_raises_device_lost(fake):
    workspace = CudaWorkspace()
    hierarchy = segment(images.photo(8, 8), workspace=workspace)
    on_device = segment(OnDevice(images.photo(8, 8)), workspace=workspace)
    fake.lose()
    for call in (
        lambda: segment(images.photo(8, 8), workspace=workspace),
        lambda: segment(OnDevice(images.photo(8, 8)), workspace=workspace),
        lambda: hierarchy.cut(40),  # merges of pixels
        lambda: on_device.regions(1),  # downloads the image
        lambda: workspace.device_used_bytes,
        workspace._pipeline.device.give_back,
        CudaWorkspace,
    ):
        for _ in range(2):  # the workspace's claim was released
            with pytest.raises(DeviceLost, match="the GPU failed: cudaErrorIllegalAddress"):
                call()


def test_a_tiled_run_ends_when_the_gpu_is_lost_and_goes_on_without_it(fake):
    image, store = images.photo(90, 40), MemoryStore()

    class Losing(CountingSource):
        def read(self, window):
            fake.lose()
            return super().read(window)

    arguments = {"tile": 32, "store": store, "threads": 1}
    with pytest.raises(DeviceLost, match="the GPU failed: cudaErrorIllegalAddress"):
        segment_tiled(Losing(image, fingerprint="one"), backend="cuda", **arguments)
    assert store.arrays == {}
    # This process has lost the GPU, and says so; the tiles need none.
    source = CountingSource(image, fingerprint="one")
    with pytest.raises(DeviceLost):
        segment_tiled(source, backend="cuda", **arguments)
    assert source.windows == []
    assert_equal_to_segment(segment_tiled(source, **arguments), image)


def test_a_tiled_run_without_a_usable_gpu_says_why_before_it_begins(fake):
    fake.faults["getDeviceCount"] = CUDARuntimeError(35, "cudaErrorInsufficientDriver: old")
    image, store = images.photo(90, 40), MemoryStore()
    with pytest.raises(BackendUnavailable, match=r"^backend 'cuda': no usable NVIDIA driver or GPU"):
        segment_tiled(image, tile=32, store=store, backend="cuda")
    assert store.state is None
    assert_equal_to_segment(segment_tiled(image, tile=32, store=store, backend="auto"), image)


def test_a_workspace_is_released_even_if_its_memory_cannot_be_given_back(fake):
    workspace = CudaWorkspace(kept_bytes=0)
    fake.faults["free_all_blocks"] = CUDARuntimeError(700)
    for _ in range(2):
        with pytest.raises(DeviceLost):
            segment(images.photo(8, 8), workspace=workspace)
    fake.faults.clear()
    assert segment(images.photo(8, 8), workspace=workspace).base_count == 1


def test_a_failed_launch_of_a_sound_gpu_is_not_a_loss(fake):
    workspace = CudaWorkspace()
    fake.faults["smooth_filter"] = CUDARuntimeError(9, "cudaErrorInvalidConfiguration: too many threads")
    with pytest.raises(CUDARuntimeError, match="InvalidConfiguration"):
        segment(images.photo(8, 8), workspace=workspace)
    fake.faults.clear()
    segment(images.photo(8, 8), workspace=workspace)


# --- memory -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fake")
def test_the_pool_holds_what_the_workspace_says():
    """Also after the workspace has grown: the smaller arrays do not stay in the pool."""
    workspace = CudaWorkspace()
    for side in (100, 200, 300, 250):
        segment(images.photo(side, side), workspace=workspace)
        rounded_up = 512 * len(arrays_of(workspace))
        assert workspace.bytes <= workspace.held_bytes <= workspace.bytes + rounded_up


@pytest.mark.usefixtures("fake")
def test_kept_arguments_do_not_keep_memory():
    device = cupy_device.CupyDevice()
    workspace = Workspace(device)
    with device.active():
        for side in (100, 200, 300):
            layout = image_layout(grid_of(side, side), 0, Tuning())
            workspace.make_room(layout)
            stage = Stage(device, workspace, grid_of(side, side), Tuning(), 10)
            (color,) = stage.arguments("kernel", make=lambda: [workspace["color"]])
            assert stage.arguments("kernel", make=list) == (color,)
            del color
            assert device.held_bytes() <= workspace.bytes + 512 * len(layout)


@pytest.mark.usefixtures("fake")
def test_arguments_are_kept_while_sizes_alternate():
    workspace = CudaWorkspace()
    for side in (100, 60):
        segment(images.photo(side, side), workspace=workspace)
    kept = workspace._pipeline.workspace._arguments
    before = {size: dict(arguments) for size, arguments in kept.items()}
    assert len(before) == 2
    for side in (100, 60):
        segment(images.photo(side, side), workspace=workspace)
    for size, arguments in before.items():
        assert all(kept[size][key] is made for key, made in arguments.items())


def test_a_photograph_of_12_megapixels_is_kept():
    kept = CudaWorkspace.__init__.__kwdefaults__["kept_bytes"]
    assert kernels.cuda.bytes_needed(4000, 3000) < kept


def test_idle_workspaces_give_their_memory_to_one_that_needs_it(monkeypatch):
    need = kernels.cuda.bytes_needed(400, 300)
    fake = install(FakeCupy(memory=int(2.5 * need)), monkeypatch)
    workspaces = [CudaWorkspace() for _ in range(8)]
    for _ in range(2):
        for workspace in workspaces:
            segment(images.photo(400, 300), workspace=workspace)
            assert workspace.bytes > 0
    assert fake.used <= fake.memory


def test_a_busy_workspace_keeps_its_memory(monkeypatch):
    need = kernels.cuda.bytes_needed(400, 300)
    install(FakeCupy(memory=int(1.5 * need)), monkeypatch)
    busy, other = (CudaWorkspace(limit_bytes=2 * need) for _ in range(2))
    segment(images.photo(400, 300), workspace=busy)
    with busy._claimed():
        before = busy.bytes
        with pytest.raises(OutOfMemory):
            segment(images.photo(400, 300), workspace=other)
        assert busy.bytes == before
    segment(images.photo(400, 300), workspace=other)
    assert busy.bytes == 0


def test_by_default_an_image_may_take_half_of_the_gpu(monkeypatch):
    need = kernels.cuda.bytes_needed(400, 300)
    install(FakeCupy(memory=2 * need - 2), monkeypatch)
    with pytest.raises(OutOfMemory, match=f"the cap is {need - 1}"):
        segment(images.photo(400, 300), workspace=CudaWorkspace())
    segment(images.photo(400, 300), workspace=CudaWorkspace(limit_bytes=need))


@pytest.mark.usefixtures("fake")
def test_images_that_hierarchies_keep_are_not_the_workspaces_memory():
    workspace = CudaWorkspace()
    image = images.photo(40, 30)
    kept = [segment(OnDevice(image), workspace=workspace) for _ in range(50)]
    assert workspace.held_bytes <= workspace.bytes + 512 * 30
    kept.clear()
    gc.collect()
    assert workspace.held_bytes >= workspace.bytes + 50 * image.nbytes
    assert workspace.give_back()
    assert workspace.held_bytes == 0


def test_results_on_the_device_are_the_callers(fake):
    workspace = CudaWorkspace()
    result = workspace.segment_on_device(OnDevice(images.photo(40, 30)), kernels.SegmentParams())
    assert workspace.held_bytes <= workspace.bytes + 512 * 30
    assert fake.downloads == 0
    assert (result.labels.shape, result.merges.shape) == ((30, 40), (0, 4))
    assert not any(np.shares_memory(result.labels.host, each.host) for each in arrays_of(workspace))


def arrays_of(workspace):
    return workspace._pipeline.workspace._arrays.values()


def test_a_workspace_that_is_dropped_frees_its_memory(fake):
    """Also the unused blocks in its pools, which CuPy would keep for the life of the process."""
    workspace = CudaWorkspace()
    segment(OnDevice(images.photo(40, 30)), workspace=workspace)
    assert fake.used > 0
    del workspace
    gc.collect()
    assert fake.used == 0


def test_a_hierarchy_does_not_keep_the_memory_of_its_workspace(fake):
    hierarchy = segment(images.photo(100, 100), backend="cuda")
    gc.collect()
    assert fake.used == 0
    assert hierarchy.shape == (100, 100)


# --- copies -------------------------------------------------------------------------------------------------


def test_page_locked_memory_is_bounded(fake, monkeypatch):
    monkeypatch.setattr(cupy_device, "_STAGING_BYTES", 4096)
    monkeypatch.setattr(cupy_device, "HostMemory", partial(HostMemory, limit_bytes=200_000))
    workspace = CudaWorkspace()
    results = [segment(images.photo(100, 100), workspace=workspace) for _ in range(5)]
    assert sum(array.nbytes for array in fake.pinned) <= 2 * 4096
    assert 0 < sum(array.nbytes for array in fake.page_locked) <= 200_000
    for result in results:
        for array in (result.base_labels, result.merges):
            assert not any(np.shares_memory(array, pinned) for pinned in fake.pinned)
    in_page_locked = [is_page_locked(result.base_labels) for result in results]
    assert in_page_locked[0]
    assert not in_page_locked[-1]


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 12_288, 20_000])
def test_copies_in_parts_are_whole(size, monkeypatch):
    monkeypatch.setattr(cupy_device, "_STAGING_BYTES", 4096)
    device = cupy_device.CupyDevice()
    sent = np.arange(size, dtype=np.uint32)
    received = np.zeros_like(sent)
    with device.active():
        array = device.empty(size, np.uint32)
        device.upload(sent, array)
        device.download((array, received))
    assert np.array_equal(received, sent)


def test_waiting_threads_sleep(fake):
    """They wait for blocking events: cudaStreamSynchronize would occupy a core."""
    segment(images.photo(100, 100), workspace=CudaWorkspace())
    assert fake.waits
    assert all(fake.waits)


def test_a_device_image_is_downloaded_at_first_use(fake):
    image = images.photo(40, 30)
    given = OnDevice(image.copy())
    hierarchy = segment(given, workspace=CudaWorkspace())
    hierarchy.cut(1)
    assert fake.downloads == 0
    given.array[:] = 0  # later changes have no effect
    regions = [hierarchy.regions(1) for _ in range(2)]
    assert fake.downloads == 1
    expected = kernels.codec.measure_regions(np.zeros((30, 40), np.int32), image)
    for measured in regions:
        assert np.array_equal(measured.mean_color, expected.mean_color)
