"""Lossless WebP files that are small, have few pixels, and make the decoder build as many code tables as fit
(RFC 9649, section 5 and 6)."""

import struct


class _Bits:
    """Writes bits, the lowest first."""

    def __init__(self) -> None:
        self._bits: list[str] = []

    def put(self, value: int, width: int) -> None:
        self._bits.append(format(value, f"0{width}b")[::-1])

    def put_code(self, value: int, width: int) -> None:
        """A prefix code: the highest bit first."""
        self._bits.append(format(value, f"0{width}b"))

    def repeat(self, bits: str, times: int) -> None:
        self._bits.append(bits * times)

    def to_bytes(self) -> bytes:
        bits = "".join(self._bits)
        bits += "0" * (-len(bits) % 8)
        return int(bits[::-1], 2).to_bytes(len(bits) // 8, "little")


_ONE_SYMBOL = "1" + "0" + "0" + "0"  # a simple code; one symbol, of one bit: 0
_CACHE_BITS = 11


def code_table_bomb(width: int, height: int) -> bytes:
    """A sound file with a group of five codes per 4x4 pixels; at most 65,536 groups."""
    bits = _Bits()
    bits.put(0x2F, 8)
    bits.put(width - 1, 14)
    bits.put(height - 1, 14)
    bits.put(0, 1)  # no alpha
    bits.put(0, 3)  # version
    bits.put(0, 1)  # no transform
    bits.put(1, 1)
    bits.put(_CACHE_BITS, 4)  # the largest colour cache, so the largest tables
    bits.put(1, 1)  # several groups of codes
    bits.put(0, 3)  # one per 4x4 pixels
    blocks = -(-width // 4) * -(-height // 4)
    _entropy_image(bits, blocks)
    bits.repeat(_ONE_SYMBOL * 5, min(blocks, 1 << 16))
    # The pixels themselves take no bits: each code has one symbol.
    data = bits.to_bytes() + b"\0"
    chunk = b"VP8L" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def _entropy_image(bits: _Bits, blocks: int) -> None:
    """The number of each block's group, in red and green: codes of 8 bits for both."""
    bits.put(0, 1)  # no colour cache
    for symbols in (256 + 24, 256):
        bits.put(0, 1)  # not a simple code
        _eight_bits_each(bits, symbols)
    bits.repeat(_ONE_SYMBOL, 3)  # blue, alpha, distance
    for block in range(blocks):
        group = block % (1 << 16)
        bits.put_code(group & 255, 8)  # green
        bits.put_code(group >> 8, 8)  # red


def _eight_bits_each(bits: _Bits, symbols: int) -> None:
    """A code whose first 256 symbols have 8 bits and whose others are not used."""
    order = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8]
    bits.put(len(order) - 4, 4)
    for length in order:
        bits.put(1 if length in {0, 8} else 0, 3)
    bits.put(0, 1)  # all lengths follow
    bits.repeat("1", 256)  # of the two codes, 0 stands for a length of 0 and 1 for a length of 8
    bits.repeat("0", symbols - 256)
