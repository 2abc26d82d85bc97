"""Small files that state gigabytes of pixels are rejected by their headers, at once and without memory."""

import struct

import grpc
import pytest

from tests.service.harness import MEBIBYTE, RunningServer, refused, request
from tests.service.images import encoded, png_bomb, scene


def jpeg_bomb() -> bytes:
    """A valid JPEG whose header states 65,500 x 65,500."""
    file = bytearray(encoded(scene(), "JPEG"))
    frame = file.index(b"\xff\xc0")
    file[frame + 5 : frame + 9] = struct.pack(">HH", 65_500, 65_500)
    return bytes(file)


def webp_bomb(kind: bytes) -> bytes:
    """A header of each of the three kinds that says 16,383 x 16,383, or 2^24 x 2^24 where it can."""
    if kind == b"VP8X":
        body = bytes(4) + b"\xff\xff\xff" + b"\xff\xff\xff"
    elif kind == b"VP8L":
        body = b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14) + bytes(9)
    else:
        body = b"\x10\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383) + bytes(10)
    chunk = kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def test_a_png_of_60000_x_60000_is_rejected(server: RunningServer) -> None:
    bomb = png_bomb()
    assert len(bomb) < MEBIBYTE
    server.stub.Segment(request(encoded(scene()), 5))
    before = server.peak_resident_bytes()
    cpu_before = server.cpu_seconds()
    for _ in range(20):
        refusal = refused(lambda: server.stub.Segment(request(bomb, 5)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_TOO_MANY_PIXELS")
        assert "60000x60000" in refusal.text
    seconds = (server.cpu_seconds() - cpu_before) / 20
    grown = server.peak_resident_bytes() - before
    assert seconds < 0.1, seconds  # a few milliseconds; decoding it takes ten seconds
    assert grown < 16 * MEBIBYTE, grown  # 3,433 MiB of pixels, or 430 at one bit each


@pytest.mark.parametrize(
    "bomb",
    [jpeg_bomb(), webp_bomb(b"VP8X"), webp_bomb(b"VP8L"), webp_bomb(b"VP8 ")],
    ids=["jpeg", "webp extended", "webp lossless", "webp lossy"],
)
def test_other_formats(server: RunningServer, bomb: bytes) -> None:
    before = server.peak_resident_bytes()
    refusal = refused(lambda: server.stub.Segment(request(bomb, 5)))
    assert refusal.reason == "IMAGE_TOO_MANY_PIXELS"
    assert server.peak_resident_bytes() - before < 16 * MEBIBYTE
