"""TIFF, BigTIFF and OME-TIFF by tifffile and imagecodecs."""

from typing import Any

from superpixel_service.large.errors import LargeFailed, extra_missing, one_line
from superpixel_service.large.readers.axes import AxesSource
from superpixel_service.large.source import Facts

_UNITS = {1: None, 2: 25400.0, 3: 10000.0}
"""Micrometres of the unit of resolution: none, inch, centimetre."""


def open_tiff(address: str, level: int, frame: int) -> AxesSource:
    """Open the first image of a TIFF file.

    Args:
        address: path.
        level: of the image's pyramid; 0 is the finest.
        frame: of a stack, from 1; 0: there must be only one.

    Raises:
        LargeFailed: the file cannot be opened.
    """
    try:
        import tifffile
        import zarr
    except ImportError:
        raise extra_missing("this needs", "large") from None
    try:
        file = tifffile.TiffFile(address)
    except FileNotFoundError:
        raise LargeFailed(f"{address}: no such file or directory") from None
    except Exception as error:  # noqa: BLE001 (tifffile has many errors)
        raise LargeFailed(f"{address}: {one_line(error)}") from None
    try:
        return _open_series(zarr, file, address, level, frame)
    except LargeFailed:
        file.close()
        raise
    except Exception as error:  # noqa: BLE001 (tifffile and its codecs have many errors)
        file.close()
        raise LargeFailed(f"{address}: {one_line(error)}") from None


def _open_series(zarr: Any, file: Any, address: str, level: int, frame: int) -> AxesSource:
    levels = file.series[0].levels
    if not 0 <= level < len(levels):
        raise LargeFailed(f"{address}: has no level {level}; it has {len(levels)}")
    page: Any = levels[level].keyframe
    if page.photometric == 3:
        raise LargeFailed(f"{address}: has a palette; read it with rasterio (the extra `geo`)")
    facts = Facts(
        reader="tifffile",
        color_bands=(0, 1, 2) if page.photometric in {2, 6} and page.samplesperpixel >= 3 else (),
        inverted=page.photometric == 0,
        block=(int(page.tilewidth), int(page.tilelength)) if page.is_tiled else (0, 0),
        pixel_size=_pixel_size(page),
    )
    return AxesSource(_open_array(zarr, levels[level]), levels[level].axes, address, facts, file.close, frame)


def _open_array(zarr: Any, series: Any) -> Any:
    opened = zarr.open(series.aszarr(), mode="r")
    return opened if hasattr(opened, "shape") else opened["0"]


def _pixel_size(page: Any) -> tuple[float, float] | None:
    unit = _UNITS.get(int(getattr(page, "resolutionunit", 1)))
    resolution = page.resolution
    if unit is None or not resolution or min(resolution) <= 0:
        return None
    return unit / float(resolution[0]), unit / float(resolution[1])
