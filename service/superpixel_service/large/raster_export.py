"""Labels of a store as a Cloud Optimized GeoTIFF, by rasterio."""

import tempfile
from pathlib import Path

from superpixel_service.large.errors import LargeFailed, extra_missing, one_line
from superpixel_service.large.layers import Layer
from superpixel_service.large.layout import StoreInfo
from superpixel_service.large.writer import shards

_BLOCK = 512


def write_geotiff(path: Path, info: StoreInfo, layer: Layer) -> None:
    """Write a COG: 0 is nodata; overviews show single pixels, not means.

    Raises:
        LargeFailed: rasterio is missing, or the file cannot be written.
    """
    try:
        import rasterio
        import rasterio.shutil
    except ImportError:
        raise extra_missing("GeoTIFF needs", "geo") from None
    profile = {
        "driver": "GTiff",
        "width": info.width,
        "height": info.height,
        "count": len(layer.bands),
        "dtype": layer.dtype,
        "nodata": 0,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "compress": "ZSTD",
        "BIGTIFF": "IF_SAFER",
        "crs": info.crs or None,
        # Without coordinates of its own, the raster has those of its pixels, rows downwards.
        "transform": rasterio.Affine(*(info.transform or (1, 0, 0, 0, 1, 0))),
    }
    try:
        # GDAL writes a COG by copying; the copy beside the file needs no room on another disk.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".superpixel-") as folder:
            plain = Path(folder, "plain.tif")
            with rasterio.open(plain, "w", **profile) as file:
                for band, name in enumerate(layer.bands, 1):
                    file.set_band_description(band, name)
                for window in shards(info.width, info.height):
                    place = (
                        (window.y, window.y + window.height),
                        (window.x, window.x + window.width),
                    )
                    file.write(layer.raster(window), window=place)
            ready = Path(folder, "cog.tif")
            rasterio.shutil.copy(
                plain,
                ready,
                driver="COG",
                COMPRESS="ZSTD",
                BLOCKSIZE=_BLOCK,
                BIGTIFF="IF_SAFER",
                OVERVIEW_RESAMPLING="NEAREST",
            )
            ready.replace(path)
    except OSError as error:
        raise LargeFailed(f"{path}: {(error.strerror or one_line(error)).lower()}") from None
    except rasterio.errors.RasterioError as error:
        raise LargeFailed(f"{path}: {one_line(error)}") from None
