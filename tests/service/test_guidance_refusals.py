"""Guidance that the server rejects, each case with its reason, its field and its map; and hostile maps."""

from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from superpixel_service.contract import Reason
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.kernels.coco import compressed
from tests.kernels.codec_tools import END, header, label_payload, section
from tests.service.guidance_maps import (
    EDGES,
    HEIGHT,
    PIXELS,
    PRIOR,
    SPX,
    SPX_LEVELS,
    WIDTH,
    disks,
    interlaced,
    raw_map,
    rgb_png,
    rle_masks,
)
from tests.service.harness import RunningServer, refused, request
from tests.service.images import encoded, png, png_bomb, png_chunk, raw, saved
from tests.service.test_refusals import check_form

GRAY = encoded(EDGES)
LIMIT_BYTES, LIMIT_PIXELS = 3_000_000, 4_000_000


def edges(**source: Any) -> pb.Guidance:
    return pb.Guidance(edges=pb.GrayMap(**source))


def prior(**source: Any) -> pb.Guidance:
    return pb.Guidance(prior=pb.PriorMap(**source))


def plain(width: int, height: int, bits: int, length: int) -> pb.RawMap:
    return pb.RawMap(width=width, height=height, bits=bits, data=bytes(length))


def level(spx: bytes, count: int = 0) -> pb.Guidance:
    return prior(label_map=pb.LabelMapLevel(spx=spx, count=count))


def masks(width: int, height: int, *runs: bytes, packed: bool = False) -> pb.Guidance:
    rows = [pb.RleMask(compressed=each) if packed else pb.RleMask(uncompressed=each) for each in runs]
    return prior(masks=pb.RleMasks(width=width, height=height, masks=rows))


def lengths(*values: int) -> bytes:
    return np.array(values, "<u4").tobytes()


def animation() -> bytes:
    frames = [Image.fromarray(EDGES), Image.fromarray(EDGES[::-1].copy())]
    return saved(frames[0], "PNG", save_all=True, append_images=frames[1:])


def alpha(mode: str) -> bytes:
    return encoded(PIXELS, mode=mode)


def turned(data: bytes, at: int) -> bytes:
    """The data with the bits of one byte turned over."""
    changed = bytearray(data)
    changed[at] ^= 0xFF
    return bytes(changed)


RGB16 = png(2, 1, 16, 2, b"\0" + bytes(12))
HUGE_SPX = header(2**16, 2**16, 1) + section(b"LABL", label_payload((1, 0, 2**16 - 1))) + END

MISSING, INVALID = "GUIDANCE_MAP_MISSING", "GUIDANCE_MAP_INVALID"
UNDECODABLE, TOO_MANY_PIXELS = "GUIDANCE_MAP_UNDECODABLE", "GUIDANCE_TOO_MANY_PIXELS"
TOO_LARGE, NO_LEVEL = "GUIDANCE_LABEL_TOO_LARGE", "GUIDANCE_LEVEL_MISSING"

REJECTED: dict[str, tuple[pb.Guidance, str, str]] = {
    "an edge map without data": (edges(), MISSING, "guidance.edges"),
    "a prior map without data": (prior(), MISSING, "guidance.prior"),
    "an importance map without data": (
        pb.Guidance(importance=pb.GrayMap()),
        MISSING,
        "guidance.importance",
    ),
    "hard without a prior map": (
        pb.Guidance(prior_mode=pb.PRIOR_MODE_HARD),
        "GUIDANCE_PRIOR_MISSING",
        "guidance.prior",
    ),
    "an unknown mode": (pb.Guidance(prior_mode=7), "ENUM_VALUE_UNKNOWN", "guidance.prior_mode"),
    "an edge weight of 9": (
        pb.Guidance(edge_weight=9),
        "GUIDANCE_WEIGHT_TOO_LARGE",
        "guidance.edge_weight",
    ),
    "a prior weight of 513": (
        pb.Guidance(prior_weight=513),
        "GUIDANCE_WEIGHT_TOO_LARGE",
        "guidance.prior_weight",
    ),
    "the largest weight": (
        pb.Guidance(prior_weight=2**32 - 1),
        "GUIDANCE_WEIGHT_TOO_LARGE",
        "guidance.prior_weight",
    ),
    # PNG
    "an empty file": (edges(png=b""), INVALID, "guidance.edges.png"),
    "a jpeg": (edges(png=encoded(EDGES, "JPEG")), INVALID, "guidance.edges.png"),
    "text": (prior(png=b"hello"), INVALID, "guidance.prior.png"),
    "a label map as png": (prior(png=SPX), INVALID, "guidance.prior.png"),
    "an edge map in colour": (edges(png=encoded(PIXELS)), INVALID, "guidance.edges.png"),
    "an edge map with a palette": (edges(png=alpha("P")), INVALID, "guidance.edges.png"),
    "an edge map of 16 bits": (edges(png=encoded(EDGES.astype(np.uint16))), INVALID, "guidance.edges.png"),
    "an importance map with alpha": (
        pb.Guidance(importance=pb.GrayMap(png=alpha("LA"))),
        INVALID,
        "guidance.importance.png",
    ),
    "labels with alpha": (prior(png=alpha("RGBA")), INVALID, "guidance.prior.png"),
    "gray labels with alpha": (prior(png=alpha("LA")), INVALID, "guidance.prior.png"),
    "labels of 16-bit RGB": (prior(png=RGB16), INVALID, "guidance.prior.png"),
    "an unknown colour type": (prior(png=png(2, 1, 8, 5, bytes(3))), INVALID, "guidance.prior.png"),
    "an unknown depth": (prior(png=png(2, 1, 3, 0, bytes(3))), INVALID, "guidance.prior.png"),
    "an animation": (edges(png=animation()), INVALID, "guidance.edges.png"),
    "a png cut off in the header": (edges(png=GRAY[:20]), UNDECODABLE, "guidance.edges.png"),
    "a png cut off": (edges(png=GRAY[: len(GRAY) // 2]), UNDECODABLE, "guidance.edges.png"),
    "an interlaced png cut off": (
        edges(png=interlaced(EDGES)[:-60]),
        UNDECODABLE,
        "guidance.edges.png",
    ),
    "a png without pixels": (
        edges(png=b"\x89PNG\r\n\x1a\n" + GRAY[8:33] + png_chunk(b"IEND", b"")),
        UNDECODABLE,
        "guidance.edges.png",
    ),
    "a png of 0 columns": (edges(png=png(0, 9, 8, 0, b"")), UNDECODABLE, "guidance.edges.png"),
    "a wrong checksum": (edges(png=turned(GRAY, len(GRAY) - 14)), UNDECODABLE, "guidance.edges.png"),
    "a palette png without a palette": (
        prior(png=png(2, 1, 8, 3, bytes(3))),
        UNDECODABLE,
        "guidance.prior.png",
    ),
    "a bomb": (edges(png=png_bomb()), TOO_MANY_PIXELS, "guidance.edges"),
    "a bomb of labels": (prior(png=png_bomb()), TOO_MANY_PIXELS, "guidance.prior"),
    "a png of 2^31 x 2^31": (
        edges(png=png(2**31 - 1, 2**31 - 1, 8, 0, bytes(9))),
        TOO_MANY_PIXELS,
        "guidance.edges",
    ),
    # raw
    "raw without width": (edges(raw=plain(0, 4, 8, 0)), INVALID, "guidance.edges.raw.width"),
    "raw without height": (prior(raw=plain(4, 0, 8, 0)), INVALID, "guidance.prior.raw.height"),
    "raw edges of 16 bits": (edges(raw=plain(4, 4, 16, 32)), INVALID, "guidance.edges.raw.bits"),
    "raw labels of 24 bits": (prior(raw=plain(4, 4, 24, 48)), INVALID, "guidance.prior.raw.bits"),
    "raw labels of 0 bits": (prior(raw=plain(4, 4, 0, 0)), INVALID, "guidance.prior.raw.bits"),
    "raw too short": (edges(raw=plain(4, 4, 8, 15)), INVALID, "guidance.edges.raw.data"),
    "raw too long": (prior(raw=plain(4, 4, 32, 65)), INVALID, "guidance.prior.raw.data"),
    "raw of 2^32 - 1": (edges(raw=plain(2**32 - 1, 2**32 - 1, 8, 1)), INVALID, "guidance.edges.raw.data"),
    "a label of 2^31": (
        prior(raw=raw_map(np.array([[0, 2**31]], np.uint32))),
        TOO_LARGE,
        "guidance.prior.raw.data",
    ),
    "a label of 2^32 - 1": (
        prior(raw=raw_map(np.array([[2**32 - 1]], np.uint32))),
        TOO_LARGE,
        "guidance.prior.raw.data",
    ),
    # label maps
    "an empty label map": (level(b""), INVALID, "guidance.prior.label_map.spx"),
    "a png as label map": (level(GRAY), INVALID, "guidance.prior.label_map.spx"),
    "a label map cut off in the header": (level(SPX[:19]), UNDECODABLE, "guidance.prior.label_map.spx"),
    "a label map cut off": (level(SPX[:-1]), UNDECODABLE, "guidance.prior.label_map.spx"),
    "a damaged label map": (level(turned(SPX, 60)), UNDECODABLE, "guidance.prior.label_map.spx"),
    "a label map of 2^32 pixels": (level(HUGE_SPX), TOO_MANY_PIXELS, "guidance.prior"),
    "a label map of another version": (level(turned(SPX, 4)), UNDECODABLE, "guidance.prior.label_map.spx"),
    "more labels than pixels": (
        level(header(4, 2, 9) + SPX[20:]),
        UNDECODABLE,
        "guidance.prior.label_map.spx",
    ),
    "a level above the map's": (level(SPX, 61), NO_LEVEL, "guidance.prior.label_map.count"),
    "a level that is not stored": (level(SPX_LEVELS, 31), NO_LEVEL, "guidance.prior.label_map.count"),
    # masks
    "masks without width": (masks(0, 4), INVALID, "guidance.prior.masks.width"),
    "masks without height": (masks(4, 0), INVALID, "guidance.prior.masks.height"),
    "masks of 2^32 - 1": (masks(2**32 - 1, 2**32 - 1), TOO_MANY_PIXELS, "guidance.prior"),
    "a mask without runs": (
        prior(masks=pb.RleMasks(width=4, height=3, masks=[pb.RleMask()])),
        UNDECODABLE,
        "guidance.prior.masks.masks[0]",
    ),
    "runs that do not add up": (
        masks(4, 3, lengths(12), lengths(5, 6)),
        UNDECODABLE,
        "guidance.prior.masks.masks[1]",
    ),
    "runs that overflow": (
        masks(4, 3, lengths(2**32 - 1, 13)),
        UNDECODABLE,
        "guidance.prior.masks.masks[0]",
    ),
    "runs of three bytes": (masks(4, 3, b"\x0c\0\0"), UNDECODABLE, "guidance.prior.masks.masks[0]"),
    "a compressed run below 0": (
        masks(4, 3, b"520O", packed=True),
        UNDECODABLE,
        "guidance.prior.masks.masks[0]",
    ),
    "compressed runs cut off": (
        masks(4, 3, b"52Q", packed=True),
        UNDECODABLE,
        "guidance.prior.masks.masks[0]",
    ),
    "1025 masks": (
        masks(4, 3, *[lengths(12)] * 1025),
        "GUIDANCE_TOO_MANY_MASKS",
        "guidance.prior.masks.masks",
    ),
    "3000 masks": (
        masks(4, 3, *[lengths(12)] * 3000),
        "GUIDANCE_TOO_MANY_MASKS",
        "guidance.prior.masks.masks",
    ),
}

MAPS = {"guidance.edges": "edges", "guidance.prior": "prior", "guidance.importance": "importance"}


def call(server: RunningServer, guidance: pb.Guidance) -> Any:
    return server.stub.Segment(request(raw(PIXELS), 50, guidance=guidance))


@pytest.mark.parametrize("name", REJECTED)
def test_rejected(server: RunningServer, name: str) -> None:
    guidance, reason, field = REJECTED[name]
    refusal = refused(lambda: call(server, guidance))
    check_form(refusal)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert list(refusal.fields) == [field]
    assert "must" in refusal.fields[field] or "needs" in refusal.fields[field]
    assert refusal.retry_seconds is None
    if reason.startswith("GUIDANCE_") and reason not in {
        "GUIDANCE_PRIOR_MISSING",
        "GUIDANCE_WEIGHT_TOO_LARGE",
    }:
        # The error names the map.
        assert refusal.metadata["map"] == MAPS[".".join(field.split(".")[:2])]


def test_every_reason_of_guidance_has_a_case() -> None:
    seen = {reason for _, reason, _ in REJECTED.values()} | {"GUIDANCE_TOO_MANY_BYTES"}
    assert {reason.value for reason in Reason if reason.value.startswith("GUIDANCE_")} <= seen


def test_image_and_maps_together_have_a_limit(server: RunningServer) -> None:
    image = raw(PIXELS)
    left = LIMIT_BYTES - len(image.data)
    small = pb.GrayMap(raw=plain(1000, 1, 8, 1000))
    fits = pb.Guidance(edges=pb.GrayMap(raw=plain(left - 1000, 1, 8, left - 1000)), importance=small)
    assert call(server, fits).label_map.count == 50
    above = pb.Guidance(edges=pb.GrayMap(raw=plain(left - 999, 1, 8, left - 999)), importance=small)
    refusal = refused(lambda: call(server, above))
    check_form(refusal)
    assert refusal.reason == "GUIDANCE_TOO_MANY_BYTES"
    assert refusal.metadata == {"map": "edges", "limit_bytes": str(LIMIT_BYTES)}


def test_the_limit_of_pixels_is_exact(server: RunningServer) -> None:
    white = encoded(np.full((2000, 2000), 255, np.uint8))
    assert call(server, edges(png=white)).label_map.count == 50
    above = encoded(np.full((2000, 2001), 255, np.uint8))
    refusal = refused(lambda: call(server, edges(png=above)))
    assert refusal.metadata == {"map": "edges", "limit_pixels": str(LIMIT_PIXELS)}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"required_algorithm_version": 99}, "required_algorithm_version is 99"),
        ({"required_algorithm_version": 0}, "required_algorithm_version is 0"),
        ({"guidance": pb.Guidance(required_version=2)}, "guidance.required_version is 2"),
    ],
)
def test_another_version_is_not_there(server: RunningServer, fields: dict[str, Any], text: str) -> None:
    refusal = refused(lambda: server.stub.Segment(request(raw(PIXELS), 50, **fields)))
    check_form(refusal)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "VERSION_UNAVAILABLE")
    assert refusal.metadata == {"algorithm_version": "1", "guidance_version": "1"}
    assert text in refusal.text
    assert refusal.retry_seconds is None


# ---- maps that would be expensive


def test_sections_that_are_not_needed_are_not_read(server: RunningServer) -> None:
    # They can take many times the memory of the labels. Here they are garbage, which a reader would reject.
    head, tree, end = SPX[:20], SPX.index(b"TREE"), SPX.index(b"hght")
    garbage = b"".join(section(kind, b"", stored=b"no gzip member") for kind in (b"hght", b"regn"))
    assert call(server, level(SPX[:end] + garbage + END, 23)).label_map.count == 50
    garbage += section(b"TREE", b"", stored=b"no gzip member")
    assert call(server, level(SPX[:tree] + garbage + END)).label_map.count == 50
    assert refused(lambda: call(server, level(SPX[:tree] + garbage + END, 23))).reason == UNDECODABLE
    assert head == header(WIDTH, HEIGHT, 60)


def test_a_thousand_masks_of_the_whole_map(confined: RunningServer) -> None:
    answer = call(confined, masks(2000, 2000, *[lengths(0, 4_000_000)] * 1024))
    assert answer.label_map.count == 50
    assert not answer.provenance.HasField("guidance")  # one label


def test_masks_of_single_pixels(confined: RunningServer) -> None:
    """As many runs as the limit of bytes lets through."""
    number, pixels = 2_900_000, 4_000_000
    # From the fourth on, each length is the difference to that of two before: 0.
    runs = b"111" + b"0" * (number - 3) + compressed([0, 0, 0, pixels - number - 1])[3:]
    assert call(confined, masks(2000, 2000, runs, packed=True)).label_map.count == 50


def test_the_server_still_works(confined: RunningServer) -> None:
    answer = call(confined, pb.Guidance(prior=pb.PriorMap(png=rgb_png(PRIOR)), edges=pb.GrayMap(png=GRAY)))
    assert answer.label_map.count == 50
    assert (answer.width, answer.height) == (WIDTH, HEIGHT)
    assert call(confined, prior(masks=rle_masks(disks(), lambda _: True))).label_map.count == 50
