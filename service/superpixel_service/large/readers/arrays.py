"""Arrays in memory, and .npy files."""

import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.large.errors import LargeFailed, one_line
from superpixel_service.large.source import Facts, Mask, Samples, Window, check_shape


class ArraySource:
    """An array as a source.

    Args:
        array: (H, W) or (H, W, bands).
        name: for error messages.
        facts: what else is known; by default nothing.
        mask: (H, W) bool, which pixels are valid; None: all.

    Raises:
        LargeFailed: the array is no image.
    """

    def __init__(
        self, array: Any, name: str = "array", facts: Facts | None = None, mask: Mask | None = None
    ) -> None:
        if array.ndim not in {2, 3}:
            raise LargeFailed(f"{name}: must have two or three dimensions, has {array.ndim}")
        self._array = array if array.ndim == 3 else array[:, :, None]
        self.shape: tuple[int, int, int] = tuple(int(size) for size in self._array.shape)  # type: ignore[assignment]
        self.dtype: np.dtype[Any] = np.dtype(array.dtype).newbyteorder("=")
        self.facts = facts or Facts("array")
        self._mask = mask
        check_shape(name, self.shape, self.dtype)
        if mask is not None and mask.shape != self.shape[:2]:
            raise LargeFailed(f"mask: must be {self.shape[:2]}, got {mask.shape}")

    def read(self, window: Window, bands: Sequence[int]) -> Samples:
        """The samples of a window."""
        x, y, width, height = window
        part = np.asarray(self._array[y : y + height, x : x + width])
        return np.ascontiguousarray(part[:, :, list(bands)], self.dtype)

    def read_mask(self, window: Window, _bands: Sequence[int]) -> Mask | None:
        """The part of the mask."""
        x, y, width, height = window
        return None if self._mask is None else self._mask[y : y + height, x : x + width]

    def close(self) -> None:
        """Nothing is open."""


def open_npy(path: Path) -> ArraySource:
    """Open a .npy file, which is read window by window.

    Raises:
        LargeFailed: it is not such a file.
    """
    try:
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise LargeFailed(f"{path}: no such file or directory") from None
    except (OSError, ValueError, EOFError) as error:
        raise LargeFailed(f"{path}: {one_line(error)}") from None
    if array.flags.c_contiguous and array.ndim in {2, 3}:
        array = _Rows(path, array.shape, array.dtype, array.offset)
    return ArraySource(array, str(path), Facts("numpy"))


class _Rows:
    """The pixels of a .npy file in C order. A mapped file that shrinks would end the process."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> None:
        self.ndim = 3
        self.shape = (*shape, 1) if len(shape) == 2 else shape
        self.dtype = dtype
        self._path = path
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._offset = offset

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        (y0, y1, _), (x0, x1, _) = (
            part.indices(side) for part, side in zip(key, self.shape[:2], strict=True)
        )
        pixel = self.dtype.itemsize * self.shape[2]
        made = np.empty((y1 - y0, x1 - x0, self.shape[2]), self.dtype)
        rows = made.view(np.uint8).reshape(y1 - y0, -1)
        for y, row in enumerate(rows, y0):
            begin = self._offset + (y * self.shape[1] + x0) * pixel
            if os.preadv(self._file, [row.data], begin) != row.size:
                raise LargeFailed(f"{self._path}: cannot be read at x {x0}, y {y}: the file is cut off")
        return made
