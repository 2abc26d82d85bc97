"""What the reader may allocate: a bound by the bytes of the container."""

import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest

from superpixel_kernels.codec import decode, encode, reference
from superpixel_kernels.errors import InvalidLabelMap
from tests.kernels.codec_tools import END, END_ROW, gzip_member, header, label_payload, section

PER_BYTE = 2**17


def flat(width: int, height: int, *, size: int | None = None, tight: bool = False) -> bytes:
    """A sound map of one label.

    Args:
        width: pixels.
        height: rows.
        size: bytes of the container, of which some lie in a section that readers skip.
        tight: with repeats, which this project's writer does not look for: 1,032 rows per byte.
    """
    payload = label_payload((1, 0, width - 1), *[END_ROW] * height)
    member = zlib.compress(payload, 9, 31) if tight else gzip_member(payload)
    data = header(width, height, 1) + section(b"LABL", payload, stored=member)
    if size is not None:
        more = size - len(data) - len(END) - 12
        data += b"skip" + struct.pack("<II", more, 0) + bytes(more)
    return data + END


def peak_of_refusal(data: bytes, message: str, **options: int) -> int:
    """Largest memory that Python takes to refuse the map."""
    tracemalloc.start()
    try:
        with pytest.raises(InvalidLabelMap, match=message):
            decode(data, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("width", "height"),
    [(2**28, 1), (1, 2**28), (2**14, 2**14), (2**27, 1), (2**24, 1), (2**32 - 1, 1), (2**32 - 1, 2**32 - 1)],
)
def test_a_hundred_bytes_of_a_huge_map_are_refused(width: int, height: int) -> None:
    payload = label_payload((1, 0, width - 1), *[END_ROW] * min(height, 16))
    data = header(width, height, 1) + section(b"LABL", payload) + END
    assert len(data) < 120
    message = (
        f"^header: {width} x {height} pixels, must be from 1 to {PER_BYTE * len(data)}, which is "
        r"131072 per byte and at most 2\*\*27; max_pixels sets another limit$"
    )
    assert peak_of_refusal(data, message) < 50_000


def test_the_bound_is_exact() -> None:
    assert decode(flat(2**24, 1, size=128)).labels.shape == (1, 2**24)
    assert peak_of_refusal(flat(2**24, 1, size=127), "must be from 1 to 16646144,") < 50_000
    assert peak_of_refusal(flat(2**27 + 1, 1, size=4000), "must be from 1 to 134217728,") < 50_000


def test_the_callers_bound_replaces_the_default() -> None:
    data = flat(2**24, 1)
    assert len(data) < 128
    assert decode(data, max_pixels=2**24).width == 2**24
    assert peak_of_refusal(data, "must be from 1 to 16777215$", max_pixels=2**24 - 1) < 50_000


def test_announced_bytes_allocate_nothing() -> None:
    data = header(2**14, 2**14, 1) + section(b"LABL", b"", stored=gzip_member(b"short"), raw_bytes=2**32 - 1)
    assert peak_of_refusal(data + END, "LABL: the payload inflates to 5 bytes", max_pixels=2**28) < 1_000_000


@pytest.mark.parametrize("height", [1, 8, 9, 64, 700])
def test_the_flattest_maps_of_the_writer_are_read(height: int) -> None:
    data = encode(np.zeros((height, 2**14), np.int32))
    assert decode(data).labels.shape == (height, 2**14)
    # No map of the writer is smaller: a bit per row.
    assert len(data) >= 62 + height / 8


@pytest.mark.parametrize("size", [(11_585, 11_585), (2**13, 2**14)])
@pytest.mark.slow
@pytest.mark.slow_under_sanitizer
def test_flat_images_of_134_megapixels_are_read(size: tuple[int, int]) -> None:
    data = encode(np.zeros(size, np.int32))
    assert len(data) < 1600
    assert decode(data).labels.shape == size


MEASURED = """
import sys
from benchmarks.peak_memory import peak_bytes, restart_peak
from superpixel_kernels.codec import decode
from superpixel_kernels.errors import InvalidLabelMap
data = sys.stdin.buffer.read()
before = restart_peak()
try:
    decode(data)
except InvalidLabelMap as error:
    text = str(error)
else:
    text = "read"
print(peak_bytes() - before, text)
"""


@pytest.mark.unsanitized
def test_peak_memory_of_the_process() -> None:
    """What native code takes counts here as well: bytes of resident memory beyond that of the imports."""

    def measured(data: bytes) -> tuple[int, str]:
        done = subprocess.run([sys.executable, "-c", MEASURED], input=data, capture_output=True)
        assert done.returncode == 0, done.stderr
        taken, _, text = done.stdout.decode().strip().partition(" ")
        return int(taken), text

    taken, text = measured(flat(2**28, 1))
    assert text.startswith("header: 268435456 x 1 pixels")
    assert taken < 4_000_000
    # A sound map of 100 bytes, as large as the bound allows: 4 bytes per pixel, and the mask of a row.
    largest = flat(PER_BYTE * 100, 1, size=100)
    taken, text = measured(largest)
    assert text == "read"
    assert 3.5 * PER_BYTE * 100 < taken < 4.5 * PER_BYTE * 100
    # Rows are proven by their tokens: 1 x 2^27 rows that the payload does not have.
    short = header(1, 2**27, 1) + section(b"LABL", label_payload((1, 0, 0), *[END_ROW] * 16)) + END
    taken, text = measured(short[: -len(END)] + b"skip" + struct.pack("<II", 1024, 0) + bytes(1024) + END)
    assert text.startswith("LABL: ")
    assert taken < 4_000_000


def test_the_reference_agrees_on_a_flat_map() -> None:
    for tight in (False, True):
        data = flat(60, 50, tight=tight)
        assert reference.decode(data)["labels"] == decode(data).labels.tolist() == [[0] * 60] * 50
