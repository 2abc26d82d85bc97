"""Opens a source by its address: the reader follows from the name, or from the first bytes."""

import importlib.util
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.readers.arrays import open_npy
from superpixel_service.large.readers.dicom import open_dicom
from superpixel_service.large.readers.geo import GeoSource
from superpixel_service.large.readers.ome_zarr import open_zarr
from superpixel_service.large.readers.slides import SlideSource
from superpixel_service.large.readers.tiff import open_tiff
from superpixel_service.large.source import PixelSource

READERS: dict[str, Callable[[str, int, int], PixelSource]] = {
    "rasterio": lambda address, level, frame: GeoSource(_single(address, level, frame)),
    "tifffile": open_tiff,
    "zarr": open_zarr,
    "openslide": lambda address, level, frame: SlideSource(_single(address, 0, frame), level),
    "pydicom": lambda address, level, frame: open_dicom(_single(address, level, 0), frame),
    "numpy": lambda address, level, frame: open_npy(Path(_single(address, level, frame))),
}

_SLIDES = {".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide"}
_TIFF = {".tif", ".tiff", ".btf", ".tf8"}
_MICROSCOPY = (".ome.tif", ".ome.tiff", ".ome.btf", ".lsm", ".stk", ".qptiff")
_ZARR_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


def open_source(address: str, reader: str = "", level: int = 0, frame: int = 0) -> PixelSource:
    """Open an image file, a folder of Zarr, or a URL that the reader's library understands.

    Args:
        address: path or URL.
        reader: one of `READERS`; empty: chosen by the name and the first bytes.
        level: of an image pyramid; 0 is the finest.
        frame: of a stack or a multi-frame file, from 1; 0: there must be only one.

    Raises:
        LargeFailed: the image cannot be opened.
    """
    if not reader:
        reader = choose_reader(address)
    elif reader not in READERS:
        raise LargeFailed(f"reader: must be one of {', '.join(READERS)}, got {reader!r}", usage=True)
    return READERS[reader](address, level, frame)


def choose_reader(address: str) -> str:
    """The reader for an address.

    Raises:
        LargeFailed: there is no such file.
    """
    is_url = "://" in address
    name = PurePosixPath(address.rstrip("/")).name.lower()
    suffix = PurePosixPath(name).suffix
    if not is_url and not Path(address).exists():
        raise LargeFailed(f"{address}: no such file or directory")
    if suffix == ".zarr" or (not is_url and Path(address).is_dir()):
        if not is_url and not any(Path(address, file).exists() for file in _ZARR_FILES):
            raise LargeFailed(f"{address}: is a folder, but no Zarr array or group")
        return "zarr"
    if suffix == ".npy":
        return "numpy"
    if suffix in _SLIDES:
        return "openslide"
    if suffix in {".dcm", ".dicom"} or (not is_url and _is_dicom(Path(address))):
        return "pydicom"
    if name.endswith(_MICROSCOPY):
        return "tifffile"
    if suffix in _TIFF and importlib.util.find_spec("rasterio") is None:
        return "tifffile"
    return "rasterio"


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise LargeFailed(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None


def _single(address: str, level: int, frame: int) -> str:
    """Reject a level or a frame, which the reader does not know."""
    if level:
        raise LargeFailed(f"{address}: its reader knows no levels; --level must be 0", usage=True)
    if frame:
        raise LargeFailed(
            f"{address}: its reader knows no frames; those of TIFF files can be read by --reader tifffile",
            usage=True,
        )
    return address
