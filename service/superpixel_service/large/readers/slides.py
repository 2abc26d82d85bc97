"""Whole slides by OpenSlide."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from superpixel_service.large.errors import LargeFailed, extra_missing, one_line
from superpixel_service.large.source import Facts, Mask, Samples, Window, check_shape


class SlideSource:
    """A level of a whole slide. Parts that were not scanned are transparent, and so not valid.

    Args:
        address: path.
        level: of the slide's pyramid; 0 is the finest.

    Raises:
        LargeFailed: OpenSlide cannot open it.
    """

    def __init__(self, address: str, level: int) -> None:
        try:
            import openslide
        except ImportError:
            raise extra_missing("this needs", "slides") from None
        self._name = address
        try:
            self._slide = openslide.OpenSlide(address)
        except FileNotFoundError:
            raise LargeFailed(f"{address}: no such file or directory") from None
        except openslide.OpenSlideUnsupportedFormatError:
            raise LargeFailed(f"{address}: OpenSlide does not know this format") from None
        except openslide.OpenSlideError as error:
            raise LargeFailed(f"{address}: {one_line(error)}") from None
        if not 0 <= level < self._slide.level_count:
            raise LargeFailed(f"{address}: has no level {level}; it has {self._slide.level_count}")
        self._level = level
        self._downsample = float(self._slide.level_downsamples[level])
        columns, rows = self._slide.level_dimensions[level]
        self.shape = (int(rows), int(columns), 3)
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        properties = self._slide.properties
        self.facts = Facts(
            reader="openslide",
            color_bands=(0, 1, 2),
            block=(
                int(properties.get(f"openslide.level[{level}].tile-width", 0)),
                int(properties.get(f"openslide.level[{level}].tile-height", 0)),
            ),
            pixel_size=self._pixel_size(),
        )
        self._last: tuple[Window, Any] | None = None
        self._lock = threading.Lock()
        check_shape(address, self.shape, self.dtype)

    def read(self, window: Window, bands: Sequence[int]) -> Samples:
        """The samples of a window."""
        return np.ascontiguousarray(self._read(window)[:, :, list(bands)])

    def read_mask(self, window: Window, _bands: Sequence[int]) -> Mask | None:
        """Where the slide was scanned."""
        return np.asarray(self._read(window)[:, :, 3] != 0)

    def close(self) -> None:
        """Close the slide."""
        self._slide.close()

    def _read(self, window: Window) -> Any:
        # OpenSlide places windows in pixels of level 0.
        place = round(window.x * self._downsample), round(window.y * self._downsample)
        with self._lock:
            if self._last is None or self._last[0] != window:
                try:
                    picture = self._slide.read_region(place, self._level, (window.width, window.height))
                except Exception as error:  # noqa: BLE001 (OpenSlide and its codecs)
                    raise LargeFailed(
                        f"{self._name}: cannot be read at x {window.x}, y {window.y}: {one_line(error)}"
                    ) from None
                self._last = window, np.asarray(picture)
            return self._last[1]

    def _pixel_size(self) -> tuple[float, float] | None:
        try:
            sizes = [float(self._slide.properties[f"openslide.mpp-{axis}"]) for axis in "xy"]
        except (KeyError, ValueError):
            return None
        return sizes[0] * self._downsample, sizes[1] * self._downsample
