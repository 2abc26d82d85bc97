"""Small image files in the formats of large images, written by the libraries made for them."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import rasterio
import tifffile
import zarr
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

TRANSFORM = (0.5, 0.0, 600_000.0, 0.0, -0.5, 5_000_000.0)


def smooth(height: int, width: int, bands: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """(height, width, bands): patches of colour with some noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 220, (height // 16 + 1, width // 16 + 1, bands))
    fine = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    return (fine + rng.integers(0, 20, fine.shape)).astype(np.uint8)


def contents(store: Path) -> dict[str, bytes]:
    """All files of a store."""
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def write_geotiff(path: Path, image: NDArray[Any], **options: Any) -> Path:
    """(H, W, bands) as a GeoTIFF in UTM with pixels of half a metre."""
    height, width, bands = image.shape
    profile = {
        "driver": "GTiff",
        "crs": "EPSG:32633",
        "transform": rasterio.Affine(*TRANSFORM),
        **options,
    }
    with rasterio.open(
        path, "w", height=height, width=width, count=bands, dtype=image.dtype, **profile
    ) as file:
        file.write(image.transpose(2, 0, 1))
    return path


def write_slide(path: Path, image: NDArray[np.uint8]) -> Path:
    """A tiled TIFF that OpenSlide takes for a slide, with a second level of half the size."""
    with tifffile.TiffWriter(path) as file:
        options: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "compression": "jpeg"}
        file.write(image, **options)
        file.write(image[::2, ::2], subfiletype=1, **options)
    return path


def write_ome_zarr(path: Path, image: NDArray[Any], version: str) -> Path:
    """(c, y, x) as an OME-NGFF image of two levels."""
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    for level in (0, 1):
        step = 1 << level
        group.create_array(
            str(level), data=np.ascontiguousarray(image[:, ::step, ::step]), chunks=(1, 32, 32)
        )
    description = {
        "axes": [
            {"name": "c", "type": "channel"},
            {"name": "y", "type": "space"},
            {"name": "x", "type": "space"},
        ],
        "datasets": [{"path": "0"}, {"path": "1"}],
    }
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": [description]}
    else:
        group.attrs["multiscales"] = [{**description, "version": "0.4"}]
    return path


def write_dicom(path: Path, image: NDArray[Any], frames: int = 0, **more: Any) -> Path:
    """(H, W) uint16 or int16, or (H, W, 3) uint8, as a DICOM file; with `frames`, as many of them."""
    data = image.tobytes()
    if frames:
        image, more = image[0], {**more, "NumberOfFrames": frames}
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    file = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3.4"
    file.Rows, file.Columns = image.shape[:2]
    file.SamplesPerPixel = 3 if image.ndim == 3 else 1
    file.PhotometricInterpretation = "RGB" if image.ndim == 3 else "MONOCHROME2"
    if image.ndim == 3:
        file.PlanarConfiguration = 0
    bits = 8 * image.dtype.itemsize
    file.BitsAllocated = file.BitsStored = bits
    file.HighBit = bits - 1
    file.PixelRepresentation = int(image.dtype.kind == "i")
    for name, value in more.items():
        setattr(file, name, value)
    file.PixelData = data
    pydicom.dcmwrite(path, file, enforce_file_format=True)
    return path
