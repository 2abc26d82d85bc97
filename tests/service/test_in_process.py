"""`segment_file`, in this process: the same label maps, notices and errors as from a server."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from superpixel_service import segment_file
from superpixel_service.client import Client, InvalidRequest, Segmentation
from tests.service.harness import RunningServer
from tests.service.images import Pixels, encoded, png, saved, scene

PIXELS = scene(64, 48)
GRAY16 = PIXELS[:, :, 0].astype(np.uint16) * 200 + 1000


def png_of_16_bits() -> bytes:
    """Colour; Pillow writes 16 bits of gray only."""
    samples = (PIXELS.astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    return png(64, 48, 16, 2, rows)


def jpeg_with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PIXELS, "JPEG", exif=exif.tobytes())


def animation(file_format: str) -> bytes:
    frames = [Image.fromarray(scene(64, 48, seed)) for seed in range(3)]
    return saved(frames[0], file_format, save_all=True, append_images=frames[1:])


def with_alpha(pixels: Pixels) -> Pixels:
    return np.dstack([pixels, pixels[:, :, 1]])


RIGHT: dict[str, tuple[bytes, dict[str, Any]]] = {
    "JPEG": (encoded(PIXELS, "JPEG"), {}),
    "JPEG, orientation 6": (jpeg_with_orientation(6), {}),
    "JPEG, orientation 6 ignored": (jpeg_with_orientation(6), {"apply_exif_orientation": False}),
    "JPEG, CMYK": (saved(Image.fromarray(PIXELS).convert("CMYK"), "JPEG"), {}),
    "PNG, 16-bit gray": (encoded(GRAY16), {}),
    "PNG, 16-bit gray, range": (encoded(GRAY16), {"sample_range": (2000, 30_000)}),
    "PNG, 16-bit RGB": (png_of_16_bits(), {}),
    "PNG, RGBA": (encoded(with_alpha(PIXELS)), {}),
    "PNG, palette": (saved(Image.fromarray(PIXELS).quantize(16)), {}),
    "WebP": (encoded(PIXELS, "WEBP"), {}),
    "region": (encoded(PIXELS), {"region_of_interest": (10, 5, 40, 30)}),
    "region, turned": (jpeg_with_orientation(6), {"region_of_interest": (5, 10, 30, 40)}),
    "areas": (encoded(PIXELS), {"areas": [50.0, 100.0]}),
    "compactness": (encoded(PIXELS), {"compactness": 30.0}),
    "no hierarchy": (encoded(PIXELS), {"include_hierarchy": False}),
    "regions": (encoded(PIXELS), {"include_regions": True}),
    "first frame, PNG": (animation("PNG"), {"first_frame_only": True}),
    "first frame, WebP": (animation("WEBP"), {"first_frame_only": True}),
}
NOTICES = {
    "PNG, 16-bit gray": ["GRAY16_SCALED"],
    "PNG, 16-bit gray, range": ["GRAY16_SCALED"],
    "PNG, 16-bit RGB": ["COLOR16_SCALED"],
    "first frame, PNG": ["FIRST_FRAME_ONLY"],
    "first frame, WebP": ["FIRST_FRAME_ONLY"],
}

WRONG: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "animation, PNG": (animation("PNG"), {}, "IMAGE_MULTIPLE_FRAMES"),
    "animation, WebP": (animation("WEBP"), {}, "IMAGE_MULTIPLE_FRAMES"),
    "cut off": (encoded(PIXELS)[:2000], {}, "IMAGE_UNDECODABLE"),
    "no image": (b"P6 1 1 255 abc" + bytes(100), {}, "IMAGE_FORMAT_NOT_ALLOWED"),
    "no GIF": (b"GIF89a" + bytes(100), {}, "IMAGE_UNDECODABLE"),
    "count 0": (encoded(PIXELS), {"counts": [3, 0]}, "COUNT_OUT_OF_RANGE"),
    "count above the pixels": (encoded(PIXELS), {"counts": [5, 3073]}, "COUNT_OUT_OF_RANGE"),
    "compactness": (encoded(PIXELS), {"compactness": 101.0}, "COMPACTNESS_OUT_OF_RANGE"),
    "region outside": (encoded(PIXELS), {"region_of_interest": (60, 0, 5, 5)}, "REGION_OUTSIDE_IMAGE"),
    "sample range": (encoded(GRAY16), {"sample_range": (5, 5)}, "SAMPLE_RANGE_INVALID"),
    "area": (encoded(PIXELS), {"areas": [-1.0]}, "AREA_OUT_OF_RANGE"),
}


def by_server(server: RunningServer, data: bytes, **wanted: Any) -> Segmentation:
    with Client(server.listen) as client:
        return client.segment(data, **wanted)


@pytest.mark.parametrize("name", RIGHT)
def test_a_file_gives_the_servers_answer_byte_for_byte(server: RunningServer, name: str) -> None:
    data, wanted = RIGHT[name]
    wanted = {"counts": [60, 20], **wanted}
    ours, theirs = segment_file(data, **wanted), by_server(server, data, **wanted)
    assert ours.spx == theirs.spx
    assert (ours.width, ours.height, ours.counts) == (theirs.width, theirs.height, theirs.counts)
    assert ours.base_count == theirs.base_count
    assert [notice.code for notice in ours.notices] == NOTICES.get(name, [])
    assert ours.notices == theirs.notices
    if theirs.heights is not None:
        assert ours.heights is not None
        assert np.array_equal(ours.heights, theirs.heights)
    assert (ours.regions is None) == (theirs.regions is None)


@pytest.mark.parametrize("name", WRONG)
def test_an_error_is_the_servers_own(server: RunningServer, name: str) -> None:
    data, wanted, reason = WRONG[name]
    wanted = {"counts": [60, 20], **wanted}
    with pytest.raises(InvalidRequest) as ours:
        segment_file(data, **wanted)
    with pytest.raises(InvalidRequest) as theirs:
        by_server(server, data, **wanted)
    assert ours.value.reason == theirs.value.reason == reason
    assert (ours.value.field, ours.value.message, ours.value.metadata, ours.value.code) == (
        theirs.value.field,
        theirs.value.message,
        theirs.value.metadata,
        theirs.value.code,
    )


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_other_kinds_of_bytes_are_read_too(kind: Any) -> None:
    data = encoded(PIXELS)
    assert segment_file(kind(data), counts=[20]).spx == segment_file(data, counts=[20]).spx
