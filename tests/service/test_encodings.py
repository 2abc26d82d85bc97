"""Label maps for programs that do not read SPX: PNG and gzipped rows, with levels and trees as messages."""

import io
import zlib
from collections.abc import Iterator

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service.model import LabelEncoding, accept
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.harness import RunningServer, refused, request, running_server
from tests.service.images import encoded, raw, scene

SPX, PNG, RAW_GZIP = pb.LABEL_ENCODING_SPX, pb.LABEL_ENCODING_PNG, pb.LABEL_ENCODING_RAW_GZIP
PLAIN = pytest.mark.parametrize("encoding", [PNG, RAW_GZIP], ids=["png", "raw gzip"])


@pytest.fixture(scope="module")
def roomy() -> Iterator[RunningServer]:
    """A server with its default limits."""
    with running_server() as running:
        yield running


def read_png(data: bytes) -> npt.NDArray[np.int64]:
    """The labels, read as the contract says; the first chunk gives the kind of PNG."""
    depth, colour = data[24], data[25]
    with Image.open(io.BytesIO(data)) as picture:
        values = np.asarray(picture).astype(np.int64)
    if values.ndim == 2:
        assert (depth, colour) == (16, 0)
        return values
    assert (depth, colour) == (8, 2)
    return values @ np.array([1, 256, 65_536])


def read_raw_gzip(data: bytes, width: int, height: int) -> npt.NDArray[np.int64]:
    member = zlib.decompressobj(zlib.MAX_WBITS + 16)
    rows = member.decompress(data)
    assert member.eof
    assert not member.unused_data  # one member, nothing after it
    assert len(rows) == 4 * width * height
    return np.frombuffer(rows, "<u4").reshape(height, width).astype(np.int64)


def labels_of(response: pb.SegmentResponse) -> npt.NDArray[np.int64]:
    label_map = response.label_map
    if label_map.encoding == SPX:
        return codec.decode(label_map.data).labels.astype(np.int64)
    if label_map.encoding == PNG:
        return read_png(label_map.data)
    assert label_map.encoding == RAW_GZIP
    return read_raw_gzip(label_map.data, response.width, response.height)


def test_server_info_lists_the_encodings_that_the_server_writes(server: RunningServer) -> None:
    info = server.stub.GetServerInfo(pb.GetServerInfoRequest())
    assert list(info.label_encodings) == [SPX, PNG, RAW_GZIP]


@pytest.mark.parametrize("encoding", [pb.LABEL_ENCODING_UNSPECIFIED, SPX])
def test_the_default_is_spx(server: RunningServer, encoding: pb.LabelEncoding.ValueType) -> None:
    response = server.stub.Segment(
        request(raw(scene()), 30, 5, label_encoding=encoding, include_hierarchy=True)
    )
    assert response.label_map.encoding == SPX
    assert not any(level.lut for level in response.levels)
    assert not response.HasField("hierarchy")


@PLAIN
def test_levels_come_by_look_up_tables(server: RunningServer, encoding: pb.LabelEncoding.ValueType) -> None:
    pixels = scene(seed=4)
    response = server.stub.Segment(request(encoded(pixels), 1, 300, 40, 299, label_encoding=encoding))
    hierarchy = kernels.segment(pixels)
    labels = labels_of(response)
    assert (response.label_map.encoding, response.label_map.count) == (encoding, 300)
    assert np.array_equal(labels, hierarchy.cut(300))
    assert [(level.count, level.requested) for level in response.levels] == [
        (count, count) for count in (300, 299, 40, 1)
    ]
    finest, *coarser = response.levels
    assert not finest.lut
    for level in coarser:
        assert np.array_equal(np.array(level.lut)[labels], hierarchy.cut(level.count))
    assert not response.HasField("hierarchy")
    assert not response.HasField("regions")


@PLAIN
def test_the_tree_comes_as_a_message(server: RunningServer, encoding: pb.LabelEncoding.ValueType) -> None:
    pixels = scene(seed=5)
    response = server.stub.Segment(
        request(encoded(pixels), 200, 20, label_encoding=encoding, include_hierarchy=True)
    )
    hierarchy = kernels.segment(pixels)
    labels, tree = labels_of(response), response.hierarchy
    assert len(tree.into) == len(tree.order) == len(tree.heights) == 199
    assert np.array_equal(np.array(tree.heights, np.float32), hierarchy.heights(200))
    for count in (1, 2, 20, 77, 199, 200):
        # The pass that the contract gives.
        lut = [0] * 200
        following = 1
        for label in range(1, 200):
            if tree.order[label - 1] < 200 - count:
                lut[label] = lut[tree.into[label - 1]]
            else:
                lut[label], following = following, following + 1
        assert np.array_equal(np.array(lut)[labels], hierarchy.cut(count))
    assert np.array_equal(np.array(response.levels[1].lut)[labels], hierarchy.cut(20))


@PLAIN
def test_the_whole_base(server: RunningServer, encoding: pb.LabelEncoding.ValueType) -> None:
    pixels = scene(seed=6)
    response = server.stub.Segment(request(encoded(pixels), label_encoding=encoding, include_hierarchy=True))
    hierarchy = kernels.segment(pixels)
    assert np.array_equal(labels_of(response), hierarchy.base_labels)
    assert [(level.count, level.requested, list(level.lut)) for level in response.levels] == [
        (hierarchy.base_count, 0, [])
    ]
    assert len(response.hierarchy.into) == hierarchy.base_count - 1


@PLAIN
def test_counts_above_the_base(server: RunningServer, encoding: pb.LabelEncoding.ValueType) -> None:
    pixels = scene(60, 40)
    response = server.stub.Segment(
        request(encoded(pixels), 2400, 2000, 9, label_encoding=encoding, include_hierarchy=True)
    )
    hierarchy, labels = kernels.segment(pixels), labels_of(response)
    assert np.array_equal(labels, np.arange(2400).reshape(40, 60))
    for level in response.levels[1:]:
        assert np.array_equal(np.array(level.lut)[labels], hierarchy.cut(level.count))
    assert np.array_equal(np.array(response.hierarchy.heights, np.float32), hierarchy.heights(2400))


@PLAIN
def test_one_pixel(server: RunningServer, encoding: pb.LabelEncoding.ValueType) -> None:
    image = raw(np.zeros((1, 1, 3), np.uint8))
    response = server.stub.Segment(
        request(image, 1, label_encoding=encoding, include_hierarchy=True, include_regions=True)
    )
    assert labels_of(response).tolist() == [[0]]
    assert response.HasField("hierarchy")
    assert not response.hierarchy.into
    assert (list(response.regions.area), list(response.regions.adjacent_a)) == ([1], [])


@pytest.mark.parametrize("count", [65_535, 65_536, 65_537, 70_000])
def test_pngs_of_many_labels(roomy: RunningServer, count: int) -> None:
    pixels = scene(270, 260)
    response = roomy.stub.Segment(request(raw(pixels), count, 10, label_encoding=PNG))
    labels = labels_of(response)
    assert response.label_map.data[25] == (0 if count <= 65_536 else 2)  # gray, or RGB
    assert labels.max() == count - 1
    assert np.array_equal(labels, kernels.segment(pixels).cut(count))
    assert np.array_equal(np.array(response.levels[1].lut)[labels], kernels.segment(pixels).cut(10))


def test_rgb_carries_three_bytes_of_a_label() -> None:
    from superpixel_service.images.label_files import to_png

    labels = np.array([[0, 255, 256], [65_536, 70_000, 2**24 - 1]], np.int32)
    assert np.array_equal(read_png(to_png(labels, 2**24)), labels)


def test_more_labels_than_a_png_can_hold_are_rejected(roomy: RunningServer) -> None:
    image = encoded(np.zeros((4097, 4097), np.uint8))
    refusal = refused(lambda: roomy.stub.Segment(request(image, 2**24 + 1, label_encoding=PNG)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "COUNT_ABOVE_ENCODING")
    assert list(refusal.fields) == ["label_encoding"]
    assert refusal.metadata == {"limit_count": str(2**24)}


def test_other_encodings_hold_as_many_labels_as_there_are_pixels() -> None:
    from dataclasses import replace

    from superpixel_service.config import Settings
    from superpixel_service.images.decode import open_image
    from superpixel_service.model import EncodedImage
    from tests.service.decoding import SPEC

    image = EncodedImage(encoded(np.zeros((4097, 4097), np.uint8)))
    for encoding, count in ((LabelEncoding.RAW_GZIP, 2**24 + 1), (LabelEncoding.PNG, 2**24)):
        order = replace(SPEC, source=image, encoding=encoding, target_counts=(count,))
        assert accept(order, open_image(order, Settings())).counts == (count,)


@PLAIN
def test_the_same_request_gives_the_same_bytes(
    server: RunningServer, encoding: pb.LabelEncoding.ValueType
) -> None:
    answers = [
        server.stub.Segment(request(raw(scene()), 100, label_encoding=encoding)).label_map.data
        for _ in range(2)
    ]
    assert answers[0] == answers[1]


def test_response_bytes_are_counted_by_encoding(server: RunningServer) -> None:
    def counted(name: str) -> tuple[float, float]:
        return tuple(  # type: ignore[return-value]
            server.metric(f"superpixel_response_bytes_{part}", encoding=name) for part in ("count", "sum")
        )

    for name, encoding in (("spx", SPX), ("png", PNG), ("raw_gzip", RAW_GZIP)):
        count, size = counted(name)
        response = server.stub.Segment(request(raw(scene()), 10, label_encoding=encoding))
        assert counted(name) == (count + 1, size + len(response.label_map.data))


@pytest.mark.parametrize("encoding", [SPX, PNG, RAW_GZIP])
def test_timings_come_with_every_encoding(
    server: RunningServer, encoding: pb.LabelEncoding.ValueType
) -> None:
    response, call = server.stub.Segment.with_call(request(raw(scene()), 10, label_encoding=encoding))
    timings = response.timings
    assert timings.segment_microseconds > 0
    assert timings.encode_microseconds > 0
    trailer = dict(call.trailing_metadata())["x-superpixel-timings"]
    sent = dict(part.split(";dur=") for part in trailer.split(", "))
    assert float(sent["encode"]) == pytest.approx(timings.encode_microseconds / 1e3, abs=1e-3)
