"""Guidance: maps of a network, or of any other source, that superpixels follow beside the colours."""

import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal, TypeAlias

import grpc
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import codec
from superpixel_kernels.codec.label_colors import MAX_RGB_LABEL
from superpixel_service.client.errors import InvalidRequest
from superpixel_service.client.map_sources import (
    MAX_RAW_BYTES,
    MapSource,
    array_of,
    bytes_of,
    gray_of,
    loaded,
    png_of,
)
from superpixel_service.contract import Reason
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb

Mask: TypeAlias = NDArray[Any] | Mapping[str, Any]
"""A (height, width) array, true inside; COCO's run-length encoding, a mapping with `size` (height, width) and
`counts` (compressed string or list); or a mapping with one of these as `segmentation`, as SAM returns."""

PriorSource: TypeAlias = MapSource | Sequence[Mask]
"""As `MapSource`; or path or bytes of an SPXL label map or of a JSON file of masks; or a list of masks, in
which later ones cover earlier ones."""

_PNG, _SPXL = b"\x89PNG", b"SPXL"
_UINT32_MAX = 2**32 - 1
_MAX_LABEL = 2**31 - 1
_MODES = {"soft": pb.PRIOR_MODE_SOFT, "hard": pb.PRIOR_MODE_HARD}


@dataclass(frozen=True, eq=False)
class Guidance:
    """Maps that superpixels follow beside the colours, each optional, in any combination.

    A map shows the whole picture as it lies after its orientation is applied, also with a region of interest.
    It may have another size than the image; the server scales it by nearest neighbour.

    Attributes:
        edges: strength of a border at each pixel, 0 to 255: gray of 8 bits, uint8, or bool (255 where true).
        edge_weight: 0 to 8; None: the server's default, 2.
        prior: a label for each pixel, 0 to 2^31 - 1; or masks: the pixels of masks[i] get label i + 1, the
            others 0. PNG files and Pillow images with a palette: the indexes. RGB: R + 256 G + 65,536 B.
        prior_mode: "soft" prefers the prior's borders; "hard" never crosses them, from the number of its
            4-connected components on.
        prior_weight: 0 to 512, for "soft"; None: the server's default, 64.
        prior_count: if `prior` is an SPXL label map: the level to use; 0: the finest.
        importance: superpixels are (32 + value) / 32 times as dense; types as for `edges`.
        required_version: the guidance version that the answer must have; None: any.
    """

    edges: MapSource | None = None
    edge_weight: int | None = None
    prior: PriorSource | None = None
    prior_mode: Literal["soft", "hard"] = "soft"
    prior_weight: int | None = None
    prior_count: int = 0
    importance: MapSource | None = None
    required_version: int | None = None


GuidanceOf: TypeAlias = Callable[[Any], Guidance | None]
"""Returns the guidance of an image of `segment_many` by its key; may raise `InvalidRequest` for the image."""


def build_guidance(guidance: object) -> pb.Guidance | None:
    """Build the message. `guidance` may also be `superpixel_kernels.Guidance`, or None.

    Raises:
        InvalidRequest: a file cannot be read, or an object is not a map; `field` names the map.
    """
    if guidance is None:
        return None
    names = [field.name for field in fields(Guidance)]
    if not isinstance(guidance, Guidance):
        given = {name: getattr(guidance, name) for name in names if hasattr(guidance, name)}
        if not {"edges", "prior", "importance"} <= given.keys():
            raise TypeError(f"guidance must be Guidance, got {type(guidance).__name__}")
        guidance = Guidance(**given)
    if guidance.prior_mode not in _MODES:
        raise _invalid("prior_mode", f"must be one of {', '.join(_MODES)}", Reason.ENUM_VALUE_UNKNOWN)
    return pb.Guidance(
        edges=_gray("edges", guidance.edges),
        edge_weight=_number("edge_weight", guidance.edge_weight),
        prior=_prior(guidance.prior, guidance.prior_count),
        prior_mode=_MODES[guidance.prior_mode],
        prior_weight=_number("prior_weight", guidance.prior_weight),
        importance=_gray("importance", guidance.importance),
        required_version=_number("required_version", guidance.required_version),
    )


def map_bytes(message: pb.Guidance) -> int:
    """Bytes of all maps as sent."""
    prior = message.prior
    return (
        sum(len(each.png) + len(each.raw.data) for each in (message.edges, prior, message.importance))
        + len(prior.label_map.spx)
        + sum(len(mask.compressed) + len(mask.uncompressed) for mask in prior.masks.masks)
    )


def _number(field: str, value: int | None) -> int | None:
    if value is None:
        return None
    number = operator.index(value)  # accepts NumPy's integers, rejects floats
    if not 0 <= number <= _UINT32_MAX:
        raise _invalid(field, f"must be 0 or more, got {number}", Reason.GUIDANCE_WEIGHT_TOO_LARGE)
    return number


def _gray(name: str, source: MapSource | None) -> pb.GrayMap | None:
    if source is None:
        return None
    values = gray_of(source, partial(_invalid, name))
    if isinstance(values, bytes):
        return pb.GrayMap(png=values)
    if values.dtype == np.bool_:
        values = np.where(values, np.uint8(255), np.uint8(0))
    if values.dtype != np.uint8:
        raise _invalid(name, f"an array must be uint8 (0 to 255) or bool, got {values.dtype}")
    return pb.GrayMap(**_sent(values))


def _prior(source: PriorSource | None, count: int) -> pb.PriorMap | None:
    if source is None:
        return None
    refuse = partial(_invalid, "prior")
    data = bytes_of(source, refuse)
    if data is not None:
        return _prior_file(data, count)
    if isinstance(source, Image.Image):
        return pb.PriorMap(**_sent(_labels_of_picture(loaded(source, refuse))))
    if isinstance(source, Sequence) or (isinstance(source, np.ndarray) and source.ndim == 3):
        return _masks(source)
    return pb.PriorMap(**_sent(_labels(array_of(source, refuse))))


def _prior_file(data: bytes, count: int) -> pb.PriorMap:
    if data.startswith(_SPXL):
        return pb.PriorMap(label_map=pb.LabelMapLevel(spx=data, count=_number("prior_count", count) or 0))
    if data[:64].lstrip()[:1] in {b"{", b"["}:
        return _masks(_masks_of_json(data))
    return pb.PriorMap(png=data)  # the server says what is wrong with anything else


def _labels_of_picture(picture: Image.Image) -> NDArray[Any]:
    if picture.mode == "RGB":
        return _labels(codec.rgb_to_labels(np.asarray(picture)))
    if picture.mode not in {"1", "L", "P", "I"} and not picture.mode.startswith("I;16"):
        raise _invalid(
            "prior", f"a Pillow image must have mode 1, L, P, I, I;16 or RGB, this one has {picture.mode}"
        )
    return _labels(np.asarray(picture))


def _labels(values: NDArray[Any]) -> NDArray[Any]:
    """The labels in the smallest type that holds them."""
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > _MAX_LABEL:
        wrong = least if least < 0 else most
        raise _invalid(
            "prior", f"labels must be from 0 to {_MAX_LABEL}, got {wrong}", Reason.GUIDANCE_LABEL_TOO_LARGE
        )
    return values.astype(np.min_scalar_type(most))


def _sent(values: NDArray[Any]) -> dict[str, Any]:
    """The field of a `GrayMap` or `PriorMap` for values of 8, 16 or 32 bits."""
    height, width = values.shape
    bits = 8 * values.dtype.itemsize
    if values.nbytes > MAX_RAW_BYTES and (bits < 32 or int(values.max()) <= MAX_RGB_LABEL):
        return {"png": png_of(values)}
    data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    return {"raw": pb.RawMap(width=width, height=height, bits=bits, data=data)}


def _masks_of_json(data: bytes) -> Sequence[Mask]:
    """The masks of a JSON file: a list, or an object with a list of `annotations`, as SAM and COCO write."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _invalid("prior", "the file begins like JSON, but is not JSON") from error
    if isinstance(content, dict):
        content = content.get("annotations")
    if not isinstance(content, list):
        raise _invalid("prior", "a JSON file must hold a list of masks, or an object with `annotations`")
    images = {str(each["image_id"]) for each in content if isinstance(each, dict) and "image_id" in each}
    if len(images) > 1:
        raise _invalid("prior", f"a JSON file must hold the masks of one image, has those of {len(images)}")
    return content


def _masks(masks: Iterable[object]) -> pb.PriorMap:
    message, size = pb.RleMasks(), None
    for index, mask in enumerate(masks):
        shape, encoded = _mask(index, mask)
        if size is not None and shape != size:
            raise _invalid("prior", f"all masks must have one size; mask {index} is {shape}, mask 0 {size}")
        size = shape
        message.masks.append(encoded)
    if size is None:  # nothing was found in the image: a constant map, which has no effect
        return pb.PriorMap(**_sent(np.zeros((1, 1), np.uint8)))
    message.height, message.width = size
    return pb.PriorMap(masks=message)


def _mask(index: int, mask: object) -> tuple[tuple[int, int], pb.RleMask]:
    """Height and width, and the runs."""
    if isinstance(mask, Mapping) and "segmentation" in mask:
        mask = mask["segmentation"]
    if isinstance(mask, Mapping):
        return _rle(index, mask)
    # Lists are polygons in COCO's files.
    values = np.empty(0) if isinstance(mask, list | tuple) else np.asarray(mask)
    if values.ndim != 2 or not values.size or values.dtype.kind not in "bui":
        raise _invalid(
            "prior",
            f"mask {index} must be a (height, width) array, or a run-length encoding with size and counts",
        )
    return (values.shape[0], values.shape[1]), pb.RleMask(uncompressed=_runs(values != 0))


def _rle(index: int, mask: Mapping[str, Any]) -> tuple[tuple[int, int], pb.RleMask]:
    try:
        height, width = (operator.index(value) for value in mask["size"])
        counts = mask["counts"]
        if not (1 <= height <= _UINT32_MAX and 1 <= width <= _UINT32_MAX):
            raise ValueError("size out of range")  # noqa: TRY301
        if isinstance(counts, str):
            return (height, width), pb.RleMask(compressed=counts.encode("ascii"))
        if isinstance(counts, bytes):
            return (height, width), pb.RleMask(compressed=counts)
        lengths = np.asarray(counts, np.int64)
        if lengths.ndim != 1 or np.any((lengths < 0) | (lengths > _UINT32_MAX)):
            raise ValueError("a length is out of range")  # noqa: TRY301
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _invalid(
            "prior", f"mask {index}: must have size (height, width) and counts (a string or lengths)"
        ) from error
    return (height, width), pb.RleMask(uncompressed=lengths.astype("<u4").tobytes())


def _runs(mask: NDArray[np.bool_]) -> bytes:
    """The lengths of the runs down the columns, beginning with background, as little-endian uint32."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0] * (1 + int(flat[0])), changes, [flat.size]])
    return np.diff(bounds).astype("<u4").tobytes()


def _invalid(field: str, text: str, reason: Reason = Reason.GUIDANCE_MAP_INVALID) -> InvalidRequest:
    path = f"guidance.{field}"
    metadata = {"map": field} if field in {"edges", "prior", "importance"} else {}
    return InvalidRequest(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"{path}: {text}",
        reason=reason.value,
        field=path,
        metadata=metadata,
    )
