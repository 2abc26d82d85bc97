"""How a C function becomes a call of a method: state, locking, errors."""

import ctypes
import functools
import threading
import traceback
from collections.abc import Callable
from typing import Any

from tests.kernels.cupy_sim.errors import Code, Failure
from tests.kernels.cupy_sim.gpu import Event, Function, Gpu, Graph

Method = Callable[..., int | None]

EXPORTS: dict[str, tuple[tuple[Any, ...], Method]] = {}
"""C functions by name: their parameters' types and the method that answers."""

_ANY_TIME = {
    "cudaGetErrorName",
    "cudaGetErrorString",
    "cuGetErrorName",
    "cuGetErrorString",
    "cudaGetLastError",
}
_AT_THE_END = {"cudaFree", "cudaFreeHost", "cudaEventDestroy", "cudaStreamDestroy", "cudaGraphDestroy",
               "cudaGraphExecDestroy", "cuModuleUnload"}  # fmt: skip
"""Calls of destructors, which Python may run in the middle of another call."""


def export(*names: str, types: tuple[Any, ...] = ()) -> Callable[[Method], Method]:
    """Let a method answer the C functions of these names."""

    def note(method: Method) -> Method:
        for name in names:
            EXPORTS[name] = (types, method)
        return method

    return note


def store(kind: Any, address: int, value: Any) -> None:
    kind.from_address(address).value = value


@functools.cache
def text(text: str) -> Any:
    return ctypes.create_string_buffer(text.encode())


class Calls:
    """The state of the runtime.

    Attributes:
        gpus: the GPUs.
        failures: code by the name of the C function that is to fail with it.
        calls: number of calls by the name of the C function.
        expects_problems: the test causes problems on purpose.
        pinned: page-locked memory: size by address.
        errors: exceptions inside this program.
    """

    def __init__(self, gpus: int = 1) -> None:
        self.gpus = [Gpu(index) for index in range(gpus)]
        for gpu in self.gpus:
            gpu.new_stream(0, blocking=True)
        self.lock = threading.RLock()
        self.pinned: dict[int, Any] = {}
        self.errors: list[str] = []
        self.failures: dict[str, Code] = {}
        self.calls: dict[str, int] = {}
        self.expects_problems = False
        self._events: dict[int, Event] = {}
        self._graphs: dict[int, Graph] = {}
        self._modules: dict[int, dict[str, Function]] = {}
        self._functions: dict[int, Function] = {}
        self._thread = threading.local()
        self._inside = False
        self._later: list[tuple[str, tuple[Any, ...]]] = []

    def reset(self) -> None:
        """Forget the faults and settings of a test."""
        with self.lock:
            self.failures, self.calls, self.errors, self.expects_problems = {}, {}, [], False
            for gpu in self.gpus:
                gpu.reset()

    @property
    def gpu(self) -> Gpu:
        """The current GPU of this thread."""
        return self.gpus[getattr(self._thread, "device", 0)]

    def call(self, name: str, *arguments: Any) -> int:
        """Answer a C function."""
        with self.lock:
            if self._inside:
                if name in _AT_THE_END:
                    self._later.append((name, arguments))
                    return Code.SUCCESS
                return self._answer(name, arguments)
            self._inside = True
            try:
                answer = self._answer(name, arguments)
                while self._later:
                    self._answer(*self._later.pop(0))
            finally:
                self._inside = False
            return answer

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> int:
        self.calls[name] = self.calls.get(name, 0) + 1
        try:
            if name not in _ANY_TIME:
                if name in self.failures:
                    return self.failures[name]
                if (lost := self.gpu.lost) is not None:
                    # CuPy prints the errors of its destructors; they are of no interest here.
                    return Code.SUCCESS if name in _AT_THE_END else lost
            answer = EXPORTS[name][1](self, *arguments)
        except Failure as failure:
            return failure.code
        except Exception:  # noqa: BLE001 - nothing may reach C
            self.errors.append(traceback.format_exc())
            return Code.UNKNOWN
        # What waits finds out that the work has failed.
        waited = name in (
            "cudaStreamSynchronize",
            "cudaDeviceSynchronize",
            "cudaEventSynchronize",
            "cudaMemcpy",
        )
        if waited and self.gpu.lost is not None:
            return self.gpu.lost
        return answer or Code.SUCCESS
