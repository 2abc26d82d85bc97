"""COCO's run-length masks, painted over one another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from superpixel_kernels.codec import InvalidMask, paint_masks
from superpixel_kernels.errors import InvalidParameter
from tests.kernels.coco import compressed, runs_of

Runs = tuple[bytes, bool]


def plain(*lengths: int) -> Runs:
    return np.array(lengths, "<u4").tobytes(), False


def packed(*lengths: int) -> Runs:
    return compressed(list(lengths)), True


@st.composite
def stacks(draw: st.DrawFn) -> tuple[int, int, list[NDArray[np.bool_]]]:
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    number = draw(st.integers(0, 6))
    return height, width, [random.random((height, width)) < random.random() for _ in range(number)]


@given(stacks())
@settings(max_examples=150, deadline=None)
def test_later_masks_cover_earlier_ones(stack: tuple[int, int, list[NDArray[np.bool_]]]) -> None:
    height, width, masks = stack
    expected = np.zeros((height, width), np.int32)
    for index, mask in enumerate(masks):
        expected[mask] = index + 1
    for write in (plain, packed):
        painted = paint_masks([write(*runs_of(mask)) for mask in masks], height, width)
        assert painted.dtype == np.int32
        assert np.array_equal(painted, expected)


def test_literal_strings() -> None:
    # 4 x 3 pixels, of pycocotools: runs 5, 2, 5 and 0, 12 and 3, 1, 2, 1, 5.
    assert np.array_equal(np.argwhere(paint_masks([(b"525", True)], 4, 3)), [[1, 1], [2, 1]])
    assert paint_masks([(b"0<", True)], 4, 3).all()
    # The fourth and fifth lengths are differences to those two before: 1 - 1 = 0 and 5 - 2 = 3.
    assert np.array_equal(np.argwhere(paint_masks([(b"31203", True)], 4, 3)), [[2, 1], [3, 0]])
    assert packed(3, 1, 2, 1, 5) == (b"31203", True)


MALFORMED: dict[str, Runs] = {
    "nothing": (b"", False),
    "nothing compressed": (b"", True),
    "too few": plain(5, 6),
    "too many": plain(5, 8),
    "too many, foreground": plain(5, 7, 1),
    "sum of 2^32 + 12": plain(2**32 - 1, 13),
    "the largest lengths": plain(*[2**32 - 1] * 64),
    "three bytes": (b"\x0c\0\0", False),
    "five bytes": (b"\x0c\0\0\0\0", False),
    "below 0": packed(0, 5, 2, 9, -4),
    "a difference below 0": (b"520O", True),
    "ends inside a length": (b"52Q", True),
    "a character below 0": (b"5/5", True),
    "a character above o": (b"5p5", True),
    "a zero byte at the end": (b"525\0", True),
    "a line at the end": (b"525\n", True),
    "eight groups": (b"ooooooo0", True),
    "2^32": packed(2**32),
    "endless groups": (b"P" * 1000, True),
}


@pytest.mark.parametrize("runs", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_masks(runs: Runs) -> None:
    sound = plain(12)
    with pytest.raises(InvalidMask, match=r"^mask 2: ") as error:
        paint_masks([sound, sound, runs, sound], 4, 3)
    assert error.value.index == 2


def test_many_masks_of_the_whole_map_are_painted_once() -> None:
    # Would take minutes if each mask wrote all its pixels.
    height, width = 2000, 3000
    painted = paint_masks([plain(0, height * width)] * 1024, height, width)
    assert (painted == 1024).all()


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5), (2**16, 2**15)])
def test_sizes_out_of_range(size: tuple[int, int]) -> None:
    with pytest.raises(InvalidParameter):
        paint_masks([], *size)
