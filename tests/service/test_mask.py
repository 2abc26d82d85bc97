"""A mask in requests: each encoding, through each way, gives what the engine gives; and what is rejected."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_kernels import OUTSIDE, codec
from superpixel_service import segment_file
from superpixel_service.client import Guidance, InvalidRequest, NotServed, SegmentError
from superpixel_service.client.mask import build_mask
from superpixel_service.config import Settings
from superpixel_service.guidance import PngMap, RawMap
from superpixel_service.images.label_files import to_png
from superpixel_service.images.opening import open_task
from superpixel_service.model import MAX_PNG_LABELS, LabelEncoding, check_encoding
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.transport.convert import read_segment_request
from superpixel_service.transport.convert_guidance import read_mask
from superpixel_service.work.segmenter import Segmenter
from tests.service.guidance_maps import EDGES, HEIGHT, PIXELS, PRIOR, WIDTH, interlaced, raw_map, small_png
from tests.service.harness import RunningServer, refused, request, running_server
from tests.service.images import encoded, png, png_bomb, raw, scene
from tests.service.scripted import Caller, Scripted, serving
from tests.service.test_refusals import check_form

MASK = np.zeros((HEIGHT, WIDTH), np.bool_)
MASK[5:60, 10:50] = MASK[30:88, 70:119] = True
INSIDE = int(np.count_nonzero(MASK))
GRAY = np.where(MASK, np.uint8(3), np.uint8(0))
BITS = np.packbits(MASK, axis=1).tobytes()


def bits(width: int = WIDTH, height: int = HEIGHT, data: bytes = BITS, depth: int = 1) -> pb.RawMap:
    return pb.RawMap(width=width, height=height, bits=depth, data=data)


SENT = {
    "1 bit": pb.Mask(raw=bits()),
    "8 bits": pb.Mask(raw=raw_map(GRAY)),
    "gray png": pb.Mask(png=encoded(GRAY)),
    "interlaced png": pb.Mask(png=interlaced(GRAY)),
    "png of 1 bit": pb.Mask(png=small_png(MASK.astype(np.uint8), 1)),
    "png of 4 bits": pb.Mask(png=small_png(GRAY, 4)),
}
HARD = {"edges": EDGES, "prior": PRIOR, "prior_mode": "hard"}


def masked(*counts: int, mask: pb.Mask = SENT["1 bit"], **fields: Any) -> pb.SegmentRequest:
    return request(raw(PIXELS), *counts, mask=mask, include_hierarchy=True, **fields)


def hierarchy_of(mask: np.ndarray = MASK, **maps: Any) -> kernels.Hierarchy:
    return kernels.segment(PIXELS, mask=mask, guidance=kernels.Guidance(**maps) if maps else None)


def assert_is(found: bytes, expected: kernels.Hierarchy, count: int) -> None:
    """The container has what the engine has: labels, levels, heights."""
    label_map = codec.decode(found)
    np.testing.assert_array_equal(label_map.labels, expected.cut(count))
    tree = expected.tree(count)
    assert label_map.tree is not None
    np.testing.assert_array_equal(label_map.tree.into, tree.into)
    np.testing.assert_array_equal(label_map.tree.order, tree.order)
    assert label_map.heights is not None
    assert label_map.heights.tolist() == pytest.approx(expected.heights(count).tolist(), rel=2**-7)


@pytest.mark.parametrize("name", SENT)
def test_each_encoding_of_a_mask(server: RunningServer, name: str) -> None:
    answer = server.stub.Segment(masked(50, mask=SENT[name]))
    expected = hierarchy_of()
    assert_is(answer.label_map.data, expected, 50)
    assert (answer.mask_pixels, answer.base_count) == (INSIDE, expected.base_count)
    assert answer.prior_components == 2
    assert not answer.provenance.HasField("guidance")


def test_with_a_hard_prior_and_edges(server: RunningServer, caller: Caller) -> None:
    expected = hierarchy_of(**HARD)
    result = caller.segment(server.listen, PIXELS, counts=200, mask=MASK, guidance=Guidance(**HARD))
    assert_is(result.spx, expected, 200)
    assert result.prior_components == expected.prior_components
    assert result.provenance is not None
    assert result.provenance.guidance == kernels.Guidance(**HARD).fitted(HEIGHT, WIDTH).record


def test_all_ways_to_give_a_mask_to_a_client(server: RunningServer, caller: Caller, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(encoded(GRAY))
    expected = hierarchy_of()
    for mask in (MASK, GRAY, MASK[:, :, None], path, str(path), path.read_bytes(), Image.fromarray(GRAY)):
        result = caller.segment(server.listen, PIXELS, counts=[60, 7], mask=mask, include_regions=True)
        assert_is(result.spx, expected, 60)
        assert (result.mask_pixels, result.counts) == (INSIDE, (60, 7))
    for count in (1, 7, 33, 60):
        np.testing.assert_array_equal(result.labels_at(count), expected.cut(count))
        regions, by_engine = result.regions_at(count, PIXELS), expected.regions(count)
        np.testing.assert_array_equal(regions.area, by_engine.area)
        np.testing.assert_array_equal(regions.pairs, by_engine.pairs)
        np.testing.assert_array_equal(result.pool(count, EDGES), expected.pool(count, EDGES))
        np.testing.assert_array_equal(result.adjacency(count).border, expected.adjacency(count).border)
    assert result.regions is not None
    np.testing.assert_array_equal(result.regions.pairs, expected.regions(60).pairs)


def test_a_stream_takes_a_mask_for_each_image(server: RunningServer, caller: Caller) -> None:
    masks = {"left": MASK, "right": MASK[:, ::-1], "none": None}
    outcomes = dict(
        caller.segment_many(server.listen, [(key, PIXELS) for key in masks], counts=40, mask=masks.get)
    )
    for key, mask in masks.items():
        outcome = outcomes[key]
        assert not isinstance(outcome, SegmentError)
        expected = kernels.segment(PIXELS, mask=mask)
        np.testing.assert_array_equal(outcome.labels, expected.cut(40))


def test_a_file_in_this_process() -> None:
    result = segment_file(encoded(PIXELS), counts=50, mask=MASK, backend="cpu")
    assert_is(result.spx, hierarchy_of(), 50)
    with pytest.raises(InvalidRequest) as error:
        segment_file(encoded(PIXELS), counts=50, mask=MASK[1:], backend="cpu")
    assert (error.value.reason, error.value.field) == ("MASK_OTHER_SIZE", "mask")


def test_a_region_is_cut_out_of_the_mask_too(server: RunningServer, caller: Caller) -> None:
    x, y, width, height = region = (30, 20, 64, 48)
    part = np.s_[y : y + height, x : x + width]
    result = caller.segment(server.listen, PIXELS, counts=20, mask=MASK, region_of_interest=region)
    expected = kernels.segment(np.ascontiguousarray(PIXELS[part]), mask=MASK[part])
    np.testing.assert_array_equal(result.labels, expected.cut(20))
    assert result.mask_pixels == np.count_nonzero(MASK[part])


def test_a_mask_lies_as_the_upright_picture(server: RunningServer, caller: Caller) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", exif=exif)
    upright = np.rot90(PIXELS, -1)
    mask = np.rot90(MASK, -1)
    result = caller.segment(server.listen, file.getvalue(), counts=30, mask=mask)
    expected = kernels.segment(np.ascontiguousarray(upright), mask=np.ascontiguousarray(mask))
    np.testing.assert_array_equal(result.labels, expected.cut(30))


def test_a_mask_of_all_pixels_has_no_effect(server: RunningServer, caller: Caller) -> None:
    plain = caller.segment(server.listen, PIXELS, counts=50)
    soft = Guidance(prior=PRIOR)
    for wanted in ({}, {"guidance": soft}):
        whole = caller.segment(server.listen, PIXELS, counts=50, mask=np.ones_like(MASK), **wanted)
        assert whole.mask_pixels == MASK.size
        assert whole.label_map.mask is None
    whole = caller.segment(server.listen, PIXELS, counts=50, mask=np.ones_like(MASK))
    assert (whole.spx, whole.prior_components) == (plain.spx, None)
    assert plain.mask_pixels is None


def test_counts_and_areas_are_those_of_the_pixels_inside(server: RunningServer) -> None:
    answer = server.stub.Segment(masked(INSIDE, 5, target_areas=[100.0, 1e9]))
    assert [level.count for level in answer.levels] == [INSIDE, int(INSIDE / 100 + 0.5), 5, 1]
    np.testing.assert_array_equal(codec.decode(answer.label_map.data).labels, hierarchy_of().cut(INSIDE))
    refusal = refused(lambda: server.stub.Segment(masked(5, INSIDE + 1)))
    assert (refusal.reason, *refusal.fields) == ("COUNT_OUT_OF_RANGE", "target_counts[1]")
    assert f"inside the mask, {INSIDE}" in refusal.fields["target_counts[1]"]
    base = server.stub.Segment(masked())
    assert base.levels[0].count == hierarchy_of().base_count


def test_other_encodings_mark_the_pixels_outside(server: RunningServer) -> None:
    expected = hierarchy_of()
    fields: dict[str, Any] = {"include_regions": True}
    answer = server.stub.Segment(masked(60, 9, label_encoding=pb.LABEL_ENCODING_RAW_GZIP, **fields))
    labels = np.frombuffer(gzip.decompress(answer.label_map.data), "<i4").reshape(HEIGHT, WIDTH)
    np.testing.assert_array_equal(labels, expected.cut(60))
    np.testing.assert_array_equal(answer.levels[1].lut, expected.lut(60, 9))
    np.testing.assert_array_equal(answer.regions.area, expected.regions(60).area)
    answer = server.stub.Segment(masked(60, label_encoding=pb.LABEL_ENCODING_PNG))
    values = np.asarray(Image.open(io.BytesIO(answer.label_map.data)))
    np.testing.assert_array_equal(values, expected.cut(60).astype(np.uint16))
    assert set(values[~MASK].tolist()) == {0xFFFF}


@pytest.mark.parametrize(
    ("count", "outside", "mode"), [(65_535, 1, "I;16"), (65_536, 1, "RGB"), (65_536, 0, "I;16")]
)
def test_png_files_have_a_value_left_for_the_outside(count: int, outside: int, mode: str) -> None:
    labels = np.append(np.arange(count, dtype=np.int32), [OUTSIDE] * outside).astype(np.int32)[None]
    picture = Image.open(io.BytesIO(to_png(labels, count)))
    assert picture.mode == mode
    values = np.asarray(picture)
    read = values if mode == "I;16" else codec.rgb_to_labels(values)
    assert read[0, :count].tolist() == list(range(count))
    assert not outside or read[0, -1] == (0xFFFF if mode == "I;16" else 0xFFFFFF)
    check_encoding(LabelEncoding.PNG, MAX_PNG_LABELS)
    with pytest.raises(Exception, match="at most 16777215"):
        check_encoding(LabelEncoding.PNG, MAX_PNG_LABELS, masked=True)


def test_the_cache_knows_masks_and_areas_apart() -> None:
    one, two = np.zeros_like(MASK), np.zeros_like(MASK)
    one[:30] = two[:, :30] = True
    found = []
    with running_server("--cache-bytes=5000000") as caching:
        for mask, area in ((one, 90.0), (two, 90.0), (one, 90.1), (one, 90.0)):
            wanted = request(raw(PIXELS), mask=build_mask(mask), target_areas=[area])
            answer, call = caching.stub.Segment.with_call(wanted)
            found.append(dict(call.trailing_metadata())["x-superpixel-cache"])
            count = int(np.count_nonzero(mask) / area + 0.5)
            labels = codec.decode(answer.label_map.data).labels
            np.testing.assert_array_equal(labels, hierarchy_of(mask).cut(count))
    assert found == ["miss", "miss", "miss", "hit"]


def test_refinement_of_few_regions_inside_is_announced() -> None:
    """The regions of the whole image are more than the count, and those inside are fewer."""
    small = np.zeros_like(MASK)
    small[20:50, 30:70] = True
    expected = hierarchy_of(small)
    seen: dict[str, int] = {}
    for count in (expected.base_count, expected.base_count + 1):
        wanted = request(raw(PIXELS), count, mask=build_mask(small))
        task = open_task(read_segment_request(wanted), Settings())
        answer = Segmenter(kernels.Workspace(threads=1)).run(
            task,
            on_regions=lambda regions: seen.update(all=regions),
            on_refinement=lambda regions: seen.update(inside=regions),
        )
        np.testing.assert_array_equal(codec.decode(answer.label_map.data).labels, expected.cut(count))
        assert ("inside" in seen) == (count > expected.base_count)
    assert seen["inside"] == expected.base_count < count < seen["all"]


def test_refinement_inside_a_mask_needs_its_memory() -> None:
    pixels = scene(1000, 800, seed=3)
    small = np.zeros(pixels.shape[:2], np.bool_)
    small[200:260, 300:380] = True
    with running_server("--max-image-memory-bytes=200000000") as running:
        plain = running.stub.Segment(request(raw(pixels), 40, mask=build_mask(small)))
        more = plain.base_count + 1
        refusal = refused(lambda: running.stub.Segment(request(raw(pixels), more, mask=build_mask(small))))
    assert refusal.reason == "MEMORY_ABOVE_LIMIT"


def test_a_label_map_with_a_mask_as_a_prior_map(server: RunningServer) -> None:
    spx = hierarchy_of().encode(12)
    prior = pb.Guidance(prior=pb.PriorMap(label_map=pb.LabelMapLevel(spx=spx)), prior_mode=pb.PRIOR_MODE_HARD)
    answer = server.stub.Segment(request(raw(PIXELS), 50, guidance=prior))
    labels = hierarchy_of().cut(12)
    expected = kernels.segment(
        PIXELS, guidance=kernels.Guidance(prior=np.where(MASK, labels, 12), prior_mode="hard")
    )
    np.testing.assert_array_equal(codec.decode(answer.label_map.data).labels, expected.cut(50))


# ---- what is rejected

INVALID, UNDECODABLE = "MASK_INVALID", "MASK_UNDECODABLE"
REJECTED: dict[str, tuple[pb.Mask, str, str]] = {
    "without data": (pb.Mask(), "MASK_MISSING", "mask"),
    "an empty file": (pb.Mask(png=b""), INVALID, "mask.png"),
    "a jpeg": (pb.Mask(png=encoded(GRAY, "JPEG")), INVALID, "mask.png"),
    "colour": (pb.Mask(png=encoded(PIXELS)), INVALID, "mask.png"),
    "a palette": (pb.Mask(png=encoded(PIXELS, mode="P")), INVALID, "mask.png"),
    "alpha": (pb.Mask(png=encoded(PIXELS, mode="LA")), INVALID, "mask.png"),
    "16 bits": (pb.Mask(png=encoded(GRAY.astype(np.uint16))), INVALID, "mask.png"),
    "a png cut off": (pb.Mask(png=encoded(EDGES)[:-300]), UNDECODABLE, "mask.png"),
    "a png without columns": (pb.Mask(png=png(0, 9, 8, 0, b"")), UNDECODABLE, "mask.png"),
    "raw without width": (pb.Mask(raw=bits(0, 4, b"")), INVALID, "mask.raw.width"),
    "raw of 16 bits": (pb.Mask(raw=bits(4, 4, bytes(32), 16)), INVALID, "mask.raw.bits"),
    "raw of 0 bits": (pb.Mask(raw=bits(4, 4, b"", 0)), INVALID, "mask.raw.bits"),
    "raw too short": (pb.Mask(raw=bits(data=BITS[:-1])), INVALID, "mask.raw.data"),
    "raw too long": (pb.Mask(raw=bits(data=BITS + b"\0")), INVALID, "mask.raw.data"),
    "rows without padding": (pb.Mask(raw=bits(12, 2, bytes(3))), INVALID, "mask.raw.data"),
    "another size": (pb.Mask(png=encoded(GRAY[:, :-1])), "MASK_OTHER_SIZE", "mask"),
    "another raw size": (pb.Mask(raw=bits(HEIGHT, 8, bytes(96))), "MASK_OTHER_SIZE", "mask"),
    "a bomb": (pb.Mask(png=png_bomb()), "MASK_OTHER_SIZE", "mask"),
    "no pixel inside": (pb.Mask(raw=bits(data=bytes(len(BITS)))), "MASK_EMPTY", "mask"),
    "no value above 0": (pb.Mask(raw=raw_map(np.zeros_like(GRAY))), "MASK_EMPTY", "mask"),
    "too many bytes": (pb.Mask(raw=bits(2000, 1500, bytes(3_000_000), 8)), "MASK_TOO_MANY_BYTES", "mask"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_a_mask_that_is_rejected(server: RunningServer, name: str) -> None:
    mask, reason, field = REJECTED[name]
    refusal = refused(lambda: server.stub.Segment(masked(5, mask=mask)))
    check_form(refusal)
    assert (refusal.reason, *refusal.fields) == (reason, field)
    if reason == "MASK_OTHER_SIZE":
        assert refusal.metadata["image_width"] == str(WIDTH)


def test_bits_of_the_padding_do_not_count(server: RunningServer) -> None:
    pixels = np.ascontiguousarray(PIXELS[:, :9])
    rows = np.zeros((HEIGHT, 2), np.uint8)
    rows[:, 1] = 0x7F  # all seven bits beyond the width
    wanted = pb.Mask(raw=bits(9, HEIGHT, rows.tobytes()))
    refusal = refused(lambda: server.stub.Segment(request(raw(pixels), 5, mask=wanted)))
    assert refusal.reason == "MASK_EMPTY"


def test_a_mask_without_pixels_in_the_region(server: RunningServer) -> None:
    region = pb.Rectangle(x=0, y=0, width=8, height=8)
    refusal = refused(lambda: server.stub.Segment(masked(5, region_of_interest=region)))
    assert (refusal.reason, *refusal.fields) == ("MASK_EMPTY", "mask")


def test_a_soft_prior_or_the_largest_label_beside_a_mask(server: RunningServer) -> None:
    soft = pb.Guidance(prior=pb.PriorMap(raw=raw_map(PRIOR)))
    refusal = refused(lambda: server.stub.Segment(masked(5, guidance=soft)))
    check_form(refusal)
    assert (refusal.reason, *refusal.fields) == ("MASK_WITH_SOFT_PRIOR", "mask")
    largest = pb.PriorMap(raw=raw_map(PRIOR + np.int32(2**31 - 1 - PRIOR.max())))
    hard = pb.Guidance(prior=largest, prior_mode=pb.PRIOR_MODE_HARD)
    refusal = refused(lambda: server.stub.Segment(masked(5, guidance=hard)))
    check_form(refusal)
    assert (refusal.reason, *refusal.fields) == ("GUIDANCE_LABEL_TOO_LARGE", "guidance.prior")


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (MASK.astype(np.float32), "float32"),
        (MASK.astype(np.int32), "must be bool or uint8, got int32"),
        (PIXELS, "(90, 120, 3)"),
        (MASK[:0], "not empty"),
        (Image.fromarray(PIXELS), "mode L or 1, this one has RGB"),
        (Path("none.png"), "cannot read none.png"),
        (lambda _key: MASK, "an array must be"),
    ],
)
def test_what_is_rejected_before_it_is_sent(mask: Any, text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        build_mask(mask)
    assert (error.value.field, error.value.reason) == ("mask", "MASK_INVALID")
    assert text in error.value.message


def test_large_masks_are_sent_as_png() -> None:
    large = np.zeros((8000, 4200), np.bool_)
    large[5, 7] = True
    message = build_mask(large)
    assert message is not None
    spec = read_mask(pb.SegmentRequest(mask=message))
    assert spec is not None
    assert isinstance(spec.sent, PngMap)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(spec.sent.data))), large)
    small = read_mask(pb.SegmentRequest(mask=build_mask(MASK)))
    assert small is not None
    assert isinstance(small.sent, RawMap)


def test_an_older_server_is_found_out(caller: Caller) -> None:
    """It ignores the mask, and segments all pixels."""
    with serving(Scripted()) as scripted:
        with pytest.raises(NotServed, match="does not know masks") as error:
            caller.segment(scripted.address, PIXELS, counts=7, mask=MASK)
        assert error.value.field == "mask"
