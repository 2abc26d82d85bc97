"""Each row of the error table, by a real client."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.service import held
from tests.service.harness import (
    PATIENCE_SECONDS,
    Refusal,
    RunningServer,
    refused,
    request,
    running_server,
)
from tests.service.images import encoded, saved, scene
from tests.service.mortal import mortal_server

LEAKS = re.compile(
    r"PIL|[Pp]illow|numpy|Traceback|site-packages|\.py\b|\b0x[0-9a-f]{5,}|Error\(|\bFile \"|/work|/tmp"
)

PNG = encoded(scene())
JPEG = encoded(scene(), "JPEG")


def invalid_raw(width: int, height: int, channels: int, length: int) -> pb.RawImage:
    return pb.RawImage(width=width, height=height, channels=channels, data=bytes(length))


def animation() -> bytes:
    frames = [Image.fromarray(scene(seed=seed)) for seed in range(3)]
    return saved(frames[0], "PNG", save_all=True, append_images=frames[1:])


def rectangle(*numbers: int) -> pb.Rectangle:
    return pb.Rectangle(x=numbers[0], y=numbers[1], width=numbers[2], height=numbers[3])


INVALID: dict[str, tuple[pb.SegmentRequest, str, str]] = {
    "no image": (pb.SegmentRequest(target_counts=[5]), "IMAGE_MISSING", "source"),
    "empty file": (request(b"", 5), "IMAGE_FORMAT_NOT_ALLOWED", "encoded_image"),
    "text": (request(b"hello, world, this is no image" * 9, 5), "IMAGE_FORMAT_NOT_ALLOWED", "encoded_image"),
    "ppm": (request(encoded(scene(), "PPM"), 5), "IMAGE_FORMAT_NOT_ALLOWED", "encoded_image"),
    "ico": (request(encoded(scene(), "ICO"), 5), "IMAGE_FORMAT_NOT_ALLOWED", "encoded_image"),
    "jpeg 2000": (request(encoded(scene(), "JPEG2000"), 5), "IMAGE_FORMAT_NOT_ALLOWED", "encoded_image"),
    "png cut off": (request(PNG[: len(PNG) // 2], 5), "IMAGE_UNDECODABLE", "encoded_image"),
    "png cut off in the header": (request(PNG[:20], 5), "IMAGE_UNDECODABLE", "encoded_image"),
    "jpeg cut off": (request(JPEG[: len(JPEG) // 2], 5), "IMAGE_UNDECODABLE", "encoded_image"),
    "png signature, then a jpeg": (request(PNG[:8] + JPEG, 5), "IMAGE_UNDECODABLE", "encoded_image"),
    "animation": (request(animation(), 5), "IMAGE_MULTIPLE_FRAMES", "encoded_image"),
    "too many bytes": (request(bytes(3_000_001), 5), "IMAGE_TOO_MANY_BYTES", "encoded_image"),
    "too many raw bytes": (
        request(invalid_raw(1001, 1000, 3, 3_003_000), 5),
        "IMAGE_TOO_MANY_BYTES",
        "raw_image.data",
    ),
    "too many pixels": (
        request(encoded(np.zeros((2000, 2001), np.uint8)), 5),
        "IMAGE_TOO_MANY_PIXELS",
        "encoded_image",
    ),
    "too many raw pixels": (
        request(invalid_raw(2**31, 2**31, 4, 16), 5),
        "IMAGE_TOO_MANY_PIXELS",
        "raw_image",
    ),
    "raw without width": (request(invalid_raw(0, 4, 3, 0), 5), "RAW_IMAGE_INVALID", "raw_image.width"),
    "raw without height": (request(invalid_raw(4, 0, 3, 0), 5), "RAW_IMAGE_INVALID", "raw_image.height"),
    "raw with two channels": (
        request(invalid_raw(4, 4, 2, 32), 5),
        "RAW_IMAGE_INVALID",
        "raw_image.channels",
    ),
    "raw too short": (request(invalid_raw(4, 4, 3, 47), 5), "RAW_IMAGE_INVALID", "raw_image.data"),
    "raw too long": (request(invalid_raw(4, 4, 3, 49), 5), "RAW_IMAGE_INVALID", "raw_image.data"),
    "no targets": (request(PNG), "TARGETS_MISSING", "target_counts"),
    "33 counts": (request(PNG, *range(1, 34)), "TARGETS_TOO_MANY", "target_counts"),
    "33 areas": (request(PNG, target_areas=[9.0] * 33), "TARGETS_TOO_MANY", "target_areas"),
    "32 counts, 1 area": (
        request(PNG, *range(1, 33), target_areas=[9.0]),
        "TARGETS_TOO_MANY",
        "target_counts",
    ),
    "count 0": (request(PNG, 5, 0), "COUNT_OUT_OF_RANGE", "target_counts[1]"),
    "count above the pixels": (request(PNG, 10_801), "COUNT_OUT_OF_RANGE", "target_counts[0]"),
    "count above the region's pixels": (
        request(PNG, 101, region_of_interest=rectangle(0, 0, 10, 10)),
        "COUNT_OUT_OF_RANGE",
        "target_counts[0]",
    ),
    "area 0": (request(PNG, target_areas=[4.0, 0.0]), "AREA_OUT_OF_RANGE", "target_areas[1]"),
    "area below 0": (request(PNG, target_areas=[-4.0]), "AREA_OUT_OF_RANGE", "target_areas[0]"),
    "area not a number": (request(PNG, target_areas=[float("nan")]), "AREA_OUT_OF_RANGE", "target_areas[0]"),
    "area infinite": (request(PNG, target_areas=[float("inf")]), "AREA_OUT_OF_RANGE", "target_areas[0]"),
    "area below a pixel": (request(PNG, target_areas=[0.9]), "AREA_OUT_OF_RANGE", "target_areas[0]"),
    "area tiny": (request(PNG, target_areas=[5e-324]), "AREA_OUT_OF_RANGE", "target_areas[0]"),
    "compactness below 0": (request(PNG, 5, compactness=-0.1), "COMPACTNESS_OUT_OF_RANGE", "compactness"),
    "compactness above 100": (request(PNG, 5, compactness=100.1), "COMPACTNESS_OUT_OF_RANGE", "compactness"),
    "compactness NaN": (request(PNG, 5, compactness=float("nan")), "COMPACTNESS_OUT_OF_RANGE", "compactness"),
    "empty region": (
        request(PNG, 5, region_of_interest=rectangle(0, 0, 0, 5)),
        "REGION_OUTSIDE_IMAGE",
        "region_of_interest",
    ),
    "region too wide": (
        request(PNG, 5, region_of_interest=rectangle(21, 0, 100, 5)),
        "REGION_OUTSIDE_IMAGE",
        "region_of_interest",
    ),
    "region far away": (
        request(PNG, 5, region_of_interest=rectangle(2**32 - 1, 2**32 - 1, 1, 1)),
        "REGION_OUTSIDE_IMAGE",
        "region_of_interest",
    ),
    "range upside down": (
        request(PNG, 5, sample_range=pb.SampleRange(low=9, high=9)),
        "SAMPLE_RANGE_INVALID",
        "sample_range",
    ),
    "range above 16 bits": (
        request(PNG, 5, sample_range=pb.SampleRange(low=9, high=65536)),
        "SAMPLE_RANGE_INVALID",
        "sample_range",
    ),
    "unknown encoding": (request(PNG, 5, label_encoding=77), "ENUM_VALUE_UNKNOWN", "label_encoding"),
    "unknown priority": (request(PNG, 5, priority=-1), "ENUM_VALUE_UNKNOWN", "priority"),
}


def check_form(refusal: Refusal) -> None:
    """Check what every rejection must have."""
    assert refusal.domain == "superpixel.v1"
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+", refusal.reason)
    assert not LEAKS.search(refusal.text)
    assert refusal.trailers["x-request-id"]


@pytest.mark.parametrize("name", INVALID)
def test_invalid(server: RunningServer, name: str) -> None:
    message, reason, field = INVALID[name]
    refusal = refused(lambda: server.stub.Segment(message))
    check_form(refusal)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert list(refusal.fields) == [field]
    assert "must" in refusal.fields[field] or "set" in refusal.fields[field] or "say" in refusal.fields[field]
    assert refusal.retry_seconds is None
    assert "grpc-retry-pushback-ms" not in refusal.trailers


UNDECODABLE = [
    PNG[:20],
    PNG[: len(PNG) // 2],
    PNG[:8] + JPEG,
    JPEG[: len(JPEG) // 2],
    b"RIFF\0\0\0\0WEBPVP8X" + bytes(40),
]


@pytest.mark.parametrize("data", UNDECODABLE)
def test_errors_about_damaged_files_do_not_quote_a_library(server: RunningServer, data: bytes) -> None:
    refusal = refused(lambda: server.stub.Segment(request(data, 1)))
    assert refusal.reason == "IMAGE_UNDECODABLE"
    assert re.fullmatch(
        r"encoded_image: must be a complete, undamaged image; "
        r"this (PNG|JPEG|WEBP) file is truncated, damaged or of an unsupported kind",
        refusal.text,
    )


def test_a_count_above_the_base_names_the_base(server: RunningServer) -> None:
    pixels = scene(200, 150)
    base_count = kernels.segment(pixels).base_count
    refusal = refused(lambda: server.stub.Segment(request(encoded(pixels), 5, base_count + 1)))
    check_form(refusal)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "COUNT_ABOVE_BASE")
    assert refusal.metadata == {"base_count": str(base_count)}
    assert list(refusal.fields) == ["target_counts"]
    assert server.stub.Segment(request(encoded(pixels), base_count)).label_map.count == base_count


@pytest.mark.parametrize(
    ("message", "metadata"),
    [
        (request(bytes(3_000_001), 5), {"limit_bytes": "3000000"}),
        (request(encoded(np.zeros((2000, 2001), np.uint8)), 5), {"limit_pixels": "4000000"}),
        (request(animation(), 5), {"frames": "3"}),
    ],
)
def test_error_metadata_contains_the_limits(
    server: RunningServer, message: pb.SegmentRequest, metadata: dict[str, str]
) -> None:
    assert refused(lambda: server.stub.Segment(message)).metadata == metadata


def test_at_the_limits_images_are_served(server: RunningServer) -> None:
    limit = encoded(np.zeros((2000, 2000), np.uint8))
    assert server.stub.Segment(request(limit, 5)).width == 2000
    padded = PNG + bytes(3_000_000 - len(PNG))
    assert server.stub.Segment(request(padded, 5)).width == 120


def test_32_targets_are_served(server: RunningServer) -> None:
    assert len(server.stub.Segment(request(PNG, *range(1, 33))).levels) == 32


def test_malformed_messages_are_rejected(server: RunningServer) -> None:
    call = server.channel.unary_unary("/superpixel.v1.SuperpixelService/Segment")
    refusal = refused(lambda: call(b"\xff\xff\xff not protobuf"))
    check_form(refusal)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")


def test_a_message_above_grpcs_own_limit(server: RunningServer) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        server.stub.Segment(request(bytes(5_000_000), 5))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("method", ["/superpixel.v1.SuperpixelService/Nothing", "/some.Service/Method"])
def test_unknown_methods(server: RunningServer, method: str) -> None:
    before = server.metric("grpc_server_handled_total", grpc_service="other", grpc_method="other")
    with pytest.raises(grpc.RpcError) as caught:
        server.channel.unary_unary(method)(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    after = server.metric("grpc_server_handled_total", grpc_service="other", grpc_code="UNIMPLEMENTED")
    assert after == before + 1


@pytest.mark.parametrize("limit", ["calls", pytest.param("pixels", marks=pytest.mark.slow), "bytes"])
def test_a_full_server_rejects_at_once(limit: str) -> None:
    size = len(held.image())
    limits = {
        "calls": ["--max-inflight-calls=2"],
        "pixels": ["--max-image-pixels=1400000", "--max-inflight-pixels=2800000"],
        "bytes": [f"--max-image-bytes={size}", f"--max-inflight-bytes={2 * size}"],
    }
    with running_server("--workers=1", *limits[limit], program=held.PROGRAM) as server:
        admitted = [server.stub.Segment.future(request(held.image(), 5)) for _ in range(2)]
        server.wait_until_working(waiting=1)
        refusal = refused(lambda: server.stub.Segment(request(PNG, 5)))
        check_form(refusal)
        reason = "BYTES_IN_FLIGHT" if limit == "bytes" else "QUEUE_FULL"
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, reason)
        assert refusal.retry_seconds is not None
        assert refusal.retry_seconds > 0
        assert int(refusal.trailers["grpc-retry-pushback-ms"]) == round(refusal.retry_seconds * 1000)
        assert server.metric("superpixel_requests_rejected_total", reason=reason) == 1
        assert server.stub.GetServerInfo(pb.GetServerInfoRequest()).version  # only work is refused
        for call in admitted:
            call.cancel()
        server.wait_until(lambda: server.metric("superpixel_inflight_bytes") == 0)
        assert server.stub.Segment(request(PNG, 5)).label_map.count == 5


def without_message(server: RunningServer) -> Refusal:
    """The rejection of a call whose message does not arrive."""
    release = threading.Event()

    def no_message() -> Iterator[bytes]:
        release.wait(PATIENCE_SECONDS)
        yield from ()

    begin = server.channel.stream_stream("/superpixel.v1.SuperpixelService/Segment")
    try:
        return refused(lambda: next(begin(no_message(), timeout=PATIENCE_SECONDS)))
    finally:
        release.set()


@pytest.mark.parametrize("cache_bytes", [pytest.param(0, marks=pytest.mark.slow), 1_000_000])
def test_a_full_server_rejects_before_it_reads(cache_bytes: int, tmp_path: Path) -> None:
    """With a cache, after many consecutive misses."""
    flags = ("--workers=1", "--max-inflight-calls=1", f"--cache-bytes={cache_bytes}")
    with mortal_server(tmp_path, *flags) as mortal:
        server = mortal.server
        known = [request(PNG, 5 + number) for number in range(3)]
        for message in known:
            server.stub.Segment(message)
        mortal.order("stall")
        running = server.stub.Segment.future(request(PNG, 50))
        server.wait_until_working()
        if cache_bytes:
            for calls in (40, 40, 64):
                assert all(server.stub.Segment(message).label_map.count for message in known)
                for number in range(calls):  # one by one: of many at once, some would not be read
                    missing = request(PNG, 100 + number)
                    assert (
                        refused(lambda message=missing: server.stub.Segment(message)).reason == "QUEUE_FULL"
                    )
        refusal = without_message(server)
        check_form(refusal)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert refusal.retry_seconds is not None
        assert int(refusal.trailers["grpc-retry-pushback-ms"]) == round(refusal.retry_seconds * 1000)
        line = server.wait_for_line("call", request_id=refusal.trailers["x-request-id"])
        assert (line["code"], line["reason"]) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
        assert "width" not in line  # its image was not read
        assert not running.done()
        mortal.release()
        assert running.result().label_map.count == 50
        assert server.stub.Segment(request(PNG, 7)).label_map.count == 7


def test_the_room_of_an_answered_call_is_free() -> None:
    with running_server("--max-inflight-calls=1") as server:
        for _ in range(50):
            assert server.stub.Segment(request(PNG, 5)).label_map.count == 5


def test_retries_by_grpc_itself_respect_the_pushback() -> None:
    """With gRPC's own retries and no wait but the pushback, a call reaches a server that was full."""
    policy = (
        '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5, "initialBackoff": "30s",'
        ' "maxBackoff": "30s", "backoffMultiplier": 1, "retryableStatusCodes": ["RESOURCE_EXHAUSTED"]}}]}'
    )
    options: list[tuple[str, Any]] = [("grpc.service_config", policy), ("grpc.enable_retries", 1)]
    with (
        running_server("--workers=1", "--max-inflight-calls=1", program=held.PROGRAM) as server,
        server.open_channel(*options) as channel,
    ):
        admitted = server.stub.Segment.future(request(held.image(), 5))
        server.wait_until_working()
        waiting = pb_grpc.SuperpixelServiceStub(channel).Segment.future(request(PNG, 5))
        server.wait_until(
            lambda: server.metric("superpixel_requests_rejected_total", reason="QUEUE_FULL") >= 1
        )
        admitted.cancel()
        assert waiting.result(PATIENCE_SECONDS).label_map.count == 5
