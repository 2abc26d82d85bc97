"""What a segmentation on a device gives."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cuda.device import DeviceArray


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Results in host memory.

    Attributes:
        labels: (height, width) int32: the base regions.
        records: (regions - 1, 4) int32: the merges (height's bits, round, a, b), in order.
        seconds: seconds of each stage, as the device measured them.
        prior_components: with a hard prior map, the number of its components; else None.
    """

    labels: NDArray[np.int32]
    records: NDArray[np.int32]
    seconds: dict[str, float]
    prior_components: int | None


@dataclass(frozen=True, slots=True)
class ToHost:
    """Arrays in host memory for results.

    Attributes:
        labels: (height, width) int32: room for the base regions.
        records: (rows, 4) int32: room for the first merges, at most as many as the device has room for.
    """

    labels: NDArray[np.int32]
    records: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class OnDevice:
    """Results in device memory.

    Attributes:
        labels: (pixels,) int32: the base regions.
        records: `regions - 1` merges of four int32 each, in order.
        regions: number of base regions.
        seconds: seconds of each stage, as the device measured them.
        prior_components: with a hard prior map, the number of its components; else None.
    """

    labels: DeviceArray
    records: DeviceArray
    regions: int
    seconds: dict[str, float]
    prior_components: int | None
