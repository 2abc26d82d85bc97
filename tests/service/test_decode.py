"""The decode matrix: formats, modes, orientations, truncations; expected pixels come from elsewhere."""

import struct
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms, ImageOps

from superpixel_service.config import Settings
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.images import pixels as pixels_module
from superpixel_service.images.decode import Pixels, decode, open_image
from superpixel_service.images.pixels import ignore_library_warnings
from superpixel_service.model import (
    EncodedImage,
    Notice,
    NoticeCode,
    RawImage,
    Rectangle,
    SegmentSpec,
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


def scaled16(values: Any, low: int, high: int) -> list[Any]:
    """The definition in the contract."""
    span = high - low
    clamped = np.clip(np.asarray(values, np.int64), low, high) - low
    return ((clamped * 255 + span // 2) // span).tolist()


def test_16_bit_gray_is_scaled_by_its_own_range() -> None:
    values = np.array([[300, 301, 5000], [65000, 40000, 300]], np.uint16)
    pixels, notices = read(encoded(values))
    assert notices == (Notice(NoticeCode.GRAY16_SCALED, (300, 65000)),)
    assert notices[0].text == "16-bit gray was scaled to 8 bits: 300 became 0, and 65000 became 255"
    assert pixels.tolist() == scaled16(values, 300, 65000)


@pytest.mark.parametrize("size", [999, 1000, 1999, 2000, 12_345])
def test_a_thousandth_of_the_samples_at_both_ends_does_not_count(size: int) -> None:
    values = np.random.default_rng(size).integers(0, 65536, (1, size)).astype(np.uint16)
    pixels, (notice,) = read(encoded(values))
    ordered = np.sort(values.ravel()).tolist()
    low, high = ordered[size // 1000], ordered[size - 1 - size // 1000]
    assert notice.sample_range == (low, high)
    assert pixels.tolist() == scaled16(values, low, high)


def test_one_hot_pixel_changes_no_other_pixel() -> None:
    values = np.random.default_rng(0).integers(100, 4000, (60, 50)).astype(np.uint16)
    hot = values.copy()
    hot[7, 7] = 65535
    expected, found = read(encoded(values))[0], read(encoded(hot))[0]
    expected[7, 7] = 255
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_16_bit_gray_of_one_value_is_black() -> None:
    pixels, notices = read(encoded(np.full((4, 5), 4711, np.uint16)))
    assert notices == (Notice(NoticeCode.GRAY16_SCALED, (4711, 4711)),)
    assert not pixels.any()


def test_values_above_a_range_of_one_value_are_white() -> None:
    values = np.zeros((40, 50), np.uint16)
    values[3, 4] = 9
    pixels, _ = read(encoded(values))
    assert pixels.max() == pixels[3, 4] == 255
    assert np.count_nonzero(pixels) == 1


def test_16_bit_gray_is_scaled_within_the_region() -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    pixels, _ = read(encoded(values), region=Rectangle(2, 2, 2, 1))
    assert pixels.tolist() == [[0, 255]]


def test_a_16_bit_gray_colour_key_is_transparent_and_does_not_count() -> None:
    rows = b"\0" + struct.pack(">HHHH", 100, 700, 1000, 60_000)
    pixels, (notice,) = read(png(4, 1, 16, 0, rows, (b"tRNS", struct.pack(">H", 60_000))))
    assert notice.sample_range == (100, 1000)
    assert pixels.tolist() == [[0, 170, 255, 255]]


@pytest.mark.parametrize(("colour", "samples"), [(2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_colours_share_a_range(colour: int, samples: int, orientation: int) -> None:
    values = np.random.default_rng(colour).integers(1000, 5096, (5, 7, samples)).astype(np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = png(7, 5, 16, colour, rows, (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    pixels, (notice,) = read(data)
    colors = values[:, :, : 3 if samples >= 3 else 1]
    visible = colors if samples == 3 else colors[values[:, :, -1] >> 8 != 0]
    low, high = int(visible.min()), int(visible.max())
    assert notice == Notice(NoticeCode.COLOR16_SCALED, (low, high))
    expected = np.array(scaled16(colors, low, high)).repeat(3 // colors.shape[2], axis=2)
    if samples != 3:
        expected = np.dstack([expected, values[:, :, -1] >> 8])
    upright = Image.fromarray(expected.astype(np.uint8))
    upright.info["exif"] = exif.tobytes()
    assert np.array_equal(pixels, np.asarray(ImageOps.exif_transpose(upright)))


def test_a_16_bit_colour_key_is_transparent() -> None:
    rows = b"\0" + struct.pack(">9H", 0x1000, 0x2000, 0x3000, 0x1000, 0x2000, 0x3001, 0x1001, 0x2000, 0x3002)
    pixels, (notice,) = read(png(3, 1, 16, 2, rows, (b"tRNS", struct.pack(">HHH", 0x1000, 0x2000, 0x3000))))
    assert notice.sample_range == (0x1000, 0x3002)
    first, second, third = as_rgb(pixels)[0].tolist()
    assert first == [255, 255, 255]
    assert second == scaled16([0x1000, 0x2000, 0x3001], 0x1000, 0x3002)
    assert third == scaled16([0x1001, 0x2000, 0x3002], 0x1000, 0x3002)


def test_a_range_that_the_caller_gives() -> None:
    values = np.array([[0, 1000, 2000, 3000, 65535]], np.uint16)
    spec = SegmentSpec(EncodedImage(encoded(values)), target_counts=(1,), sample_range=(1000, 3000))
    pixels, notices = decode(open_image(spec, Settings()), None)
    assert pixels.tolist() == scaled16(values, 1000, 3000) == [[0, 0, 128, 255, 255]]
    assert notices[0].sample_range == (1000, 3000)
    spec = SegmentSpec(EncodedImage(encoded(PIXELS)), target_counts=(1,), sample_range=(1000, 3000))
    pixels, notices = decode(open_image(spec, Settings()), None)
    assert np.array_equal(pixels, PIXELS)
    assert notices == ()


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
    assert notices == (Notice(NoticeCode.FIRST_FRAME_ONLY),)
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
