"""COCO's run-length encoding of masks, written from its definition."""

from typing import Any

from numpy.typing import NDArray


def runs_of(mask: NDArray[Any]) -> list[int]:
    """Lengths of the runs down the columns, beginning with background."""
    lengths, now = [0], False
    for value in mask.ravel(order="F").tolist():
        if bool(value) != now:
            lengths.append(0)
            now = bool(value)
        lengths[-1] += 1
    return lengths


def compressed(lengths: list[int]) -> bytes:
    """The string of the lengths (rleToString of the COCO API)."""
    text = bytearray()
    for index, length in enumerate(lengths):
        value = length - lengths[index - 2] if index > 2 else length
        while True:
            group = value & 31
            value >>= 5
            more = value != (-1 if group & 16 else 0)
            text.append(48 + group + 32 * more)
            if not more:
                break
    return bytes(text)
