"""A lossless WebP whose decoder builds a set of code tables for every block of 4x4 pixels."""

import struct

_ORDER_OF_LENGTHS = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
_EIGHT, _ZEROS = 8, 18
"""Symbols of the code of lengths: a code of 8 bits, and 11 to 138 symbols without a code."""

_BLOCK = 4
_CACHE_BITS = 11
"""The largest color cache: the decoder's tables have 2,048 more symbols."""


class _Bits:
    """Bits from the lowest of each byte to its highest."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def number(self, value: int, width: int) -> None:
        """A number, its lowest bit first."""
        self._parts.append(format(value, f"0{width}b")[::-1])

    def code(self, value: int, width: int) -> None:
        """A prefix code, its highest bit first."""
        self._parts.append(format(value, f"0{width}b"))

    def repeat(self, bits: str, times: int) -> None:
        """The same bits many times."""
        self._parts.append(bits * times)

    def to_bytes(self) -> bytes:
        """All bits, padded with zeros."""
        bits = "".join(self._parts)
        return int(bits[::-1], 2).to_bytes(-(-len(bits) // 8), "little")


_ONE_SYMBOL = "1000"
"""A simple code of one symbol, 0, which takes no bits."""


def _code_of_bytes(bits: _Bits, more_symbols: int) -> None:
    """A code of 8 bits for each of 256 symbols, and none for `more_symbols` (0, or from 11) others."""
    bits.number(0, 1)  # not a simple code
    bits.number(len(_ORDER_OF_LENGTHS) - 4, 4)
    for symbol in _ORDER_OF_LENGTHS:
        bits.number(1 if symbol in {_EIGHT, _ZEROS} else 0, 3)
    bits.number(0, 1)  # lengths of all symbols follow
    bits.repeat("0", 256)
    if more_symbols:
        bits.code(1, 1)
        bits.number(more_symbols - 11, 7)


def webp_of_code_tables(width: int = 1000, height: int = 1000) -> bytes:
    """The file; width x height / 16 must be at most 65,536."""
    across, down = -(-width // _BLOCK), -(-height // _BLOCK)
    assert across * down <= 1 << 16
    bits = _Bits()
    bits.number(0x2F, 8)
    bits.number(width - 1, 14)
    bits.number(height - 1, 14)
    bits.number(0, 1 + 3)  # no alpha; version 0
    bits.number(0, 1)  # no transform
    bits.number(1, 1)
    bits.number(_CACHE_BITS, 4)
    bits.number(1, 1)  # several sets of codes
    bits.number(0, 3)  # blocks of 4x4
    # An image of across x down pixels has the number of each block's set in red and green.
    bits.number(0, 1)  # no color cache
    _code_of_bytes(bits, 24)
    _code_of_bytes(bits, 0)
    bits.repeat(_ONE_SYMBOL, 3)
    for number in range(across * down):
        bits.code(number & 0xFF, 8)
        bits.code(number >> 8, 8)
    bits.repeat(_ONE_SYMBOL, 5 * across * down)
    data = bits.to_bytes()
    data += bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", 12 + len(data)) + b"WEBPVP8L" + struct.pack("<I", len(data)) + data
