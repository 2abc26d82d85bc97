"""Checks of a launch's sizes and arguments against the kernel's declaration."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tests.kernels.cuda_sim.arrays import SimArray
from tests.kernels.cuda_sim.errors import BadLaunch

if TYPE_CHECKING:
    from tests.kernels.cuda_sim.device import SimDevice

_SCALARS = {
    "=i4": np.int32, "=u4": np.uint32, "=i8": np.int64, "=u8": np.uint64,
    "=f4": np.float32, "=f8": np.float64,
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel: pass, kind and size as in `cuda_sim_parameter`, and its name."""

    code: str
    name: str


@dataclass(frozen=True)
class Kernel:
    """A kernel of a loaded file; `max_threads` is 0 without `__launch_bounds__`."""

    name: str
    max_threads: int
    parameters: tuple[Parameter, ...]


def parse_kernel(line: str) -> Kernel:
    """A kernel as the worker describes it: name, bound on its threads, and parameters."""
    name, bound, *parameters = line.split(" ")
    parsed = tuple(Parameter(*parameter.split(":")) for parameter in parameters)
    return Kernel(name, int(bound), parsed)


def pair(what: str, size: int | tuple[int, int]) -> tuple[int, int]:
    """A grid or a block as (x, y).

    Raises:
        BadLaunch: it is empty.
    """
    x, y = size if isinstance(size, tuple) else (size, 1)
    if x < 1 or y < 1:
        raise BadLaunch(f"{what} is {x} x {y}: at least one of each")
    return int(x), int(y)


def slots(device: "SimDevice", kernel: Kernel, args: Sequence[object]) -> list[bytes]:
    """The arguments of a launch as the worker takes them: eight bytes each.

    Raises:
        BadLaunch: they do not fit the kernel's parameters.
    """
    if len(args) != len(kernel.parameters):
        names = ", ".join(parameter.name for parameter in kernel.parameters)
        raise BadLaunch(f"{kernel.name} takes {len(kernel.parameters)} arguments ({names}), not {len(args)}")
    return [
        _slot(device, f"{kernel.name}: argument {number}, `{parameter.name}`,", parameter.code, value)
        for number, (parameter, value) in enumerate(zip(kernel.parameters, args, strict=True), 1)
    ]


def _slot(device: "SimDevice", what: str, code: str, value: object) -> bytes:
    if code[0] == "=":
        expected = _SCALARS.get(code)
        if expected is None:
            raise BadLaunch(f"{what} has a type that no launcher passes ({code[1:]})")
        if type(value) is not expected:
            raise BadLaunch(f"{what} is a numpy.{expected.__name__}, not {type(value).__name__}")
        return np.asarray(value).tobytes().ljust(8, b"\0")
    if not isinstance(value, SimArray) or value.device is not device:
        raise BadLaunch(f"{what} is a pointer: it takes an array of this device, not {type(value).__name__}")
    kind, size = code[1], int(code[2:])
    if kind in "sv":
        fits = value.nbytes % size == 0
    else:
        # Signed and unsigned integers of a size may alias each other.
        class_of = {"i": "iu", "u": "iu", "b": "biu", "f": "f"}[kind]
        fits = value.dtype.itemsize == size and value.dtype.kind in class_of
    if not fits:
        raise BadLaunch(f"{what} points to {_target(kind, size)}, not to {value.dtype}")
    if kind == "s" and value.address % min(size & -size, 16):
        raise BadLaunch(
            f"{what} points to {_target(kind, size)}: the slice begins at a place not aligned for it"
        )
    return struct.pack("<Q", value.address)


def _target(kind: str, size: int) -> str:
    names = {"i": "int", "u": "uint", "f": "float", "b": "bool"}
    return f"{names[kind]}{8 * size}" if kind in names else f"structs of {size} bytes"
