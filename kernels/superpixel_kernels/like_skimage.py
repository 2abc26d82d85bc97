"""`slic` with the signature of scikit-image's function, and exact counts."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superpixel_kernels.backends import segment_on_cpu
from superpixel_kernels.cpu._engine import Workspace
from superpixel_kernels.errors import InvalidImage, InvalidParameter
from superpixel_kernels.masked import MaskedHierarchy, guidance_with_mask
from superpixel_kernels.params import SegmentParams

_BLUR_REACH = 4.0
"""A Gaussian filter ends at this many standard deviations, as in SciPy."""


def slic(
    image: ArrayLike,
    n_segments: int = 100,
    compactness: float = 10.0,
    *,
    max_num_iter: int = 10,  # noqa: ARG001  # scikit-image's parameters without an effect here
    sigma: float | Sequence[float] = 0,
    spacing: Sequence[float] | None = None,
    convert2lab: bool | None = None,
    enforce_connectivity: bool = True,  # noqa: ARG001
    min_size_factor: float = 0.5,  # noqa: ARG001
    max_size_factor: float = 3,  # noqa: ARG001
    slic_zero: bool = False,
    start_label: int = 1,
    mask: ArrayLike | None = None,
    channel_axis: int | None = -1,
    threads: int = 0,
) -> NDArray[np.int64]:
    """Superpixels of a 2D image, called as `skimage.segmentation.slic` (Achanta et al., TPAMI 2012).

    The count is exact, every superpixel is connected, and a larger `n_segments` only adds borders. For a
    uint8 image without a mask the result is `segment(image).cut(n_segments) + start_label`.

    Args:
        image: (H, W) with `channel_axis=None`; otherwise gray (1), RGB (3) or uint8 RGBA (4) on the channel
            axis. bool, any integer or float type. Types other than uint8 are stretched from their least to
            their greatest value (inside the mask), as scikit-image does, and then have 256 steps.
        n_segments: at least 1; larger numbers than the image (the mask) has pixels give one superpixel per
            pixel. With a mask at least one superpixel per 4-connected piece of it.
        compactness: 0 to 100, weight of shape against colour. 0 also works.
        max_num_iter: no effect.
        sigma: standard deviation in pixels of a Gaussian filter before the segmentation, one number or one
            for rows and one for columns.
        spacing: None, or equal numbers; `sigma` is divided by them.
        convert2lab: None or True; colours are always compared in CIELAB.
        enforce_connectivity: no effect; superpixels are always connected.
        min_size_factor: no effect.
        max_size_factor: no effect.
        slic_zero: only False.
        start_label: 0 or 1, the smallest label.
        mask: (H, W), not 0 inside. Superpixels lie inside; pixels outside get `start_label - 1`, and their
            values have no effect.
        channel_axis: the axis of the channels; None: a gray image without one.
        threads: threads to use; 0 for all cores. The result does not depend on it.

    Returns:
        (H, W) int64, start_label..start_label+count-1 in raster order of first appearance.

    Raises:
        InvalidImage: wrong type, shape or size, or values that are not finite (a ValueError).
        InvalidParameter: another argument is out of range, or not supported (a ValueError).
    """
    _check_options(n_segments, spacing, convert2lab, slic_zero, start_label)
    params = SegmentParams(compactness=compactness)
    values = _channels_last(image, channel_axis)
    inside = None if mask is None else _inside(mask, values.shape[:2])
    pixels = _as_bytes(values, inside, _deviations(sigma, spacing))
    workspace = Workspace(threads=threads)
    if inside is None or inside.all():
        hierarchy = segment_on_cpu(pixels, params, workspace, None, threads)
        labels = hierarchy.cut(min(int(n_segments), pixels.shape[0] * pixels.shape[1]))
        return labels.astype(np.int64) + start_label
    guidance = guidance_with_mask(None, inside)
    whole = segment_on_cpu(pixels, params, workspace, None, threads, guidance)
    hierarchy = MaskedHierarchy(whole, inside)
    # With fewer superpixels than pieces of the mask, some would not be connected.
    least, most = hierarchy.prior_components or 1, int(inside.sum())
    return hierarchy.cut(min(max(int(n_segments), least), most)).astype(np.int64) + start_label


def _check_options(
    n_segments: int, spacing: object, convert2lab: object, slic_zero: object, start_label: object
) -> None:
    if isinstance(n_segments, bool) or not isinstance(n_segments, int | np.integer) or n_segments < 1:
        raise InvalidParameter("n_segments", f"must be an integer of at least 1, got {n_segments!r}")
    if start_label not in (0, 1):
        raise InvalidParameter("start_label", f"must be 0 or 1, got {start_label!r}")
    if slic_zero:
        raise InvalidParameter("slic_zero", "is not supported: compactness is the same for all superpixels")
    if convert2lab not in (None, True):
        raise InvalidParameter("convert2lab", "must be None or True: colours are compared in CIELAB")
    distinct = {1.0} if spacing is None else set(np.ravel(np.asarray(spacing, np.float64)).tolist())
    if len(distinct) != 1 or not 0 < min(distinct) < math.inf:
        raise InvalidParameter("spacing", f"must be None or equal positive numbers, got {spacing!r}")


def _channels_last(image: ArrayLike, channel_axis: int | None) -> NDArray[Any]:
    """The image as (H, W, channels)."""
    try:
        values = np.asarray(image)
    except ValueError as error:
        raise InvalidImage("image: must be an array with rows of equal length") from error
    if values.dtype.kind not in "buif":
        raise InvalidImage(f"image: must be bool, integers or floats, got {values.dtype}")
    if values.ndim == 2 and channel_axis is not None:
        raise InvalidImage("image: has two dimensions; a gray image needs channel_axis=None")
    if values.ndim != (2 if channel_axis is None else 3):
        raise InvalidImage(f"image: must be a 2D image, got the shape {values.shape}")
    if channel_axis is None:
        values = values[..., np.newaxis]
    else:
        if not -3 <= channel_axis < 3:
            raise InvalidParameter("channel_axis", f"must be from -3 to 2, got {channel_axis}")
        values = np.moveaxis(values, channel_axis, -1)
    if 0 in values.shape:
        raise InvalidImage(f"image: must have pixels, got the shape {values.shape}")
    channels = values.shape[2]
    if channels not in (1, 3) and not (channels == 4 and values.dtype == np.uint8):
        raise InvalidImage(f"image: must have 1 or 3 channels, or 4 of uint8; got {channels}")
    return values


def _inside(mask: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    inside = np.asarray(mask).astype(np.bool_)
    if inside.shape != shape:
        raise InvalidParameter("mask", f"must have the shape of the image, {shape}, got {inside.shape}")
    if not inside.any():
        raise InvalidParameter("mask", "must have at least one pixel inside")
    return inside


def _deviations(sigma: float | Sequence[float], spacing: Sequence[float] | None) -> tuple[float, float]:
    """Standard deviations along rows and columns."""
    given = np.ravel(np.asarray(sigma, np.float64))
    if given.size not in (1, 2) or not np.isfinite(given).all() or (given < 0).any():
        raise InvalidParameter("sigma", f"must be one or two numbers of at least 0, got {sigma!r}")
    if spacing is not None:
        given = given / float(np.ravel(np.asarray(spacing, np.float64))[0])
    return float(given[0]), float(given[-1])


def _as_bytes(
    values: NDArray[Any], inside: NDArray[np.bool_] | None, deviations: tuple[float, float]
) -> NDArray[np.uint8]:
    """The image as uint8: stretched, filled outside the mask, filtered."""
    if inside is not None:
        values = _filled(values, inside)
    if values.dtype == np.uint8 and not any(deviations):
        return values
    floats = values.astype(np.float64)
    if values.dtype != np.uint8:
        least, greatest = float(floats.min()), float(floats.max())
        if not (math.isfinite(least) and math.isfinite(greatest)):
            raise InvalidImage("image: values must be finite")
        # Halved first, so that the difference of the largest floats does not overflow.
        extent = greatest / 2 - least / 2
        floats = (floats / 2 - least / 2) * (255 / extent) if extent > 0 else np.zeros(floats.shape)
    for axis, deviation in enumerate(deviations):
        if deviation > 0:
            floats = _blurred(floats, axis, deviation)
    return np.clip(np.rint(floats), 0, 255).astype(np.uint8)


def _filled(values: NDArray[Any], inside: NDArray[np.bool_]) -> NDArray[Any]:
    """The image with the nearest pixel of the row that is inside, and empty rows like the nearest row."""
    rows = np.flatnonzero(inside.any(axis=1))
    columns = np.empty(inside.shape, np.intp)
    for row in rows:
        columns[row] = _nearest(np.flatnonzero(inside[row]), inside.shape[1])
    sources = _nearest(rows, inside.shape[0])
    filled: NDArray[Any] = values[sources[:, np.newaxis], columns[sources]]
    return filled


def _nearest(places: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """For each of 0..size-1 the nearest of ascending places; of two equally near ones the first."""
    middles = (places[:-1] + places[1:]) // 2
    return places[np.searchsorted(middles, np.arange(size))]


def _blurred(values: NDArray[np.float64], axis: int, deviation: float) -> NDArray[np.float64]:
    """Gaussian filter along one axis; the image is mirrored at its border."""
    reach = int(_BLUR_REACH * deviation + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights /= weights.sum()
    padding = [(0, 0)] * values.ndim
    padding[axis] = (reach, reach)
    padded = np.pad(values, padding, mode="symmetric")
    blurred = np.zeros(values.shape)
    for at, weight in enumerate(weights):
        blurred += weight * padded.take(range(at, at + values.shape[axis]), axis=axis)
    return blurred
