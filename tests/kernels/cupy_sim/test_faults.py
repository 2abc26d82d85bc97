"""What real CuPy does when the GPU has too little memory, fails, or is another one."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from superpixel_kernels import CudaWorkspace, SegmentParams, segment
from superpixel_kernels.cuda import bytes_needed
from superpixel_kernels.cuda.cupy_device import CupyDevice
from superpixel_kernels.errors import BackendUnavailable, DeviceLost, InvalidImage, OutOfMemory
from tests.kernels import images
from tests.kernels.cuda_tools import assert_same_hierarchy
from tests.kernels.cupy_sim.errors import Code
from tests.kernels.devices import TUNING, open_workspace


def test_out_of_memory_names_it_and_leaves_a_working_workspace(runtime):
    workspace, image = open_workspace(limit_bytes=1 << 40), images.photo(80, 60)
    runtime.gpus[0].memory = runtime.gpus[0].used + bytes_needed(80, 60, tuning=TUNING) // 2
    with pytest.raises(OutOfMemory, match="too little free memory"):
        segment(image, workspace=workspace)
    assert workspace.held_bytes == 0
    runtime.gpus[0].memory *= 4
    assert_same_hierarchy(segment(image, workspace=workspace), segment(image, backend="cpu"))


def test_idle_workspaces_make_way(runtime):
    workspaces = [CudaWorkspace(tuning=TUNING, limit_bytes=1 << 40) for _ in range(3)]
    image = images.photo(80, 60)
    runtime.gpus[0].memory = runtime.gpus[0].used + int(1.5 * bytes_needed(80, 60, tuning=TUNING))
    for workspace in workspaces:
        assert_same_hierarchy(segment(image, workspace=workspace), segment(image, backend="cpu"))
    assert [workspace.bytes > 0 for workspace in workspaces] == [False, False, True]


def test_a_fault_in_a_kernel_is_a_lost_device(runtime, monkeypatch):
    runtime.expects_problems = True
    workspace, image = open_workspace(), images.photo(80, 60)
    hierarchy = segment(image, workspace=workspace)

    def not_cooperative(device, kernel, grid, block, args, **options):
        launch(device, kernel, grid, block, args, **options | {"cooperative": False})

    launch = CupyDevice.launch
    monkeypatch.setattr(CupyDevice, "launch", not_cooperative)
    with pytest.raises(DeviceLost, match="the GPU failed: cudaErrorLaunchFailure"):
        segment(image, workspace=workspace)
    monkeypatch.undo()
    for call in (
        lambda: segment(image, workspace=workspace),
        lambda: hierarchy.cut(4000),
        lambda: workspace.device_used_bytes,
        open_workspace,
    ):
        with pytest.raises(DeviceLost):
            call()
    assert any("kernel `merge_rounds`" in problem for problem in runtime.gpus[0].problems)


# CuPy's destructor of a stream fails if the constructor has failed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("function", ["cudaStreamCreateWithPriority", "cudaEventCreateWithFlags"])
def test_a_gpu_that_cannot_be_opened_is_unavailable(function, runtime, monkeypatch):
    from superpixel_kernels.cuda import cupy_device

    monkeypatch.setattr(cupy_device, "_opened", set())
    runtime.failures[function] = Code.UNKNOWN
    with pytest.raises(BackendUnavailable, match="backend 'cuda'"):
        CudaWorkspace()
    runtime.failures.clear()
    CudaWorkspace()


def test_an_image_on_another_gpu_is_rejected():
    import cupy

    with cupy.cuda.Device(1):
        image = cupy.asarray(images.photo(24, 20))
    with pytest.raises(InvalidImage, match="is on GPU 1, must be on GPU 0"):
        segment(image, workspace=open_workspace())


def test_the_second_gpu(runtime):
    workspace, image = CudaWorkspace(1, tuning=TUNING), images.photo(40, 30)
    assert_same_hierarchy(segment(image, workspace=workspace), segment(image, backend="cpu"))
    assert "merge_rounds" in runtime.gpus[1].launches
    assert runtime.gpus[0].launches == []


def test_results_on_the_device_outlive_their_workspace(runtime):
    workspace, image = open_workspace(), images.photo(40, 30)
    made = workspace.segment_on_device(image, SegmentParams())
    del workspace
    gc.collect()
    assert runtime.gpus[0].used == sum(-(-array.nbytes // 512) * 512 for array in (made.labels, made.merges))
    assert np.array_equal(made.labels.get(), segment(image, backend="cpu").base_labels)


def test_page_locked_memory_is_used_again(runtime):
    """Counters, an image, its labels and its merges take 64 KiB each, the least there is."""
    workspace = open_workspace()
    for side in (20, 60, 40, 60, 20):
        segment(images.photo(side, side), workspace=workspace)
    sizes = sorted(map(len, runtime.pinned.values()))
    assert sizes[-4:] == [1 << 16] * 4
    assert sum(sizes[:-4]) <= 1 << 16


def test_threads_wait_for_memory_that_others_use(runtime):
    """Room for two images at the same time, and five threads."""
    image = images.photo(60, 40)
    expected = segment(image, backend="cpu")
    workspaces = [CudaWorkspace(tuning=TUNING, limit_bytes=1 << 40) for _ in range(5)]
    rounded_up = 512 * 40
    runtime.gpus[0].memory = runtime.gpus[0].used + 2 * (bytes_needed(60, 40, tuning=TUNING) + rounded_up)

    def work(workspace):
        for _ in range(3):
            assert_same_hierarchy(segment(image, workspace=workspace), expected)

    with ThreadPoolExecutor(len(workspaces)) as pool:
        list(pool.map(work, workspaces))
