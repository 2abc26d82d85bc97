"""Names that the gRPC contract fixes: methods, keys, scopes, reasons, formats, stages."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum

SERVICE = "superpixel.v1.SuperpixelService"
STORE_SERVICE = "superpixel.v1.StoreService"
HEALTH_SERVICE = "grpc.health.v1.Health"

SEGMENT = f"/{SERVICE}/Segment"
SEGMENT_STREAM = f"/{SERVICE}/SegmentStream"
GET_SERVER_INFO = f"/{SERVICE}/GetServerInfo"
GET_STORE = f"/{STORE_SERVICE}/GetStore"
GET_WINDOW = f"/{STORE_SERVICE}/GetWindow"
MEASURE_REGIONS = f"/{STORE_SERVICE}/MeasureRegions"

SCOPES = {"Segment": "segment", "SegmentStream": "stream", "GetServerInfo": "info"}
"""The token scope that each method of `SERVICE` requires."""

STORES_SCOPE = "stores"
"""The token scope that all methods of `STORE_SERVICE` require."""

ALL_SCOPES = (*SCOPES.values(), STORES_SCOPE)

ERROR_DOMAIN = "superpixel.v1"
"""`ErrorInfo.domain` of every error of this service."""

REQUEST_ID_KEY = "x-request-id"
AUTHORIZATION_KEY = "authorization"
TIMINGS_KEY = "x-superpixel-timings"
CACHE_KEY = "x-superpixel-cache"
PUSHBACK_KEY = "grpc-retry-pushback-ms"


class Reason(StrEnum):
    """The stable reasons of `ErrorInfo`; the contract's comments say what each means."""

    MALFORMED_MESSAGE = "MALFORMED_MESSAGE"
    IMAGE_MISSING = "IMAGE_MISSING"
    IMAGE_TOO_MANY_BYTES = "IMAGE_TOO_MANY_BYTES"
    IMAGE_TOO_MANY_PIXELS = "IMAGE_TOO_MANY_PIXELS"
    IMAGE_FORMAT_NOT_ALLOWED = "IMAGE_FORMAT_NOT_ALLOWED"
    IMAGE_UNDECODABLE = "IMAGE_UNDECODABLE"
    IMAGE_MULTIPLE_FRAMES = "IMAGE_MULTIPLE_FRAMES"
    RAW_IMAGE_INVALID = "RAW_IMAGE_INVALID"
    TARGETS_MISSING = "TARGETS_MISSING"
    TARGETS_TOO_MANY = "TARGETS_TOO_MANY"
    COUNT_OUT_OF_RANGE = "COUNT_OUT_OF_RANGE"
    AREA_OUT_OF_RANGE = "AREA_OUT_OF_RANGE"
    COUNT_ABOVE_BASE = "COUNT_ABOVE_BASE"
    COUNT_ABOVE_ENCODING = "COUNT_ABOVE_ENCODING"
    COMPACTNESS_OUT_OF_RANGE = "COMPACTNESS_OUT_OF_RANGE"
    REGION_OUTSIDE_IMAGE = "REGION_OUTSIDE_IMAGE"
    SAMPLE_RANGE_INVALID = "SAMPLE_RANGE_INVALID"
    GUIDANCE_MAP_MISSING = "GUIDANCE_MAP_MISSING"
    GUIDANCE_PRIOR_MISSING = "GUIDANCE_PRIOR_MISSING"
    GUIDANCE_TOO_MANY_BYTES = "GUIDANCE_TOO_MANY_BYTES"
    GUIDANCE_TOO_MANY_PIXELS = "GUIDANCE_TOO_MANY_PIXELS"
    GUIDANCE_TOO_MANY_MASKS = "GUIDANCE_TOO_MANY_MASKS"
    GUIDANCE_MAP_INVALID = "GUIDANCE_MAP_INVALID"
    GUIDANCE_MAP_UNDECODABLE = "GUIDANCE_MAP_UNDECODABLE"
    GUIDANCE_LABEL_TOO_LARGE = "GUIDANCE_LABEL_TOO_LARGE"
    GUIDANCE_LEVEL_MISSING = "GUIDANCE_LEVEL_MISSING"
    GUIDANCE_WEIGHT_TOO_LARGE = "GUIDANCE_WEIGHT_TOO_LARGE"
    MASK_MISSING = "MASK_MISSING"
    MASK_INVALID = "MASK_INVALID"
    MASK_OTHER_SIZE = "MASK_OTHER_SIZE"
    MASK_TOO_MANY_BYTES = "MASK_TOO_MANY_BYTES"
    MASK_UNDECODABLE = "MASK_UNDECODABLE"
    MASK_EMPTY = "MASK_EMPTY"
    MASK_WITH_SOFT_PRIOR = "MASK_WITH_SOFT_PRIOR"
    ENUM_VALUE_UNKNOWN = "ENUM_VALUE_UNKNOWN"
    REQUEST_ID_TOO_LONG = "REQUEST_ID_TOO_LONG"
    MEMORY_ABOVE_LIMIT = "MEMORY_ABOVE_LIMIT"
    ANSWER_ABOVE_LIMIT = "ANSWER_ABOVE_LIMIT"
    STORE_NAME_INVALID = "STORE_NAME_INVALID"
    SCALE_UNKNOWN = "SCALE_UNKNOWN"
    WINDOW_OUTSIDE_STORE = "WINDOW_OUTSIDE_STORE"
    WINDOW_TOO_MANY_PIXELS = "WINDOW_TOO_MANY_PIXELS"
    REGION_UNKNOWN = "REGION_UNKNOWN"
    REGIONS_TOO_MANY = "REGIONS_TOO_MANY"
    STORE_UNFINISHED = "STORE_UNFINISHED"
    STORE_VERSION_UNKNOWN = "STORE_VERSION_UNKNOWN"
    STORE_DAMAGED = "STORE_DAMAGED"
    STORE_TOO_LARGE = "STORE_TOO_LARGE"
    STORE_NOT_FOUND = "STORE_NOT_FOUND"
    STORE_UNREADABLE = "STORE_UNREADABLE"
    VERSION_UNAVAILABLE = "VERSION_UNAVAILABLE"
    QUEUE_FULL = "QUEUE_FULL"
    BYTES_IN_FLIGHT = "BYTES_IN_FLIGHT"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    TOKEN_LIMIT = "TOKEN_LIMIT"  # noqa: S105 (the reason's name)
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    DEADLINE_PASSED = "DEADLINE_PASSED"
    DEADLINE_UNREACHABLE = "DEADLINE_UNREACHABLE"
    CALL_CANCELLED = "CALL_CANCELLED"
    DRAINING = "DRAINING"
    STREAM_IDLE = "STREAM_IDLE"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105 (the reason's name)
    SCOPE_MISSING = "SCOPE_MISSING"
    DEVICE_LOST = "DEVICE_LOST"
    NO_THREAD = "NO_THREAD"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class ImageFormat(StrEnum):
    """The format of an image as sent."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    BMP = "bmp"
    GIF = "gif"
    TIFF = "tiff"
    AVIF = "avif"
    RAW = "raw"


IMAGE_SUFFIXES = {
    ImageFormat.JPEG: (".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp"),
    ImageFormat.PNG: (".png",),
    ImageFormat.WEBP: (".webp",),
    ImageFormat.TIFF: (".tif", ".tiff"),
    ImageFormat.GIF: (".gif",),
    ImageFormat.BMP: (".bmp", ".dib"),
    ImageFormat.AVIF: (".avif",),
}
"""The formats of image files, with the suffixes that browsers and systems use for them."""

IMAGE_FILE = "JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF file"
"""What an image file is, for texts."""


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """The time that a call spent in each stage, in seconds."""

    queue: float = 0.0
    decode: float = 0.0
    segment: float = 0.0
    encode: float = 0.0

    def items(self) -> Iterator[tuple[str, float]]:
        """Name and seconds of each stage, in the order of the work."""
        for field in fields(self):
            yield field.name, getattr(self, field.name)
