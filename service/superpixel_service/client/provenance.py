"""Reads what a label map was made from, and checks that it is what was requested."""

from typing import Literal

import grpc

from superpixel_kernels.codec import GuidanceRecord, Provenance
from superpixel_service.client.errors import NotServed, VersionUnavailable
from superpixel_service.contract import Reason
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb

_MODES: dict[int, Literal["soft", "hard"]] = {pb.PRIOR_MODE_SOFT: "soft", pb.PRIOR_MODE_HARD: "hard"}


def check_answer(request: pb.SegmentRequest, response: pb.SegmentResponse, request_id: str) -> None:
    """Check that the server knew guidance, masks and versions. Older ones ignore these fields of a request.

    Raises:
        NotServed: it did not know guidance, or masks.
        VersionUnavailable: it has another algorithm version than the request requires.
    """
    if request.HasField("guidance") and not response.HasField("provenance"):
        raise NotServed(
            grpc.StatusCode.UNIMPLEMENTED,
            "this server does not know guidance; it segmented the image by its colours alone",
            field="guidance",
            request_id=request_id,
        )
    if request.HasField("mask") and not response.HasField("mask_pixels"):
        raise NotServed(
            grpc.StatusCode.UNIMPLEMENTED,
            "this server does not know masks; it segmented all pixels of the image",
            field="mask",
            request_id=request_id,
        )
    required = request.required_algorithm_version
    if request.HasField("required_algorithm_version") and required != response.algorithm_version:
        raise VersionUnavailable(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"required_algorithm_version is {required}, and the server has {response.algorithm_version}",
            reason=Reason.VERSION_UNAVAILABLE.value,
            metadata={"algorithm_version": str(response.algorithm_version)},
            request_id=request_id,
        )


def read_provenance(response: pb.SegmentResponse) -> Provenance | None:
    """What the map of a response was made from; None if the server does not say."""
    if not response.HasField("provenance"):
        return None
    message = response.provenance
    return Provenance(
        compactness=message.compactness,
        position=(message.region.x, message.region.y),
        picture_size=(message.picture_width, message.picture_height),
        image_sha256=message.image_sha256 or None,
        guidance=_record(message.guidance) if message.HasField("guidance") else None,
    )


def _record(message: pb.GuidanceRecord) -> GuidanceRecord:
    return GuidanceRecord(
        sha256=message.sha256,
        version=message.version,
        edge_weight=message.edge_weight if message.HasField("edge_weight") else None,
        prior_mode=_MODES.get(message.prior_mode),
        prior_weight=message.prior_weight if message.HasField("prior_weight") else None,
        importance=message.importance,
    )
