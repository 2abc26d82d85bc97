"""Where the CUDA tests run: on the CPU under CUDA's semantics, or with SUPERPIXEL_TEST_GPU=1 on a GPU."""

import os

import numpy as np

from superpixel_kernels.cuda import CudaWorkspace, Tuning
from superpixel_kernels.cuda.cupy_device import CupyDevice
from superpixel_kernels.cuda.pipeline import Pipeline
from tests.kernels.cuda_sim import SimDevice

ON_GPU = os.environ.get("SUPERPIXEL_TEST_GPU", "") not in ("", "0")
IS_SIMULATED = "SUPERPIXEL_TEST_CUPY_SIM" in os.environ or not ON_GPU
"""The GPU is simulated; with CuPy if `ON_GPU`."""

# Small blocks and a short tail, so that small images go through everything: several blocks in every kernel,
# rounds of all blocks together, of few blocks, and of one block alone.
TUNING = Tuning(threads=64, scan_threads=64, merge_threads=64, merge_blocks=3, few_edges=150, tail_edges=48)

Device = CupyDevice if ON_GPU else SimDevice

if os.environ.get("SUPERPIXEL_TEST_SANITIZER"):
    # Every array is an allocation of its own then, and checkers see where it ends.
    CupyDevice.pooled = False


def open_device(seed=0, base=Device, mode="plain"):
    return base(0) if ON_GPU else base(seed=seed, mode=mode)


def open_pipeline(seed=1, mode="plain", **options):
    return Pipeline(open_device(seed, mode=mode), **{"tuning": TUNING, **options})


def open_workspace(seed=1, base=Device, **options):
    return CudaWorkspace(**{"tuning": TUNING, **options}, open_device=lambda _: open_device(seed, base))


class _Borrowed:
    """An array as if it were in device memory."""

    def __init__(self, array):
        self.array = array  # kept alive
        self.__cuda_array_interface__ = array.__array_interface__


def on_device(array, view=lambda array: array):
    """`view` of an array in device memory."""
    if not ON_GPU:
        return _Borrowed(view(np.asarray(array)))
    import cupy

    return view(cupy.asarray(array))
