"""CUDA's errors, as CuPy raises them, turned into those of this package."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from superpixel_kernels.errors import DeviceLost, OutOfMemory

_OUT_OF_MEMORY = 2
"""The value of both cudaErrorMemoryAllocation and CUDA_ERROR_OUT_OF_MEMORY."""


@contextmanager
def translated(cupy: Any, device: Any, pools: Sequence[Any] = ()) -> Iterator[None]:
    """Turn CUDA's errors into those of this package.

    Args:
        cupy: the module.
        device: the GPU, a `cupy.cuda.Device`.
        pools: memory pools whose unused memory is freed if the GPU has too little.

    Raises:
        OutOfMemory: the GPU has too little free memory.
        DeviceLost: the GPU failed; this process cannot use it any more.
    """
    cuda = cupy.cuda
    try:
        yield
    except cuda.memory.OutOfMemoryError as error:
        raise out_of_memory(cupy, device, pools) from error
    except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError) as error:
        if error.status == _OUT_OF_MEMORY:
            raise out_of_memory(cupy, device, pools) from error
        if _is_lost(cupy, device):
            raise DeviceLost(f"the GPU failed: {name_of(error)}") from error
        raise


def out_of_memory(cupy: Any, device: Any, pools: Sequence[Any] = ()) -> OutOfMemory | DeviceLost:
    """Free unused memory, which may be enough for the next call; return the error to raise."""
    try:
        free_unused(cupy, device, pools, also_of_cupy=True)
    except DeviceLost as error:
        return error
    return OutOfMemory("the GPU has too little free memory for this image")


def free_unused(cupy: Any, device: Any, pools: Sequence[Any] = (), *, also_of_cupy: bool = False) -> None:
    """Free the memory that `pools`, and with `also_of_cupy` CuPy's default pools, keep for later arrays.

    Raises:
        DeviceLost: the GPU failed.
    """
    try:
        with device:
            for pool in pools:
                pool.free_all_blocks()
            if also_of_cupy:
                cupy.get_default_memory_pool().free_all_blocks()
                cupy.get_default_pinned_memory_pool().free_all_blocks()
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        # Freeing fails only after a fault.
        raise DeviceLost(f"the GPU failed: {name_of(error)}") from error


def name_of(error: Exception) -> str:
    """CUDA's name of an error: `cudaErrorIllegalAddress`."""
    return str(error).partition(":")[0]


def _is_lost(cupy: Any, device: Any) -> bool:
    # After a fault in a kernel, every further call fails until the process ends.
    try:
        with device:
            cupy.cuda.runtime.deviceSynchronize()
    except cupy.cuda.runtime.CUDARuntimeError:
        return True
    return False
