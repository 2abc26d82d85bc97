"""A pytest plugin: CuPy runs on the fake GPU. After each test it looks for errors and for leaks."""

import ctypes
import gc
import sys
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from tests.kernels.cupy_sim.build import FOLDER
from tests.kernels.cupy_sim.calls import EXPORTS
from tests.kernels.cupy_sim.runtime import Runtime

_runtime: Runtime | None = None
_kept_alive: list[Any] = []


def pytest_configure() -> None:
    global _runtime
    _runtime = Runtime(gpus=2)
    library = ctypes.CDLL(str(FOLDER / "libcuda.so.1"), mode=ctypes.RTLD_GLOBAL)
    for name, (types, _) in EXPORTS.items():
        answer = ctypes.CFUNCTYPE(ctypes.c_long, *types)(_answer(_runtime, name))
        _kept_alive.append(answer)
        ctypes.c_void_p.in_dll(library, f"fake_{name}").value = ctypes.cast(answer, ctypes.c_void_p).value
    _kept_alive.append(library)


def _answer(runtime: Runtime, name: str) -> Any:
    return lambda *arguments: int(runtime.call(name, *arguments))


def library() -> ctypes.CDLL:
    """The fake CUDA, after `pytest_configure`."""
    return next(kept for kept in _kept_alive if isinstance(kept, ctypes.CDLL))


def calls_of(work: Callable[[], object]) -> dict[str, int]:
    """How often `work` calls each function of CUDA."""
    assert _runtime is not None
    _runtime.calls.clear()
    work()
    return dict(_runtime.calls)


def pytest_unconfigure() -> None:
    ctypes.c_int.in_dll(library(), "fake_closed").value = 1
    if _runtime is not None:
        for gpu in _runtime.gpus:
            gpu.close()


@pytest.fixture
def runtime() -> Runtime:
    """The fake runtime, for tests that cause faults."""
    assert _runtime is not None
    return _runtime


_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    assert _runtime is not None
    try:
        yield
    finally:
        if isinstance(item, pytest.Function):
            item.funcargs.clear()  # they keep memory alive
        gpus = _runtime.gpus
        problems = [*_runtime.errors, *(problem for gpu in gpus for problem in gpu.problems)]
        lost = any(gpu.lost is not None for gpu in gpus)
        if not _runtime.expects_problems and problems:
            problems.insert(0, "on the fake GPU:")
        else:
            problems.clear()
        _runtime.reset()
        gc.collect()
        if "cupy" in sys.modules:
            _free_what_cupy_keeps()
    assert not problems, "\n".join(problems)
    if lost or item.stash.get(_failed, False):
        return  # the error's traceback keeps memory alive
    left = {gpu.index: gpu.used for gpu in gpus if gpu.used}
    assert not left, f"bytes of device memory that nothing frees, by GPU: {left}"
    assert not _runtime.pinned, f"{len(_runtime.pinned)} page-locked arrays that nothing frees"


def _free_what_cupy_keeps() -> None:
    import cupy

    from superpixel_kernels.cuda import cupy_device

    for index in range(2):
        cupy_device._host_memory(cupy, index).free_unused()
        with cupy.cuda.Device(index):
            cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()
