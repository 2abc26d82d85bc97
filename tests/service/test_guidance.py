"""Guidance by real calls: each encoding of a map gives the map of the engine with the same array."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service.config import Settings
from superpixel_service.images.decode import open_image
from superpixel_service.images.guidance_maps import decode_guidance, open_guidance
from superpixel_service.model import accept
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.transport.convert import read_segment_request
from superpixel_service.work.segmenter import Segmenter
from tests.service import held
from tests.service.guidance_maps import (
    EDGES,
    HEIGHT,
    IMPORTANCE,
    LABELS,
    PIXELS,
    PRIOR,
    STRENGTHS,
    WIDTH,
    raw_map,
)
from tests.service.harness import RunningServer, request, running_server
from tests.service.images import encoded, made_from, raw, saved
from tests.service.streams import named

ALL = pb.Guidance(
    edges=pb.GrayMap(raw=raw_map(EDGES)),
    prior=pb.PriorMap(raw=raw_map(PRIOR)),
    importance=pb.GrayMap(raw=raw_map(IMPORTANCE)),
)


def guided(*counts: int, guidance: pb.Guidance, **fields: Any) -> pb.SegmentRequest:
    return request(raw(PIXELS), *counts, guidance=guidance, include_hierarchy=True, **fields)


def expected(count: int, **maps: Any) -> bytes:
    """The container that the engine gives for the same arrays."""
    guidance = kernels.Guidance(**maps).fitted(HEIGHT, WIDTH)
    hierarchy = kernels.segment(PIXELS, guidance=guidance)
    provenance = codec.Provenance(
        10.0, (0, 0), (WIDTH, HEIGHT), made_from(PIXELS.tobytes(), 1, 1).image_sha256, guidance.record
    )
    return hierarchy.encode(count, include_hierarchy=True, provenance=provenance)


@pytest.mark.parametrize("name", STRENGTHS)
@pytest.mark.parametrize("field", ["edges", "importance"])
def test_each_encoding_of_strengths(server: RunningServer, field: str, name: str) -> None:
    sent, values = STRENGTHS[name]
    guidance = pb.Guidance(**{field: sent})
    answer = server.stub.Segment(guided(50, guidance=guidance))
    assert answer.label_map.data == expected(50, **{field: values})


@pytest.mark.parametrize("name", LABELS)
def test_each_encoding_of_labels(server: RunningServer, name: str) -> None:
    sent, values = LABELS[name]
    mode = pb.PRIOR_MODE_HARD if "level" in name or "palette" in name else pb.PRIOR_MODE_SOFT
    answer = server.stub.Segment(guided(50, guidance=pb.Guidance(prior=sent, prior_mode=mode)))
    prior_mode = "hard" if mode == pb.PRIOR_MODE_HARD else "soft"
    by_engine = codec.decode(expected(50, prior=values, prior_mode=prior_mode))
    found = codec.decode(answer.label_map.data)
    assert np.array_equal(found.labels, by_engine.labels)
    if name != "raw, 32 bits":  # whose labels are others, with the same borders
        assert answer.label_map.data == expected(50, prior=values, prior_mode=prior_mode)


def test_all_maps_weights_and_counts(server: RunningServer) -> None:
    guidance = pb.Guidance()
    guidance.CopyFrom(ALL)
    guidance.edge_weight, guidance.prior_weight = 8, 512
    answer = server.stub.Segment(guided(200, 50, 7, guidance=guidance))
    maps = {"edges": EDGES, "prior": PRIOR, "importance": IMPORTANCE}
    assert answer.label_map.data == expected(200, **maps, edge_weight=8, prior_weight=512)
    record = answer.provenance.guidance
    assert (record.version, record.edge_weight, record.prior_weight) == (kernels.GUIDANCE_VERSION, 8, 512)
    assert (record.prior_mode, record.importance) == (pb.PRIOR_MODE_SOFT, True)
    fitted = kernels.Guidance(**maps, edge_weight=8, prior_weight=512).fitted(HEIGHT, WIDTH)
    assert record.sha256 == fitted.fingerprint


def test_the_default_weights_are_those_of_the_engine(server: RunningServer) -> None:
    maps = {"edges": EDGES, "prior": PRIOR, "importance": IMPORTANCE}
    assert server.stub.Segment(guided(50, guidance=ALL)).label_map.data == expected(50, **maps)


def test_weights_of_0_and_constant_maps_are_no_guidance(server: RunningServer) -> None:
    plain = server.stub.Segment(request(raw(PIXELS), 50, include_hierarchy=True))
    assert not plain.provenance.HasField("guidance")
    constant = np.full((7, 5), 9, np.uint8)
    for guidance in (
        pb.Guidance(edge_weight=8, prior_weight=3),
        pb.Guidance(edges=pb.GrayMap(raw=raw_map(EDGES)), edge_weight=0),
        pb.Guidance(prior=pb.PriorMap(raw=raw_map(PRIOR)), prior_weight=0),
        pb.Guidance(edges=pb.GrayMap(raw=raw_map(constant)), prior=pb.PriorMap(raw=raw_map(constant))),
        pb.Guidance(importance=pb.GrayMap(raw=raw_map(constant * np.uint8(0)))),
    ):
        answer = server.stub.Segment(guided(50, guidance=guidance))
        assert answer.label_map.data == plain.label_map.data


def test_a_region_is_cut_out_of_the_maps_too(server: RunningServer) -> None:
    region = (30, 20, 64, 48)
    box = dict(zip(("x", "y", "width", "height"), region, strict=True))
    small = EDGES[::3, ::3].copy()
    guidance = pb.Guidance(
        edges=pb.GrayMap(raw=raw_map(small)), prior=pb.PriorMap(raw=raw_map(PRIOR)), prior_weight=200
    )
    answer = server.stub.Segment(guided(40, guidance=guidance, region_of_interest=pb.Rectangle(**box)))
    fitted = kernels.Guidance(edges=small, prior=PRIOR, prior_weight=200).fitted(HEIGHT, WIDTH, region)
    part = np.ascontiguousarray(PIXELS[20:68, 30:94])
    by_engine = kernels.segment(part, guidance=fitted)
    found = codec.decode(answer.label_map.data)
    assert np.array_equal(found.labels, by_engine.cut(40))
    assert found.provenance is not None
    assert (found.provenance.position, found.provenance.picture_size) == ((30, 20), (WIDTH, HEIGHT))
    assert found.provenance.guidance == fitted.record
    assert answer.provenance.region == pb.Rectangle(**box)
    assert (answer.provenance.picture_width, answer.provenance.picture_height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("apply", [True, False])
def test_maps_lie_as_the_oriented_picture(server: RunningServer, apply: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = saved(Image.fromarray(PIXELS), "PNG", exif=exif)
    upright = np.ascontiguousarray(np.rot90(PIXELS, -1)) if apply else PIXELS
    edges = np.ascontiguousarray(np.rot90(EDGES, -1)) if apply else EDGES
    message = request(
        file, 50, guidance=pb.Guidance(edges=pb.GrayMap(raw=raw_map(edges))), apply_exif_orientation=apply
    )
    labels = codec.decode(server.stub.Segment(message).label_map.data).labels
    assert np.array_equal(labels, kernels.segment(upright, guidance=kernels.Guidance(edges=edges)).cut(50))


@pytest.mark.parametrize("encoding", [pb.LABEL_ENCODING_PNG, pb.LABEL_ENCODING_RAW_GZIP])
def test_other_encodings_of_the_answer_say_what_they_were_made_from(
    server: RunningServer, encoding: pb.LabelEncoding.ValueType
) -> None:
    answer = server.stub.Segment(guided(50, guidance=ALL, label_encoding=encoding, compactness=20.0))
    assert answer.provenance.compactness == 20.0
    assert answer.provenance.image_sha256 == made_from(PIXELS.tobytes(), 1, 1).image_sha256
    assert len(answer.provenance.guidance.sha256) == 32


def test_counts_above_the_base_are_nested_in_guided_ones(server: RunningServer) -> None:
    guidance = pb.Guidance(prior=pb.PriorMap(raw=raw_map(PRIOR)), prior_mode=pb.PRIOR_MODE_HARD)
    answer = server.stub.Segment(guided(6000, 50, guidance=guidance))
    assert answer.label_map.data == expected(6000, prior=PRIOR, prior_mode="hard")


# ---- versions


def test_the_server_says_what_it_can_do(server: RunningServer) -> None:
    support = server.stub.GetServerInfo(pb.GetServerInfoRequest()).guidance
    assert support.version == kernels.GUIDANCE_VERSION
    assert list(support.maps) == ["edges", "prior", "importance"]
    assert list(support.prior_modes) == [pb.PRIOR_MODE_SOFT, pb.PRIOR_MODE_HARD]
    assert list(support.prior_sources) == ["png", "raw", "label_map", "masks"]
    assert (support.default_edge_weight, support.max_edge_weight) == (2, 8)
    assert (support.default_prior_weight, support.max_prior_weight) == (64, 512)
    assert support.max_masks == 1024


def test_a_required_version_that_the_server_has(server: RunningServer) -> None:
    guidance = pb.Guidance(edges=ALL.edges, required_version=kernels.GUIDANCE_VERSION)
    message = guided(50, guidance=guidance, required_algorithm_version=kernels.ALGORITHM_VERSION)
    assert server.stub.Segment(message).algorithm_version == kernels.ALGORITHM_VERSION


# ---- cache, sharing, streams, cancelling


@pytest.fixture(scope="module")
def caching() -> Iterator[RunningServer]:
    with running_server("--cache-bytes=5000000") as running:
        yield running


def test_the_cache_tells_guidances_apart(caching: RunningServer) -> None:
    other = EDGES.copy()
    other[40, 50] ^= 1
    edges = {"edges": pb.GrayMap(raw=raw_map(EDGES))}
    prior = {"prior": pb.PriorMap(raw=raw_map(PRIOR))}
    masks = LABELS["masks, both"][0]
    fewer = pb.PriorMap()
    fewer.CopyFrom(masks)
    del fewer.masks.masks[-1]
    level = LABELS["label map, a level"][0]
    finest = LABELS["label map"][0]
    wide, tall = EDGES.reshape(60, 180), EDGES.reshape(180, 60)
    requests = [
        pb.Guidance(),
        pb.Guidance(**edges),
        pb.Guidance(importance=edges["edges"]),
        pb.Guidance(**edges, edge_weight=3),
        pb.Guidance(edges=pb.GrayMap(raw=raw_map(other))),
        pb.Guidance(edges=pb.GrayMap(png=encoded(EDGES[::-1].copy()))),
        pb.Guidance(edges=pb.GrayMap(raw=raw_map(wide))),
        pb.Guidance(edges=pb.GrayMap(raw=raw_map(tall))),
        pb.Guidance(**prior),
        pb.Guidance(**prior, prior_weight=65),
        pb.Guidance(**prior, prior_mode=pb.PRIOR_MODE_HARD),
        pb.Guidance(prior=masks),
        pb.Guidance(prior=fewer),
        pb.Guidance(prior=level),
        pb.Guidance(prior=finest),
        pb.Guidance(**edges, **prior),
    ]
    answers = []
    for guidance in requests:
        for use in ("miss", "hit"):
            response, done = caching.stub.Segment.with_call(guided(50, guidance=guidance))
            assert dict(done.trailing_metadata())["x-superpixel-cache"] == use
            response.ClearField("timings")
            answers.append(response)
    assert all(first == second for first, second in zip(answers[::2], answers[1::2], strict=True))
    hashes = {answer.provenance.guidance.sha256 for answer in answers}
    assert len(hashes) == len(requests)


def test_images_of_a_stream_have_their_own_guidance(server: RunningServer) -> None:
    guidances = [pb.Guidance(), ALL, pb.Guidance(edges=ALL.edges), pb.Guidance(edges=pb.GrayMap())]
    messages = [named(str(index), guided(50, guidance=each)) for index, each in enumerate(guidances)]
    answers = {answer.request_id: answer for answer in server.stub.SegmentStream(iter(messages))}
    for index, guidance in enumerate(guidances[:3]):
        alone = server.stub.Segment(guided(50, guidance=guidance))
        assert answers[str(index)].response.label_map.data == alone.label_map.data
    assert answers["3"].WhichOneof("result") == "error"


def test_a_guided_call_is_cancelled_in_the_middle() -> None:
    with running_server("--workers=1", program=held.PROGRAM) as running:
        prior = np.arange(1400 * 1000, dtype=np.uint32).reshape(1000, 1400) // 5000
        guidance = pb.Guidance(
            edges=pb.GrayMap(raw=raw_map((prior & 255).astype(np.uint8))),
            prior=pb.PriorMap(raw=raw_map(prior)),
        )
        call = running.stub.Segment.future(request(held.image(), 5, guidance=guidance))
        running.wait_until(lambda: running.stages_begun("segment") == 1)
        call.cancel()
        running.wait_until(lambda: running.metric("superpixel_inflight_bytes") == 0)
        assert running.stages_begun("encode") == 0
        answer = running.stub.Segment(guided(50, guidance=ALL))
        assert answer.label_map.count == 50
        line = running.wait_for_line("call", code="CANCELLED")
        assert (line["guidance"], line["guidance_bytes"]) == (["edges", "prior"], 5 * prior.size)


class Stopped(Exception):
    """Raised instead of the next step."""


@pytest.mark.parametrize("steps", range(5))
def test_decoding_stops_between_two_maps(steps: int) -> None:
    image = raw(PIXELS)
    spec = read_segment_request(request(image, 50, guidance=ALL))
    opened = open_image(spec, Settings())
    guidance = open_guidance(spec.guidance, opened, Settings())
    assert guidance is not None
    begun = 0

    def begin_step() -> None:
        nonlocal begun
        if begun == steps:
            raise Stopped
        begun += 1

    if steps == 4:  # one for each map, and one for scaling
        assert decode_guidance(guidance, opened, None, begin_step) is not None
        return
    with pytest.raises(Stopped):
        decode_guidance(guidance, opened, None, begin_step)


def test_maps_are_freed_once_they_are_decoded() -> None:
    spec = read_segment_request(request(raw(PIXELS), 50, guidance=ALL))
    opened = open_image(spec, Settings())
    task = accept(spec, opened, open_guidance(spec.guidance, opened, Settings()))
    size = PIXELS.size + 6 * WIDTH * HEIGHT
    assert (task.byte_count, task.pixels) == (size, WIDTH * HEIGHT)
    seen = []
    Segmenter(kernels.Workspace(threads=1)).run(
        task, on_stage=lambda stage: seen.append((stage, dict(spec.guidance.maps()) if spec.guidance else {}))
    )
    assert [(stage, len(maps)) for stage, maps in seen] == [("decode", 3), ("segment", 0), ("encode", 0)]
    assert task.byte_count == size  # the queue still has to give back as much


def test_a_map_larger_than_the_image_counts_in_the_queue() -> None:
    large = pb.Guidance(edges=pb.GrayMap(raw=raw_map(np.zeros((300, 400), np.uint8))))
    spec = read_segment_request(request(raw(PIXELS), 50, guidance=large))
    opened = open_image(spec, Settings())
    assert accept(spec, opened, open_guidance(spec.guidance, opened, Settings())).pixels == 120_000


def test_maps_count_as_bytes_in_flight() -> None:
    with running_server("--workers=1", "--max-inflight-calls=10", program=held.PROGRAM) as running:
        zeros = np.zeros((1000, 1400), np.uint8)
        guidance = pb.Guidance(
            edges=pb.GrayMap(raw=raw_map(zeros)), importance=pb.GrayMap(raw=raw_map(zeros))
        )
        call = running.stub.Segment.future(request(held.image(), 5, guidance=guidance))
        running.wait_until_working()
        assert running.metric("superpixel_inflight_bytes") == len(held.image()) + 2 * zeros.size
        call.cancel()
        with pytest.raises(grpc.FutureCancelledError):
            call.result()
