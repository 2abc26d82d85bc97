"""The decode matrix: formats, modes, orientations, truncations; expected pixels come from elsewhere."""

import struct
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from superpixel_service.config import Settings
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.images import pixels as pixels_module
from superpixel_service.images.decode import Pixels, decode, open_image
from superpixel_service.images.pixels import ignore_library_warnings
from superpixel_service.model import (
    NoticeCode,
    RawImage,
    Rectangle,
)
from tests.service.decoding import PIXELS, SPEC, pixels_of, read
from tests.service.images import encoded, png, saved, scene


@pytest.fixture(autouse=True)
def _as_in_a_server() -> None:
    ignore_library_warnings()


def on_white(rgba: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Composite as the contract says; the engine does it for RGBA that it is handed."""
    colour, alpha = rgba[..., :3].astype(int), rgba[..., 3:].astype(int)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def as_rgb(pixels: Pixels) -> Pixels:
    if pixels.ndim == 2:
        return np.stack([pixels] * 3, axis=-1)
    return on_white(pixels) if pixels.shape[2] == 4 else pixels


# Formats and modes


@pytest.mark.parametrize(("file_format", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_give_back_the_pixels(file_format: str, options: dict[str, Any]) -> None:
    assert np.array_equal(pixels_of(encoded(PIXELS, file_format, **options)), PIXELS)


@pytest.mark.parametrize(("file_format", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"quality": 95})])
def test_lossy_formats_come_close(file_format: str, options: dict[str, Any]) -> None:
    smooth = np.asarray(Image.fromarray(scene(8, 8)).resize((64, 64), Image.Resampling.BICUBIC))
    pixels = pixels_of(encoded(smooth, file_format, **options))
    assert np.abs(pixels.astype(int) - smooth).mean() < 6


def test_gray() -> None:
    gray = PIXELS[..., 0]
    for file_format in ("PNG", "JPEG"):
        pixels = pixels_of(encoded(gray, file_format))
        assert pixels.ndim == 2
        assert np.abs(pixels.astype(int) - gray).max() <= (0 if file_format == "PNG" else 60)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_gray_of_few_bits_is_stretched_to_eight(depth: int) -> None:
    top = (1 << depth) - 1
    row = bytes([0b00011011])
    values = [(0b00011011 >> shift) & top for shift in range(8 - depth, -1, -depth)]
    pixels = pixels_of(png(len(values), 1, depth, 0, b"\0" + row))
    assert as_rgb(pixels)[0, :, 0].tolist() == [value * 255 // top for value in values]


def test_palette() -> None:
    image = Image.fromarray(PIXELS).quantize(16)
    assert np.array_equal(pixels_of(saved(image)), np.asarray(image.convert("RGB")))


def test_palette_with_alpha_for_each_entry() -> None:
    palette = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255])
    data = png(3, 1, 8, 3, b"\0\0\1\2", (b"PLTE", palette), (b"tRNS", bytes([0, 128, 255])))
    expected = on_white(np.array([[[255, 0, 0, 0], [0, 255, 0, 128], [0, 0, 255, 255]]], np.uint8))
    assert np.array_equal(as_rgb(pixels_of(data)), expected)


def test_palette_with_one_clear_entry() -> None:
    palette = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255])
    data = png(3, 1, 8, 3, b"\0\0\1\2", (b"PLTE", palette), (b"tRNS", bytes([255, 0])))
    assert as_rgb(pixels_of(data))[0].tolist() == [[255, 0, 0], [255, 255, 255], [0, 0, 255]]


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_straight_alpha_is_composited_on_white(file_format: str) -> None:
    alpha = np.add.outer(np.arange(21) * 6, np.arange(37) * 3).astype(np.uint8)
    rgba = np.dstack([PIXELS, alpha])
    data = encoded(rgba, file_format, **({"lossless": True, "exact": True} if file_format == "WEBP" else {}))
    pixels = pixels_of(data)
    assert pixels.shape[2] == 4
    assert np.array_equal(as_rgb(pixels), on_white(rgba))


def test_gray_with_alpha() -> None:
    values = np.array([[[10, 0], [10, 255], [200, 100]]], np.uint8)
    data = png(3, 1, 8, 4, b"\0" + values.tobytes())
    gray = [(value * alpha + 255 * (255 - alpha) + 127) // 255 for value, alpha in values[0].astype(int)]
    assert as_rgb(pixels_of(data))[0, :, 1].tolist() == gray


@pytest.mark.parametrize(("depth", "key"), [(1, 1), (2, 2), (4, 3), (8, 77)])
def test_a_gray_colour_key_is_transparent(depth: int, key: int) -> None:
    per_byte, top = 8 // depth, (1 << depth) - 1
    values = [key, 0] * (per_byte // 2) if depth < 8 else [key]
    packed = sum(value << (8 - depth * (i + 1)) for i, value in enumerate(values))
    data = png(len(values), 1, depth, 0, bytes([0, packed]), (b"tRNS", struct.pack(">H", key)))
    expected = [255 if value == key else value * 255 // top for value in values]
    assert as_rgb(pixels_of(data))[0, :, 0].tolist() == expected


def test_a_colour_key_is_transparent() -> None:
    values = bytes([1, 2, 3, 1, 2, 4])
    data = png(2, 1, 8, 2, b"\0" + values, (b"tRNS", struct.pack(">HHH", 1, 2, 3)))
    assert as_rgb(pixels_of(data))[0].tolist() == [[255, 255, 255], [1, 2, 4]]


def test_16_bit_gray_is_scaled_by_its_own_range() -> None:
    values = np.array([[300, 301, 5000], [65000, 40000, 300]], np.uint16)
    pixels, notices = read(encoded(values))
    assert notices == (NoticeCode.GRAY16_SCALED,)
    span = 65000 - 300
    assert pixels.tolist() == [
        [((int(value) - 300) * 255 + span // 2) // span for value in row] for row in values
    ]


def test_16_bit_gray_of_one_value_is_black() -> None:
    pixels, notices = read(encoded(np.full((4, 5), 4711, np.uint16)))
    assert notices == (NoticeCode.GRAY16_SCALED,)
    assert not pixels.any()


def test_16_bit_gray_is_scaled_within_the_region() -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    pixels, _ = read(encoded(values), region=Rectangle(2, 2, 2, 1))
    assert pixels.tolist() == [[0, 255]]


def test_a_16_bit_gray_colour_key_is_transparent() -> None:
    rows = b"\0" + struct.pack(">HHH", 100, 700, 1000)
    pixels, _ = read(png(3, 1, 16, 0, rows, (b"tRNS", struct.pack(">H", 700))))
    assert pixels.tolist() == [[0, 255, 255]]


@pytest.mark.parametrize(("colour", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_other_16_bit_samples_are_cut_to_their_high_bytes(colour: int, samples: int) -> None:
    values = [0x1234 + 0x1111 * index for index in range(samples)]
    pixels, notices = read(png(1, 1, 16, colour, b"\0" + struct.pack(f">{samples}H", *values)))
    assert notices == (NoticeCode.HIGH_BYTES_ONLY,)
    high = [value >> 8 for value in values]
    expected = {2: high, 4: [high[0]] * 3 + high[1:], 6: high}[colour]
    assert pixels[0, 0].tolist() == expected


def test_a_16_bit_colour_key_is_transparent() -> None:
    rows = b"\0" + struct.pack(">6H", 0x1000, 0x2000, 0x3000, 0x1100, 0x2000, 0x3000)
    pixels, _ = read(png(2, 1, 16, 2, rows, (b"tRNS", struct.pack(">HHH", 0x1000, 0x2000, 0x3000))))
    assert as_rgb(pixels)[0].tolist() == [[255, 255, 255], [0x11, 0x20, 0x30]]


def test_cmyk_is_converted() -> None:
    flat = np.zeros((16, 16, 3), np.uint8) + np.array([200, 60, 20], np.uint8)
    pixels = pixels_of(saved(Image.fromarray(flat).convert("CMYK"), "JPEG", quality=100))
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels.astype(int) - flat).max() <= 4


def test_interlaced_and_progressive_files() -> None:
    whole = encoded(PIXELS, "JPEG", quality=90)
    progressive = encoded(PIXELS, "JPEG", quality=90, progressive=True)
    assert np.array_equal(pixels_of(whole), pixels_of(progressive))


def by_pillow(data: bytes) -> Pixels:
    """The usual JPEGs are not read by Pillow, so Pillow gives the expected pixels."""
    with Image.open(BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (37, 21), (130, 67)])
@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": "4:4:4"},
        {"subsampling": "4:2:2"},
        {"subsampling": "4:2:0"},
        {"quality": 5},
        {"quality": 100},
        {"progressive": True},
        {"restart_marker_blocks": 1},
        {"keep_rgb": True},
        {"icc_profile": bytes(70_000)},
    ],
    ids=str,
)
def test_colour_jpegs_decode_as_pillow_decodes_them(
    size: tuple[int, int], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(scene(*size), "JPEG", **options)
    expected = by_pillow(data)
    monkeypatch.setattr(pixels_module, "_READERS", {})  # and it is not asked
    assert np.array_equal(pixels_of(data), expected)


def test_icc_profiles_are_ignored() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert np.array_equal(pixels_of(encoded(PIXELS, icc_profile=profile)), PIXELS)


def test_a_multi_picture_jpeg_gives_its_first_picture() -> None:
    frames = [Image.fromarray(scene(37, 21, seed)) for seed in range(2)]
    data = saved(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert np.array_equal(pixels_of(data), pixels_of(saved(frames[0], "JPEG")))


# Frames, orientation, region


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_animations_need_first_frame_only(file_format: str) -> None:
    frames = [Image.fromarray(scene(37, 21, seed)) for seed in range(3)]
    data = saved(frames[0], file_format, save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(InvalidRequest) as caught:
        read(data)
    assert caught.value.reason is Reason.IMAGE_MULTIPLE_FRAMES
    pixels, notices = read(data, first_frame_only=True)
    assert notices == (NoticeCode.FIRST_FRAME_ONLY,)
    assert np.array_equal(as_rgb(pixels), np.asarray(frames[0]))


UPRIGHT = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: np.rot90(p),
}


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
def test_orientation(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if file_format == "WEBP" else {}
    data = encoded(PIXELS, file_format, exif=exif.tobytes(), **options)
    stored = pixels_of(data, apply_orientation=False)
    assert stored.shape == PIXELS.shape
    shown = 1 if file_format == "WEBP" else orientation  # browsers ignore it in WebP files
    expected = UPRIGHT[shown](stored)
    assert np.array_equal(pixels_of(data), expected)
    region = Rectangle(3, 5, 11, 7)
    assert np.array_equal(read(data, region=region)[0], expected[5:12, 3:14])


def test_broken_exif_is_no_orientation_and_no_warning() -> None:
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 3) + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    assert pixels_of(encoded(PIXELS, "JPEG", exif=exif)).shape == (37, 21, 3)
    assert pixels_of(encoded(PIXELS, "JPEG", exif=exif[:20])).shape == (21, 37, 3)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_raw_pixels(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, channels), dtype=np.uint8)
    opened = open_image(replace(SPEC, source=RawImage(11, 9, channels, pixels.tobytes())), Settings())
    assert np.array_equal(decode(opened, None)[0], pixels)
    assert np.array_equal(decode(opened, Rectangle(2, 3, 4, 5))[0], pixels[3:8, 2:6])
