"""Where the pixels of a tiled run come from."""

import threading
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.errors import InvalidImage, SourceError
from superpixel_kernels.tiled.store import Window


@runtime_checkable
class PixelSource(Protocol):
    """An image, or a map of guidance, that is read window by window.

    Two more attributes are optional:

    - `fingerprint` (str): changes if any pixel may have changed. With it, a run that goes on trusts the tiles
      that are done. Without it, the run reads their pixels again, and computes the tiles that differ.
    - `thread_safe` (bool, default False): whether several threads may call `read` at the same time. If not,
      each call waits for the one before.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) or (height, width, channels)."""

    @property
    def dtype(self) -> Any:
        """Type of the values."""

    def read(self, window: Window) -> NDArray[Any]:
        """The values of a window (y0, y1, x0, x1): rows y0 to y1 - 1, columns x0 to x1 - 1.

        The window is not empty and lies inside the source.

        Returns:
            (y1 - y0, x1 - x0) or (y1 - y0, x1 - x0, channels).
        """


class ArraySource:
    """An array as a source. It is not copied, so it must not change during the run."""

    thread_safe = True

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype = array.dtype

    def read(self, window: Window) -> NDArray[Any]:
        """See `PixelSource`."""
        y0, y1, x0, x1 = window
        return self._array[y0:y1, x0:x1]


class Reader:
    """Reads a source, and checks what it gives.

    Args:
        source: an array or a `PixelSource`.
        name: what errors call it.

    Raises:
        InvalidImage: neither an array nor a `PixelSource`.
    """

    def __init__(self, source: object, name: str) -> None:
        if not isinstance(source, PixelSource):
            try:
                source = ArraySource(np.asarray(source))
            except ValueError as error:
                raise InvalidImage(
                    f"{name}: must be an array with rows of equal length, or a source"
                ) from error
        self.name = name
        self.shape = tuple(int(side) for side in source.shape)
        self.dtype = np.dtype(source.dtype)
        self.fingerprint: str | None = getattr(source, "fingerprint", None)
        self._source = source
        self._lock = None if getattr(source, "thread_safe", False) else threading.Lock()

    def read(self, window: Window) -> NDArray[Any]:
        """The values of a window.

        Raises:
            SourceError: the source failed, or gave values of another shape or type than it said.
        """
        y0, y1, x0, x1 = window
        where = f"{self.name}: rows {y0} to {y1 - 1}, columns {x0} to {x1 - 1}"
        try:
            if self._lock is None:
                values = np.asarray(self._source.read(window))
            else:
                with self._lock:
                    values = np.asarray(self._source.read(window))
        except Exception as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise SourceError(f"{where}: cannot be read: {reason}") from error
        wanted = (y1 - y0, x1 - x0, *self.shape[2:])
        if values.shape != wanted or values.dtype != self.dtype:
            raise SourceError(
                f"{where}: the source gave {values.dtype} {values.shape} instead of {self.dtype} {wanted}"
            )
        return values
