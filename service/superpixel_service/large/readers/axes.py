"""Arrays with named axes, as in OME-TIFF and OME-Zarr: which are rows, columns and bands."""

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from superpixel_service.large.errors import LargeFailed, one_line
from superpixel_service.large.source import Facts, Mask, Samples, Window, check_shape

_BANDS = "cs"
_MAX_BANDS_LAST = 4


class AxesSource:
    """An array that is read by slices, with named axes.

    Args:
        array: has shape, dtype and slicing.
        axes: a letter per dimension: y, x, and c or s for bands.
        name: for error messages.
        facts: what else is known.
        close: closes the file.
        frame: which image along the other axes, from 1; 0: there must be only one.

    Raises:
        LargeFailed: the array is no image, or has several and no such frame.
    """

    def __init__(
        self,
        array: Any,
        axes: str,
        name: str,
        facts: Facts,
        close: Callable[[], None] = lambda: None,
        frame: int = 0,
    ) -> None:
        axes = axes.lower()
        if len(axes) != len(array.shape) or axes.count("y") != 1 or axes.count("x") != 1:
            raise LargeFailed(
                f"{name}: its dimensions {axes.upper() or array.shape} are not those of an image"
            )
        bands = [at for at, letter in enumerate(axes) if letter in _BANDS]
        others = [at for at, letter in enumerate(axes) if letter not in "yxcs"]
        lengths = [int(array.shape[at]) for at in others]
        number = check_frame(name, frame, math.prod(lengths))
        place = np.unravel_index(number, lengths) if lengths else ()
        self._place = {at: int(index) for at, index in zip(others, place, strict=True)}
        if len([at for at in bands if array.shape[at] != 1]) > 1:
            raise LargeFailed(f"{name}: has two axes of bands, {axes.upper()}")
        self._array, self._axes, self._name = array, axes, name
        self._band = next((at for at in bands if array.shape[at] != 1), bands[0] if bands else None)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype).newbyteorder("=")
        self.shape = (
            int(array.shape[axes.index("y")]),
            int(array.shape[axes.index("x")]),
            1 if self._band is None else int(array.shape[self._band]),
        )
        self.facts = facts
        self._close = close
        self._lock = threading.Lock()
        check_shape(name, self.shape, self.dtype)

    def read(self, window: Window, bands: Sequence[int]) -> Samples:
        """The samples of a window."""
        x, y, width, height = window
        first, last = min(bands), max(bands) + 1
        index: list[Any] = []
        kept = ""
        for at, letter in enumerate(self._axes):
            if letter == "y":
                index.append(slice(y, y + height))
            elif letter == "x":
                index.append(slice(x, x + width))
            elif at == self._band:
                index.append(slice(first, last))
            else:
                index.append(self._place.get(at, 0))
                continue
            kept += "b" if at == self._band else letter
        try:
            with self._lock:
                part = np.asarray(self._array[tuple(index)])
        except Exception as error:  # noqa: BLE001 (each codec has its own errors)
            raise LargeFailed(f"{self._name}: cannot be read at x {x}, y {y}: {one_line(error)}") from None
        if "b" not in kept:
            part, kept = part[..., None], kept + "b"
        part = part.transpose([kept.index(letter) for letter in "yxb"])
        if part.shape[:2] != (height, width):
            raise LargeFailed(f"{self._name}: cannot be read at x {x}, y {y}: the file is cut off")
        return np.ascontiguousarray(part[:, :, [band - first for band in bands]], self.dtype)

    def read_mask(self, _window: Window, _bands: Sequence[int]) -> Mask | None:
        """These files have no masks."""
        return None

    def close(self) -> None:
        """Close the file."""
        self._close()


def check_frame(name: str, frame: int, frames: int) -> int:
    """The index of a frame, from 0.

    Args:
        name: for error messages.
        frame: from 1; 0: not given.
        frames: how many there are.

    Raises:
        LargeFailed: there is no such frame, or there are several and none was given.
    """
    if frame > frames:
        there_are = "one frame" if frames == 1 else f"{frames} frames"
        raise LargeFailed(f"{name}: has {there_are}, so there is no frame {frame}", usage=True)
    if frame == 0 and frames > 1:
        raise LargeFailed(f"{name}: has {frames} frames; choose one by --frame, 1 to {frames}", usage=True)
    return max(0, frame - 1)


def guess_axes(shape: tuple[int, ...]) -> str:
    """The axes of an array that does not name them: bands are last if they are at most four, else first."""
    if len(shape) == 2:
        return "yx"
    if len(shape) == 3:
        return "yxc" if shape[2] <= _MAX_BANDS_LAST else "cyx"
    return ""
