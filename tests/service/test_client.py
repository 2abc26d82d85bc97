"""Both clients: what they send, and how they convert answers and rejections."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_kernels.errors import InvalidParameter
from superpixel_service import __version__
from superpixel_service.client import (
    AsyncClient,
    Client,
    InvalidImage,
    InvalidRequest,
    MessageTooLarge,
    wire,
)
from superpixel_service.client.wire import build_request
from tests.service.harness import RunningServer
from tests.service.images import Pixels, encoded, made_from, scene
from tests.service.scripted import (
    Caller,
    Scripted,
    serving,
)

ROOT = Path(__file__).parents[2]
PIXELS = scene(seed=4)
LARGE = scene(40, 30, seed=5)


def in_process(pixels: Pixels, count: int, **params: Any) -> np.ndarray:
    return kernels.segment(pixels, kernels.SegmentParams(**params)).cut(count)


# ---- answers, from the real server -----------------------------------------------------------------------


def written(path: Path) -> Path:
    path.write_bytes(encoded(PIXELS))
    return path


GRAY = PIXELS[:, :, 0].copy()
SEE_THROUGH = np.dstack([PIXELS, GRAY])
WIDE = GRAY.astype(np.uint16) * 257
WIDE.flat[:20], WIDE.flat[-20:] = 0, 65535  # more than a thousandth at each end
NARROWED = (WIDE // 257).astype(np.uint8)
KINDS: dict[str, tuple[Callable[[Path], Any], Pixels]] = {
    "path": (lambda folder: written(folder / "photo.png"), PIXELS),
    "text path": (lambda folder: str(written(folder / "photo.png")), PIXELS),
    "bytes": (lambda _: encoded(PIXELS), PIXELS),
    "bytearray": (lambda _: bytearray(encoded(PIXELS)), PIXELS),
    "memoryview": (lambda _: memoryview(encoded(PIXELS)), PIXELS),
    "open file": (lambda folder: written(folder / "photo.png").open("rb"), PIXELS),
    "file in memory": (lambda _: io.BytesIO(encoded(PIXELS)), PIXELS),
    "Pillow RGB": (lambda _: Image.fromarray(PIXELS), PIXELS),
    "Pillow L": (lambda _: Image.fromarray(GRAY), GRAY),
    "Pillow RGBA": (lambda _: Image.fromarray(SEE_THROUGH), SEE_THROUGH),
    "Pillow file": (lambda folder: Image.open(written(folder / "photo.png")), PIXELS),
    "array": (lambda _: PIXELS, PIXELS),
    "array gray": (lambda _: GRAY, GRAY),
    "array (H, W, 1)": (lambda _: GRAY[:, :, None], GRAY),
    "array RGBA": (lambda _: SEE_THROUGH, SEE_THROUGH),
    "array bool": (lambda _: GRAY > 99, np.uint8(255) * (GRAY > 99)),
    "array bool (H, W, 1)": (lambda _: (GRAY > 99)[:, :, None], np.uint8(255) * (GRAY > 99)),
    "array uint16": (lambda _: WIDE, NARROWED),
    "array uint16 (H, W, 1)": (lambda _: WIDE[:, :, None], NARROWED),
    "array uint16 of the other byte order": (lambda _: WIDE.astype(">u2"), NARROWED),
    "array in other strides": (lambda _: PIXELS[::-1, ::-1], PIXELS[::-1, ::-1]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image(server: RunningServer, caller: Caller, tmp_path: Path, kind: str) -> None:
    make, pixels = KINDS[kind]
    source = make(tmp_path)
    result = caller.segment(server.listen, source, counts=[300, 50])
    if isinstance(source, io.IOBase):
        source.close()
    assert np.array_equal(result.labels, in_process(pixels, 300))


def test_a_segmentation_offers_everything_in_the_response(server: RunningServer, caller: Caller) -> None:
    expected = kernels.segment(PIXELS)
    result = caller.segment(server.listen, PIXELS, counts=(100, 400, 25), request_id="an-id")
    assert (result.width, result.height) == (120, 90)
    assert (result.count, result.counts) == (400, (400, 100, 25))
    assert result.base_count == expected.base_count
    assert (result.backend, result.algorithm_version) == ("cpu", kernels.ALGORITHM_VERSION)
    assert result.request_id == "an-id"
    assert result.notices == ()
    assert result.timings.segment > 0
    provenance = made_from(PIXELS.tobytes(), 120, 90)
    assert result.provenance == result.label_map.provenance == provenance
    assert result.spx == expected.encode(400, include_hierarchy=True, provenance=provenance)
    for count in (400, 137, 25, 1):
        assert np.array_equal(result.labels_at(count), expected.cut(count))
        assert np.array_equal(result.cut(count)[result.labels], expected.cut(count))
    assert result.tree is not None
    assert len(result.tree.into) == 399
    assert result.heights is not None
    assert result.regions is None
    assert repr(result) == f"<Segmentation 120x90, counts 400, 100, 25, {len(result.spx)} bytes>"
    with pytest.raises(InvalidParameter):
        result.labels_at(401)


def test_an_answer_without_the_hierarchy_has_the_levels(server: RunningServer, caller: Caller) -> None:
    result = caller.segment(server.listen, PIXELS, counts=[60, 30], include_hierarchy=False)
    assert result.tree is None
    assert result.heights is None
    assert np.array_equal(result.labels_at(30), in_process(PIXELS, 30))
    with pytest.raises(InvalidParameter):
        result.labels_at(31)


def test_options_reach_the_server(server: RunningServer, caller: Caller) -> None:
    result = caller.segment(
        server.listen,
        PIXELS,
        counts=np.int64(40),
        areas=48.0,
        compactness=30.0,
        region_of_interest=(10, 20, 64, 48),
        priority="bulk",
    )
    part = PIXELS[20:68, 10:74].copy()
    assert result.counts == (64, 40)
    assert np.array_equal(result.labels, in_process(part, 64, compactness=30.0))


def test_orientation_is_that_of_the_file_by_default(server: RunningServer, caller: Caller) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(PIXELS, "PNG", exif=exif)
    assert caller.segment(server.listen, data, counts=9).labels.shape == (120, 90)
    as_stored = caller.segment(server.listen, data, counts=9, apply_exif_orientation=False)
    assert np.array_equal(as_stored.labels, in_process(PIXELS, 9))


def test_16_bit_gray_is_scaled_by_the_server(server: RunningServer, caller: Caller) -> None:
    wide = GRAY.astype(np.uint16) * 4
    wide.flat[:2] = 0, 1020
    results = [
        caller.segment(server.listen, source, counts=80, sample_range=(0, 1020))
        for source in (wide, Image.fromarray(wide))
    ]
    scaled = (wide // 4).astype(np.uint8)
    for result in results:
        assert [notice.code for notice in result.notices] == ["GRAY16_SCALED"]
        assert result.sample_range == (0, 1020)
        assert np.array_equal(result.labels, in_process(scaled, 80))


def test_server_info(server: RunningServer) -> None:
    with Client(server.listen) as client:
        info = client.server_info()
        healthy = client.health()

    async def asynchronous() -> Any:
        async with AsyncClient(server.listen) as client:
            return await client.server_info(), await client.health()

    assert asyncio.run(asynchronous()) == (info, healthy) == (info, True)
    assert info.version == __version__
    assert info.algorithm_version == kernels.ALGORITHM_VERSION
    assert list(info.backends) == ["cpu"]
    assert (info.max_image_bytes, info.max_image_pixels) == (3_000_000, 4_000_000)
    assert (info.max_refinement_pixels, info.max_targets) == (20_000, 32)
    assert (info.compactness_range, info.compactness_default) == ((0.0, 100.0), 10.0)
    assert info.label_encodings[0] == "SPX"
    assert info.image_formats == ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")


def test_a_rejection_names_the_valid_values(server: RunningServer, caller: Caller) -> None:
    with pytest.raises(InvalidRequest) as caught:
        caller.segment(server.listen, PIXELS, counts=[5, 10_801], request_id="find-me")
    error = caught.value
    assert (error.code, error.reason, error.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "COUNT_OUT_OF_RANGE",
        "target_counts[1]",
    )
    assert error.message == "target_counts[1]: must be from 1 to the number of pixels, 10800"
    assert str(error) == f"INVALID_ARGUMENT (COUNT_OUT_OF_RANGE): {error.message}"
    assert error.request_id == "find-me"
    server.wait_for_line("call", request_id="find-me")


def test_metadata_of_a_rejection(server: RunningServer, caller: Caller) -> None:
    with pytest.raises(InvalidRequest) as caught:
        caller.segment(server.listen, bytes(3_000_001), counts=5)
    assert (caught.value.reason, caught.value.metadata) == (
        "IMAGE_TOO_MANY_BYTES",
        {"limit_bytes": "3000000"},
    )


def test_a_message_above_grpcs_own_limit_is_not_retried(server: RunningServer, caller: Caller) -> None:
    with pytest.raises(MessageTooLarge):
        caller.segment(server.listen, bytes(8_000_000), counts=5)


# ---- what is rejected before anything is sent ------------------------------------------------------------


def closed_file() -> io.BytesIO:
    file = io.BytesIO(b"data")
    file.close()
    return file


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("/nowhere/photo.jpg", "cannot read /nowhere/photo.jpg: No such file"),
        (ROOT, "Is a directory"),
        (PIXELS.astype(float), "of float64"),
        (PIXELS[:0], "not empty"),
        (np.dstack([PIXELS, PIXELS]), "(90, 120, 6)"),
        (Image.new("F", (3, 3)), "mode F"),
        (PIXELS.astype(np.uint16), "of uint16"),
        (io.StringIO("text"), "must be open for binary reading; its read() gave str"),
        (closed_file(), "I/O operation on closed file"),
        (42, "is a int"),
    ],
)
def test_objects_that_are_not_images_are_not_sent(caller: Caller, source: Any, text: str) -> None:
    with serving(Scripted()) as server, pytest.raises(InvalidImage) as caught:
        caller.segment(server.address, source, counts=3)
    assert text in str(caught.value)
    assert (caught.value.field, caught.value.request_id, server.calls) == ("image", "", [])


PILLOW_MODES = (
    *("1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "LA", "PA", "RGBX", "RGBa", "La"),
    *("I;16", "I;16L", "I;16B", "I;16N"),
)


@pytest.mark.parametrize("mode", PILLOW_MODES)
def test_pillow_images_of_every_mode_are_sent(mode: str) -> None:
    sent = build_request(Image.new(mode, (3, 2)), counts=2)
    assert sent.encoded_image or (sent.raw_image.width, sent.raw_image.height) == (3, 2)


def test_premultiplied_gray_is_sent_as_straight_alpha() -> None:
    straight = Image.fromarray(np.array([[[200, 255], [100, 51], [0, 0]]], np.uint8), "LA")
    assert build_request(straight.convert("La")).raw_image == build_request(straight).raw_image


@pytest.mark.parametrize(
    ("wanted", "reason", "field"),
    [
        ({"counts": [3, -1]}, "COUNT_OUT_OF_RANGE", "target_counts[1]"),
        ({"counts": 2**32}, "COUNT_OUT_OF_RANGE", "target_counts[0]"),
        ({"counts": 3, "region_of_interest": (0, 0, 5)}, "REGION_OUTSIDE_IMAGE", "region_of_interest"),
        ({"counts": 3, "sample_range": (0, 0, 5)}, "SAMPLE_RANGE_INVALID", "sample_range"),
        ({"counts": 3, "sample_range": (-1, 5)}, "SAMPLE_RANGE_INVALID", "sample_range"),
        ({"counts": 3, "region_of_interest": (0, -1, 5, 5)}, "REGION_OUTSIDE_IMAGE", "region_of_interest"),
        ({"counts": 3, "priority": "urgent"}, "ENUM_VALUE_UNKNOWN", "priority"),
    ],
)
def test_numbers_outside_a_fields_range_are_rejected(
    caller: Caller, wanted: dict[str, Any], reason: str, field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        caller.segment("127.0.0.1:1", PIXELS, **wanted)
    assert (caught.value.reason, caught.value.field) == (reason, field)


def test_fractional_counts_and_unknown_keywords_are_type_errors(caller: Caller) -> None:
    with pytest.raises(TypeError):
        caller.segment("127.0.0.1:1", PIXELS, counts=2.5)
    with pytest.raises(TypeError, match="number_of_superpixels"):
        caller.segment("127.0.0.1:1", PIXELS, number_of_superpixels=2)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf"), 1e12])
def test_timeouts_must_be_finite_and_above_0(caller: Caller, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        caller.segment("127.0.0.1:1", PIXELS, counts=3, timeout=timeout)


def test_numpy_numbers_are_accepted() -> None:
    request = wire.build_request(
        PIXELS,
        counts=np.int64(3),
        areas=np.float32(2.5),
        compactness=np.float32(5),
        region_of_interest=GRAY[0, :4],
    )
    assert (list(request.target_counts), list(request.target_areas)) == ([3], [2.5])
    assert wire.build_request(PIXELS, areas=np.arange(1, 3)).target_areas == [1.0, 2.0]


def test_small_images_go_as_pixels_and_large_ones_as_png(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wire.build_request(LARGE, counts=1).raw_image.data == LARGE.tobytes()
    monkeypatch.setattr(wire, "MAX_RAW_BYTES", LARGE.nbytes - 1)
    gray = LARGE[:, :, 1]
    assert wire.build_request(gray, counts=1).WhichOneof("source") == "raw_image"
    request = wire.build_request(Image.fromarray(LARGE), counts=1)
    assert request.encoded_image.startswith(b"\x89PNG")
    assert wire.image_bytes(request) == len(request.encoded_image)
    monkeypatch.setattr(wire, "MAX_RAW_BYTES", 0)
    for pixels in (LARGE, gray, gray[:, :, None], np.dstack([LARGE, gray])):
        sent = wire.build_request(pixels, counts=1).encoded_image
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(sent))), pixels.squeeze())


@pytest.mark.parametrize("mode", ["1", "P", "PA", "LA", "CMYK", "YCbCr", "HSV"])
def test_other_pillow_modes_are_converted_to_the_nearest_accepted_one(mode: str) -> None:
    picture = Image.fromarray(LARGE).convert("RGB" if mode != "LA" else "L").convert(mode)
    raw = wire.build_request(picture, counts=1).raw_image
    to = {"1": "L", "PA": "RGBA", "LA": "RGBA"}.get(mode, "RGB")
    assert raw.data == picture.convert(to).tobytes()
    assert raw.channels == len(to)
