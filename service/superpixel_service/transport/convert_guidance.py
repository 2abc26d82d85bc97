"""Converts guidance, masks, versions and provenance between protobuf messages and the service's own types."""

from collections.abc import Mapping

import superpixel_kernels as kernels
from superpixel_kernels import guidance as rules
from superpixel_kernels.codec import GuidanceRecord, Provenance
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest, VersionUnavailable
from superpixel_service.guidance import (
    MAX_MASKS,
    GrayMap,
    GuidanceSpec,
    LabelMapLevel,
    MapName,
    MaskSpec,
    PngMap,
    PriorMap,
    PriorMode,
    RawMap,
    RleMask,
    RleMasks,
)
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb

_MODES: Mapping[int, PriorMode] = {
    pb.PRIOR_MODE_UNSPECIFIED: PriorMode.SOFT,
    pb.PRIOR_MODE_SOFT: PriorMode.SOFT,
    pb.PRIOR_MODE_HARD: PriorMode.HARD,
}
_MODE_NUMBERS: Mapping[str, pb.PriorMode.ValueType] = {
    "soft": pb.PRIOR_MODE_SOFT,
    "hard": pb.PRIOR_MODE_HARD,
}


def check_versions(request: pb.SegmentRequest) -> None:
    """Check the versions that the request requires.

    Raises:
        VersionUnavailable: this server has another one.
    """
    guidance = request.guidance
    if request.HasField("required_algorithm_version"):
        _check_version(
            "required_algorithm_version", request.required_algorithm_version, kernels.ALGORITHM_VERSION
        )
    if guidance.HasField("required_version"):
        _check_version("guidance.required_version", guidance.required_version, kernels.GUIDANCE_VERSION)


def _check_version(name: str, required: int, version: int) -> None:
    if required != version:
        raise VersionUnavailable(
            f"{name} is {required}, and this server has version {version}",
            {
                "algorithm_version": str(kernels.ALGORITHM_VERSION),
                "guidance_version": str(kernels.GUIDANCE_VERSION),
            },
        )


def read_guidance(request: pb.SegmentRequest) -> GuidanceSpec | None:
    """The guidance of a request; None if it has no map.

    Raises:
        InvalidRequest: a map has no data, a weight is out of range, the mode is unknown or has no prior map.
    """
    if not request.HasField("guidance"):
        return None
    message = request.guidance
    spec = GuidanceSpec(
        edges=_gray(MapName.EDGES, message.edges) if message.HasField("edges") else None,
        edge_weight=_checked(
            "edge_weight",
            message.edge_weight if message.HasField("edge_weight") else rules.DEFAULT_EDGE_WEIGHT,
            rules.MAX_EDGE_WEIGHT,
        ),
        prior=_prior(message.prior) if message.HasField("prior") else None,
        prior_mode=_mode(message.prior_mode),
        prior_weight=_checked(
            "prior_weight",
            message.prior_weight if message.HasField("prior_weight") else rules.DEFAULT_PRIOR_WEIGHT,
            rules.MAX_PRIOR_WEIGHT,
        ),
        importance=_gray(MapName.IMPORTANCE, message.importance) if message.HasField("importance") else None,
    )
    if spec.prior_mode is PriorMode.HARD and spec.prior is None:
        raise InvalidRequest(
            Reason.GUIDANCE_PRIOR_MISSING,
            "PRIOR_MODE_HARD needs a prior map: set guidance.prior",
            field="guidance.prior",
        )
    return spec if any(spec.maps()) else None


def read_mask(request: pb.SegmentRequest) -> MaskSpec | None:
    """The mask of a request; None if it has none."""
    return MaskSpec(_png_or_raw(request.mask)) if request.HasField("mask") else None


def _gray(name: MapName, message: pb.GrayMap) -> GrayMap:
    sent = _png_or_raw(message)
    if sent is None:
        raise _missing(name, "png or raw")
    return sent


def _png_or_raw(message: pb.GrayMap | pb.Mask) -> GrayMap | None:
    match message.WhichOneof("source"):
        case "png":
            return PngMap(message.png)
        case "raw":
            return _raw(message.raw)
        case _:
            return None


def _prior(message: pb.PriorMap) -> PriorMap:
    match message.WhichOneof("source"):
        case "png":
            return PngMap(message.png)
        case "raw":
            return _raw(message.raw)
        case "label_map":
            return LabelMapLevel(message.label_map.spx, message.label_map.count)
        case "masks":
            masks = message.masks
            return RleMasks(masks.width, masks.height, tuple(_mask(mask) for mask in masks.masks))
        case _:
            raise _missing(MapName.PRIOR, "png, raw, label_map or masks")


def _raw(message: pb.RawMap) -> RawMap:
    return RawMap(message.width, message.height, message.bits, message.data)


def _mask(message: pb.RleMask) -> RleMask:
    if message.WhichOneof("counts") == "compressed":
        return RleMask(message.compressed, compressed=True)
    return RleMask(message.uncompressed, compressed=False)


def _missing(name: MapName, sources: str) -> InvalidRequest:
    return InvalidRequest(
        Reason.GUIDANCE_MAP_MISSING,
        f"must have its data: set {sources}",
        field=f"guidance.{name}",
        metadata={"map": name.value},
    )


def _checked(field: str, value: int, most: int) -> int:
    if value > most:
        raise InvalidRequest(
            Reason.GUIDANCE_WEIGHT_TOO_LARGE,
            f"must be from 0 to {most}, is {value}",
            field=f"guidance.{field}",
        )
    return value


def _mode(number: int) -> PriorMode:
    if number not in _MODES:
        raise InvalidRequest(
            Reason.ENUM_VALUE_UNKNOWN,
            f"must be one of {', '.join(pb.PriorMode.keys())}",
            field="guidance.prior_mode",
        )
    return _MODES[number]


def write_provenance(provenance: Provenance, width: int, height: int) -> pb.Provenance:
    """What a map of this size was made from, as a message."""
    x, y = provenance.position or (0, 0)
    picture_width, picture_height = provenance.picture_size or (width, height)
    return pb.Provenance(
        compactness=provenance.compactness or 0.0,
        region=pb.Rectangle(x=x, y=y, width=width, height=height),
        picture_width=picture_width,
        picture_height=picture_height,
        image_sha256=provenance.image_sha256 or b"",
        guidance=None if provenance.guidance is None else _write_record(provenance.guidance),
    )


def _write_record(record: GuidanceRecord) -> pb.GuidanceRecord:
    return pb.GuidanceRecord(
        sha256=record.sha256,
        version=record.version,
        edge_weight=record.edge_weight,
        prior_mode=pb.PRIOR_MODE_UNSPECIFIED
        if record.prior_mode is None
        else _MODE_NUMBERS[record.prior_mode],
        prior_weight=record.prior_weight,
        importance=record.importance,
    )


def write_guidance_support() -> pb.GuidanceSupport:
    """What this server can do with guidance."""
    return pb.GuidanceSupport(
        version=kernels.GUIDANCE_VERSION,
        maps=[name.value for name in MapName],
        prior_modes=list(_MODE_NUMBERS.values()),
        prior_sources=[field.name for field in pb.PriorMap.DESCRIPTOR.fields],
        default_edge_weight=rules.DEFAULT_EDGE_WEIGHT,
        max_edge_weight=rules.MAX_EDGE_WEIGHT,
        default_prior_weight=rules.DEFAULT_PRIOR_WEIGHT,
        max_prior_weight=rules.MAX_PRIOR_WEIGHT,
        max_masks=MAX_MASKS,
    )
