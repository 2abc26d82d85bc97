"""Converts between protobuf messages and the service's own types.

Only this module and `convert_guidance` know both.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

import superpixel_kernels as kernels
from superpixel_kernels.codec import Regions
from superpixel_service import __version__
from superpixel_service.config import Settings
from superpixel_service.contract import Reason, StageSeconds
from superpixel_service.errors import InvalidRequest, to_message
from superpixel_service.model import (
    Answer,
    EncodedImage,
    LabelEncoding,
    Lane,
    NoticeCode,
    RawImage,
    Rectangle,
    SegmentSpec,
)
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.targets import MAX_TARGETS
from superpixel_service.transport import wire_format
from superpixel_service.transport.call import ImageEvent
from superpixel_service.transport.convert_guidance import (
    check_versions,
    read_guidance,
    read_mask,
    write_guidance_support,
    write_provenance,
)

_LANES: Mapping[int, Lane] = {
    pb.PRIORITY_INTERACTIVE: Lane.INTERACTIVE,
    pb.PRIORITY_BULK: Lane.BULK,
}
_ENCODINGS: Mapping[int, LabelEncoding] = {
    pb.LABEL_ENCODING_SPX: LabelEncoding.SPX,
    pb.LABEL_ENCODING_PNG: LabelEncoding.PNG,
    pb.LABEL_ENCODING_RAW_GZIP: LabelEncoding.RAW_GZIP,
}
_ENCODING_NUMBERS: Mapping[LabelEncoding, pb.LabelEncoding.ValueType] = {
    LabelEncoding.SPX: pb.LABEL_ENCODING_SPX,
    LabelEncoding.PNG: pb.LABEL_ENCODING_PNG,
    LabelEncoding.RAW_GZIP: pb.LABEL_ENCODING_RAW_GZIP,
}
_NOTICES: Mapping[NoticeCode, pb.NoticeCode.ValueType] = {
    NoticeCode.GRAY16_SCALED: pb.NOTICE_CODE_GRAY16_SCALED,
    NoticeCode.COLOR16_SCALED: pb.NOTICE_CODE_COLOR16_SCALED,
    NoticeCode.FIRST_FRAME_ONLY: pb.NOTICE_CODE_FIRST_FRAME_ONLY,
}

_RESPONSE, _STREAM_RESPONSE, _LABEL_MAP, _LEVEL, _REGIONS, _HIERARCHY = (
    message.DESCRIPTOR.fields_by_name
    for message in (
        pb.SegmentResponse,
        pb.SegmentStreamResponse,
        pb.LabelMap,
        pb.Level,
        pb.Regions,
        pb.Hierarchy,
    )
)

_IMAGE_FORMATS = [value for value in pb.ImageFormat.values() if value != pb.IMAGE_FORMAT_UNSPECIFIED]

MAX_SAMPLE = 0xFFFF
"""Largest value of a sample of 16 bits."""

MAX_IMAGE_ID_CHARACTERS = 256
"""Longest name of an image in a stream. It is kept with the image, and no memory limit counts it."""


def read_segment_request(request: pb.SegmentRequest, default_lane: Lane = Lane.INTERACTIVE) -> SegmentSpec:
    """What the request asks for.

    Raises:
        InvalidRequest: the image or a map of the guidance is missing, a number is out of range or an
            enumeration's value is unknown.
        VersionUnavailable: the request requires another version.
    """
    check_versions(request)
    return SegmentSpec(
        source=_source(request),
        target_counts=tuple(request.target_counts),
        target_areas=tuple(request.target_areas),
        compactness=_compactness(request),
        encoding=_encoding(request.label_encoding),
        include_hierarchy=request.include_hierarchy,
        include_regions=request.include_regions,
        region=_region(request),
        lane=_lane(request.priority, default_lane),
        apply_orientation=request.apply_exif_orientation
        if request.HasField("apply_exif_orientation")
        else True,
        first_frame_only=request.first_frame_only,
        guidance=read_guidance(request),
        sample_range=_sample_range(request),
        mask=read_mask(request),
    )


def check_image_id(image_id: str) -> None:
    """Check the caller's name for an image of a stream.

    Raises:
        InvalidRequest: it is too long.
    """
    if len(image_id) > MAX_IMAGE_ID_CHARACTERS:
        raise InvalidRequest(
            Reason.REQUEST_ID_TOO_LONG,
            f"must have at most {MAX_IMAGE_ID_CHARACTERS} characters, has {len(image_id)}",
            field="request_id",
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
    low, high = 0.0, kernels.MAX_COMPACTNESS
    if not low <= request.compactness <= high:  # in this form NaN fails too
        raise InvalidRequest(
            Reason.COMPACTNESS_OUT_OF_RANGE, f"must be a number from {low:g} to {high:g}", field="compactness"
        )
    return request.compactness


def _region(request: pb.SegmentRequest) -> Rectangle | None:
    if not request.HasField("region_of_interest"):
        return None
    region = request.region_of_interest
    return Rectangle(region.x, region.y, region.width, region.height)


def _sample_range(request: pb.SegmentRequest) -> tuple[int, int] | None:
    if not request.HasField("sample_range"):
        return None
    low, high = request.sample_range.low, request.sample_range.high
    if not low < high <= MAX_SAMPLE:
        raise InvalidRequest(
            Reason.SAMPLE_RANGE_INVALID,
            f"must have low below high, and high at most {MAX_SAMPLE}; got {low} and {high}",
            field="sample_range",
        )
    return low, high


def _write_sample_range(answer: Answer) -> pb.SampleRange | None:
    for notice in answer.notices:
        if notice.sample_range is not None:
            return pb.SampleRange(low=notice.sample_range[0], high=notice.sample_range[1])
    return None


def _lane(priority: int, default: Lane) -> Lane:
    if priority == pb.PRIORITY_UNSPECIFIED:
        return default
    if priority not in _LANES:
        raise _unknown_value("priority", pb.Priority)
    return _LANES[priority]


def _encoding(encoding: int) -> LabelEncoding:
    if encoding == pb.LABEL_ENCODING_UNSPECIFIED:
        return LabelEncoding.SPX
    if encoding not in _ENCODINGS:
        raise _unknown_value("label_encoding", pb.LabelEncoding)
    return _ENCODINGS[encoding]


def _unknown_value(field: str, enumeration: Any) -> InvalidRequest:
    return InvalidRequest(
        Reason.ENUM_VALUE_UNKNOWN, f"must be one of {', '.join(enumeration.keys())}", field=field
    )


def serialize_answer(answer: Answer) -> bytes:
    """The serialised `SegmentResponse`."""
    timings = _timings_field(answer.stages)
    body = answer.message or serialize_body(answer)
    return body + timings if timings else body  # no copy of a kept message


def serialize_body(answer: Answer) -> bytes:
    """The serialised `SegmentResponse` with all timings 0. Timings that are appended to it replace them."""
    label_map = answer.label_map
    luts = label_map.luts or (np.empty(0, np.int32),) * len(answer.counts)
    head = pb.SegmentResponse(
        width=answer.width,
        height=answer.height,
        base_count=answer.base_count,
        notices=[pb.Notice(code=_NOTICES[notice.code], message=notice.text) for notice in answer.notices],
        sample_range=_write_sample_range(answer),
        timings=pb.StageTimings(),
        backend=answer.backend,
        algorithm_version=answer.algorithm_version,
        provenance=write_provenance(answer.provenance, answer.width, answer.height),
        prior_components=answer.prior_components,
        mask_pixels=answer.mask_pixels,
    )
    own = pb.LabelMap(encoding=_ENCODING_NUMBERS[label_map.encoding], count=answer.counts[0])
    parts = [
        head.SerializeToString(),
        *wire_format.submessage(
            _RESPONSE["label_map"],
            [own.SerializeToString(), *wire_format.packed(_LABEL_MAP["data"], label_map.data)],
        ),
    ]
    for count, lut in zip(answer.counts, luts, strict=True):
        level = pb.Level(count=count, requested=0 if answer.whole_base else count)
        lists = wire_format.numbers(_LEVEL["lut"], lut)
        parts += wire_format.submessage(_RESPONSE["levels"], [level.SerializeToString(), *lists])
    if label_map.regions is not None:
        parts += wire_format.submessage(_RESPONSE["regions"], _write_regions(label_map.regions))
    if label_map.tree is not None and label_map.heights is not None:
        lists = [
            *wire_format.numbers(_HIERARCHY["into"], label_map.tree.into),
            *wire_format.numbers(_HIERARCHY["order"], label_map.tree.order),
            *wire_format.floats(_HIERARCHY["heights"], label_map.heights),
        ]
        parts += wire_format.submessage(_RESPONSE["hierarchy"], lists)
    return b"".join(parts)


def write_segment_response(answer: Answer) -> pb.SegmentResponse:
    """The answer as a message."""
    body = answer.message or serialize_body(answer)
    return pb.SegmentResponse.FromString(body + _timings_field(answer.stages))


def serialize_stream_response(event: ImageEvent) -> bytes:
    """The serialised `SegmentStreamResponse` to one image of a stream."""
    head = pb.SegmentStreamResponse(request_id=event.image_id)
    if event.answer is not None:
        body = event.answer.message or serialize_body(event.answer)
        response = wire_format.submessage(
            _STREAM_RESPONSE["response"], [body, _timings_field(event.answer.stages)]
        )
        return b"".join([head.SerializeToString(), *response])
    assert event.error is not None  # noqa: S101 (an event has an answer or an error)
    head.error.CopyFrom(to_message(event.error))
    return head.SerializeToString()


def _write_regions(regions: Regions) -> list[bytes]:
    x0, y0, x1, y1 = regions.box.T
    columns = {
        "area": regions.area,
        "x0": x0,
        "y0": y0,
        "x1": x1,
        "y1": y1,
        "centroid_x": regions.centroid[:, 0],
        "centroid_y": regions.centroid[:, 1],
    }
    parts: list[bytes] = []
    for name, column in columns.items():
        parts += wire_format.numbers(_REGIONS[name], column)
    parts += wire_format.packed(_REGIONS["mean_rgb"], regions.mean_color.tobytes())
    owners = np.repeat(np.arange(len(regions.area), dtype=np.uint32), np.diff(regions.neighbor_offsets))
    parts += wire_format.numbers(_REGIONS["adjacent_a"], owners)
    parts += wire_format.numbers(_REGIONS["adjacent_b"], regions.neighbors)
    return parts


def _timings_field(stages: StageSeconds) -> bytes:
    """The field `timings` of a serialised response."""
    if not any(seconds for _, seconds in stages.items()):
        return b""
    timings = _write_timings(stages).SerializeToString()
    return b"".join(wire_format.submessage(_RESPONSE["timings"], [timings]))


def _write_timings(stages: StageSeconds) -> pb.StageTimings:
    return pb.StageTimings(
        **{f"{name}_microseconds": round(seconds * 1e6) for name, seconds in stages.items()}
    )


def write_timings_trailer(stages: StageSeconds) -> str:
    """The timings in the form of the HTTP header Server-Timing, in milliseconds."""
    return ", ".join(f"{name};dur={seconds * 1e3:.3f}" for name, seconds in stages.items())


def write_server_info(settings: Settings, backends: Mapping[str, str]) -> pb.GetServerInfoResponse:
    """What a client needs to configure itself; `backends`: devices by name, the one in use first."""
    low, high = 0.0, kernels.MAX_COMPACTNESS
    return pb.GetServerInfoResponse(
        version=__version__,
        algorithm_version=kernels.ALGORITHM_VERSION,
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
            compactness=kernels.DEFAULT_COMPACTNESS,
            label_encoding=pb.LABEL_ENCODING_SPX,
            segment_priority=pb.PRIORITY_INTERACTIVE,
            segment_stream_priority=pb.PRIORITY_BULK,
            apply_exif_orientation=True,
        ),
        label_encodings=list(_ENCODING_NUMBERS.values()),
        image_formats=_IMAGE_FORMATS,
        guidance=write_guidance_support(),
    )
