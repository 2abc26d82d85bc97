"""Run lengths of COCO and of Label Studio."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.imports.canvas import Runs
from superpixel_service.client.imports.checks import as_list, fail, is_number, shown

_MOST_CHARACTERS = 7
"""Of one length in COCO's text: lengths are below 2^32."""

_SAMPLES = 4
"""Label Studio packs four channels; the fourth is the mask."""


def coco_runs(
    fields: Sequence[str], masks: Sequence[Any], numbers: Sequence[int], width: int, height: int
) -> Runs:
    """The pixels of masks in COCO's run lengths.

    Args:
        fields: the place of each mask in the file.
        masks: mappings with `size` (height, width) and `counts` (text, or lengths); untrusted.
        numbers: the number of each mask on the canvas.
        width: of the image.
        height: of the image.

    Returns:
        Runs column by column.
    """
    texts: list[bytes] = []
    of_texts, lists, of_lists = [], [], []
    for i, (field, mask) in enumerate(zip(fields, masks, strict=True)):
        size, counts = mask.get("size"), mask.get("counts")
        if not isinstance(size, list) or size != [height, width]:
            fail(
                f"{field}.size",
                f"must be [{height}, {width}] (height, width), as the image, got {shown(size)}",
            )
        if isinstance(counts, str):
            try:
                texts.append(counts.encode("latin-1"))
            except UnicodeEncodeError as error:
                fail(f"{field}.counts", f"is damaged at character {error.start}")
            of_texts.append(i)
        else:
            lists.append(_lengths(f"{field}.counts", counts, width * height))
            of_lists.append(i)
    decoded, sizes = _decoded(texts, [fields[i] for i in of_texts])
    lengths = np.concatenate([decoded, *lists])
    sizes = np.concatenate([sizes, np.array([len(one) for one in lists], np.int64)])
    which = np.array([*of_texts, *of_lists], np.int64)
    return _foreground(lengths, sizes, which, fields, np.asarray(numbers, np.int64), width * height)


def _lengths(field: str, counts: Any, pixels: int) -> NDArray[np.int64]:
    if not isinstance(counts, list):
        fail(field, "must be a string or a list of lengths")
    wrong = next((one for one in counts if not is_number(one) or one < 0 or one != one // 1), None)
    if wrong is not None:
        fail(field, f"must be lengths of 0 or more, got {shown(wrong)}")
    return np.array([min(one, pixels + 1) for one in counts], np.int64)


def _decoded(texts: list[bytes], fields: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The lengths of all masks one after another, and how many each has.

    Five bits per character, lowest first; differences to the length before the last.
    """
    sizes = np.array([len(text) for text in texts], np.int64)
    codes = np.frombuffer(b"".join(texts), np.uint8).astype(np.int64) - ord("0")
    if not codes.size:
        return np.zeros(0, np.int64), np.zeros(len(texts), np.int64)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    ends = (codes & 32) == 0
    starts = np.flatnonzero(np.concatenate([[True], ends[:-1]]))
    within = np.arange(codes.size) - starts[np.cumsum(np.concatenate([[0], ends[:-1]]))]
    wrong = (codes < 0) | (codes > 63) | (within >= _MOST_CHARACTERS)
    wrong[bounds[1:][sizes > 0] - 1] |= ~ends[bounds[1:][sizes > 0] - 1]
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        mask = int(np.searchsorted(bounds, at, "right")) - 1
        fail(f"{fields[mask]}.counts", f"is damaged at character {at - int(bounds[mask])}")
    values = np.add.reduceat((codes & 31) << (5 * within), starts)
    last = np.flatnonzero(ends)
    values -= np.where(codes[last] & 16, np.int64(1) << (5 * (within[last] + 1)), 0)
    numbers = np.diff(np.concatenate([[0], np.cumsum(ends)])[bounds])
    first = np.cumsum(numbers) - numbers
    index = np.arange(values.size) - np.repeat(first, numbers)
    for parity in (1, 2):  # the chains 1, 3, 5, ... and 2, 4, 6, ...
        chain = np.flatnonzero((index >= parity) & (index % 2 == parity % 2))
        if chain.size:
            sums = np.cumsum(values[chain])
            begin = np.flatnonzero(index[chain] == parity)
            before = sums[begin] - values[chain[begin]]
            values[chain] = sums - np.repeat(before, np.diff(np.append(begin, chain.size)))
    return values, numbers


def _foreground(
    lengths: NDArray[np.int64],
    sizes: NDArray[np.int64],
    which: NDArray[np.int64],
    fields: Sequence[str],
    numbers: NDArray[np.int64],
    pixels: int,
) -> Runs:
    """The runs of foreground, after checks. `which` of the masks has the next `sizes` lengths."""
    mask = np.repeat(np.arange(sizes.size), sizes)
    negative = np.flatnonzero(lengths < 0)
    if negative.size:
        field = fields[which[mask[negative[0]]]]
        fail(f"{field}.counts", f"must be lengths of 0 or more, got {lengths[negative[0]]}")
    # No sum can overflow: lengths above the image are too long anyway.
    ends = np.cumsum(np.minimum(lengths, pixels + 1))
    before = np.concatenate([[0], ends])[np.cumsum(sizes) - sizes] if sizes.size else ends
    totals = np.concatenate([[0], ends])[np.cumsum(sizes)] - before if sizes.size else ends
    wrong = np.flatnonzero(totals != pixels)
    if wrong.size:
        got = "more" if totals[wrong[0]] > pixels else str(totals[wrong[0]])
        fail(f"{fields[which[wrong[0]]]}.counts", f"must add up to {pixels} pixels, got {got}")
    index = np.arange(lengths.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = np.flatnonzero((index % 2 == 1) & (lengths > 0))
    starts = (ends - lengths)[chosen] - before[mask[chosen]]
    return Runs(starts, lengths[chosen], numbers[which[mask[chosen]]])


def brush_runs(field: str, packed: Any, pixels: int, number: int) -> Runs:
    """The pixels of a mask in Label Studio's run lengths (thi.ng/rle-pack).

    Args:
        field: the place in the file.
        packed: list of bytes; untrusted.
        pixels: of the image.
        number: of the mask on the canvas.

    Returns:
        Runs row by row: pixels whose fourth channel is not 0.
    """
    try:
        data = bytes(as_list(field, packed))
    except (TypeError, ValueError):
        fail(field, "must be a list of bytes")
    bits, at = 8 * len(data), 0

    def read(size: int) -> int:
        nonlocal at
        if at + size > bits:
            fail(field, "ends too early")
        window = int.from_bytes(data[at >> 3 : (at + size + 7) >> 3], "big")
        value = window >> (-(at + size) % 8) & ((1 << size) - 1)
        at += size
        return value

    total = read(32)
    if total != _SAMPLES * pixels:
        fail(field, f"must have 4 values for each of {pixels} pixels, got {total} values")
    word = read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    while done < total:
        is_run = read(1)
        length = read(sizes[read(2)]) + 1
        end = min(done + length, total)
        if is_run:
            # Value 4 p + 3 is the fourth channel of pixel p.
            first, last = done >> 2, end >> 2
            if read(word) and first < last:
                starts.append(first)
                ends.append(last)
        else:
            needed = (end - done) * word
            if at + needed > bits:
                fail(field, "ends too early")
            part = np.frombuffer(data, np.uint8, (at + needed + 7 >> 3) - (at >> 3), at >> 3)
            words = np.unpackbits(part)[at & 7 :][:needed].reshape(-1, word).any(axis=1)
            at += needed
            found = np.flatnonzero(words) + done
            for value in found[found % _SAMPLES == _SAMPLES - 1].tolist():
                starts.append(value >> 2)
                ends.append((value >> 2) + 1)
        done = end
    first_pixels = np.array(starts, np.int64)
    lengths = np.array(ends, np.int64) - first_pixels
    return Runs(first_pixels, lengths, np.full(lengths.size, number, np.int64))
