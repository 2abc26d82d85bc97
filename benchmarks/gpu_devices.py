"""What the programs for a GPU share: the device, real or simulated, images in its memory, marked output."""

import functools
import importlib
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tools.gpu import MARK

from superpixel_kernels import CudaWorkspace
from superpixel_kernels.cuda import Tuning
from superpixel_kernels.cuda.cupy_device import CupyDevice
from superpixel_kernels.cuda.device import Device

PHOTO = Path(__file__).parent.parent / "examples" / "photos" / "astronaut.jpg"

Size = tuple[int, int]
"""Width and height."""

SMALL, HD, UHD = (481, 321), (1920, 1080), (3840, 2160)

OpenDevice = Callable[[int], Device]


def opener(*, simulate: bool) -> OpenDevice:
    """Return a function that opens the device with an index: this machine's GPU, or the simulated device."""
    if not simulate:
        return CupyDevice
    # By name: the tests are not typed.
    simulated: Callable[[], Device] = importlib.import_module("tests.kernels.cuda_sim").SimDevice
    return lambda _: simulated()


def open_workspace(
    index: int = 0,
    *,
    simulate: bool,
    tuning: Tuning | None = None,
    kept_bytes: int = 1 << 34,
    graphs: bool = False,
) -> CudaWorkspace:
    """Return a workspace of the public interface; it keeps its memory from call to call."""
    return CudaWorkspace(
        index, kept_bytes=kept_bytes, tuning=tuning, graphs=graphs, open_device=opener(simulate=simulate)
    )


class _Borrowed:
    """A host array that says it is in device memory, for the simulated device."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array  # keeps the memory
        self.__cuda_array_interface__ = array.__array_interface__


def device_image(image: NDArray[np.uint8], *, simulate: bool) -> Any:
    """Return a copy of the image in device memory."""
    return _Borrowed(image) if simulate else importlib.import_module("cupy").asarray(image)


class _Marked(io.TextIOBase):
    """Writes the mark of a rehearsal before each line."""

    def __init__(self) -> None:
        self._to = sys.stdout
        self._begins = True

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            self._to.write((MARK if self._begins else "") + line)
            self._begins = line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        self._to.flush()


@contextmanager
def marked_output(*, simulate: bool) -> Iterator[None]:
    """Context in which, on a simulated device, each line of standard output begins with `tools.gpu.MARK`."""
    if not simulate:
        yield
        return
    with redirect_stdout(_Marked()):
        yield


@functools.cache
def photograph(size: Size) -> NDArray[np.uint8]:
    """Return the sample photograph, scaled to (width, height)."""
    with Image.open(PHOTO) as photo:
        return np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BICUBIC))


def size_argument(text: str) -> Size:
    """Parse WIDTHxHEIGHT."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def named(size: Size) -> str:
    """Return WIDTHxHEIGHT."""
    return f"{size[0]}x{size[1]}"
