"""Zarr arrays, and images of OME-NGFF (OME-Zarr), by zarr-python. Also over fsspec, as s3://BUCKET/NAME.zarr."""

from typing import Any

from superpixel_service.large.errors import LargeFailed, extra_missing, one_line
from superpixel_service.large.readers.axes import AxesSource, guess_axes
from superpixel_service.large.source import Facts


def open_zarr(address: str, level: int, frame: int) -> AxesSource:
    """Open an array or a multiscale image.

    Args:
        address: path or URL.
        level: of the multiscale image; 0 is the finest.
        frame: along the axes that are no rows, columns or bands, from 1; 0: there must be only one.

    Raises:
        LargeFailed: it cannot be opened, or is neither.
    """
    try:
        import zarr
    except ImportError:
        raise extra_missing("this needs", "large") from None
    try:
        opened: Any = zarr.open(address, mode="r")
    except Exception as error:  # noqa: BLE001 (each store has its own errors)
        raise LargeFailed(f"{address}: {one_line(error)}") from None
    if hasattr(opened, "shape"):
        names = getattr(opened.metadata, "dimension_names", None)
        if level:
            raise LargeFailed(f"{address}: has no level {level}; it is a single array")
        axes = "".join(str(name)[:1] for name in names) if names and all(names) else guess_axes(opened.shape)
        return AxesSource(opened, axes, address, _facts(opened, axes), frame=frame)
    attributes = dict(opened.attrs)
    scales = attributes.get("ome", attributes).get("multiscales")
    if not isinstance(scales, list) or not scales:
        raise LargeFailed(f"{address}: is a Zarr group without an OME-NGFF image")
    try:
        datasets = scales[0]["datasets"]
        if not 0 <= level < len(datasets):
            raise LargeFailed(f"{address}: has no level {level}; it has {len(datasets)}")
        array: Any = opened[datasets[level]["path"]]
        named = scales[0].get("axes")
        axes = (
            "".join(str(axis["name"] if isinstance(axis, dict) else axis)[:1] for axis in named)
            if named
            else "tczyx"
        )
    except (KeyError, TypeError, AttributeError, IndexError):
        raise LargeFailed(f"{address}: its OME-NGFF description is damaged") from None
    return AxesSource(array, axes, address, _facts(array, axes), frame=frame)


def _facts(array: Any, axes: str) -> Facts:
    axes = axes.lower()
    block = (0, 0)
    if "y" in axes and "x" in axes and len(axes) == len(array.shape):
        block = (int(array.chunks[axes.index("x")]), int(array.chunks[axes.index("y")]))
    return Facts(reader="zarr", block=block)
