"""The kernels in a cubin and the sizes of their parameters, as the driver reads them."""

import struct
from collections.abc import Callable

_PARAMETER = 0x17
_SIZED = 4
_INFO = b".nv.info."


def parameters_of(read: Callable[[int, int], bytes]) -> dict[str, tuple[int, ...]]:
    """Sizes in bytes of each kernel's parameters, in order.

    Args:
        read: returns bytes of the cubin: offset, number.

    Raises:
        ValueError: the bytes are not an ELF file.
    """
    header = read(0, 64)
    if header[:4] != b"\x7fELF":
        raise ValueError("not an ELF file")
    (table_at,) = struct.unpack_from("<Q", header, 0x28)
    entry, count, names_index = struct.unpack_from("<HHH", header, 0x3A)
    table = read(table_at, entry * count)
    sections = [struct.unpack_from("<I20xQQ", table, entry * index) for index in range(count)]
    names = read(*sections[names_index][1:])
    kernels: dict[str, tuple[int, ...]] = {}
    for name_at, at, size in sections:
        name = names[name_at : names.index(b"\0", name_at)]
        if name.startswith(_INFO):
            kernels[name.removeprefix(_INFO).decode()] = _sizes(read(at, size))
    return kernels


def _sizes(info: bytes) -> tuple[int, ...]:
    """The sizes of parameters in a list of attributes: format, attribute, then a value or its length."""
    sizes: dict[int, int] = {}
    at = 0
    while at + 4 <= len(info):
        form, attribute, length = struct.unpack_from("<BBH", info, at)
        at += 4
        if form == _SIZED:
            if attribute == _PARAMETER:
                _, ordinal, _, word = struct.unpack_from("<IHHI", info, at)
                sizes[ordinal] = word >> 18
            at += length
    return tuple(sizes[ordinal] for ordinal in sorted(sizes))
