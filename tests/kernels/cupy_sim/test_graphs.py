"""CUDA graphs through real CuPy: what is launched, and what happens if recording fails."""

import gc
import random
import subprocess
import sys

import pytest

from superpixel_kernels import segment
from tests.kernels import images
from tests.kernels.cuda_tools import assert_same_hierarchy
from tests.kernels.cupy_sim.errors import Code
from tests.kernels.devices import open_workspace

LAUNCHES = ("cuLaunchKernel", "cuLaunchCooperativeKernel", "cudaGraphLaunch")


def check(workspace, width=40, height=30):
    image = images.photo(width, height)
    assert_same_hierarchy(segment(image, workspace=workspace), segment(image, backend="cpu"))


def launches(runtime, graphs):
    workspace = open_workspace(graphs=graphs)
    for _ in range(2):
        check(workspace)
    runtime.calls.clear()
    check(workspace)
    return tuple(runtime.calls.get(name, 0) for name in LAUNCHES)


def test_one_launch_per_image(runtime):
    one_by_one, cooperative, _ = launches(runtime, graphs=False)
    assert one_by_one > 15
    assert cooperative == 2
    assert launches(runtime, graphs=True) == (0, 0, 1)
    # The image; labels, records and counters, which are waited for together.
    assert runtime.calls["cudaMemcpyAsync"] == 4
    assert runtime.calls["cudaEventRecord"] == runtime.calls["cudaEventSynchronize"] == 1
    assert "cudaEventCreateWithFlags" not in runtime.calls


@pytest.mark.parametrize("seed", range(3))
def test_moments_of_work_do_not_matter(seed, runtime):
    workspace = open_workspace(graphs=True)
    runtime.gpus[0].random = random.Random(seed)
    for _ in range(4):
        check(workspace)


@pytest.mark.parametrize(
    "function", ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"]
)
def test_launches_are_made_one_by_one_if_recording_fails(function, runtime):
    workspace = open_workspace(graphs=True)
    check(workspace)
    runtime.failures[function] = Code.NOT_SUPPORTED
    if function == "cudaStreamEndCapture":  # the capture is then not over
        with pytest.raises(RuntimeError):
            check(workspace)
        return
    for _ in range(3):
        check(workspace)


def test_a_graph_whose_arrays_have_moved_is_found(runtime):
    runtime.expects_problems = True

    class NeverDropped(dict):
        def clear(self):
            pass

    workspace = open_workspace(graphs=True)
    workspace._pipeline.workspace.recorded = NeverDropped()
    for _ in range(3):
        check(workspace)
    check(workspace, 200, 150)
    with pytest.raises((pytest.fail.Exception, RuntimeError)):
        check(workspace)


def test_a_workspace_that_is_dropped_destroys_its_graphs(runtime):
    gc.collect()
    before = set(runtime._graphs)  # CuPy keeps a graph that it could not instantiate
    workspace = open_workspace(graphs=True)
    for _ in range(3):
        check(workspace)
    assert set(runtime._graphs) > before
    del workspace
    gc.collect()
    assert set(runtime._graphs) == before


def test_the_host_s_time_can_be_measured():
    command = [sys.executable, "-m", "tests.kernels.cupy_sim.host_time", "--threads", "2", "--seconds", "0.2"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "'cudaGraphLaunch': 1" in printed
    rates = [float(line.split()[-4]) for line in printed.splitlines()[1:]]
    assert len(rates) == 2
    assert all(rate > 0 for rate in rates)
