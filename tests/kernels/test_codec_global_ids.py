"""The section `gids`: which regions of a store the labels of a window are."""

import struct

import numpy as np
import pytest

from superpixel_kernels.codec import NO_REGION, GlobalIds, decode, encode, reference
from superpixel_kernels.errors import InvalidLabelMap, InvalidParameter
from tests.kernels.codec_tools import END, as_reference, noise, payload_of, section
from tests.kernels.malformed import HEADER, LABL

LABELS = noise(5, 7, 3)


def gids(scale: int, *ids: int) -> bytes:
    """The payload by the page: the scale, and the ids as byte planes."""
    columns = [number.to_bytes(4, "little") for number in ids]
    return struct.pack("<I", scale) + b"".join(bytes(column) for column in zip(*columns, strict=True))


def test_what_is_written_is_read() -> None:
    ids = np.array([70_000, NO_REGION, 2], np.uint32)
    data = encode(LABELS, global_ids=GlobalIds(16, ids))
    label_map = decode(data)
    assert label_map.global_ids is not None
    assert label_map.global_ids.scale == 16
    assert np.array_equal(label_map.global_ids.ids, ids)
    assert as_reference(label_map) == reference.decode(data)
    assert payload_of(data, b"gids") == gids(16, 70_000, NO_REGION, 2)


def test_a_reader_that_does_not_know_it_reads_the_rest() -> None:
    data = encode(LABELS, global_ids=GlobalIds(1, np.arange(3)))
    unknown = data.replace(b"gids", b"zzzz")
    assert decode(unknown).global_ids is None
    assert np.array_equal(decode(unknown).labels, LABELS)
    assert decode(data, skip={b"gids"}).global_ids is None
    assert data.startswith(encode(LABELS)[: -len(END)])


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (gids(0, 1, 2), "scale 0"),
        (gids(1, 7, 7), "an id comes twice"),
        (gids(1, 7), "8 raw bytes announced, this map's header allows 12"),
        (gids(1, 7, 8, 9), "16 raw bytes announced, this map's header allows 12"),
    ],
)
def test_what_is_rejected(payload: bytes, text: str) -> None:
    data = HEADER + LABL + section(b"gids", payload) + END
    with pytest.raises(InvalidLabelMap, match=f"^gids: {text}"):
        decode(data)
    with pytest.raises(InvalidLabelMap):
        reference.decode(data)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (GlobalIds(0, np.arange(3)), "scale"),
        (GlobalIds(2**32, np.arange(3)), "scale"),
        (GlobalIds(1, np.arange(2)), "ids"),
        (GlobalIds(1, np.zeros(3, np.int64)), "ids"),
        (GlobalIds(1, np.array([-1, 0, 1])), "ids"),
        (GlobalIds(1, np.array([0, 1, 2**32])), "ids"),
        (GlobalIds(1, np.arange(3.0)), "ids"),
    ],
)
def test_what_cannot_be_written(value: GlobalIds, name: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        encode(LABELS, global_ids=value)
    assert error.value.parameter == f"global_ids.{name}"
