"""What a label map was made from: the section `prov` of the container."""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from superpixel_kernels.errors import InvalidLabelMap, InvalidParameter

COMPACTNESS, POSITION, IMAGE, GUIDANCE = 1, 2, 3, 4
"""The fields of the section, by number."""

MAX_BYTES = 4096
"""Most raw bytes of the section."""

SHA256_BYTES = 32

_FIELD = struct.Struct("<BB")
_COMPACTNESS = struct.Struct("<d")
_POSITION = struct.Struct("<4I")
_GUIDANCE = struct.Struct("<HBBHH32s")
_SIZES = {
    COMPACTNESS: _COMPACTNESS.size,
    POSITION: _POSITION.size,
    IMAGE: SHA256_BYTES,
    GUIDANCE: _GUIDANCE.size,
}

_EDGES, _PRIOR, _IMPORTANCE = 1, 2, 4
_MODES: tuple[Literal["soft", "hard"], ...] = ("soft", "hard")


@dataclass(frozen=True, slots=True)
class GuidanceRecord:
    """The guidance that a label map was made with.

    Two maps of the same image, compactness and versions are nested only if their records are equal.

    Attributes:
        sha256: 32 bytes: the SHA-256 of the maps after scaling, their weights and the mode.
        version: the version of guidance, 0 to 65535.
        edge_weight: weight of the edge map, 0 to 65535; None: it had none.
        prior_mode: "soft" or "hard"; None: it had no prior map.
        prior_weight: weight of the prior map, 0 to 65535; None: it had none, or mode "hard" uses none.
        importance: whether it had an importance map.
    """

    sha256: bytes
    version: int
    edge_weight: int | None = None
    prior_mode: Literal["soft", "hard"] | None = None
    prior_weight: int | None = None
    importance: bool = False


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a label map was made from, as the writer states it; not verified. None: the writer does not say.

    Attributes:
        compactness: weight of shape against colour.
        position: column and row of the map's first pixel in the whole picture.
        picture_size: width and height of the whole picture in pixels; given if and only if `position` is.
        image_sha256: 32 bytes: the SHA-256 of the image file, or of the pixels if there was no file.
        guidance: the maps that the superpixels followed; None: none.
    """

    compactness: float | None = None
    position: tuple[int, int] | None = None
    picture_size: tuple[int, int] | None = None
    image_sha256: bytes | None = None
    guidance: GuidanceRecord | None = None


def provenance_payload(provenance: Provenance, width: int, height: int) -> bytes:
    """Write the section's payload, for a map of this size.

    Raises:
        InvalidParameter: a value is out of range, or the map does not lie inside the picture.
    """
    fields: dict[int, bytes] = {}
    if provenance.compactness is not None:
        if not (math.isfinite(provenance.compactness) and provenance.compactness >= 0):
            raise InvalidParameter(
                "provenance.compactness", f"must be 0 or more, got {provenance.compactness}"
            )
        fields[COMPACTNESS] = _COMPACTNESS.pack(provenance.compactness + 0.0)  # turns -0 into 0
    if provenance.position is not None or provenance.picture_size is not None:
        place = (*(provenance.position or ()), *(provenance.picture_size or ()))
        if len(place) != 4 or not _fits(place, width, height):
            raise InvalidParameter(
                "provenance.position", f"with picture_size, must place {width}x{height} pixels, got {place}"
            )
        fields[POSITION] = _POSITION.pack(*place)
    if provenance.image_sha256 is not None:
        _check_hash("provenance.image_sha256", provenance.image_sha256)
        fields[IMAGE] = provenance.image_sha256
    if provenance.guidance is not None:
        fields[GUIDANCE] = _guidance_bytes(provenance.guidance)
    return b"".join(_FIELD.pack(number, len(value)) + value for number, value in fields.items())


def parse_provenance(raw: bytes, width: int, height: int) -> Provenance:
    """Read the section's payload, for a map of this size. Unknown fields are skipped.

    Raises:
        InvalidLabelMap: it is malformed.
    """
    fields = dict(_fields(raw))
    compactness = position = picture_size = guidance = None
    if COMPACTNESS in fields:
        (compactness,) = _COMPACTNESS.unpack(fields[COMPACTNESS])
        if not (math.isfinite(compactness) and compactness >= 0):
            raise InvalidLabelMap(f"prov: compactness {compactness}, must be 0 or more")
    if POSITION in fields:
        x, y, picture_width, picture_height = place = _POSITION.unpack(fields[POSITION])
        if not _fits(place, width, height):
            raise InvalidLabelMap(
                f"prov: the map at ({x}, {y}) is not inside a picture of {picture_width} x {picture_height}"
            )
        position, picture_size = (x, y), (picture_width, picture_height)
    if GUIDANCE in fields:
        guidance = _parse_guidance(fields[GUIDANCE])
    return Provenance(compactness, position, picture_size, fields.get(IMAGE), guidance)


def _fields(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at, last = 0, 0
    while at < len(raw):
        if len(raw) - at < _FIELD.size:
            raise InvalidLabelMap("prov: ends inside a field")
        number, size = _FIELD.unpack_from(raw, at)
        at += _FIELD.size
        if number <= last:
            raise InvalidLabelMap(f"prov: field {number} after field {last}, numbers must rise from 1")
        if size > len(raw) - at:
            raise InvalidLabelMap(f"prov: field {number}: {size} bytes announced, {len(raw) - at} left")
        expected = _SIZES.get(number, size)
        if size != expected:
            raise InvalidLabelMap(f"prov: field {number}: {size} bytes, must be {expected}")
        yield number, raw[at : at + size]
        at, last = at + size, number


def _fits(place: tuple[int, ...], width: int, height: int) -> bool:
    x, y, picture_width, picture_height = place
    return (
        min(x, y) >= 0
        and max(picture_width, picture_height) < 2**32
        and x + width <= picture_width
        and y + height <= picture_height
    )


def _check_hash(name: str, value: bytes) -> None:
    if len(value) != SHA256_BYTES:
        raise InvalidParameter(name, f"must be {SHA256_BYTES} bytes, got {len(value)}")


def _guidance_bytes(guidance: GuidanceRecord) -> bytes:
    _check_hash("provenance.guidance.sha256", guidance.sha256)
    mode = guidance.prior_mode
    if mode is not None and mode not in _MODES:
        raise InvalidParameter("provenance.guidance.prior_mode", f"must be 'soft' or 'hard', got {mode!r}")
    if (guidance.prior_weight is not None) != (mode == "soft"):
        raise InvalidParameter("provenance.guidance.prior_weight", "must be given for mode 'soft' alone")
    numbers = {
        "version": guidance.version,
        "edge_weight": guidance.edge_weight or 0,
        "prior_weight": guidance.prior_weight or 0,
    }
    for name, number in numbers.items():
        if not 0 <= number <= 0xFFFF:
            raise InvalidParameter(f"provenance.guidance.{name}", f"must be from 0 to 65535, got {number}")
    maps = (
        (0 if guidance.edge_weight is None else _EDGES)
        | (0 if mode is None else _PRIOR)
        | (_IMPORTANCE if guidance.importance else 0)
    )
    if not maps:
        raise InvalidParameter("provenance.guidance", "must have a map")
    return _GUIDANCE.pack(
        numbers["version"],
        maps,
        0 if mode is None else _MODES.index(mode),
        numbers["edge_weight"],
        numbers["prior_weight"],
        guidance.sha256,
    )


def _parse_guidance(data: bytes) -> GuidanceRecord:
    version, maps, mode, edge_weight, prior_weight, sha256 = _GUIDANCE.unpack(data)
    if not 1 <= maps <= _EDGES | _PRIOR | _IMPORTANCE:
        raise InvalidLabelMap(f"prov: guidance: unknown maps {maps}")
    if mode >= len(_MODES):
        raise InvalidLabelMap(f"prov: guidance: unknown mode {mode}")
    has_prior, is_hard = bool(maps & _PRIOR), mode > 0
    unused = (edge_weight and not maps & _EDGES) or (prior_weight and (is_hard or not has_prior))
    if unused or (is_hard and not has_prior):
        raise InvalidLabelMap("prov: guidance: what is not used must be 0")
    return GuidanceRecord(
        sha256=sha256,
        version=version,
        edge_weight=edge_weight if maps & _EDGES else None,
        prior_mode=_MODES[mode] if has_prior else None,
        prior_weight=prior_weight if has_prior and not is_hard else None,
        importance=bool(maps & _IMPORTANCE),
    )
