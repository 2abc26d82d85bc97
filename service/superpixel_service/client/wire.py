"""Builds requests and reads responses, for both clients; and the options of their channels."""

import errno
import importlib.resources
import io
import json
import operator
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, cast

import grpc
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_service import __version__
from superpixel_service.addresses import stays_here
from superpixel_service.client.errors import InvalidImage, InvalidRequest
from superpixel_service.client.guidance import Guidance, GuidanceOf, build_guidance, map_bytes
from superpixel_service.client.map_sources import MapSource, loaded
from superpixel_service.client.mask import MaskOf, build_mask, mask_bytes
from superpixel_service.client.provenance import read_provenance
from superpixel_service.client.segmentation import Notice, Segmentation, ServerInfo
from superpixel_service.client.wanted import Wanted
from superpixel_service.contract import REQUEST_ID_KEY, Reason, StageSeconds
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb


class BinaryFile(Protocol):
    """An object whose `read` returns the rest of its bytes: an open file, an upload, a response."""

    def read(self) -> bytes:
        """Read the rest."""


ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Image.Image | NDArray[Any]
)
"""A path, the bytes of an image file, a file open for binary reading, a Pillow image, or an array: (height,
width) or (height, width, 1, 3 or 4) of uint8 or bool, or (height, width) or (height, width, 1) of uint16."""

MAX_RAW_BYTES = 32 << 20
"""Most bytes of pixels sent uncompressed (11 megapixels of RGB). Up to this size compression takes longer
than sending over a local network. Larger images are sent as PNG, to stay within the servers' size limit."""

MAX_ANSWER_BYTES = 256 << 20
"""Largest accepted answer; gRPC's default is 4 MB."""

LONGEST_SECONDS = 1e6
"""Longest deadline; the functions that wait do not accept infinity."""

_MAX_FILE_BYTES = 2**31 - 1
"""Largest protobuf message."""

_UINT32_MAX = 2**32 - 1
_PRIORITIES = {"interactive": pb.PRIORITY_INTERACTIVE, "bulk": pb.PRIORITY_BULK}


def channel_options() -> list[tuple[str, Any]]:
    """The gRPC options of the clients' channels."""
    return [
        ("grpc.primary_user_agent", f"superpixel-client/{__version__}"),
        ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
        ("grpc.max_send_message_length", -1),  # the server's limit applies
        ("grpc.service_config", service_config()),
        # Pings detect a dead connection or a hung server; its calls then go to other servers. Servers repeat
        # their health every second, so only a silent one is pinged. This matters while an image is sent over
        # a slow line: an answer to a ping would take longer than this timeout.
        ("grpc.keepalive_time_ms", 2_000),
        ("grpc.keepalive_timeout_ms", 3_000),
        # gRPC applies this one, whose default is a minute, and not the other.
        ("grpc.http2.ping_timeout_ms", 3_000),
        # gRPC also pings to measure the connection, and this timeout would apply to such a ping too. So the
        # window for answers is fixed.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 4 << 20),
        # Reconnect as soon as the first retry needs the connection.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # Replaced servers have new addresses; by default gRPC resolves a name at most once per 30 s.
        ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    ]


def service_config() -> str:
    """The gRPC service config of this package's clients (JSON).

    Calls are distributed over all healthy servers behind the name. The shipped file's retries are left out:
    these clients use `RetryPolicy`, which respects the deadline and the wait that the server asks for. Both
    together would try a call 30 times.
    """
    config = json.loads(shipped_service_config())
    del config["methodConfig"]
    return json.dumps(config)


def shipped_service_config() -> str:
    """The gRPC service config for clients in other languages, with gRPC's retries (JSON)."""
    return importlib.resources.files(__package__).joinpath("service_config.json").read_text()


def open_channel(
    address: str, credentials: grpc.ChannelCredentials | None, options: Sequence[tuple[str, Any]]
) -> grpc.Channel:
    """Open a blocking channel, in plaintext if `credentials` is None."""
    if credentials is None:
        return grpc.insecure_channel(address, plaintext_options(address, options))
    return grpc.secure_channel(address, credentials, options)


def plaintext_options(address: str, options: Sequence[tuple[str, Any]]) -> Sequence[tuple[str, Any]]:
    """The options of a plaintext channel: calls to this machine do not use a proxy."""
    return [*options, ("grpc.enable_http_proxy", 0)] if stays_here(address) else options


def new_request_id() -> str:
    """A new id for a call; the server logs it."""
    return uuid.uuid4().hex


def with_id(metadata: Sequence[tuple[str, str]], request_id: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call with this id."""
    return (*metadata, (REQUEST_ID_KEY, request_id))


def checked_timeout(timeout: float | None, default: float) -> float:
    """`timeout` in seconds, or `default` if it is None.

    Raises:
        ValueError: the value is not above 0, or is above `LONGEST_SECONDS`.
    """
    seconds = default if timeout is None else timeout
    if not 0 < seconds <= LONGEST_SECONDS:
        raise ValueError(
            f"timeout must be a number of seconds above 0, at most {LONGEST_SECONDS:.0f}, got {seconds}"
        )
    return seconds


def reusable(wanted: Wanted) -> Wanted:
    """The same parameters, for many requests: iterators, which can be read only once, become tuples."""
    sequences = ("counts", "areas", "region_of_interest")
    copied: Any = {
        name: tuple(value) if name in sequences and isinstance(value, Iterable) else value
        for name, value in wanted.items()
    }
    return cast(Wanted, copied)


def build_request(
    image: ImageSource,
    *,
    counts: int | Iterable[int] = (),
    areas: float | Iterable[float] = (),
    compactness: float | None = None,
    include_hierarchy: bool = True,
    include_regions: bool = False,
    region_of_interest: Sequence[int] | None = None,
    apply_exif_orientation: bool = True,
    first_frame_only: bool = False,
    priority: Literal["interactive", "bulk"] | None = None,
    guidance: Guidance | GuidanceOf | None = None,
    mask: MapSource | MaskOf | None = None,
    required_algorithm_version: int | None = None,
    sample_range: Sequence[int] | None = None,
) -> pb.SegmentRequest:
    """Build a request. The keywords are those of `Wanted`.

    Raises:
        InvalidImage: the file cannot be read, or the object is not an image.
        InvalidRequest: a number does not fit its field, a map of the guidance is no map, the mask is no mask,
            or the priority is unknown.
    """
    return pb.SegmentRequest(
        **_source(image),
        target_counts=_counts(counts),
        target_areas=map(float, areas if isinstance(areas, Iterable) else [areas]),
        compactness=None if compactness is None else float(compactness),
        label_encoding=pb.LABEL_ENCODING_SPX,
        include_hierarchy=include_hierarchy,
        include_regions=include_regions,
        region_of_interest=_region(region_of_interest),
        apply_exif_orientation=apply_exif_orientation,
        first_frame_only=first_frame_only,
        priority=_priority(priority),
        guidance=build_guidance(guidance),
        mask=build_mask(mask),
        required_algorithm_version=required_algorithm_version,
        sample_range=_sample_range(sample_range),
    )


def image_bytes(request: pb.SegmentRequest) -> int:
    """Size of the request's image, maps and mask as sent, in bytes."""
    image = len(request.encoded_image) or len(request.raw_image.data)
    return image + map_bytes(request.guidance) + mask_bytes(request.mask)


def _source(image: ImageSource) -> dict[str, Any]:
    if isinstance(image, bytes | bytearray | memoryview):
        return {"encoded_image": bytes(image)}
    if isinstance(image, str | os.PathLike):
        try:
            return {"encoded_image": read_image_file(Path(image))}
        except OSError as error:
            raise InvalidImage(f"cannot read {os.fspath(image)}: {error.strerror or error}") from error
        except ValueError as error:  # the name has a zero byte
            raise InvalidImage(f"cannot read {os.fspath(image)!r}: {error}") from error
    if isinstance(image, Image.Image):
        return _pixels(*_from_pillow(image))
    if isinstance(image, np.ndarray):
        return _pixels(*_from_array(image))
    if hasattr(image, "read"):
        return {"encoded_image": _read_open_file(image)}
    raise InvalidImage(
        "the image must be a path, the bytes of an image file, an open file, a Pillow image or a NumPy "
        f"array; it is a {type(image).__name__}"
    )


def _read_open_file(file: BinaryFile) -> bytes:
    try:
        data = file.read()
    except (OSError, ValueError) as error:  # ValueError: the file is closed, or its text is not UTF-8
        raise InvalidImage(f"cannot read the open file: {error}") from error
    if not isinstance(data, bytes):
        raise InvalidImage(f"a file must be open for binary reading; its read() gave {type(data).__name__}")
    return data


def read_image_file(path: Path) -> bytes:
    """Read the file.

    Raises:
        OSError: the file cannot be read, or is larger than any message.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > _MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return file.read()


def _from_pillow(picture: Image.Image) -> tuple[NDArray[Any], bool]:
    """The pixels, as uint8 or as 16-bit gray; and whether they are 16-bit gray."""
    picture = loaded(picture, InvalidImage)
    if picture.mode.startswith("I;16"):
        return np.asarray(picture), True
    if picture.mode in {"I", "F"}:
        raise InvalidImage(
            f"a Pillow image of mode {picture.mode} has no fixed range of values; convert it to L or I;16"
        )
    try:
        return _in_usual_mode(picture), False
    except ValueError as error:
        raise InvalidImage(f"a Pillow image of mode {picture.mode} cannot be converted: {error}") from error


def _in_usual_mode(picture: Image.Image) -> NDArray[Any]:
    if picture.mode == "La":  # Pillow converts it to LA only
        picture = picture.convert("LA")
    if picture.has_transparency_data:
        return np.asarray(picture.convert("RGBA"))
    return np.asarray(picture.convert("L" if picture.mode in {"1", "L"} else "RGB"))


def _from_array(array: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """The pixels, as uint8 or as 16-bit gray; and whether they are 16-bit gray."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype == np.bool_:
        array = np.where(array, np.uint8(255), np.uint8(0))
    gray16 = array.ndim == 2 and array.dtype.kind == "u" and array.dtype.itemsize == 2
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in {3, 4})
    if not (array.size and shape_fits and (gray16 or array.dtype == np.uint8)):
        raise InvalidImage(
            "an array must be (height, width) or (height, width, 1, 3 or 4) of uint8 or bool, or (height, "
            "width) or (height, width, 1) of uint16, and not empty; this one is "
            f"{array.shape} of {array.dtype}"
        )
    # Arrays in the byte order of other machines become native.
    return (array.astype(np.uint16, copy=False), True) if gray16 else (array, False)


def _pixels(pixels: NDArray[Any], gray16: bool) -> dict[str, Any]:
    height, width = pixels.shape[:2]
    if gray16 or pixels.nbytes > MAX_RAW_BYTES:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=1)
        return {"encoded_image": file.getvalue()}
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    return {"raw_image": pb.RawImage(width=width, height=height, channels=channels, data=pixels.tobytes())}


def _counts(counts: int | Iterable[int]) -> list[int]:
    values = counts if isinstance(counts, Iterable) else [counts]
    return [
        _uint32(count, Reason.COUNT_OUT_OF_RANGE, f"target_counts[{index}]", 1)
        for index, count in enumerate(values)
    ]


def _region(region: Sequence[int] | None) -> pb.Rectangle | None:
    if region is None:
        return None
    field, reason = "region_of_interest", Reason.REGION_OUTSIDE_IMAGE
    if len(region) != 4:
        raise _invalid(reason, field, f"must be x, y, width, height; it has {len(region)} numbers")
    x, y, width, height = (_uint32(value, reason, field, 0) for value in region)
    return pb.Rectangle(x=x, y=y, width=width, height=height)


def _sample_range(limits: Sequence[int] | None) -> pb.SampleRange | None:
    if limits is None:
        return None
    field, reason = "sample_range", Reason.SAMPLE_RANGE_INVALID
    if len(limits) != 2:
        raise _invalid(reason, field, f"must be low, high; it has {len(limits)} numbers")
    low, high = (_uint32(value, reason, field, 0) for value in limits)
    return pb.SampleRange(low=low, high=high)


def _uint32(value: int, reason: Reason, field: str, low: int) -> int:
    number = operator.index(value)  # accepts NumPy's integers, rejects floats
    if not low <= number <= _UINT32_MAX:
        raise _invalid(reason, field, f"must be from {low} to {_UINT32_MAX}, got {number}")
    return number


def _priority(priority: str | None) -> pb.Priority.ValueType:
    if priority is None:
        return pb.PRIORITY_UNSPECIFIED
    if priority not in _PRIORITIES:
        raise _invalid(Reason.ENUM_VALUE_UNKNOWN, "priority", f"must be one of {', '.join(_PRIORITIES)}")
    return _PRIORITIES[priority]


def _invalid(reason: Reason, field: str, text: str) -> InvalidRequest:
    return InvalidRequest(
        grpc.StatusCode.INVALID_ARGUMENT, f"{field}: {text}", reason=reason.value, field=field
    )


def read_response(response: pb.SegmentResponse, request_id: str) -> Segmentation:
    """Convert a response to a `Segmentation`."""
    timings = response.timings
    return Segmentation(
        spx=response.label_map.data,
        width=response.width,
        height=response.height,
        count=response.label_map.count,
        counts=tuple(level.count for level in response.levels),
        base_count=response.base_count,
        notices=tuple(
            Notice(_name(pb.NoticeCode, notice.code), notice.message) for notice in response.notices
        ),
        timings=StageSeconds(
            **{name: getattr(timings, f"{name}_microseconds") / 1e6 for name, _ in StageSeconds().items()}
        ),
        backend=response.backend,
        algorithm_version=response.algorithm_version,
        request_id=request_id,
        provenance=read_provenance(response),
        prior_components=response.prior_components if response.HasField("prior_components") else None,
        mask_pixels=response.mask_pixels if response.HasField("mask_pixels") else None,
        sample_range=(response.sample_range.low, response.sample_range.high)
        if response.HasField("sample_range")
        else None,
    )


def read_server_info(response: pb.GetServerInfoResponse) -> ServerInfo:
    """Convert a response to a `ServerInfo`."""
    limits = response.limits
    return ServerInfo(
        version=response.version,
        algorithm_version=response.algorithm_version,
        backends={backend.name: backend.device for backend in response.backends},
        max_image_bytes=limits.max_image_bytes,
        max_image_pixels=limits.max_image_pixels,
        max_refinement_pixels=limits.max_refinement_pixels,
        max_targets=limits.max_targets,
        compactness_range=(limits.min_compactness, limits.max_compactness),
        compactness_default=response.defaults.compactness,
        label_encodings=tuple(_name(pb.LabelEncoding, value) for value in response.label_encodings),
        image_formats=tuple(_name(pb.ImageFormat, value) for value in response.image_formats),
        guidance_version=response.guidance.version if response.HasField("guidance") else None,
        prior_modes=tuple(_name(pb.PriorMode, value).lower() for value in response.guidance.prior_modes),
    )


_PREFIXES = {
    "NoticeCode": "NOTICE_CODE_",
    "LabelEncoding": "LABEL_ENCODING_",
    "ImageFormat": "IMAGE_FORMAT_",
    "PriorMode": "PRIOR_MODE_",
}


def _name(enumeration: Any, value: int) -> str:
    """The value's name without its prefix; its number if only a newer server knows it."""
    known = enumeration.DESCRIPTOR.values_by_number.get(value)
    return known.name.removeprefix(_PREFIXES[enumeration.DESCRIPTOR.name]) if known else str(value)
