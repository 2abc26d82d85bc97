"""Launcher of stage color."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cpu import _engine
from superpixel_kernels.cuda.device import Device, DeviceArray
from superpixel_kernels.cuda.stage import Stage


@dataclass(frozen=True, slots=True)
class DeviceImage:
    """An image in device memory, with any strides.

    Attributes:
        data: an array that begins at the first value of the first pixel.
        strides: bytes from one row, column and channel to the next; may be negative.
        channels: 1 gray, 3 RGB, 4 RGBA with straight alpha.
    """

    data: DeviceArray
    strides: tuple[int, int, int]
    channels: int


class Tables:
    """On the device: linear light of the 256 sRGB values, and Lab's f at 8192 steps."""

    def __init__(self, device: Device) -> None:
        self.linear, self.f = (self._on(device, table) for table in _engine.tables())

    @staticmethod
    def _on(device: Device, table: NDArray[np.int32]) -> DeviceArray:
        array = device.empty(table.size, np.uint16)
        device.upload(table.astype(np.uint16), array)
        return array


def convert(stage: Stage, image: DeviceImage, tables: Tables) -> None:
    """Convert an image to packed Lab, in the workspace's "color"."""
    grid, workspace = stage.grid, stage.workspace
    stage.launch_each(
        "color_convert",
        grid.pixels,
        [
            image.data,
            *(np.int64(stride) for stride in image.strides),
            np.int32(image.channels),
            np.int32(grid.width),
            np.int32(grid.height),
            tables.linear,
            tables.f,
            workspace["color"],
        ],
    )
