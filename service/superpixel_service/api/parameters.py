"""The parameters of `POST /v1/segment`: declared once, for the reader and for the OpenAPI description."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from superpixel_kernels.guidance import (
    DEFAULT_EDGE_WEIGHT,
    DEFAULT_PRIOR_WEIGHT,
    MAX_EDGE_WEIGHT,
    MAX_PRIOR_WEIGHT,
)
from superpixel_kernels.params import DEFAULT_COMPACTNESS, MAX_COMPACTNESS
from superpixel_service.contract import Reason
from superpixel_service.http.problems import Problem
from superpixel_service.targets import MAX_TARGETS

ENCODINGS = ("spx", "png", "json")

UNKNOWN = "PARAMETER_UNKNOWN"
INVALID = "PARAMETER_INVALID"
REPEATED = "PARAMETER_REPEATED"
MALFORMED = "BODY_MALFORMED"
NOT_KEPT = "MAP_NOT_KEPT"
KEEPING_OFF = "KEEPING_OFF"
"""Reasons of this API alone; all others are the contract's."""

REASONS = (UNKNOWN, INVALID, REPEATED, MALFORMED, NOT_KEPT, KEEPING_OFF)

_INTEGER = re.compile(r"-?[0-9]{1,12}")
_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter.

    Attributes:
        name: in the query, or of a form's field.
        schema: its JSON Schema. The reader checks the type, the names of an enumeration and the number of
            array entries; the server checks ranges, because its errors have stable reasons.
        text: what it means.
        checked: whether the reader checks the range, because the server's message cannot carry all integers.
    """

    name: str
    schema: Mapping[str, Any]
    text: str
    checked: bool = False

    def read(self, text: str) -> Any:
        """The value that a text stands for.

        Raises:
            Problem: it stands for none; the problem says what would be right.
        """
        value = _read(self.name, self.schema, text)
        if self.checked and not self.schema["minimum"] <= value <= self.schema["maximum"]:
            raise invalid(
                self.name, f"must be from {self.schema['minimum']} to {self.schema['maximum']}, got {value}"
            )
        return value


_COUNT = {"type": "integer", "minimum": 1, "maximum": _MOST}
_COORDINATE = {"type": "integer", "minimum": 0, "maximum": _MOST}
_SAMPLE = {"type": "integer", "minimum": 0, "maximum": 65535}

SEGMENT = (
    Parameter(
        "counts",
        {"type": "array", "items": _COUNT, "minItems": 1, "maxItems": MAX_TARGETS},
        "Numbers of superpixels, separated by commas. The finest one is the map; the others are its levels.",
    ),
    Parameter(
        "areas",
        {
            "type": "array",
            "items": {"type": "number", "exclusiveMinimum": 0, "maximum": _MOST},
            "minItems": 1,
            "maxItems": MAX_TARGETS,
        },
        "Average sizes of superpixels in pixels, separated by commas. Together with `counts` at most "
        f"{MAX_TARGETS}. Without both, the map has all base regions, which needs `hierarchy`.",
    ),
    Parameter(
        "compactness",
        {"type": "number", "minimum": 0, "maximum": MAX_COMPACTNESS},
        f"Weight of shape against colour: larger is squarer. Default: the server's, usually "
        f"{DEFAULT_COMPACTNESS:g}.",
    ),
    Parameter(
        "encoding",
        {"type": "string", "enum": list(ENCODINGS), "default": "spx"},
        "spx: a label map in the SPXL container; png: the finest map as an image of labels; "
        "json: labels as runs, levels and regions.",
    ),
    Parameter(
        "hierarchy",
        {"type": "boolean"},
        "Include the merge tree, from which any smaller count can be cut. Default: true for spx, else false. "
        "A PNG cannot have it.",
    ),
    Parameter(
        "regions",
        {"type": "boolean"},
        "Include area, box, centroid, mean colour and neighbours of each region. Default: true for json, "
        "else false. A PNG cannot have them.",
    ),
    Parameter(
        "region",
        {"type": "array", "items": _COORDINATE, "minItems": 4, "maxItems": 4},
        "x, y, width and height, separated by commas: segment only this part of the upright image.",
    ),
    Parameter(
        "sample_range",
        {"type": "array", "items": _SAMPLE, "minItems": 2, "maxItems": 2},
        "The values of 16-bit samples that become 0 and 255, separated by a comma. Default: without the "
        "darkest and brightest thousandth of them.",
    ),
    Parameter(
        "orientation",
        {"type": "boolean", "default": True},
        "Apply the EXIF orientation, as browsers do.",
    ),
    Parameter(
        "first_frame",
        {"type": "boolean", "default": False},
        "Segment the first frame of an animation; otherwise animations are rejected.",
    ),
    Parameter(
        "priority",
        {"type": "string", "enum": ["interactive", "bulk"], "default": "interactive"},
        "Bulk work yields to interactive work.",
    ),
    Parameter(
        "edge_weight",
        {"type": "integer", "minimum": 0, "maximum": MAX_EDGE_WEIGHT},
        f"With the file `edges`. Default: {DEFAULT_EDGE_WEIGHT}.",
    ),
    Parameter(
        "prior_mode",
        {"type": "string", "enum": ["soft", "hard"]},
        "With the file `prior`: soft prefers its borders, hard never crosses them. Default: soft.",
    ),
    Parameter(
        "prior_weight",
        {"type": "integer", "minimum": 0, "maximum": MAX_PRIOR_WEIGHT},
        f"With the file `prior`, mode soft. Default: {DEFAULT_PRIOR_WEIGHT}.",
    ),
    Parameter(
        "prior_count",
        _COUNT,
        "With the file `prior`, if it is an SPXL label map: the level to use. Default: the finest.",
    ),
    Parameter(
        "required_algorithm_version",
        {"type": "integer", "minimum": 0, "maximum": 65535},
        "The algorithm version that the answer must have.",
        checked=True,
    ),
    Parameter(
        "keep",
        {"type": "boolean", "default": False},
        "Keep the map for `/v1/select`, with hierarchy and regions; the header Superpixel-Map has its id.",
    ),
)

_BY_NAME = {parameter.name: parameter for parameter in SEGMENT}


def read_parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The values of parameters, by name.

    Args:
        pairs: name and text of each, as sent.

    Raises:
        Problem: a name is unknown or repeated, or a text is no value.
    """
    values: dict[str, Any] = {}
    for name, text in pairs:
        parameter = _BY_NAME.get(name)
        if parameter is None:
            raise unknown(name, _BY_NAME)
        if name in values:
            raise repeated(name)
        values[name] = parameter.read(text)
    return values


def unknown(name: str, known: Iterable[str]) -> Problem:
    """The problem of a name that means nothing."""
    shown = name[:40]
    return Problem(
        HTTPStatus.BAD_REQUEST,
        f"{shown!r} is no parameter; there are {', '.join(known)}",
        reason=UNKNOWN,
        field=shown,
    )


def repeated(name: str) -> Problem:
    """The problem of a parameter that is given twice."""
    return Problem(HTTPStatus.BAD_REQUEST, f"{name}: give it once", reason=REPEATED, field=name)


def invalid(name: str, text: str, reason: str = INVALID) -> Problem:
    """The problem of a value; `text` says what would be right."""
    return Problem(HTTPStatus.BAD_REQUEST, f"{name}: {text}", reason=reason, field=name)


def _read(name: str, schema: Mapping[str, Any], text: str) -> Any:
    match schema["type"]:
        case "array":
            return _read_array(name, schema, text)
        case "integer" if _INTEGER.fullmatch(text):
            return int(text)
        case "integer":
            raise invalid(name, f"must be an integer, got {text[:40]!r}")
        case "number":
            return _read_number(name, text)
        case "boolean" if text in ("true", "false"):
            return text == "true"
        case "boolean":
            raise invalid(name, f"must be true or false, got {text[:40]!r}")
        case _ if text in schema["enum"]:
            return text
        case _:
            known = ", ".join(schema["enum"])
            raise invalid(name, f"must be one of {known}, got {text[:40]!r}", Reason.ENUM_VALUE_UNKNOWN.value)


def _read_array(name: str, schema: Mapping[str, Any], text: str) -> tuple[Any, ...]:
    parts = text.split(",")
    least, most = schema["minItems"], schema["maxItems"]
    if least == most != len(parts):
        raise invalid(name, f"must be {least} numbers, separated by commas")
    if len(parts) > most:
        raise invalid(name, f"must be at most {most} numbers", Reason.TARGETS_TOO_MANY.value)
    return tuple(_read(name, schema["items"], part) for part in parts)


def _read_number(name: str, text: str) -> float:
    try:
        # Python also reads other scripts' digits, and 1_000.
        value = float(text) if text.isascii() and "_" not in text and text == text.strip() else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise invalid(name, f"must be a number, got {text[:40]!r}")
    return value
