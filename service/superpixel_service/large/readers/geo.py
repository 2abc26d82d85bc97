"""GeoTIFF, COG and everything else that GDAL reads, by rasterio."""

import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from superpixel_service.large.errors import LargeFailed, extra_missing, one_line
from superpixel_service.large.source import Facts, Mask, Samples, Window, check_shape


class GeoSource:
    """A raster that GDAL reads. A palette becomes three colour bands.

    Args:
        address: path or URL.

    Raises:
        LargeFailed: GDAL cannot open it.
    """

    def __init__(self, address: str) -> None:
        try:
            import rasterio
            import rasterio.errors
            from rasterio.enums import ColorInterp, MaskFlags
        except ImportError:
            raise extra_missing("this needs", "geo") from None
        self._name = address
        self._lock = threading.Lock()  # a GDAL dataset is for one thread at a time
        try:
            with warnings.catch_warnings():
                # Many images have no coordinates.
                warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
                self._file = rasterio.open(address)
        except Exception as error:  # noqa: BLE001 (GDAL has many errors)
            raise LargeFailed(f"{address}: {one_line(error)}") from None
        file = self._file
        if not file.count:
            raise LargeFailed(f"{address}: has no bands")
        interpretation = list(file.colorinterp)
        self._palette = self._read_palette() if interpretation[0] is ColorInterp.palette else None
        # The values of nodata are compared by the reader's user, as for files of every other kind.
        self._has_mask = any(
            not {MaskFlags.all_valid, MaskFlags.nodata} & set(flags) for flags in file.mask_flag_enums
        )
        kinds = {np.dtype(kind) for kind in file.dtypes}
        self.dtype: np.dtype[Any] = np.result_type(*kinds)
        self.shape: tuple[int, int, int] = (file.height, file.width, file.count)
        colors: tuple[int, ...] = ()
        if self._palette is not None:
            self.shape = (file.height, file.width, 3)
            self.dtype = np.dtype(np.uint8)
            colors = (0, 1, 2)
        elif {ColorInterp.red, ColorInterp.green, ColorInterp.blue} <= set(interpretation):
            names = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            colors = tuple(interpretation.index(name) for name in names)
        elif interpretation[0] is ColorInterp.gray and file.count <= 2:
            colors = (0,)
        check_shape(address, self.shape, self.dtype)
        self.facts = Facts(
            reader="rasterio",
            color_bands=colors,
            crs=file.crs.to_wkt() if file.crs else "",
            transform=None if file.transform.is_identity else tuple(file.transform)[:6],
            nodata=() if self._palette is not None else tuple(file.nodatavals),
            block=(file.block_shapes[0][1], file.block_shapes[0][0]),
        )

    def read(self, window: Window, bands: Sequence[int]) -> Samples:
        """The samples of a window."""
        if self._palette is not None:
            indexes = self._read(window, [1])[0]
            return np.ascontiguousarray(self._palette[indexes][:, :, list(bands)])
        planes = self._read(window, [band + 1 for band in bands])
        return np.ascontiguousarray(planes.transpose(1, 2, 0), self.dtype)

    def read_mask(self, window: Window, bands: Sequence[int]) -> Mask | None:
        """Where one of the bands is valid, by the mask or alpha band of the file."""
        if not self._has_mask:
            return None
        numbers = [1] if self._palette is not None else [band + 1 for band in bands]
        with self._lock:
            masks = self._checked(lambda: self._file.read_masks(numbers, window=_window(window)), window)
        return np.asarray((masks != 0).any(axis=0))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, window: Window, numbers: list[int]) -> Any:
        with self._lock:
            return self._checked(lambda: self._file.read(numbers, window=_window(window)), window)

    def _checked(self, function: Any, window: Window) -> Any:
        try:
            return function()
        except Exception as error:  # noqa: BLE001 (GDAL has many errors)
            raise LargeFailed(
                f"{self._name}: cannot be read at x {window.x}, y {window.y}: {one_line(error)}"
            ) from None

    def _read_palette(self) -> Any:
        colors = np.zeros((256, 3), np.uint8)
        for index, color in self._file.colormap(1).items():
            if 0 <= index < 256:
                colors[index] = color[:3]
        return colors


def _window(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    x, y, width, height = window
    return (y, y + height), (x, x + width)
