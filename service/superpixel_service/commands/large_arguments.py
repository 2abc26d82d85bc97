"""The arguments of `superpixel large`."""

import argparse
from pathlib import Path

from superpixel_kernels.guidance import (
    DEFAULT_EDGE_WEIGHT,
    DEFAULT_PRIOR_WEIGHT,
    MAX_EDGE_WEIGHT,
    MAX_PRIOR_WEIGHT,
)
from superpixel_kernels.params import DEFAULT_COMPACTNESS, MAX_COMPACTNESS
from superpixel_kernels.tiled import DEFAULT_TILE, MAX_TILE
from superpixel_service.commands import argument_types as types
from superpixel_service.commands.ray_arguments import add_ray

READERS = ("rasterio", "tifffile", "zarr", "openslide", "pydicom", "numpy")
FORMATS = ("geotiff", "gpkg", "geojson", "ome-zarr")

DESCRIPTION = (
    "Segment an image that may be larger than memory, and write a store: a Zarr group with the superpixels "
    "of every count. SOURCE is a GeoTIFF or another raster of GDAL, TIFF, OME-TIFF, Zarr, OME-Zarr, a whole "
    "slide, DICOM or .npy. A run may be stopped (Ctrl-C, SIGTERM) or killed: the same command continues it. "
    "It needs the extra `large`, and for some sources `geo`, `slides` or `dicom`."
)
EXPORT_DESCRIPTION = (
    "Export superpixels of a store: all those of a count, or a selection with its classes. geotiff: a COG of "
    "labels; gpkg, geojson: outlines with measures, in the image's coordinates; ome-zarr: a label image in "
    "the store. It needs the extra `geo`."
)


def add_large(large: argparse.ArgumentParser) -> None:
    """Add the arguments of `large` to its parser."""
    large.add_argument("source", metavar="SOURCE", help="path or URL of the image")
    large.add_argument(
        "--out",
        required=True,
        metavar="STORE",
        help="folder of the store, such as NAME.zarr; made if missing",
    )
    reading = large.add_argument_group("pixels")
    reading.add_argument(
        "--bands",
        type=_bands,
        default=(),
        metavar="N[,N,N]",
        help="one band, or three as red, green and blue, from 1 (default: the colours, or the first three)",
    )
    reading.add_argument(
        "--range",
        nargs="+",
        default=[],
        metavar="LOW,HIGH",
        help="values that become 0 and 255, or percentiles as in 2%%,98%%; one, or one per band. Write "
        "--range=-5,40 for negative values (default: 8 bits as they are, else the file's own, else auto: "
        "0.1%%,99.9%%)",
    )
    reading.add_argument(
        "--nodata",
        type=_number,
        metavar="VALUE",
        help="value of pixels that are not valid (default: the file's)",
    )
    reading.add_argument(
        "--mask", default="", metavar="FILE", help="image of the same size: 0 where pixels are not valid"
    )
    reading.add_argument(
        "--reader", choices=READERS, default="", help="library that reads SOURCE (default: by its name)"
    )
    reading.add_argument(
        "--level",
        type=types.coordinate,
        default=0,
        metavar="N",
        help="level of an image pyramid (default 0, the finest)",
    )
    reading.add_argument(
        "--frame",
        type=types.positive,
        default=0,
        metavar="N",
        help="frame of a DICOM file, or image of a TIFF, OME-TIFF or Zarr stack, from 1",
    )
    result = large.add_argument_group("superpixels")
    result.add_argument(
        "--counts",
        dest="label_counts",
        type=types.positive,
        nargs="+",
        default=[],
        metavar="COUNT",
        help="numbers of superpixels that get an OME-Zarr label image (the store has every number anyway)",
    )
    result.add_argument(
        "--compactness",
        type=types.compactness,
        default=DEFAULT_COMPACTNESS,
        metavar="K",
        help=f"shape against colour, 0 to {MAX_COMPACTNESS:g} (default {DEFAULT_COMPACTNESS:g})",
    )
    _add_maps(result)
    run = large.add_argument_group("run")
    run.add_argument(
        "--tile",
        type=types.positive,
        default=DEFAULT_TILE,
        metavar="PIXELS",
        help=f"side of a tile, at most {MAX_TILE}; the result does not depend on it (default {DEFAULT_TILE})",
    )
    run.add_argument(
        "--threads", type=types.positive, default=0, metavar="N", help="threads (default: one per core)"
    )
    run.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="folder for the state of the run (default: in STORE; required if STORE is a URL)",
    )
    run.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="what computes the tiles: this process (default), or a Ray cluster; it needs the extra `ray`",
    )
    run.add_argument(
        "--backend",
        choices=("auto", "cpu", "cuda"),
        default="cpu",
        help="with --engine local, what computes the tiles: cpu, cuda, or auto: cuda if there is a GPU "
        "(default cpu)",
    )
    run.add_argument(
        "--device",
        type=types.coordinate,
        metavar="N",
        help="with --backend cuda or auto: index of the GPU (default 0)",
    )
    add_ray(run)
    run.add_argument(
        "--dry-run", action="store_true", help="print size, bands, memory and disk space, and make nothing"
    )


def _add_maps(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--edges",
        default="",
        metavar="FILE",
        help="image of 8-bit gray: how strong a border is at each pixel",
    )
    group.add_argument(
        "--edge-weight",
        type=types.edge_weight,
        default=DEFAULT_EDGE_WEIGHT,
        metavar="N",
        help=f"0 to {MAX_EDGE_WEIGHT} (default {DEFAULT_EDGE_WEIGHT})",
    )
    group.add_argument(
        "--prior", default="", metavar="FILE", help="image of one band: labels that superpixels follow"
    )
    group.add_argument(
        "--prior-mode",
        choices=("soft", "hard"),
        default="soft",
        help="soft prefers the prior's borders, hard never crosses them (default soft)",
    )
    group.add_argument(
        "--prior-weight",
        type=types.prior_weight,
        default=DEFAULT_PRIOR_WEIGHT,
        metavar="N",
        help=f"0 to {MAX_PRIOR_WEIGHT} (default {DEFAULT_PRIOR_WEIGHT})",
    )
    group.add_argument(
        "--importance", default="", metavar="FILE", help="image of 8-bit gray: superpixels are denser there"
    )


def add_export(export: argparse.ArgumentParser) -> None:
    """Add the arguments of `large export` to its parser."""
    export.add_argument("store", metavar="STORE", help="the store")
    what = export.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--selection", type=Path, metavar="FILE", help="JSON of classes and their regions (docs/stores.md)"
    )
    what.add_argument("--count", type=types.positive, metavar="COUNT", help="all superpixels of this count")
    export.add_argument("--format", choices=FORMATS, required=True, help="what to write")
    export.add_argument(
        "--out", metavar="FILE", help="file to write; ome-zarr: the name of the label image in the store"
    )


def _bands(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if len(parts) not in {1, 3} or not all(part.isascii() and part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"must be one band or three, as in 4,3,2; got {text!r}")
    return tuple(int(part) for part in parts)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
