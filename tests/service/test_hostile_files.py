"""Harmful files, sent to a real server with little memory."""

import itertools
import struct
from collections.abc import Callable

import grpc
import numpy as np
import pytest

from superpixel_service.images.file_headers import read_header
from superpixel_service.images.header import DamagedHeader
from superpixel_service.model import ImageFormat
from tests.service.harness import MEBIBYTE, PATIENCE_SECONDS, RunningServer, refused, request
from tests.service.images import deflated, encoded, png, png_chunk, scene
from tests.service.test_refusals import check_form

PIXELS = scene(64, 48)
PNG, JPEG = encoded(PIXELS), encoded(PIXELS, "JPEG")
WEBP = encoded(PIXELS, "WEBP", lossless=True)


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    extra = [struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data for kind, data in segments]
    return JPEG[:2] + b"".join(extra) + JPEG[2:]


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    return PNG[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + PNG[33:]


def webp_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """The lossless file in an extended one, with metadata."""
    extended = b"VP8X" + struct.pack("<IB3x", 10, 0x2C) + bytes([63, 0, 0, 47, 0, 0])
    parts = [kind + struct.pack("<I", len(data)) + data + bytes(len(data) & 1) for kind, data in chunks]
    body = b"WEBP" + extended + WEBP[12:] + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(*entries: tuple[int, int, int, int], after: int = 0) -> bytes:
    """EXIF with one directory, of tag, type, count and value; `after` is the next directory's place."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", after)


TURNED = (0x0112, 3, 1, 6)
LOOPED = tiff((0x8769, 4, 1, 8), TURNED, after=8)
FAR = tiff((0x8769, 4, 1, 2**32 - 1), (0x010E, 2, 2**32 - 1, 2**31), TURNED, after=2**32 - 1)
MANY = b"II*\0" + struct.pack("<IH", 8, 65535) + struct.pack("<HHII", 0x0112, 3, 1, 6)
PROFILE_BOMB = b"p\0\0" + deflated(0, 100 * MEBIBYTE)
TEXT_BOMB = deflated(ord("a"), 100 * MEBIBYTE)

SERVED: dict[str, bytes] = {
    # A profile is never looked at, and EXIF only for the orientation.
    "jpeg, exif of 64 kB": jpeg_with((0xE1, b"Exif\0\0" + tiff(TURNED) + bytes(65_000))),
    "jpeg, exif 40 times": jpeg_with(*[(0xE1, b"Exif\0\0" + tiff(TURNED) + bytes(65_000))] * 40),
    "jpeg, exif that leads to itself": jpeg_with((0xE1, b"Exif\0\0" + LOOPED)),
    "jpeg, exif that leads far away": jpeg_with((0xE1, b"Exif\0\0" + FAR)),
    "jpeg, profile of 2.6 MB": jpeg_with(
        *((0xE2, b"ICC_PROFILE\0" + bytes([index, 40]) + bytes(65_000)) for index in range(1, 41))
    ),
    "jpeg, profile's parts misnumbered": jpeg_with((0xE2, b"ICC_PROFILE\0\xff\x02abc")),
    "png, exif of 2.5 MB": png_with((b"eXIf", tiff(TURNED) + bytes(2_500_000))),
    "png, exif that leads to itself": png_with((b"eXIf", LOOPED)),
    "png, profile of 100 MB in 100 kB": png_with((b"iCCP", PROFILE_BOMB)),
    "png, text of 100 MB in 100 kB": png_with((b"zTXt", b"Comment\0\0" + TEXT_BOMB)),
    "png, 20 such texts": png_with(*[(b"zTXt", b"Comment\0\0" + TEXT_BOMB)] * 20),
    "png, international text": png_with((b"iTXt", b"Comment\0\1\0\0\0" + TEXT_BOMB)),
    "png, profile of nothing": png_with((b"iCCP", b"p\0\0nonsense")),
    "webp, exif that leads to itself": webp_with((b"EXIF", LOOPED)),
    "webp, profile of 2.5 MB": webp_with((b"ICCP", bytes(2_500_000))),
    "webp, exif of 2.5 MB": webp_with((b"EXIF", tiff(TURNED) + bytes(2_500_000))),
    # Two files in one: the image is one, and nobody here opens the other.
    "png and zip": PNG + b"PK\x03\x04" + bytes(100) + b"PK\x05\x06" + bytes(18),
    "jpeg and zip": JPEG + b"PK\x03\x04" + bytes(100) + b"PK\x05\x06" + bytes(18),
    "jpeg and page": jpeg_with((0xFE, b"*/=1;/*<script>alert(1)</script>")) + b"<html>",
    "webp and trailing data": WEBP + bytes(1000),
    "png, then another png": PNG + encoded(scene(200, 300)),
}

ANYTHING_BUT_HARM: dict[str, bytes] = {
    # The library may reject these; then the error is ours.
    "jpeg, exif with too many entries": jpeg_with((0xE1, b"Exif\0\0" + MANY)),
    "jpeg, xmp of nonsense": jpeg_with((0xE1, b"http://ns.adobe.com/xap/1.0/\0<x" + b"<" * 60_000)),
    "jpeg, photoshop of nonsense": jpeg_with((0xED, b"Photoshop 3.0\08BIM\x04\x04\0\0\xff\xff\xff\xff")),
    "jpeg, multi-picture of nonsense": jpeg_with((0xE2, b"MPF\0" + LOOPED)),
}

NOT_AN_IMAGE: dict[str, bytes] = {
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>',
    "svg with entities": b'<!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>',
    "html": b"<!DOCTYPE html><html><img src=x onerror=alert(1)></html>",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file",
    "pdf with a jpeg": b"%PDF-1.4\n" + JPEG,
    "a space, then a png": b" " + PNG,
    "zip": b"PK\x03\x04" + bytes(100),
    "wave": b"RIFF" + struct.pack("<I", 40) + b"WAVEfmt " + bytes(40),
    "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
    "jpeg xl": b"\xff\x0a" + bytes(100),
    "icon": b"\0\0\1\0\1\0" + bytes(100),
    "photoshop": b"8BPS\0\1" + bytes(100),
    "shell script": b"#!/bin/sh\nrm -rf /\n",
    "executable": b"\x7fELF" + bytes(100),
    "zeros": bytes(100),
}

HEAD = b"\x89PNG\r\n\x1a\n"


def header(width: int, height: int, *rest: int) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, *(rest or (8, 2, 0, 0, 0))))


UNDECODABLE: dict[str, bytes] = {
    "gif with a jpeg": b"GIF89a" + struct.pack("<HH", 0x2F2A, 1) + JPEG,
    "avif without boxes": b"\0\0\0\x1cftypavif" + bytes(100),
    "tiff without a directory": b"II*\0" + bytes(100),
    "png with no pixels": HEAD + header(64, 48) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b""),
    "png with too few pixels": png(64, 48, 8, 2, bytes(1000)),
    "png of a chunk without end": HEAD + header(64, 48) + struct.pack(">I", 2**32 - 1) + b"IDAT" + bytes(50),
    "png of unknown colours": HEAD + header(64, 48, 8, 5, 0, 0, 0) + PNG[33:],
    "png of 7 bits": HEAD + header(64, 48, 7, 2, 0, 0, 0) + PNG[33:],
    "png with a wrong checksum": PNG[:29] + b"\0\0\0\0" + PNG[33:],
    "png, palette missing": png(64, 48, 8, 3, bytes(65 * 48)),
    "jpeg of 12 bits": JPEG.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
    "jpeg of no pixels": JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9",
    "webp cut off in its pixels": WEBP[: len(WEBP) // 2],
    "webp of another size than it says": webp_with()[:24] + bytes([9, 0, 0, 9, 0, 0]) + webp_with()[30:],
}


@pytest.mark.parametrize("name", SERVED)
def test_harmless_files_are_served(confined: RunningServer, name: str) -> None:
    assert len(SERVED[name]) <= 3_000_000
    before = confined.peak_resident_bytes()
    answer = confined.stub.Segment(request(SERVED[name], 5))
    assert {answer.width, answer.height} == {64, 48}
    assert confined.peak_resident_bytes() - before < 32 * MEBIBYTE


@pytest.mark.parametrize("name", ANYTHING_BUT_HARM)
def test_odd_files_are_served_or_rejected_with_our_own_error(confined: RunningServer, name: str) -> None:
    before = confined.peak_resident_bytes()
    try:
        assert confined.stub.Segment(request(ANYTHING_BUT_HARM[name], 5)).label_map.count == 5
    except grpc.RpcError:
        check_undecodable(confined, ANYTHING_BUT_HARM[name])
    assert confined.peak_resident_bytes() - before < 96 * MEBIBYTE  # of texts the library reads up to 64 MB


@pytest.mark.parametrize("name", NOT_AN_IMAGE)
def test_unknown_formats_are_rejected_by_their_first_bytes(confined: RunningServer, name: str) -> None:
    refusal = refused(lambda: confined.stub.Segment(request(NOT_AN_IMAGE[name], 5)))
    check_form(refusal)
    assert refusal.reason == "IMAGE_FORMAT_NOT_ALLOWED"


@pytest.mark.parametrize("name", UNDECODABLE)
def test_contradictory_files_are_rejected(confined: RunningServer, name: str) -> None:
    check_undecodable(confined, UNDECODABLE[name])


def check_undecodable(server: RunningServer, data: bytes) -> None:
    refusal = refused(lambda: server.stub.Segment(request(data, 1)))
    check_form(refusal)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_UNDECODABLE")


def scan_bomb(scans: int) -> bytes:
    """A valid progressive JPEG that repeats its last scan: 14 bytes per pass over the picture."""
    data = encoded(np.full((2000, 2000, 3), 7, np.uint8), "JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * scans + b"\xff\xd9"


def test_a_jpeg_of_thousands_of_scans_is_rejected_by_its_header(confined: RunningServer) -> None:
    bomb = scan_bomb(100_000)  # 1.4 MB, ten minutes
    refusal = refused(lambda: confined.stub.Segment(request(bomb, 5), timeout=PATIENCE_SECONDS))
    check_form(refusal)
    assert refusal.reason == "IMAGE_UNDECODABLE"


def test_only_scans_of_the_image_itself_count() -> None:
    whole = scan_bomb(0)
    for scans in (0, 5):
        assert read_header(scan_bomb(scans), ImageFormat.JPEG).width == 2000
    for scans in (12, 40):
        with pytest.raises(DamagedHeader):
            read_header(scan_bomb(scans), ImageFormat.JPEG)
    # Other data may look like scans: a video after the photograph, a thumbnail inside it.
    assert read_header(whole + b"\xff\xda\x00\x02" * 1000, ImageFormat.JPEG).width == 2000
    note = b"\xff\xfe" + struct.pack(">H", 4002) + b"\xff\xda\x00\x02" * 1000
    assert read_header(whole[:2] + note + whole[2:], ImageFormat.JPEG).width == 2000
    first = whole.index(b"\xff\xda", whole.index(b"\xff\xda") + 1)
    assert read_header(whole[:first] + note + whole[first:], ImageFormat.JPEG).width == 2000


def test_harmful_files_leave_memory_flat(confined: RunningServer) -> None:
    """A leak grows in every round; an allocator that grows for other reasons does not."""
    files = [*UNDECODABLE.values(), *NOT_AN_IMAGE.values(), *SERVED.values(), *ANYTHING_BUT_HARM.values()]

    def send_all() -> None:
        for data in files:
            ignoring_refusals(lambda data=data: confined.stub.Segment(request(data, 5)))

    send_all()
    sizes = []
    for _ in range(4):
        send_all()
        sizes.append(confined.resident_bytes())
    grown = [after - before for before, after in itertools.pairwise(sizes)]
    assert min(grown) < 6 * MEBIBYTE, grown


def ignoring_refusals(call: Callable[[], object]) -> None:
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017
