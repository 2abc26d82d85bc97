"""Writes protobuf's wire format for messages with long lists of numbers.

Python's protobuf takes such a list as a Python list, which needs ten times the memory and fifty times the
time. A message in wire format is the concatenation of its fields.
"""

from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from numpy.typing import NDArray

from superpixel_kernels import codec

_LENGTH_DELIMITED = 2


def numbers(field: FieldDescriptor, values: NDArray[np.integer[Any]]) -> list[bytes]:
    """A packed list of unsigned integers below 2**32."""
    return packed(field, codec.varints(values))


def floats(field: FieldDescriptor, values: NDArray[np.float32]) -> list[bytes]:
    """A packed list of floats."""
    return packed(field, np.ascontiguousarray(values, "<f4").tobytes())


def packed(field: FieldDescriptor, payload: bytes) -> list[bytes]:
    """A packed list, or bytes, whose payload is in wire format; nothing if it is empty."""
    return submessage(field, [payload]) if payload else []


def submessage(field: FieldDescriptor, parts: list[bytes]) -> list[bytes]:
    """A message inside a message, from its parts."""
    key = _varint(field.number << 3 | _LENGTH_DELIMITED)
    return [key + _varint(sum(map(len, parts))), *parts]


def _varint(value: int) -> bytes:
    return codec.varints(np.array([value], np.uint32))
