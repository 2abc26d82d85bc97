"""Bounds on a message's structure, checked on its bytes before protobuf builds objects from them.

A list of numbers takes one byte per entry on the wire, and thirty times that as Python objects.
"""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.guidance import MAX_MASKS, MapName

MAX_ELEMENTS = 4096
"""Most fields and list entries of a message, together; an honest request has fewer than 300."""

MAX_SMALL_MESSAGE_BYTES = 1 << 16
"""Largest message of a method that takes no image."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10


def check_size(data: bytes) -> None:
    """Check the size of a message without an image.

    Raises:
        InvalidRequest: it is above `MAX_SMALL_MESSAGE_BYTES`.
    """
    if len(data) > MAX_SMALL_MESSAGE_BYTES:
        raise InvalidRequest(
            Reason.MALFORMED_MESSAGE,
            f"a message of this method must have at most {MAX_SMALL_MESSAGE_BYTES} bytes, has {len(data)}",
        )


def check_structure(data: bytes, descriptor: Any) -> None:
    """Check that a message of the type `descriptor` has at most `MAX_ELEMENTS` fields and list entries.

    Malformed bytes pass: the parser rejects them.

    Raises:
        InvalidRequest: there are more.
    """
    try:
        _walk(data, 0, len(data), descriptor, MAX_ELEMENTS)
    except IndexError:  # truncated; the parser reports it
        return


def _walk(data: bytes, position: int, end: int, descriptor: Any, left: int) -> int:
    """Walk the fields between two positions; returns how many elements are left."""
    while position < end:
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        field = None if descriptor is None else descriptor.fields_by_number.get(number)
        left -= 1
        if wire_type == _VARINT:
            _, position = _varint(data, position)
        elif wire_type in _FIXED_SIZES:
            position += _FIXED_SIZES[wire_type]
        elif wire_type == _BYTES:
            length, position = _varint(data, position)
            left = _walk_bytes(data, position, min(end, position + length), field, left)
            position += length
        else:
            return left  # groups and unknown types: the parser rejects them
        if left < 0:
            raise _too_many(field)
    return left


def _walk_bytes(data: bytes, position: int, end: int, field: FieldDescriptor | None, left: int) -> int:
    if field is None or field.type in (FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING):
        return left
    if field.message_type is not None:
        return _walk(data, position, end, field.message_type, left)
    return left - (end - position)  # a packed list: at least one byte per entry


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift >= 7 * _LONGEST_VARINT:
            return value, position


def _too_many(field: FieldDescriptor | None) -> InvalidRequest:
    if field is not None and field.name in {"target_counts", "target_areas"}:
        return InvalidRequest(Reason.TARGETS_TOO_MANY, "has too many entries", field=field.name)
    message = None if field is None else field.containing_type
    if message is not None and message.name in {"RleMask", "RleMasks"}:
        return InvalidRequest(
            Reason.GUIDANCE_TOO_MANY_MASKS,
            f"must be at most {MAX_MASKS}",
            field="guidance.prior.masks.masks",
            metadata={"map": MapName.PRIOR.value, "limit_masks": str(MAX_MASKS)},
        )
    return InvalidRequest(
        Reason.MALFORMED_MESSAGE, f"the message must have at most {MAX_ELEMENTS} fields and list entries"
    )
