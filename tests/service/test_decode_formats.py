"""TIFF, BMP, GIF and AVIF of single calls: headers without a library, pixels, orientations, bombs, damage."""

import struct
from io import BytesIO
from typing import Any

import grpc
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from superpixel_service.config import Settings
from superpixel_service.contract import ImageFormat, Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.images.decode import decode, open_image
from superpixel_service.images.file_headers import read_header, sniff
from superpixel_service.images.header import DamagedHeader
from superpixel_service.images.pixels import ignore_library_warnings
from superpixel_service.model import EncodedImage, Notice, NoticeCode, Rectangle, SegmentSpec
from tests.service.decoding import PIXELS, pixels_of, read
from tests.service.harness import MEBIBYTE, RunningServer, refusal_of, refused, request
from tests.service.images import encoded, saved, scene

HEIGHT, WIDTH = PIXELS.shape[:2]
SMOOTH = np.asarray(Image.fromarray(scene(8, 8)).resize((64, 40), Image.Resampling.BICUBIC))


@pytest.fixture(autouse=True)
def _as_in_a_server() -> None:
    ignore_library_warnings()


def tiff(image: NDArray[Any], **options: Any) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, image, **options)
    return file.getvalue()


LOSSLESS = {
    "bmp": encoded(PIXELS, "BMP"),
    "tiff": encoded(PIXELS, "TIFF"),
    "tiff lzw": encoded(PIXELS, "TIFF", compression="tiff_lzw"),
    "tiff deflate": encoded(PIXELS, "TIFF", compression="tiff_adobe_deflate"),
    "tiff tiles": tiff(PIXELS, photometric="rgb", tile=(16, 16)),
    "tiff big-endian": tiff(PIXELS, photometric="rgb", byteorder=">"),
    "bigtiff": tiff(PIXELS, photometric="rgb", bigtiff=True),
    "tiff planes": tiff(PIXELS.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"),
}
NAMES = {"bigtiff": "tiff"}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_give_back_the_pixels(name: str) -> None:
    data = LOSSLESS[name]
    image_format = sniff(data)
    assert image_format == NAMES.get(name, name.split()[0])
    header = read_header(data, image_format)
    assert (header.width, header.height, header.frames, header.bit_depth) == (WIDTH, HEIGHT, 1, 8)
    pixels, notices = read(data)
    assert np.array_equal(pixels, PIXELS)
    assert notices == ()
    part, _ = read(data, region=Rectangle(3, 5, 9, 7))
    assert np.array_equal(part, PIXELS[5:12, 3:12])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "LA"])
@pytest.mark.parametrize("file_format", ["TIFF", "BMP", "GIF"])
def test_modes(mode: str, file_format: str) -> None:
    picture = Image.fromarray(SMOOTH).convert(mode)
    if mode in {"BMP": {"CMYK", "LA"}, "GIF": {"CMYK", "LA", "RGBA"}}.get(file_format, set()):
        pytest.skip("the format has no such mode")
    data = saved(picture, file_format)
    with Image.open(BytesIO(data)) as opened:
        expected = np.asarray(opened.convert("RGBA" if opened.has_transparency_data else "RGB"))
    pixels = pixels_of(data)
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=2)
    assert np.array_equal(pixels, expected)


def test_avif_comes_close() -> None:
    data = encoded(SMOOTH, "AVIF", quality=95)
    assert sniff(data) is ImageFormat.AVIF
    assert np.abs(pixels_of(data).astype(int) - SMOOTH).mean() < 6


@pytest.mark.parametrize("file_format", ["TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("apply", [True, False])
def test_orientation(file_format: str, orientation: int, apply: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"quality": 100, "subsampling": "4:4:4"} if file_format == "AVIF" else {}
    data = encoded(SMOOTH, file_format, exif=exif, **options)
    spec = SegmentSpec(EncodedImage(data), target_counts=(1,), apply_orientation=apply)
    opened = open_image(spec, Settings())
    pixels, _ = decode(opened, None)
    upright = Image.fromarray(SMOOTH)
    if apply:
        upright.getexif()[0x0112] = orientation
        upright = ImageOps.exif_transpose(upright)
    assert (opened.width, opened.height) == upright.size
    assert pixels.shape[:2] == upright.size[::-1]
    assert np.abs(pixels.astype(int) - np.asarray(upright)).mean() < (0.1 if file_format == "TIFF" else 3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"compression": "lzw"},
        {"compression": "lzw", "byteorder": ">"},
        {"compression": "zlib", "predictor": True},
        {"tile": (16, 16)},
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiff_of_16_bits(channels: int, options: dict[str, Any]) -> None:
    values = np.random.default_rng(0).integers(1000, 5000, (21, 37, channels)).astype(np.uint16)
    if channels == 4:
        values[:, :, 3] = 65535
    gray = {"photometric": "minisblack"} if channels == 1 else {"photometric": "rgb"}
    if channels == 4:
        gray["extrasamples"] = ["unassalpha"]  # type: ignore[assignment]
    data = tiff(values[:, :, 0] if channels == 1 else values, **gray, **options)
    pixels, (notice,) = read(data)
    colors = values[:, :, : 3 if channels > 1 else 1].astype(int)
    low, high = int(colors.min()), int(colors.max())
    if channels > 1:  # 2,331 samples: two at each end do not count
        ordered = np.sort(colors.ravel())
        low, high = int(ordered[len(ordered) // 1000]), int(ordered[-1 - len(ordered) // 1000])
    code = NoticeCode.GRAY16_SCALED if channels == 1 else NoticeCode.COLOR16_SCALED
    assert notice == Notice(code, (low, high))
    expected = ((colors.clip(low, high) - low) * 255 + (high - low) // 2) // (high - low)
    found = pixels.reshape(21, 37, -1)[:, :, : colors.shape[2]]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("file_format", ["GIF", "TIFF", "AVIF"])
def test_frames_and_pages(file_format: str) -> None:
    frames = [Image.fromarray(scene(40, 24, seed)) for seed in range(3)]
    data = saved(frames[0], file_format, save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidRequest) as caught:
        open_image(SegmentSpec(EncodedImage(data), target_counts=(1,)), Settings())
    assert caught.value.reason is Reason.IMAGE_MULTIPLE_FRAMES
    assert caught.value.metadata == {"frames": "3"}
    spec = SegmentSpec(EncodedImage(data), target_counts=(1,), first_frame_only=True)
    pixels, notices = decode(open_image(spec, Settings()), None)
    assert notices == (Notice(NoticeCode.FIRST_FRAME_ONLY),)
    assert np.abs(pixels.astype(int) - np.asarray(frames[0])).mean() < (40 if file_format == "GIF" else 15)


def test_reduced_copies_are_no_pages() -> None:
    file = BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(PIXELS, photometric="rgb")
        writer.write(PIXELS[::2, ::2], photometric="rgb", subfiletype=1)
    assert read_header(file.getvalue(), ImageFormat.TIFF).frames == 1


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8), np.float32), np.zeros((8, 8), np.int16), np.zeros((8, 8), np.uint32)],
    ids=lambda image: str(image.dtype),
)
def test_tiffs_with_other_samples_are_rejected(image: NDArray[Any]) -> None:
    check_undecodable(tiff(image))


def test_a_bmp_of_run_lengths_is_rejected() -> None:
    data = bytearray(saved(Image.fromarray(PIXELS).convert("P"), "BMP"))
    data[30:34] = struct.pack("<I", 1)
    check_undecodable(bytes(data))


def check_undecodable(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(open_image(SegmentSpec(EncodedImage(data), target_counts=(1,)), Settings()), None)
    assert caught.value.reason is Reason.IMAGE_UNDECODABLE


def tiff_tags(side: int) -> bytes:
    """The entries of a TIFF of one gray sample per pixel, without its strips."""
    values = ((256, side), (257, side), (258, 8), (277, 1))
    return b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values)


def bombs() -> dict[str, bytes]:
    """Small files whose headers state gigabytes of pixels."""
    bmp = bytearray(encoded(PIXELS, "BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, -60_000)
    gif = bytearray(saved(Image.fromarray(PIXELS), "GIF"))
    gif[6:10] = struct.pack("<HH", 60_000, 60_000)
    tags = tiff_tags(60_000)
    avif = bytearray(encoded(PIXELS, "AVIF"))
    at = avif.index(b"ispe") + 8
    avif[at : at + 8] = struct.pack(">II", 60_000, 60_000)
    return {
        "bmp": bytes(bmp),
        "gif": bytes(gif),
        "tiff": b"II*\0" + struct.pack("<IH", 8, 4) + tags + bytes(4),
        "avif": bytes(avif),
    }


@pytest.mark.parametrize("name", bombs())
def test_bombs_are_rejected_by_their_headers(server: RunningServer, name: str) -> None:
    before = server.peak_resident_bytes()
    refusal = refused(lambda: server.stub.Segment(request(bombs()[name], 5)))
    assert refusal.reason == "IMAGE_TOO_MANY_PIXELS"
    assert "60000x60000" in refusal.text
    assert server.peak_resident_bytes() - before < 16 * MEBIBYTE


def hidden_bombs() -> dict[str, bytes]:
    """Files whose pixels are many more than their headers state, or that are far more than their pixels."""
    gif = bytearray(saved(Image.new("L", (6000, 6000)), "GIF"))
    gif[6:10] = struct.pack("<HH", 60, 60)
    circle = struct.pack("<I", 8)
    small = saved(Image.fromarray(PIXELS), "GIF")
    start = 13 + (3 << (small[10] & 7) + 1)  # behind the colour table
    tags = tiff_tags(60)
    return {
        "gif with a larger frame": bytes(gif),
        "tiff in a circle": b"II*\0" + struct.pack("<IH", 8, 4) + tags + circle,
        "tiff without strips": b"II*\0" + struct.pack("<IH", 8, 4) + tags + bytes(4),
        "tiff with millions of strips": b"II*\0"
        + struct.pack("<IH", 8, 5)
        + tags
        + struct.pack("<HHII", 273, 4, 1 << 30, 8)
        + bytes(4),
        "gif of tiny blocks": small[:start] + b"!\xfe" + b"\x01x" * 1_200_000 + b"\0" + small[start:],
    }


@pytest.mark.parametrize("name", hidden_bombs())
def test_hidden_bombs_are_rejected(server: RunningServer, name: str) -> None:
    server.stub.Segment(request(encoded(PIXELS), 5))
    before = server.peak_resident_bytes()
    refusal = refused(lambda: server.stub.Segment(request(hidden_bombs()[name], 5)))
    assert refusal.reason == "IMAGE_UNDECODABLE"
    assert server.peak_resident_bytes() - before < 64 * MEBIBYTE
    server.stub.Segment(request(encoded(PIXELS), 5))


def test_an_avif_with_a_larger_picture_than_it_states(server: RunningServer) -> None:
    """The library scales such a picture to the stated size; a decode process bounds time and memory."""
    avif = bytearray(saved(Image.new("L", (6000, 6000)), "AVIF", quality=10))
    at = avif.index(b"ispe") + 8
    avif[at : at + 8] = struct.pack(">II", 60, 60)
    before = server.peak_resident_bytes()
    try:
        answer = server.stub.Segment(request(bytes(avif), 5))
        assert (answer.width, answer.height) == (60, 60)
    except grpc.RpcError as error:
        assert refusal_of(error).reason == "IMAGE_UNDECODABLE"  # noqa: PT017
    assert server.peak_resident_bytes() - before < 64 * MEBIBYTE


FILES = {
    **{name: LOSSLESS[name] for name in ("bmp", "tiff lzw", "bigtiff")},
    "gif": saved(Image.fromarray(PIXELS), "GIF"),
    "avif": encoded(PIXELS, "AVIF"),
    "tiff 16": tiff(PIXELS.astype(np.uint16) * 99, photometric="rgb"),
}


@pytest.mark.parametrize("name", FILES)
def test_cut_off_anywhere_it_is_an_error_or_whole(name: str) -> None:
    data = FILES[name]
    whole, _ = read(data)
    for end in {*range(min(400, len(data))), *range(0, len(data), max(1, len(data) // 60))}:
        try:
            pixels, _ = read(data[:end])
        except InvalidRequest as error:
            assert error.reason in {Reason.IMAGE_UNDECODABLE, Reason.IMAGE_FORMAT_NOT_ALLOWED}  # noqa: PT017
        else:
            assert pixels.shape == whole.shape


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_changed_bytes_give_a_header_or_a_rejection(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(FILES[name])
    for at, value in changes:
        data[at % min(len(data), 600)] = value
    image_format = sniff(bytes(data))
    if image_format is not None:
        try:
            header = read_header(bytes(data), image_format)
        except DamagedHeader:
            return
        assert header.width >= 1
        assert header.height >= 1
