"""Files made to be expensive to decode: rejected by their structure, or about as cheap as normal files
of the same size in pixels. Decode processes have bounds of their own (`test_decode_processes`)."""

import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from superpixel_service.config import Settings
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.images.decode import decode, open_image
from superpixel_service.images.file_headers import read_header
from superpixel_service.images.header import MAX_BLOCKS, DamagedHeader
from superpixel_service.images.jpeg_segments import (
    MAX_ARITHMETIC_SCANS,
    MAX_PASSES,
    MAX_PROGRESSIVE_SCANS,
    MAX_SEQUENTIAL_SCANS,
)
from superpixel_service.model import EncodedImage, ImageFormat, SegmentSpec
from tests.service.harness import PATIENCE_SECONDS, RunningServer, refused, request
from tests.service.images import encoded, png_chunk, saved, scene

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "coffee.jpg"
WIDTH, HEIGHT = 1000, 800
SEQUENTIAL, PROGRESSIVE, ARITHMETIC, ARITHMETIC_PROGRESSIVE = 0xC1, 0xC2, 0xC9, 0xCA
PNG = encoded(scene(64, 48))
HEAD, PIXELS, END = PNG[:33], PNG[33:-12], PNG[-12:]
WEBP = encoded(scene(64, 48), "WEBP", lossless=True)
Parameters = tuple[int, int, int]


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def scan(component: int, parameters: Parameters) -> bytes:
    return segment(0xDA, bytes([1, component, 0, *parameters]))


def empty_scans(
    scans: int,
    frame: int = SEQUENTIAL,
    parameters: Parameters = (0, 63, 0),
    components: int = 3,
    between: bytes = b"",
) -> bytes:
    """A JPEG of scans of one component each, without any data."""
    header = struct.pack(">BHHB", 8, HEIGHT, WIDTH, components)
    header += b"".join(bytes([index + 1, 0x11, 0]) for index in range(components))
    tables = [segment(0xC4, bytes([kind, 1]) + bytes(15) + b"\0") for kind in (0x00, 0x10)]
    parts = [b"\xff\xd8", segment(0xDB, b"\0" + b"\1" * 64), segment(frame, header), *tables]
    parts += [scan(index % components + 1, parameters) + between for index in range(scans)]
    return b"".join(parts) + b"\xff\xd9"


def read(data: bytes) -> None:
    spec = SegmentSpec(EncodedImage(data), target_counts=(1,))
    decode(open_image(spec, Settings()), None)


def opens(data: bytes) -> bool:
    try:
        open_image(SegmentSpec(EncodedImage(data), target_counts=(1,)), Settings())
    except InvalidRequest as error:
        assert error.reason is Reason.IMAGE_UNDECODABLE  # noqa: PT017
        return False
    return True


# What the bounds count


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("frame", [SEQUENTIAL, ARITHMETIC])
def test_scans_of_a_sequential_jpeg(frame: int, components: int) -> None:
    assert opens(empty_scans(MAX_SEQUENTIAL_SCANS, frame, components=components))
    assert not opens(empty_scans(MAX_SEQUENTIAL_SCANS + 1, frame, components=components))


@pytest.mark.parametrize(
    ("frame", "most"),
    [(PROGRESSIVE, MAX_PROGRESSIVE_SCANS), (ARITHMETIC_PROGRESSIVE, MAX_ARITHMETIC_SCANS)],
)
def test_scans_of_a_progressive_jpeg(frame: int, most: int) -> None:
    assert opens(empty_scans(most, frame, (0, 0, 0)))
    assert not opens(empty_scans(most + 1, frame, (0, 0, 0)))


def test_passes_over_the_coefficients() -> None:
    assert opens(empty_scans(3 * MAX_PASSES, PROGRESSIVE, (1, 63, 0)))
    assert not opens(empty_scans(3 * MAX_PASSES + 1, PROGRESSIVE, (1, 63, 0)))


@pytest.mark.parametrize(
    "between",
    [
        b"\xff\x02\xff\xff",  # an unknown marker, so the following bytes are not its content
        b"\xff\x01\xff\xff",
        b"\xff\xff\xff",
        b"\xff\xd0" * 3,
        b"\xff\0" * 40_000,
        b"x" * 65_533 + b"\xff",
        b"x" * 65_535,
        bytes(1_500_001),
    ],
    ids=[
        "unknown marker",
        "bare marker",
        "fill bytes",
        "restarts",
        "stuffed bytes",
        "far",
        "farther",
        "1 MB",
    ],
)
def test_hidden_scans_are_counted(between: bytes) -> None:
    assert not opens(empty_scans(MAX_SEQUENTIAL_SCANS + 1, between=between))
    assert opens(empty_scans(MAX_SEQUENTIAL_SCANS, between=between))


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["sequential", "progressive"])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_encoders_stay_within_the_bounds(mode: str, options: dict[str, bool]) -> None:
    read(encoded(scene(64, 48), "JPEG", mode, **options))


def test_chunks_of_the_whole_png() -> None:
    few = MAX_BLOCKS - 10
    for chunk in (png_chunk(b"prVt", b""), png_chunk(b"IDAT", b"")):
        read(HEAD + PIXELS + chunk * few + END)
        assert not opens(HEAD + PIXELS + chunk * MAX_BLOCKS + END)
        assert not opens(HEAD + chunk * MAX_BLOCKS + PIXELS + END)


def test_chunks_of_the_whole_webp() -> None:
    junk = b"JUNK" + bytes(4)
    read(WEBP + junk * (MAX_BLOCKS - 10))
    assert not opens(WEBP + junk * MAX_BLOCKS)


def test_png_data_far_beyond_the_pixels() -> None:
    """Empty deflate blocks cost ten times as much time per byte as a normal file."""
    rows = zlib.decompress(PIXELS[8:-4])
    empty_blocks = b"\0\0\0\xff\xff" * 200_000
    deflated = zlib.compress(rows, 0)
    data = deflated[:2] + empty_blocks + deflated[2:]
    assert zlib.decompress(data) == rows
    with pytest.raises(InvalidRequest) as caught:
        read(HEAD + png_chunk(b"IDAT", data) + END)
    assert caught.value.reason is Reason.IMAGE_UNDECODABLE
    read(HEAD + png_chunk(b"IDAT", deflated) + END)


def test_webp_data_far_beyond_the_pixels() -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (300, 400, 4), np.uint8)
    noise = encoded(rgba, "WEBP", lossless=True, exact=True)
    read(noise)
    frames = [Image.fromarray(rgba), Image.fromarray(rgba[::-1])]
    animation = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True, exact=True)
    assert read_header(animation, ImageFormat.WEBP).frames == 2
    for file, kind in ((noise, b"VP8L"), (animation, b"ANMF")):
        start = file.index(kind)
        (length,) = struct.unpack_from("<I", file, start + 4)
        padding = bytes(rgba.nbytes // 16 + (1 << 16))
        longer = struct.pack("<I", length + len(padding))
        content = file[start + 8 : start + 8 + length]
        with pytest.raises(DamagedHeader):
            read_header(
                file[: start + 4] + longer + content + padding + file[start + 8 + length :], ImageFormat.WEBP
            )


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(("width", "height"), [(1, 60_000), (60_000, 1), (300, 300)])
def test_png_rows_may_be_stored_in_blocks_of_their_own(width: int, height: int, interlaced: int) -> None:
    starts = (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    passes = [pixels[y::dy, x::dx] for x, y, dx, dy in starts] if interlaced else [pixels]
    rows = [b"\0" + row.tobytes() for part in passes if part.size for row in part]
    blocks = [struct.pack("<BHH", 0, len(row), len(row) ^ 0xFFFF) + row for row in rows]
    checksum = struct.pack(">I", zlib.adler32(b"".join(rows)))
    data = b"\x78\1" + b"".join(blocks) + b"\1\0\0\xff\xff" + checksum
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlaced))
    file = HEAD[:8] + header + png_chunk(b"IDAT", data) + END
    opened = open_image(SegmentSpec(EncodedImage(file), target_counts=(1,)), Settings())
    assert np.array_equal(decode(opened, None)[0], pixels)


# What they leave


def cpu_seconds(call: Callable[[], None]) -> float:
    """The shortest time of three, in seconds of this thread."""
    times = []
    for _ in range(3):
        started = time.thread_time()
        try:
            call()
        except InvalidRequest as error:
            assert error.reason is Reason.IMAGE_UNDECODABLE  # noqa: PT017
        times.append(time.thread_time() - started)
    return min(times)


def photo(**options: Any) -> bytes:
    with Image.open(PHOTO) as picture:
        pixels = np.asarray(picture.convert("RGB").resize((WIDTH, HEIGHT)))
    return encoded(pixels, "JPEG", quality=95, subsampling="4:4:4", **options)


def refined(data: bytes) -> bytes:
    """A progressive JPEG whose last scan, with its data, comes again until the bound is reached."""
    last = data[data.rindex(b"\xff\xda") : -2]
    scans = 0
    while opens(data[:-2] + last * (scans + 1) + b"\xff\xd9"):
        scans += 1
    assert scans >= 1
    return data[:-2] + last * scans + b"\xff\xd9"


WORST: dict[str, Callable[[], bytes]] = {
    "sequential": lambda: empty_scans(MAX_SEQUENTIAL_SCANS),
    "sequential, arithmetic": lambda: empty_scans(MAX_SEQUENTIAL_SCANS, ARITHMETIC),
    "progressive, first": lambda: empty_scans(MAX_PROGRESSIVE_SCANS, PROGRESSIVE, (0, 0, 0)),
    "progressive, refined": lambda: empty_scans(MAX_PROGRESSIVE_SCANS, PROGRESSIVE, (0, 0, 0x10)),
    "progressive, all": lambda: empty_scans(3 * MAX_PASSES, PROGRESSIVE, (1, 63, 0x10)),
    "arithmetic, refined": lambda: empty_scans(3 * MAX_PASSES, ARITHMETIC_PROGRESSIVE, (1, 63, 0x10)),
    "photograph, refined": lambda: refined(photo(progressive=True)),
}


@pytest.mark.parametrize("name", WORST)
def test_the_worst_jpegs_cost_a_few_times_a_photograph(name: str) -> None:
    """4.2 times at most, measured alone; 6 leaves room for a busy machine."""
    data, honest = WORST[name](), photo(progressive=True)
    assert opens(data)
    ratio = cpu_seconds(lambda: read(data)) / cpu_seconds(lambda: read(honest))
    print(f"{name}: {ratio:.1f} times")
    assert ratio < 6


def empty_blocks(count: int) -> bytes:
    """Deflate blocks without content, each with a code of its own: 92 bits, and the time of a kilobyte."""
    fields = [(0, 1), (2, 2), (0, 5), (0, 5), (14, 4)]  # dynamic; 257 lengths, 1 distance, 18 code lengths
    fields += [({2: 1, 3: 2, 17: 2}.get(index, 0), 3) for index in range(18)]
    fields += [(0, 1), (127, 7), (0, 1), (107, 7)]  # 138 and 118 zeros
    fields += [(3, 2), (3, 2), (0, 1)]  # only the end of the block has a code; and here it is
    bits = "".join(format(value, f"0{width}b")[::-1] for value, width in fields)
    assert len(bits) == 92
    return int((bits * 2)[::-1], 2).to_bytes(23, "little") * (count // 2)


def test_the_worst_png_costs_a_few_times_a_photograph() -> None:
    """8 times at most, measured alone: 220 ms per megapixel."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    whole = zlib.compress(rows)
    room = len(rows) + len(rows) // 64 + 16 * HEIGHT + (1 << 16) - len(whole)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0))

    def file(blocks: int) -> bytes:
        data = png_chunk(b"IDAT", whole[:2] + empty_blocks(blocks) + whole[2:])
        return HEAD[:8] + header + data + END

    blocks = room // 23 * 2
    data = file(blocks)
    with Image.open(PHOTO) as picture:
        honest = encoded(np.asarray(picture.convert("RGB").resize((WIDTH, HEIGHT))))
    read(data)
    with pytest.raises(InvalidRequest):
        read(file(blocks + 2))
    ratio = cpu_seconds(lambda: read(data)) / cpu_seconds(lambda: read(honest))
    print(f"{ratio:.1f} times")
    assert ratio < 14


BOMBS: dict[str, Callable[[], bytes]] = {
    "8,000 sequential scans": lambda: empty_scans(8_000),
    "8,000 scans of one component": lambda: empty_scans(8_000, components=1),
    "200,000 chunks behind the pixels": lambda: HEAD + PIXELS + png_chunk(b"prVt", b"") * 200_000 + END,
    "200,000 chunks of pixels": lambda: HEAD + png_chunk(b"IDAT", b"") * 200_000 + PIXELS + END,
    "200,000 chunks of WebP": lambda: WEBP + (b"JUNK" + bytes(4)) * 200_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_server_rejects_them_at_once_without_retry(server: RunningServer, name: str) -> None:
    data = BOMBS[name]()
    before = server.cpu_seconds(children=True)
    refusal = refused(lambda: server.stub.Segment(request(data, 5), timeout=PATIENCE_SECONDS))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_UNDECODABLE")
    assert server.cpu_seconds(children=True) - before < 2  # 0.02; seconds to minutes without the bounds
