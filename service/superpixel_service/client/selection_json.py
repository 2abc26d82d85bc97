"""A selection as JSON, and back; frontend/src/serialise.js reads and writes the same text.

docs/selection.md describes the format.
"""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import codec
from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client.classes import MAX_CLASSES, MAX_ID, MAX_OBJECTS, Class, Instance, check_lists
from superpixel_service.client.runs import from_runs, to_runs

FORMAT = "superpixel-selection"

MAX_PARAMETERS = 100
"""Largest number of parameters, and of characters in a name and in a text."""

Parameters = dict[str, float | int | str | bool | None]
"""What a map was made with, for example `{"compactness": 10}`."""


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """The parts of a stored selection.

    Attributes:
        classes: at most 254.
        objects: at most 65,000.
        regions: (count,) uint16: the value of each finest region.
        pixels: (height * width,) uint16: 0 if not painted, else 1 + the value; None if nothing was painted.
        parameters: what the map was made with; None if unknown.
    """

    classes: tuple[Class, ...]
    objects: tuple[Instance, ...]
    regions: NDArray[np.uint16]
    pixels: NDArray[np.uint16] | None
    parameters: Parameters | None

    def values(self, label_map: codec.LabelMap) -> NDArray[np.uint16]:
        """(height, width) uint16: the value of each pixel; 0 outside the mask of the map."""
        labels = label_map.labels
        values: NDArray[np.uint16] = codec.with_outside(self.regions, 0)[labels]
        if self.pixels is not None:
            painted = self.pixels.reshape(values.shape)
            np.copyto(values, painted - np.uint16(1), where=(painted > 0) & (labels >= 0))
        return values


def fingerprint(labels: NDArray[np.int32]) -> str:
    """`LabelMap.fingerprint` of the npm package: eight hexadecimal digits, the same for the same labels.

    Args:
        labels: (height, width) int32.
    """
    flat = labels.ravel().astype(np.uint32)
    place = np.arange(flat.size, dtype=np.uint32) * np.uint32(0x9E3779B1) | np.uint32(1)
    return f"{int(((flat + np.uint32(1)) * place).sum(dtype=np.uint64)) % 2**32:08x}"


def read(label_map: codec.LabelMap, data: object) -> Stored:
    """Read the parsed JSON of a selection.

    Args:
        label_map: the map that the selection was made on.
        data: untrusted.

    Raises:
        InvalidParameter: the selection is damaged, or was made on another map.
    """
    version = data.get("version") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or data.get("format") != FORMAT or not _is_integer(version, 2):
        raise InvalidParameter("selection", f"must be a {FORMAT} of version 1 or 2")
    height, width = label_map.labels.shape
    made_on = [data.get(name) for name in ("width", "height", "count", "map")]
    same = made_on == [width, height, label_map.count, fingerprint(label_map.labels)]
    if not same or bool in map(type, made_on):
        raise InvalidParameter("selection", "was made on another map")
    try:
        classes = _classes(data.get("classes"))
        objects = _objects(data.get("objects") if version == 2 else [], len(classes))
        counts = (len(classes), len(objects))
        regions = from_runs("regions", data.get("regions"), label_map.count, *counts, 0)
        pixels = None
        if data.get("pixels") != []:
            pixels = from_runs("pixels", data.get("pixels"), label_map.labels.size, *counts, 1)
        return Stored(classes, objects, regions, pixels, check_parameters(data.get("parameters")))
    except (OverflowError, TypeError, ValueError) as error:
        raise InvalidParameter("selection", f"is damaged: {error}") from error


def write(label_map: codec.LabelMap, stored: Stored) -> dict[str, Any]:
    """The plain data of a selection, in the order of `Selection.toJSON`."""
    height, width = label_map.labels.shape
    data: dict[str, Any] = {
        "format": FORMAT,
        "version": 2,
        "width": width,
        "height": height,
        "count": label_map.count,
        "map": fingerprint(label_map.labels),
    }
    if stored.parameters is not None:
        data["parameters"] = dict(stored.parameters)
    data["classes"] = [class_facts(one) for one in stored.classes]
    data["objects"] = [object_facts(one) for one in stored.objects]
    data["regions"] = to_runs(stored.regions)
    data["pixels"] = [] if stored.pixels is None else to_runs(stored.pixels)
    return data


def class_facts(one: Class) -> dict[str, Any]:
    """A class as JSON has it."""
    return {"name": one.name, "color": one.color} | ({} if one.id is None else {"id": one.id})


def object_facts(one: Instance) -> dict[str, Any]:
    """An object as JSON has it."""
    return {"class": one.class_value, "name": one.name}


def to_text(data: Mapping[str, Any]) -> str:
    """What `JSON.stringify` gives in JavaScript, character by character."""
    parts = [f"{_compact(name)}:{_parts(value)}" for name, value in data.items()]
    text = f"{{{','.join(parts)}}}"
    if not re.search("[\ud800-\udfff]", text):
        return text
    # Pairs of surrogates are one character; UTF-8 cannot encode single halves.
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", joined)


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _parts(value: object) -> str:
    """The text of one part. Only parameters can hold numbers that are no integers."""
    if not isinstance(value, dict):
        return _compact(value)
    return f"{{{','.join(f'{_compact(name)}:{_scalar(one)}' for name, one in value.items())}}}"


def _scalar(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _compact(value)
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    if not isinstance(exponent, int) or digits == (0,):
        return "0"
    text = "".join(map(str, digits))
    point = len(text) + exponent  # 0.digits * 10^point, as in ECMAScript's Number::toString
    if len(text) <= point <= 21:
        shown = text + "0" * (point - len(text))
    elif 0 < point <= 21:
        shown = f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        shown = f"0.{'0' * -point}{text}"
    else:
        shown = f"{text[0]}{'.' if text[1:] else ''}{text[1:]}e{point - 1:+d}"
    return "-" * sign + shown


def _classes(given: object) -> tuple[Class, ...]:
    """The classes of a stored selection. Raises TypeError or ValueError if they are damaged."""
    if not isinstance(given, list) or len(given) > MAX_CLASSES:
        raise ValueError(f"classes: must be a list of at most {MAX_CLASSES}")
    classes = []
    for one in given:
        name, color = (one.get(key) if isinstance(one, Mapping) else None for key in ("name", "color"))
        if not isinstance(name, str) or not isinstance(color, str):
            raise TypeError("classes: each must have a name and a color, as text")
        number = None
        if "id" in one:
            number = one["id"]
            if not _is_integer(number, MAX_ID):
                raise ValueError(f"classes: an id must be an integer from 1 to {MAX_ID}")
        classes.append(Class(name, color, number and int(number)))
    check_lists(classes, ())
    return tuple(classes)


def _objects(given: object, classes: int) -> tuple[Instance, ...]:
    """The objects of a stored selection. Raises ValueError if they are damaged."""
    text = f"objects: must be at most {MAX_OBJECTS}, each with a class from 1 to {classes} and a name"
    if not isinstance(given, list) or len(given) > MAX_OBJECTS:
        raise ValueError(text)
    objects = []
    for one in given:
        value, name = (one.get(key) if isinstance(one, Mapping) else None for key in ("class", "name"))
        if not _is_integer(value, classes) or not isinstance(name, str):
            raise ValueError(text)
        objects.append(Instance(int(value), name))
    return tuple(objects)


def _is_integer(value: Any, most: int) -> TypeGuard[int | float]:
    """Whether JavaScript reads it as an integer from 1 to `most`: 1.0 is 1 there."""
    return type(value) in (int, float) and 1 <= value <= most and value % 1 == 0


def check_parameters(given: object) -> Parameters | None:
    """The parameters of a selection. Raises ValueError if they are not valid."""
    if given is None:
        return None
    sound = isinstance(given, Mapping) and len(given) <= MAX_PARAMETERS
    if isinstance(given, Mapping) and sound and all(_is_parameter(*item) for item in given.items()):
        return dict(given)
    raise ValueError(
        f"parameters: must be at most {MAX_PARAMETERS} names with numbers, short texts, booleans or nulls"
    )


def _is_parameter(name: object, value: object) -> bool:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
        return False
    if isinstance(value, str):
        return len(value.encode("utf-16-le", "surrogatepass")) <= 2 * MAX_PARAMETERS
    if isinstance(value, float | int):
        return -sys.float_info.max <= value <= sys.float_info.max  # not NaN
    return value is None
