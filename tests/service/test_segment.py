"""Answers equal the engine's results for the same pixels in this process."""

import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service import __version__
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.harness import RunningServer, request
from tests.service.images import Pixels, encoded, raw, scene


def in_process(pixels: Pixels, **params: Any) -> kernels.Hierarchy:
    return kernels.segment(pixels, kernels.SegmentParams(**params))


def levels_of(response: pb.SegmentResponse) -> list[tuple[int, int]]:
    return [(level.count, level.requested) for level in response.levels]


def test_levels_are_the_engines_own(server: RunningServer) -> None:
    pixels = scene()
    response = server.stub.Segment(request(encoded(pixels), 100, 400, 25, 100))
    assert levels_of(response) == [(400, 400), (100, 100), (25, 25)]
    assert (response.width, response.height) == (120, 90)
    assert (response.label_map.encoding, response.label_map.count) == (pb.LABEL_ENCODING_SPX, 400)
    expected = in_process(pixels)
    assert response.base_count == expected.base_count
    label_map = codec.decode(response.label_map.data)
    assert label_map.tree is None
    assert np.array_equal(label_map.labels, expected.cut(400))
    for count in (100, 25):
        assert np.array_equal(label_map.labels_at(count), expected.cut(count))
    assert (response.backend, response.algorithm_version) == ("cpu", kernels.ALGORITHM_VERSION)
    assert not response.notices


def test_every_count_can_be_cut_from_the_tree(server: RunningServer) -> None:
    pixels = scene(seed=1)
    response = server.stub.Segment(request(encoded(pixels), 300, 50, include_hierarchy=True))
    assert levels_of(response) == [(300, 300), (50, 50)]
    label_map, expected = codec.decode(response.label_map.data), in_process(pixels)
    assert label_map.heights is not None
    for count in (1, 2, 50, 137, 300):
        assert np.array_equal(label_map.labels_at(count), expected.cut(count))


def test_a_request_for_the_tree_alone_gives_the_whole_base(server: RunningServer) -> None:
    pixels = scene(seed=2)
    response = server.stub.Segment(request(encoded(pixels), include_hierarchy=True))
    expected = in_process(pixels)
    assert levels_of(response) == [(expected.base_count, 0)]
    assert np.array_equal(codec.decode(response.label_map.data).labels, expected.cut(expected.base_count))


def test_areas_become_counts_and_duplicates_are_merged(server: RunningServer) -> None:
    pixels = scene()  # 10,800 pixels
    response = server.stub.Segment(request(encoded(pixels), 108, 7, target_areas=[100.0, 43.2, 1e9, 27.1]))
    # 10800/100 = 108, folded; 10800/43.2 = 250; 1e9: at least 1; 10800/27.1 = 398.5 -> 399
    assert [level.count for level in response.levels] == [399, 250, 108, 7, 1]
    assert np.array_equal(codec.decode(response.label_map.data).labels, in_process(pixels).cut(399))


def test_an_area_of_one_half_up_rounds_up(server: RunningServer) -> None:
    response = server.stub.Segment(request(raw(scene(5, 1)), target_areas=[2.0]))
    assert [level.count for level in response.levels] == [3]  # 5/2 = 2.5


def test_counts_above_the_base_are_exact_on_small_images(server: RunningServer) -> None:
    pixels = scene(60, 40)
    expected = in_process(pixels)
    response = server.stub.Segment(request(encoded(pixels), 2000, 2400, 10))
    assert expected.base_count < 2000
    label_map = codec.decode(response.label_map.data)
    assert np.array_equal(label_map.labels, expected.cut(2400))
    assert np.array_equal(label_map.labels_at(2000), expected.cut(2000))


def test_the_image_is_first_cropped_to_the_region_of_interest(server: RunningServer) -> None:
    pixels = scene()
    region = pb.Rectangle(x=30, y=20, width=70, height=50)
    response = server.stub.Segment(request(encoded(pixels), 60, region_of_interest=region))
    expected = in_process(pixels[20:70, 30:100])
    assert (response.width, response.height, response.base_count) == (70, 50, expected.base_count)
    assert np.array_equal(codec.decode(response.label_map.data).labels, expected.cut(60))


def test_region_of_interest_is_in_oriented_coordinates(server: RunningServer) -> None:
    pixels = scene()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: to be turned by 90 degrees clockwise
    file = encoded(pixels, exif=exif.tobytes())
    upright = np.ascontiguousarray(np.rot90(pixels, -1))
    region = pb.Rectangle(x=10, y=40, width=80, height=80)
    response = server.stub.Segment(request(file, 60, region_of_interest=region))
    assert np.array_equal(codec.decode(response.label_map.data).labels, in_process(upright[40:, 10:]).cut(60))
    as_stored = server.stub.Segment(request(file, 60, apply_exif_orientation=False))
    assert np.array_equal(codec.decode(as_stored.label_map.data).labels, in_process(pixels).cut(60))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_raw_pixels(server: RunningServer, channels: int) -> None:
    random = np.random.default_rng(channels)
    pixels = random.integers(0, 256, (33, 47, channels), dtype=np.uint8)
    response = server.stub.Segment(request(raw(pixels), 40))
    assert np.array_equal(codec.decode(response.label_map.data).labels, in_process(pixels).cut(40))


def test_raw_pixels_with_a_region(server: RunningServer) -> None:
    pixels = scene()
    region = pb.Rectangle(x=100, y=0, width=20, height=90)
    response = server.stub.Segment(request(raw(pixels), 9, region_of_interest=region))
    assert np.array_equal(codec.decode(response.label_map.data).labels, in_process(pixels[:, 100:]).cut(9))


@pytest.mark.parametrize("compactness", [0.0, 12.34, 100.0])
def test_compactness_reaches_the_engine_exactly(server: RunningServer, compactness: float) -> None:
    pixels = scene()
    response = server.stub.Segment(request(encoded(pixels), 80, compactness=compactness))
    expected = in_process(pixels, compactness=compactness).cut(80)
    assert np.array_equal(codec.decode(response.label_map.data).labels, expected)


def test_separate_requests_conform(server: RunningServer) -> None:
    file = encoded(scene(seed=3))
    fine, coarse = (
        codec.decode(server.stub.Segment(request(file, count)).label_map.data).labels for count in (173, 31)
    )
    pairs = np.unique(np.stack([fine.ravel(), coarse.ravel()]), axis=1)
    assert pairs.shape[1] == 173  # each fine label lies in one coarse label


@pytest.mark.parametrize("priority", list(pb.Priority.values()))
def test_priority_changes_nothing_in_the_answer(server: RunningServer, priority: int) -> None:
    response = server.stub.Segment(request(encoded(scene()), 20, priority=priority))
    assert np.array_equal(codec.decode(response.label_map.data).labels, in_process(scene()).cut(20))


def test_one_pixel(server: RunningServer) -> None:
    response = server.stub.Segment(request(raw(np.zeros((1, 1, 3), np.uint8)), 1, include_hierarchy=True))
    assert (response.width, response.height, response.base_count, response.label_map.count) == (1, 1, 1, 1)


def test_timings_come_in_the_answer_and_in_a_trailer(server: RunningServer) -> None:
    response, call = server.stub.Segment.with_call(request(encoded(scene()), 50))
    trailers = dict(call.trailing_metadata())
    shown = dict(re.findall(r"(\w+);dur=(\d+\.\d{3})", str(trailers["x-superpixel-timings"])))
    for stage in ("queue", "decode", "segment", "encode"):
        microseconds = getattr(response.timings, f"{stage}_microseconds")
        assert microseconds > 0
        assert abs(float(shown[stage]) * 1000 - microseconds) <= 1


def test_notices_say_how_the_image_was_read(server: RunningServer) -> None:
    values = (np.arange(40 * 30, dtype=np.uint16) * 7 + 300).reshape(30, 40)
    response = server.stub.Segment(request(encoded(values), 12))
    assert [notice.code for notice in response.notices] == [pb.NOTICE_CODE_GRAY16_SCALED]
    low, high = 300 + 7, 300 + 7 * 1198  # without one of the 1200 samples at each end
    assert f"{low} became 0, and {high} became 255" in response.notices[0].message
    assert (response.sample_range.low, response.sample_range.high) == (low, high)
    scaled = ((values.clip(low, high).astype(int) - low) * 255 + (high - low) // 2) // (high - low)
    assert np.array_equal(
        codec.decode(response.label_map.data).labels, in_process(scaled.astype(np.uint8)).cut(12)
    )


def test_server_info_is_enough_to_configure_a_client(server: RunningServer) -> None:
    info = server.stub.GetServerInfo(pb.GetServerInfoRequest())
    assert info.version == __version__
    assert info.algorithm_version == kernels.ALGORITHM_VERSION
    assert [backend.name for backend in info.backends] == ["cpu"]
    assert "thread" in info.backends[0].device
    limits, defaults = info.limits, info.defaults
    assert (limits.max_image_bytes, limits.max_image_pixels) == (3_000_000, 4_000_000)
    assert (limits.max_refinement_pixels, limits.max_targets) == (20_000, 32)
    assert (limits.min_compactness, limits.max_compactness) == (0, kernels.MAX_COMPACTNESS)
    assert defaults.compactness == kernels.DEFAULT_COMPACTNESS
    assert defaults.label_encoding == pb.LABEL_ENCODING_SPX
    assert (defaults.segment_priority, defaults.segment_stream_priority) == (
        pb.PRIORITY_INTERACTIVE,
        pb.PRIORITY_BULK,
    )
    assert defaults.apply_exif_orientation
    assert list(info.label_encodings) == [
        pb.LABEL_ENCODING_SPX,
        pb.LABEL_ENCODING_PNG,
        pb.LABEL_ENCODING_RAW_GZIP,
    ]
    names = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
    assert [pb.ImageFormat.Name(each) for each in info.image_formats] == [
        f"IMAGE_FORMAT_{name}" for name in names
    ]
