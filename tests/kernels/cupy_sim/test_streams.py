"""Order between streams and the host. The fake GPU works as late as it may, so a missing wait shows."""

import random

import numpy as np
import pytest

from superpixel_kernels import segment
from superpixel_kernels.cuda import cupy_device
from superpixel_kernels.cuda.cupy_device import CupyDevice
from tests.kernels import images
from tests.kernels.cuda_tools import assert_same_hierarchy
from tests.kernels.devices import open_workspace


@pytest.fixture
def callers_stream(runtime):
    """A stream that is current, and blocking, unlike that of a workspace."""
    import cupy

    with cupy.cuda.Stream() as stream:
        yield stream
        runtime.reset()


def check(workspace=None):
    image = images.photo(40, 30)
    actual = segment(image, workspace=workspace or open_workspace())
    assert_same_hierarchy(actual, segment(image, backend="cpu"))


def check_image_that_is_not_there_yet(runtime, stream):
    import cupy

    host = images.photo(40, 30)
    workspace = open_workspace()
    image = cupy.asarray(host)
    assert runtime.gpus[0].streams[stream.ptr].queue
    assert_same_hierarchy(segment(image, workspace=workspace), segment(host, backend="cpu"))


@pytest.mark.parametrize("seed", range(4))
def test_moments_of_work_do_not_matter(seed, runtime):
    runtime.gpus[0].random = random.Random(seed)
    check()


def test_an_image_of_the_callers_stream_is_waited_for(runtime, callers_stream):
    check_image_that_is_not_there_yet(runtime, callers_stream)


def test_an_image_of_the_default_stream_is_waited_for(runtime):
    import cupy

    check_image_that_is_not_there_yet(runtime, cupy.cuda.Stream.null)


def test_copies_in_parts(monkeypatch):
    monkeypatch.setattr(cupy_device, "_STAGING_BYTES", 1024)
    check()


def test_launches_do_not_wait(runtime):
    """The one wait is for the results."""
    workspace, image = open_workspace(), images.photo(40, 30)
    segment(image, workspace=workspace)
    runtime.calls.clear()
    segment(image, workspace=workspace)
    assert runtime.calls["cudaEventSynchronize"] == 1
    assert not {
        "cudaStreamSynchronize",
        "cudaDeviceSynchronize",
        "cudaMalloc",
        "cudaFree",
        "cudaHostAlloc",
    } & set(runtime.calls)


# --- planted bugs: each must be found -----------------------------------------------------------------------


def assert_found(runtime, call=check):
    """The results are wrong, or the GPU found a fault."""
    runtime.expects_problems = True
    with pytest.raises((pytest.fail.Exception, RuntimeError, ValueError)):
        call()


def test_a_download_that_is_not_waited_for_is_found(runtime, monkeypatch):
    def download(device, *copies):
        downloads(device, copies[0])  # with wrong counters the engine would not end
        device._wait = lambda: None
        downloads(device, *copies[1:])
        del device._wait

    workspace = open_workspace()
    downloads = CupyDevice.download
    monkeypatch.setattr(CupyDevice, "download", download)
    assert_found(runtime, lambda: check(workspace))


def test_staging_memory_that_is_used_again_too_early_is_found(runtime, monkeypatch):
    monkeypatch.setattr(cupy_device, "_STAGING_BYTES", 1024)

    class Never:
        def record(self, stream):
            pass

        def synchronize(self):
            pass

    def upload(device, host, to):
        reached, device._reached = device._reached, Never()
        uploads(device, host, to)
        device._reached = reached

    uploads = CupyDevice.upload
    monkeypatch.setattr(CupyDevice, "upload", upload)
    assert_found(runtime)


@pytest.mark.parametrize("own", [False, True], ids=["default stream", "own stream"])
def test_an_image_that_is_not_waited_for_is_found(own, runtime, callers_stream, monkeypatch):
    import cupy

    monkeypatch.setattr(CupyDevice, "adopt", lambda device, image: device._cupy.asarray(image))
    with callers_stream if own else cupy.cuda.Stream.null as stream:
        assert_found(runtime, lambda: check_image_that_is_not_there_yet(runtime, stream))


@pytest.mark.parametrize(
    "kernel", ["smooth_filter", "slic_update", "graph_runs", "merge_tail", "components_link"]
)
def test_arguments_in_the_wrong_order_are_found(kernel, runtime, monkeypatch):
    swapped = []

    def launch(device, name, grid, block, args, **options):
        if name.startswith(kernel.rpartition("_")[0]):
            args = list(args)
            arrays = [
                at
                for at, argument in enumerate(args)
                if hasattr(argument, "data") and not np.isscalar(argument)
            ]
            args[arrays[0]], args[arrays[-1]] = args[arrays[-1]], args[arrays[0]]
            swapped.append(name)
        launches(device, name, grid, block, args, **options)

    launches = CupyDevice.launch
    monkeypatch.setattr(CupyDevice, "launch", launch)
    assert_found(runtime)
    assert swapped


def test_a_block_that_nothing_frees_is_found(runtime):
    workspace = open_workspace()
    segment(images.photo(40, 30), workspace=workspace)
    kept = workspace._pipeline.workspace["labels"]
    before = runtime.gpus[0].used
    del workspace
    assert 0 < runtime.gpus[0].used < before
    del kept
    assert runtime.gpus[0].used == 0
