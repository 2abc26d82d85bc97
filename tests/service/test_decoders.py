"""A decode process gives the same pixels, notices and errors as a decode in this process."""

import functools
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from superpixel_service.config import Settings
from superpixel_service.errors import CallCancelled, InvalidRequest, ServiceError
from superpixel_service.images import decode_process
from superpixel_service.images.decode import decode, open_image
from superpixel_service.images.decode_process import KEPT_BYTES, Answer, Order, Outcome
from superpixel_service.images.pixels import Pixels
from superpixel_service.images.samples16 import Scaling
from superpixel_service.model import EncodedImage, ImageFormat, OpenedImage, Rectangle, SegmentSpec
from superpixel_service.work import decode_processes
from superpixel_service.work.decode_processes import DecodeProcessLost, ForkServer
from superpixel_service.work.decoders import Decoder
from tests.service.images import encoded, png, saved, scene

LIMITS = Settings()
REGION = Rectangle(5, 7, 11, 13)
SHARED = KEPT_BYTES + 8


def opened(data: bytes) -> OpenedImage:
    return open_image(SegmentSpec(EncodedImage(data), target_counts=(1,), first_frame_only=True), LIMITS)


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def noise(height: int, width: int, *channels: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, *channels), np.uint8)


def gray16(height: int, width: int) -> Any:
    return np.random.default_rng(0).integers(100, 60_000, (height, width)).astype(np.uint16)


def animation(width: int, height: int, file_format: str) -> bytes:
    frames = [Image.fromarray(picture(width, height, seed)) for seed in range(2)]
    return saved(frames[0], file_format, save_all=True, append_images=frames[1:])


def picture(width: int, height: int, seed: int = 0) -> Pixels:
    """Scenes side by side, which are quicker to make than a large one."""
    part = scene(min(width, 250), min(height, 250), seed)
    return np.tile(part, (-(-height // 250), -(-width // 250), 1))[:height, :width]


def rgba16(width: int, height: int) -> bytes:
    rows = b"".join(b"\0" + noise(1, 8 * width).tobytes() for _ in range(height))
    return png(width, height, 16, 6, rows)


def files(width: int, height: int) -> dict[str, bytes]:
    """A file of each kind that the decoder treats differently."""
    pixels = picture(width, height)
    kinds: dict[str, Callable[[], bytes]] = {
        "jpeg": lambda: encoded(pixels, "JPEG"),
        "jpeg, progressive": lambda: encoded(
            pixels, "JPEG", progressive=True, subsampling="4:4:4", quality=98
        ),
        "jpeg, turned": lambda: encoded(pixels, "JPEG", exif=exif(6)),
        "jpeg, cmyk": lambda: encoded(pixels, "JPEG", "CMYK", progressive=True, subsampling="4:4:4"),
        "jpeg, gray": lambda: encoded(pixels, "JPEG", "L"),
        "png": lambda: encoded(pixels),
        "png, turned": lambda: encoded(noise(height, width, 4), exif=exif(5)),
        "png, gray": lambda: encoded(noise(height, width)),
        "png, 16-bit gray": lambda: encoded(gray16(height, width)),
        "png, 16-bit": lambda: rgba16(width, height),
        "png, palette": lambda: saved(Image.fromarray(pixels).quantize(9), transparency=3),
        "png, animation": lambda: animation(width, height, "PNG"),
        "webp": lambda: encoded(pixels, "WEBP"),
        "webp, lossless": lambda: encoded(
            noise(height, width, 4), "WEBP", lossless=True, exact=True, method=0
        ),
        "webp, animation": lambda: animation(width, height, "WEBP"),
    }
    return {name: file() for name, file in kinds.items()}


SMALL = functools.cache(lambda: files(37, 41))


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def decoder(fork_server: ForkServer) -> Iterator[Decoder]:
    made = Decoder(fork_server, 60.0)
    yield made
    made.close()


def go_on() -> ServiceError | None:
    return None


def check_same(decoder: Decoder, data: bytes, region: Rectangle | None = None) -> None:
    expected, expected_notices = decode(opened(data), region)
    image = opened(data)
    with decoder.in_use():
        pixels, notices = decoder.decode(image, region, go_on)
        assert pixels.shape == expected.shape
        assert np.array_equal(pixels, expected)
    assert notices == expected_notices
    assert image.source.data == b""


@pytest.mark.parametrize("region", [None, REGION], ids=["whole", "region"])
@pytest.mark.parametrize("name", SMALL())
def test_pixels_and_notices(decoder: Decoder, name: str, region: Rectangle | None) -> None:
    check_same(decoder, SMALL()[name], region)


def test_damaged_files_get_the_same_error(decoder: Decoder) -> None:
    errors = 0
    for data in SMALL().values():
        damaged = data[: len(data) * 2 // 3]
        try:
            decode(opened(damaged), None)
        except InvalidRequest as expected:
            with decoder.in_use(), pytest.raises(InvalidRequest, match=re.escape(expected.text)):
                decoder.decode(opened(damaged), None, go_on)
            errors += 1
        else:
            check_same(decoder, damaged)
    assert errors > 10


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_images_larger_than_the_kept_memory(decoder: Decoder) -> None:
    descriptors = open_descriptors()
    side = int((SHARED / 4) ** 0.5) + 1
    large = encoded(picture(side, side), "JPEG", progressive=True)
    for data in (large, SMALL()["png"], large):
        check_same(decoder, data)
    check_same(decoder, large, REGION)
    assert open_descriptors() <= descriptors


def test_pixels_stay_while_the_decoder_is_in_use(decoder: Decoder) -> None:
    """Idle memory is returned to the system, but not below an image that is being segmented."""
    with decoder.in_use():
        pixels, _ = decoder.decode(opened(SMALL()["png"]), None, go_on)
        expected = pixels.copy()
        decoder.free_memory()
        assert np.array_equal(pixels, expected)
        assert expected.any()
    decoder.free_memory()
    assert not pixels.any()
    check_same(decoder, SMALL()["png"])


def test_freed_bytes_are_an_error_and_not_the_image_before(decoder: Decoder) -> None:
    data = SMALL()["png"]
    check_same(decoder, data)
    image = opened(data)
    image.source.release()
    with decoder.in_use(), pytest.raises(InvalidRequest):
        decoder.decode(image, None, go_on)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(4000, 3000), (16_000, 20), (20, 16_000)])
def test_large_files_of_every_kind_fit_the_bounds(decoder: Decoder, size: tuple[int, int]) -> None:
    for data in files(*size).values():
        check_same(decoder, data)
        check_same(decoder, data, REGION)


def test_a_stopped_decode_raises_the_reason(decoder: Decoder, fork_server: ForkServer) -> None:
    before = fork_server.replaced["stopped"]
    large = encoded(noise(3000, 3000, 3), compress_level=0)  # longer than the first look
    with decoder.in_use(), pytest.raises(CallCancelled):
        decoder.decode(opened(large), None, CallCancelled)
    assert fork_server.replaced["stopped"] == before + 1
    check_same(decoder, SMALL()["png"])


def test_a_fork_server_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    server = ForkServer()
    with pytest.raises(DecodeProcessLost):
        server.fork()
    monkeypatch.undo()
    process = server.fork()  # it is tried again
    assert server.end(process) == 9
    server.close()


@contextmanager
def answering(answer: Answer) -> Iterator[Decoder]:
    """A decoder whose process gives this answer."""
    server = ForkServer()
    decoder = Decoder(server, 60.0)
    decoder._answer = lambda _order, _stop_reason: answer  # type: ignore[method-assign]
    try:
        with decoder.in_use():
            yield decoder
    finally:
        decoder.close()
        server.close()


@pytest.mark.parametrize("shape", [(9, 9), (41, 37, 5), (41, 37, 2), (1 << 31, 1 << 31, 3)])
def test_an_answer_of_another_shape_is_not_believed(shape: tuple[int, ...]) -> None:
    with answering(Answer(Outcome.DECODED, shape=shape)) as decoder, pytest.raises(InvalidRequest):
        decoder.decode(opened(SMALL()["png"]), None, go_on)


def test_no_memory_is_not_the_files_fault() -> None:
    with answering(Answer(Outcome.NO_MEMORY)) as decoder, pytest.raises(MemoryError):
        decoder.decode(opened(SMALL()["png"]), None, go_on)


def test_messages() -> None:
    order = Order(
        ImageFormat.WEBP, 1 << 24, 3, 8, 16, (0, 65535), (1, 2, 3, 4), 1 << 40, 1 << 33, 0.25, 1 << 41
    )
    for each in (order, order._replace(region=None, sample_range=None, format=ImageFormat.JPEG)):
        assert Order.unpack(each.pack()) == each
    for answer in (
        Answer(Outcome.UNDECODABLE),
        Answer(Outcome.DECODED, Scaling(0, 9, True), (3, 1 << 31, 4)),
    ):
        assert Answer.unpack(answer.pack()) == answer


def test_an_idle_process_frees_memory_and_then_waits_for_its_next_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    trims: list[int] = []

    def trim(padding: int) -> None:
        trims.append(padding)
        ours.send(b"order")

    monkeypatch.setattr(decode_process.ctypes, "CDLL", lambda _name: SimpleNamespace(malloc_trim=trim))
    with ours, theirs:
        decode_process._wait_at_most(theirs, 1)
        for _ in range(2):
            assert decode_process._next(theirs) == (b"order", [])
        ours.send(b"soon")
        assert decode_process._next(theirs) == (b"soon", [])
    assert trims == [0, 0]


def test_decode_processes_keep_the_allocator_settings_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")
    found = decode_processes._environment()["GLIBC_TUNABLES"]
    assert found == "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"
    monkeypatch.delenv("GLIBC_TUNABLES")
    assert decode_processes._environment()["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
