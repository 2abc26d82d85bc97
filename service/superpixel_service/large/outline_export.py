"""Outlines of a store's superpixels or selection as GeoPackage or GeoJSON, by shapely and pyogrio."""

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.large.errors import LargeFailed, extra_missing, one_line
from superpixel_service.large.layers import Layer
from superpixel_service.large.layout import StoreInfo
from superpixel_service.large.writer import shards

DRIVERS = {"gpkg": "GPKG", "geojson": "GeoJSON"}

_BATCH = 20_000
"""Features that are written at a time."""


def write_outlines(path: Path, driver: str, info: StoreInfo, layer: Layer) -> int:
    """Write a MultiPolygon with holes and properties per feature.

    Outlines follow the sides of pixels. They are in the coordinates of the image; without any, in pixels with
    rows downwards. GeoJSON has longitude and latitude if the image has a coordinate reference system.

    Args:
        path: the file.
        driver: "gpkg" or "geojson".
        info: of the store.
        layer: what to write.

    Returns:
        The number of features.

    Raises:
        LargeFailed: a library is missing, or the file cannot be written.
    """
    try:
        import pyogrio
        import shapely
    except ImportError:
        raise extra_missing("outlines need", "geo") from None
    transform = np.array(info.transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)).reshape(2, 3)
    options: dict[str, Any] = {
        "crs": info.crs or None,
        "geometry_type": "MultiPolygon",
        "driver": DRIVERS[driver],
    }
    if driver == "geojson" and info.crs:
        options["layer_options"] = {"RFC7946": "YES"}
    written = 0
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".superpixel-") as folder:
            ready = Path(folder, path.name)
            for numbers, shapes in _batches(info, layer):
                area = np.array([shapely.area(shape) for shape in shapes]).round().astype(np.int64)
                columns = layer.columns(numbers, area)
                placed = shapely.transform(
                    np.array(shapes, object), lambda points: points @ transform[:, :2].T + transform[:, 2]
                )
                pyogrio.raw.write(
                    ready,
                    geometry=shapely.to_wkb(placed),
                    field_data=[column.values for column in columns],
                    fields=[column.name for column in columns],
                    append=bool(written),
                    layer="superpixels",
                    **options,
                )
                written += len(numbers)
            if not written:
                raise LargeFailed(f"{path}: there is nothing to write; the selection is empty")
            ready.replace(path)
    except OSError as error:
        raise LargeFailed(f"{path}: {(error.strerror or one_line(error)).lower()}") from None
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        pyogrio.errors.FeatureError,
    ) as error:
        raise LargeFailed(f"{path}: {one_line(error)}") from None
    return written


def _batches(info: StoreInfo, layer: Layer) -> Iterator[tuple[NDArray[np.uint32], list[Any]]]:
    """Features with their shapes in pixels of the whole image."""
    import shapely

    pieces: dict[int, list[Any]] = defaultdict(list)
    for window in shards(info.width, info.height):
        for number, polygon in _polygons(layer.features(window), window.x, window.y):
            pieces[number].append(polygon)
    ready = sorted(pieces)
    for begin in range(0, len(ready), _BATCH):
        numbers = ready[begin : begin + _BATCH]
        shapes = [_joined(shapely, pieces.pop(number)) for number in numbers]
        yield np.array(numbers, np.uint32), shapes


def _joined(shapely: Any, parts: list[Any]) -> Any:
    whole = parts[0] if len(parts) == 1 else shapely.union_all(parts)
    return whole if whole.geom_type == "MultiPolygon" else shapely.MultiPolygon([whole])


def _polygons(features: NDArray[np.uint32], x: int, y: int) -> Iterator[tuple[int, Any]]:
    """The 4-connected pieces of each feature in a window, in pixels of the whole image."""
    import rasterio
    import rasterio.features
    import shapely.geometry

    numbers, index = np.unique(features, return_inverse=True)
    place = rasterio.Affine(1, 0, x, 0, 1, y)
    for shape, value in rasterio.features.shapes(
        index.reshape(features.shape).astype(np.int32), features != 0, connectivity=4, transform=place
    ):
        yield int(numbers[int(value)]), shapely.geometry.shape(shape)
