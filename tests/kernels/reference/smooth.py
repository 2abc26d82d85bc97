"""Stage *smooth*: the 3x3 binomial filter."""

import numpy as np
import numpy.typing as npt


def smooth(planes: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Filter each plane of (3, height, width); outside the image the nearest pixel is repeated."""
    height, width = planes.shape[1:]
    padded = np.pad(planes.astype(np.int32), ((0, 0), (1, 1), (1, 1)), mode="edge")
    total = np.zeros(planes.shape, np.int32)
    for dy, weight_y in enumerate((1, 2, 1)):
        for dx, weight_x in enumerate((1, 2, 1)):
            total += weight_y * weight_x * padded[:, dy : dy + height, dx : dx + width]
    return ((total + 8) >> 4).astype(np.int16)
