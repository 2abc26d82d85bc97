"""Sources of large images: each reader against files that its own library wrote, and broken files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
import zarr
from rasterio.enums import ColorInterp

from superpixel_service.large import opening
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.opening import choose_reader
from superpixel_service.large.rgb import RgbSource, make_reading
from superpixel_service.large.source import PixelSource, Window, choose_bands
from superpixel_service.sample_ranges import Range
from tests.service.large_files import (
    TRANSFORM,
    smooth,
    write_dicom,
    write_geotiff,
    write_ome_zarr,
    write_slide,
)

WINDOW = Window(13, 21, 70, 40)
PART = np.s_[21:61, 13:83]


_opened: list[PixelSource] = []


def open_source(address: str, reader: str = "", level: int = 0, frame: int = 0) -> PixelSource:
    _opened.append(opening.open_source(address, reader, level, frame))
    return _opened[-1]


@pytest.fixture(autouse=True)
def close_all() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def bands16(bands: int = 4) -> Any:
    return np.random.default_rng(1).integers(0, 4096, (90, 110, bands)).astype(np.uint16)


@pytest.mark.parametrize(
    "options", [{}, {"tiled": True, "blockxsize": 32, "blockysize": 48}, {"driver": "COG"}]
)
def test_geotiff(tmp_path: Path, options: dict[str, Any]) -> None:
    image = bands16()
    source = open_source(str(write_geotiff(tmp_path / "a.tif", image, nodata=7, **options)))
    assert source.facts.reader == "rasterio"
    assert source.shape == (90, 110, 4)
    assert source.dtype == np.uint16
    assert source.facts.transform == TRANSFORM
    assert "UTM zone 33N" in source.facts.crs
    assert source.facts.nodata == (7.0,) * 4
    assert np.array_equal(source.read(WINDOW, [3, 1]), image[PART][:, :, [3, 1]])
    assert choose_bands(source, []) == (0, 1, 2)
    reading = make_reading(source, bands=[4, 2, 1])
    assert reading.bands == (3, 1, 0)


def test_geotiff_with_alpha_and_with_a_palette(tmp_path: Path) -> None:
    image = smooth(50, 60, 4)
    image[:10, :, 3] = 0
    image[10:, :, 3] = 1
    path = write_geotiff(tmp_path / "alpha.tif", image, photometric="RGB", ALPHA="YES")
    source = open_source(str(path))
    assert source.facts.color_bands == (0, 1, 2)
    pixels, valid = RgbSource(source, make_reading(source)).read_valid(Window(0, 5, 60, 10))
    assert valid is not None
    assert valid.sum(axis=1).tolist() == [0] * 5 + [60] * 5
    assert np.array_equal(pixels[5:], image[10:15, :, :3])

    indexes = np.random.default_rng(0).integers(0, 3, (1, 20, 30), np.uint8)
    profile = {"driver": "GTiff", "height": 20, "width": 30, "count": 1, "dtype": "uint8"}
    profile["transform"] = rasterio.Affine(*TRANSFORM)
    with rasterio.open(tmp_path / "palette.tif", "w", **profile) as file:
        file.write(indexes)
        file.write_colormap(1, {0: (1, 2, 3, 255), 1: (40, 50, 60, 255), 2: (255, 0, 9, 255)})
        file.colorinterp = [ColorInterp.palette]
    source = open_source(str(tmp_path / "palette.tif"))
    colors = np.array([[1, 2, 3], [40, 50, 60], [255, 0, 9]], np.uint8)
    assert np.array_equal(source.read(Window(0, 0, 30, 20), [0, 1, 2]), colors[indexes[0]])


@pytest.mark.parametrize("name", ["a.ome.tif", "big.tif", "planes.tif", "gray.tif", "lzw.tif"])
def test_tifffile(tmp_path: Path, name: str) -> None:
    image = bands16(3)
    path = tmp_path / name
    if name == "a.ome.tif":
        tifffile.imwrite(path, image.transpose(2, 0, 1), metadata={"axes": "CYX"}, tile=(32, 32))
    elif name == "planes.tif":
        tifffile.imwrite(path, image.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    elif name == "gray.tif":
        image = image[:, :, :1]
        tifffile.imwrite(path, image[:, :, 0], rowsperstrip=7)
    else:
        tifffile.imwrite(path, image, photometric="rgb", bigtiff=name == "big.tif", compression="lzw")
    source = open_source(str(path), "" if name == "a.ome.tif" else "tifffile")
    assert source.facts.reader == "tifffile"
    assert source.shape == image.shape
    bands = [2, 0] if image.shape[2] == 3 else [0]
    assert np.array_equal(source.read(WINDOW, bands), image[PART][:, :, bands])


def test_levels_of_a_pyramid(tmp_path: Path) -> None:
    image = smooth(200, 300)
    path = tmp_path / "pyramid.ome.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(image, subifds=1, photometric="rgb", tile=(64, 64))
        file.write(image[::2, ::2], subfiletype=1, photometric="rgb", tile=(64, 64))
    assert open_source(str(path), level=1).shape == (100, 150, 3)
    with pytest.raises(LargeFailed, match="has no level 2; it has 2"):
        open_source(str(path), level=2)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path: Path, version: str) -> None:
    image = bands16(3)
    path = write_ome_zarr(tmp_path / "a.ome.zarr", np.ascontiguousarray(image.transpose(2, 0, 1)), version)
    source = open_source(str(path))
    assert source.facts.reader == "zarr"
    assert source.shape == (90, 110, 3)
    assert source.facts.block == (32, 32)
    assert np.array_equal(source.read(WINDOW, [2, 0]), image[PART][:, :, [2, 0]])
    assert open_source(str(path), level=1).shape == (45, 55, 3)


def test_plain_zarr_and_npy(tmp_path: Path) -> None:
    image = bands16(3)
    zarr.create_array(tmp_path / "a.zarr", data=image, chunks=(32, 32, 3))
    np.save(tmp_path / "a.npy", image)
    for name in ("a.zarr", "a.npy"):
        source = open_source(str(tmp_path / name))
        assert np.array_equal(source.read(WINDOW, [1]), image[PART][:, :, [1]])


def test_a_slide(tmp_path: Path) -> None:
    image = smooth(200, 300)
    path = write_slide(tmp_path / "slide.tif", image)
    source = open_source(str(path), "openslide")
    assert source.shape == (200, 300, 3)
    decoded = tifffile.imread(path, key=0)
    part = source.read(WINDOW, [0, 1, 2])
    assert np.abs(part.astype(int) - decoded[PART]).max() <= 3  # two JPEG decoders
    assert open_source(str(path), "openslide", level=1).shape == (100, 150, 3)
    renamed = path.with_suffix(".svs")
    path.rename(renamed)
    assert choose_reader(str(renamed)) == "openslide"


def test_dicom_with_its_own_window(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(-1000, 3000, (40, 50)).astype(np.int16)
    more = {"WindowCenter": 40, "WindowWidth": 400, "RescaleSlope": 1, "RescaleIntercept": -24}
    source = open_source(str(write_dicom(tmp_path / "ct", image, **more)))
    assert source.facts.reader == "pydicom"
    assert np.array_equal(source.read(Window(0, 0, 50, 40), [0])[:, :, 0], image)
    # PS3.3 C.11.2.1.2: x <= c - 0.5 - (w - 1) / 2 is black; stored values are 24 above.
    assert make_reading(source).ranges == (Range(-136.0, 263.0),)


def test_dicom_inverted_with_padding(tmp_path: Path) -> None:
    image = np.arange(64, dtype=np.uint16).reshape(8, 8)
    path = write_dicom(
        tmp_path / "x.dcm", image, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=5
    )
    source = open_source(str(path))
    pixels, valid = RgbSource(source, make_reading(source)).read_valid(Window(0, 0, 8, 8))
    assert valid is not None
    assert np.flatnonzero(~valid).tolist() == [5]
    assert (pixels[0, 0, 0], pixels[7, 7, 0]) == (255, 0)
    color = smooth(20, 30)
    assert np.array_equal(
        open_source(str(write_dicom(tmp_path / "c.dcm", color))).read(Window(0, 0, 30, 20), [0, 1, 2]), color
    )


def test_a_frame_of_a_stack(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 65536, (2, 3, 20, 30)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "TZYX"})
    tifffile.imwrite(tmp_path / "pages.tif", stack.reshape(6, 20, 30))
    array = zarr.create_array(
        tmp_path / "a.zarr", data=stack, chunks=(1, 1, 8, 8), dimension_names=["t", "z", "y", "x"]
    )
    assert array.shape == stack.shape
    frames = smooth(12, 16)
    write_dicom(tmp_path / "color.dcm", np.stack([frames, 255 - frames]), frames=2)
    write_dicom(tmp_path / "gray.dcm", stack.reshape(6, 20, 30), frames=6)
    everything = Window(0, 0, 30, 20)
    for number, image in enumerate(stack.reshape(6, 20, 30), 1):
        for name, reader in (("a.ome.tif", ""), ("pages.tif", "tifffile"), ("a.zarr", ""), ("gray.dcm", "")):
            source = open_source(str(tmp_path / name), reader, frame=number)
            assert np.array_equal(source.read(everything, [0])[:, :, 0], image), name
            source.close()
    for number, image in ((1, frames), (2, 255 - frames)):
        source = open_source(str(tmp_path / "color.dcm"), frame=number)
        assert np.array_equal(source.read(Window(0, 0, 16, 12), [0, 1, 2]), image)
    for name in ("a.ome.tif", "a.zarr", "gray.dcm"):
        with pytest.raises(LargeFailed, match="has 6 frames, so there is no frame 7"):
            open_source(str(tmp_path / name), frame=7)
        with pytest.raises(LargeFailed, match="has 6 frames; choose one by --frame, 1 to 6"):
            open_source(str(tmp_path / name))
    np.save(tmp_path / "a.npy", frames)
    with pytest.raises(LargeFailed, match="its reader knows no frames"):
        open_source(str(tmp_path / "a.npy"), frame=1)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("not an image")
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "text.svs").write_text("not a slide")
    (tmp_path / "text.dcm").write_text("not DICOM")
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "folder").mkdir()
    zarr.open_group(tmp_path / "group.zarr", mode="w")
    zarr.create_array(tmp_path / "deep.zarr", data=np.zeros((2, 3, 4, 5, 6), np.uint8))
    np.save(tmp_path / "line.npy", np.zeros(5))
    write_dicom(tmp_path / "frames.dcm", np.zeros((8, 8), np.uint16), NumberOfFrames=4)
    tifffile.imwrite(tmp_path / "stack.ome.tif", np.zeros((4, 8, 8), np.uint8), metadata={"axes": "ZYX"})
    expected = {
        "missing.tif": "no such file or directory",
        "text.tif": "text.tif",
        "text.npy": "text.npy",
        "text.svs": "OpenSlide does not know this format",
        "text.dcm": "text.dcm",
        "empty.zarr": "is a folder, but no Zarr array or group",
        "folder": "is a folder, but no Zarr array or group",
        "group.zarr": "is a Zarr group without an OME-NGFF image",
        "deep.zarr": "are not those of an image",
        "line.npy": "must have two or three dimensions, has 1",
        "frames.dcm": "has 4 frames; choose one by --frame, 1 to 4",
        "stack.ome.tif": "has 4 frames; choose one by --frame, 1 to 4",
    }
    for name, text in expected.items():
        with pytest.raises(LargeFailed, match=text) as error:
            open_source(str(tmp_path / name))
        assert "\n" not in str(error.value)
    for reader in ("tifffile", "openslide", "pydicom"):
        with pytest.raises(LargeFailed):
            open_source(str(tmp_path / "text.tif"), reader)
    with pytest.raises(LargeFailed, match="reader: must be one of"):
        open_source(str(tmp_path / "text.tif"), "gimp")


@pytest.mark.parametrize("reader", ["rasterio", "tifffile", "zarr"])
def test_files_that_are_damaged_inside(tmp_path: Path, reader: str) -> None:
    image = np.random.default_rng(0).integers(0, 65536, (256, 256, 3)).astype(np.uint16)
    path = tmp_path / "a.tif"
    if reader == "zarr":
        path = tmp_path / "a.zarr"
        zarr.create_array(path, data=image, chunks=(64, 64, 3))
        (path / "c" / "3" / "3" / "0").write_bytes(b"broken")
    else:
        write_geotiff(path, image, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
        path.write_bytes(path.read_bytes()[:-20_000])
    try:
        source = open_source(str(path), reader)
        source.read(Window(0, 0, 64, 64), [0])
    except LargeFailed:
        assert reader != "zarr"  # the file's directory may be what was cut off
        return
    with pytest.raises(LargeFailed, match=r"cannot be read at x 192, y 192"):
        source.read(Window(192, 192, 64, 64), [0])
