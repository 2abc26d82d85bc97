"""Measures of regions, in the container and as a message."""

import numpy as np
import pytest

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.harness import RunningServer, request
from tests.service.images import encoded, raw, scene

PLAIN = pytest.mark.parametrize("encoding", [pb.LABEL_ENCODING_PNG, pb.LABEL_ENCODING_RAW_GZIP])
RGBA = np.random.default_rng(3).integers(0, 256, (31, 43, 4), dtype=np.uint8)


def assert_message(regions: pb.Regions, expected: codec.Regions) -> None:
    assert list(regions.area) == expected.area.tolist()
    box = [list(corner) for corner in zip(regions.x0, regions.y0, regions.x1, regions.y1, strict=True)]
    assert box == expected.box.tolist()
    centroid = [list(point) for point in zip(regions.centroid_x, regions.centroid_y, strict=True)]
    assert centroid == expected.centroid.tolist()
    assert regions.mean_rgb == expected.mean_color.tobytes()
    offsets, neighbors = expected.neighbor_offsets.tolist(), expected.neighbors.tolist()
    pairs = [(a, b) for a in range(len(offsets) - 1) for b in neighbors[offsets[a] : offsets[a + 1]]]
    assert list(zip(regions.adjacent_a, regions.adjacent_b, strict=True)) == pairs


def assert_container(data: bytes, expected: codec.Regions) -> None:
    regions = codec.decode(data).regions
    assert regions is not None
    for field in ("area", "box", "centroid", "mean_color", "neighbor_offsets", "neighbors"):
        assert np.array_equal(getattr(regions, field), getattr(expected, field)), field


IMAGES = {"rgb": scene(), "gray": scene()[..., 0], "alpha": RGBA}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("hierarchy", [False, True])
def test_regions_in_the_container(server: RunningServer, name: str, hierarchy: bool) -> None:
    pixels = IMAGES[name]
    response = server.stub.Segment(
        request(encoded(pixels), 90, 12, include_regions=True, include_hierarchy=hierarchy)
    )
    assert_container(response.label_map.data, kernels.segment(pixels).regions(90))
    assert not response.HasField("regions")
    assert (codec.decode(response.label_map.data).tree is not None) is hierarchy


@PLAIN
@pytest.mark.parametrize("name", IMAGES)
def test_regions_as_a_message(server: RunningServer, name: str, encoding: pb.LabelEncoding.ValueType) -> None:
    pixels = IMAGES[name]
    response = server.stub.Segment(
        request(encoded(pixels), 90, 12, include_regions=True, label_encoding=encoding)
    )
    assert_message(response.regions, kernels.segment(pixels).regions(90))
    assert not response.HasField("hierarchy")


def test_regions_are_included_only_on_request(server: RunningServer) -> None:
    response = server.stub.Segment(request(raw(scene()), 9))
    assert codec.decode(response.label_map.data).regions is None


@PLAIN
def test_relative_to_the_region_of_interest(
    server: RunningServer, encoding: pb.LabelEncoding.ValueType
) -> None:
    pixels = scene(seed=8)
    part = pb.Rectangle(x=30, y=20, width=70, height=50)
    expected = kernels.segment(pixels[20:70, 30:100]).regions(25)
    fields = {"include_regions": True, "region_of_interest": part}
    assert_message(
        server.stub.Segment(request(raw(pixels), 25, label_encoding=encoding, **fields)).regions, expected
    )
    assert_container(server.stub.Segment(request(raw(pixels), 25, **fields)).label_map.data, expected)


def test_regions_of_the_whole_base_and_of_counts_above_it(server: RunningServer) -> None:
    pixels = scene(60, 40)
    hierarchy = kernels.segment(pixels)
    base = server.stub.Segment(request(raw(pixels), include_hierarchy=True, include_regions=True))
    assert_container(base.label_map.data, hierarchy.regions(hierarchy.base_count))
    every_pixel = server.stub.Segment(request(raw(pixels), 2400, include_regions=True))
    assert_container(every_pixel.label_map.data, hierarchy.regions(2400))
