"""The client expects a label map of the size that the answer says, and no other bound."""

import dataclasses
import functools

import numpy as np
import pytest

from superpixel_kernels import codec
from superpixel_kernels.errors import InvalidLabelMap
from superpixel_service.client import Segmentation
from superpixel_service.contract import StageSeconds


@functools.cache
def flat() -> bytes:
    return codec.encode(np.zeros((1, 2**24), np.int32))


def answer(width: int, height: int) -> Segmentation:
    return Segmentation(flat(), width, height, 1, (1,), 1, (), StageSeconds(), "cpu", 1, "id")


def test_a_wide_flat_answer_is_read() -> None:
    with pytest.raises(InvalidLabelMap, match="131072 per byte"):
        codec.decode(flat())
    assert answer(2**24, 1).labels.shape == (1, 2**24)


@pytest.mark.parametrize("size", [(2**24 - 1, 1), (0, 0)])
def test_a_map_larger_than_the_answer_states_is_rejected(size: tuple[int, int]) -> None:
    with pytest.raises(InvalidLabelMap, match=f"must be from 1 to {max(size[0], 1)}$"):
        _ = answer(*size).label_map


def test_an_answer_with_a_huge_size_is_not_reported_as_the_callers_error() -> None:
    assert answer(2**32 - 1, 2**32 - 1).label_map.count == 1
    wide = codec.encode(np.zeros((1, 8), np.int32))
    forged = wide[:8] + (2**27 + 1).to_bytes(4, "little") + wide[12:]
    with pytest.raises(InvalidLabelMap, match=r"must be from 1 to 134217728$"):
        _ = dataclasses.replace(answer(2**28, 1), spx=forged).label_map
