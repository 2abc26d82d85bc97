"""Between protobuf messages and the service's own terms; protobuf goes no further than this."""

from collections.abc import Mapping
from typing import Any

from superpixel_service import __version__, engine
from superpixel_service.config import Settings
from superpixel_service.errors import InvalidRequest, NotServed, Reason
from superpixel_service.orders import (
    MAX_TARGETS,
    Answer,
    EncodedImage,
    Lane,
    NoticeCode,
    Order,
    RawImage,
    Rectangle,
    StageSeconds,
)
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb

_LANES: Mapping[int, Lane] = {
    pb.PRIORITY_UNSPECIFIED: Lane.INTERACTIVE,
    pb.PRIORITY_INTERACTIVE: Lane.INTERACTIVE,
    pb.PRIORITY_BULK: Lane.BULK,
}
_SERVED_ENCODINGS = frozenset({pb.LABEL_ENCODING_UNSPECIFIED, pb.LABEL_ENCODING_SPX})
_NOTICES: Mapping[NoticeCode, pb.NoticeCode.ValueType] = {
    NoticeCode.GRAY16_SCALED: pb.NOTICE_CODE_GRAY16_SCALED,
    NoticeCode.HIGH_BYTES_ONLY: pb.NOTICE_CODE_HIGH_BYTES_ONLY,
    NoticeCode.FIRST_FRAME_ONLY: pb.NOTICE_CODE_FIRST_FRAME_ONLY,
}


def read_segment_request(request: pb.SegmentRequest) -> Order:
    """What the request asks for.

    Raises:
        InvalidRequest: the image is missing, a number is out of range or an enumeration's value is unknown.
        NotServed: it asks for a part of the contract that is not served yet.
    """
    _check_encoding(request.label_encoding)
    if request.include_regions:
        raise NotServed("include_regions", "this server does not send region data; leave it unset")
    return Order(
        source=_source(request),
        target_counts=tuple(request.target_counts),
        target_areas=tuple(request.target_areas),
        compactness=_compactness(request),
        include_hierarchy=request.include_hierarchy,
        region=_region(request),
        lane=_lane(request.priority),
        apply_orientation=request.apply_exif_orientation
        if request.HasField("apply_exif_orientation")
        else True,
        first_frame_only=request.first_frame_only,
    )


def _source(request: pb.SegmentRequest) -> EncodedImage | RawImage:
    which = request.WhichOneof("source")
    if which == "encoded_image":
        return EncodedImage(request.encoded_image)
    if which == "raw_image":
        raw = request.raw_image
        return RawImage(raw.width, raw.height, raw.channels, raw.data)
    raise InvalidRequest(Reason.IMAGE_MISSING, "set encoded_image or raw_image", field="source")


def _compactness(request: pb.SegmentRequest) -> float | None:
    if not request.HasField("compactness"):
        return None
    low, high = engine.COMPACTNESS_RANGE
    if not low <= request.compactness <= high:  # so written, NaN is refused too
        raise InvalidRequest(
            Reason.COMPACTNESS_OUT_OF_RANGE, f"must be a number from {low:g} to {high:g}", field="compactness"
        )
    return request.compactness


def _region(request: pb.SegmentRequest) -> Rectangle | None:
    if not request.HasField("region_of_interest"):
        return None
    region = request.region_of_interest
    return Rectangle(region.x, region.y, region.width, region.height)


def _lane(priority: int) -> Lane:
    if priority not in _LANES:
        raise _unknown_value("priority", pb.Priority)
    return _LANES[priority]


def _check_encoding(encoding: int) -> None:
    if encoding not in pb.LabelEncoding.values():
        raise _unknown_value("label_encoding", pb.LabelEncoding)
    if encoding not in _SERVED_ENCODINGS:
        raise NotServed("label_encoding", "this server writes LABEL_ENCODING_SPX only")


def _unknown_value(field: str, enumeration: Any) -> InvalidRequest:
    return InvalidRequest(
        Reason.ENUM_VALUE_UNKNOWN, f"must be one of {', '.join(enumeration.keys())}", field=field
    )


def write_segment_response(answer: Answer) -> pb.SegmentResponse:
    """The answer, as the caller gets it."""
    return pb.SegmentResponse(
        width=answer.width,
        height=answer.height,
        base_count=answer.base_count,
        label_map=pb.LabelMap(encoding=pb.LABEL_ENCODING_SPX, data=answer.data, count=answer.counts[0]),
        levels=[
            pb.Level(count=count, requested=0 if answer.whole_base else count) for count in answer.counts
        ],
        notices=[pb.Notice(code=_NOTICES[notice], message=notice.value) for notice in answer.notices],
        timings=_write_timings(answer.stages),
        backend=answer.backend,
        algorithm_version=answer.algorithm_version,
    )


def _write_timings(stages: StageSeconds) -> pb.StageTimings:
    return pb.StageTimings(
        queue_microseconds=round(stages.queue * 1e6),
        decode_microseconds=round(stages.decode * 1e6),
        segment_microseconds=round(stages.segment * 1e6),
        encode_microseconds=round(stages.encode * 1e6),
    )


def write_timings_trailer(stages: StageSeconds) -> str:
    """The same timings in the form of the HTTP header Server-Timing, in milliseconds."""
    named = (
        ("queue", stages.queue),
        ("decode", stages.decode),
        ("segment", stages.segment),
        ("encode", stages.encode),
    )
    return ", ".join(f"{name};dur={seconds * 1e3:.3f}" for name, seconds in named)


def write_server_info(settings: Settings, backends: Mapping[str, str]) -> pb.GetServerInfoResponse:
    """What a client needs to configure itself; `backends`: devices by name, the one in use first."""
    low, high = engine.COMPACTNESS_RANGE
    return pb.GetServerInfoResponse(
        version=__version__,
        algorithm_version=engine.ALGORITHM_VERSION,
        backends=[pb.Backend(name=name, device=device) for name, device in backends.items()],
        limits=pb.ServerLimits(
            max_image_bytes=settings.max_image_bytes,
            max_image_pixels=settings.max_image_pixels,
            max_refinement_pixels=settings.refinement_max_pixels,
            max_targets=MAX_TARGETS,
            min_compactness=low,
            max_compactness=high,
        ),
        defaults=pb.ServerDefaults(
            compactness=engine.COMPACTNESS_DEFAULT,
            label_encoding=pb.LABEL_ENCODING_SPX,
            segment_priority=pb.PRIORITY_INTERACTIVE,
            segment_stream_priority=pb.PRIORITY_BULK,
            apply_exif_orientation=True,
        ),
        label_encodings=[pb.LABEL_ENCODING_SPX],
        image_formats=[pb.IMAGE_FORMAT_JPEG, pb.IMAGE_FORMAT_PNG, pb.IMAGE_FORMAT_WEBP],
    )
