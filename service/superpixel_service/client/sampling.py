"""Nearest neighbours in another size (docs/algorithm.md)."""

import numpy as np
from numpy.typing import NDArray


def positions(samples: int, length: int) -> NDArray[np.int64]:
    """Divide a row of `length` pixels into equal parts, one per sample: the pixel in the middle of each."""
    return (2 * np.arange(samples, dtype=np.int64) + 1) * length // (2 * samples)
