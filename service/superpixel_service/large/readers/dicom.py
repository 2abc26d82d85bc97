"""DICOM by pydicom: an image or a frame, with the window that the file names."""

import math
from typing import Any

import numpy as np

from superpixel_service.large.errors import LargeFailed, extra_missing, one_line
from superpixel_service.large.readers.arrays import ArraySource
from superpixel_service.large.readers.axes import check_frame
from superpixel_service.large.source import Facts, Mask


def open_dicom(address: str, frame: int) -> ArraySource:
    """Read the image of a DICOM file; its samples as stored.

    Args:
        address: path.
        frame: from 1; 0: there must be only one.

    Raises:
        LargeFailed: the file cannot be read, or has no image or no such frame.
    """
    try:
        import pydicom
        from pydicom.pixels.processing import apply_color_lut, convert_color_space
        from pydicom.pixels.utils import pixel_array
    except ImportError:
        raise extra_missing("this needs", "dicom") from None
    try:
        file = pydicom.dcmread(address)
        if "PixelData" not in file:
            raise LargeFailed(f"{address}: has no image")  # noqa: TRY301
        frames = int(file.get("NumberOfFrames", 1) or 1)
        index = check_frame(address, frame, frames)
        pixels = file.pixel_array if frames == 1 else pixel_array(file, index=index, raw=True)
        kind = str(file.PhotometricInterpretation)
        if kind.startswith("YBR"):
            pixels = convert_color_space(pixels, kind, "RGB")
        elif kind == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, file)
    except FileNotFoundError:
        raise LargeFailed(f"{address}: no such file or directory") from None
    except LargeFailed:
        raise
    except Exception as error:  # noqa: BLE001 (pydicom and its codecs)
        raise LargeFailed(f"{address}: {one_line(error)}") from None
    padding = _padding(file)
    mask: Mask | None = None
    if padding is not None and pixels.ndim == 2:
        mask = (pixels < padding[0]) | (pixels > padding[1])
    facts = Facts(
        reader="pydicom",
        color_bands=(0, 1, 2) if pixels.ndim == 3 else (0,),
        own_range=_window(file) if pixels.ndim == 2 else None,
        inverted=kind == "MONOCHROME1",
        pixel_size=_pixel_size(file),
    )
    return ArraySource(pixels, address, facts, mask)


def _window(file: Any) -> tuple[float, float] | None:
    """The first window of the file in stored values: DICOM PS3.3 C.11.2.1.2, linear."""
    try:
        center, width = (_first(file[name].value) for name in ("WindowCenter", "WindowWidth"))
        slope = float(file.get("RescaleSlope", 1))
        intercept = float(file.get("RescaleIntercept", 0))
        low = (center - 0.5 - (width - 1) / 2 - intercept) / slope
        high = (center - 0.5 + (width - 1) / 2 - intercept) / slope
    except (KeyError, ValueError, TypeError, ZeroDivisionError):
        return None
    if not (math.isfinite(low) and math.isfinite(high) and width >= 1 and slope > 0):
        return None
    return float(math.floor(low + 0.5)), float(math.floor(high + 0.5))


def _first(value: Any) -> float:
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)


def _padding(file: Any) -> tuple[int, int] | None:
    """The range of values of pixels that are not part of the image."""
    value = file.get("PixelPaddingValue")
    if value is None:
        return None
    limit = file.get("PixelPaddingRangeLimit", value)
    return min(int(value), int(limit)), max(int(value), int(limit))


def _pixel_size(file: Any) -> tuple[float, float] | None:
    spacing = file.get("PixelSpacing")
    try:
        return float(np.float64(spacing[1]) * 1000), float(np.float64(spacing[0]) * 1000)
    except (TypeError, IndexError, ValueError):
        return None
