"""A rough mask as whole superpixels, against a loop over regions and classes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import superpixel_kernels as kernels
from superpixel_kernels import codec, snap_mask
from superpixel_kernels.errors import InvalidParameter

LABELS = np.array([[0, 0, 1, 1], [0, 0, 1, 2]])
MASK = np.array([[1, 0, 2, 1], [1, 0, 2, 0]])


def snapped_by_loops(labels: np.ndarray, mask: np.ndarray, threshold: float) -> np.ndarray:
    """Every superpixel by the definition: the smallest class with the most pixels, if they are enough."""
    out = np.zeros_like(mask)
    for region in np.unique(labels):
        inside = labels == region
        best, most = 0, 0
        for value in range(1, int(mask.max()) + 1):
            pixels = int(np.count_nonzero(inside & (mask == value)))
            if pixels > most:
                best, most = value, pixels
        if best and most / np.count_nonzero(inside) >= threshold:
            out[inside] = best
    return out


@pytest.mark.parametrize(
    ("threshold", "wanted"),
    [
        (0.0, [1, 2, 0]),
        (0.5, [1, 2, 0]),  # half of region 0 has class 1
        (0.51, [0, 2, 0]),
        (2 / 3, [0, 2, 0]),  # two thirds of region 1 have class 2
        (0.67, [0, 0, 0]),
        (1, [0, 0, 0]),
    ],
)
def test_the_share_must_reach_the_threshold(threshold: float, wanted: list[int]) -> None:
    assert np.array_equal(snap_mask(LABELS, MASK, 3, threshold), np.array(wanted)[LABELS])


def test_decimal_shares_reach_the_same_threshold() -> None:
    """Products would not: 0.55 * 20 is above 11."""
    labels = np.zeros((1, 20), np.int32)
    for pixels in range(1, 21):
        mask = (np.arange(20) < pixels)[np.newaxis]
        assert snap_mask(labels, mask, 1, float(f"{pixels / 20:.2f}")).all()
        assert not snap_mask(labels, mask, 1, min(pixels / 20 + 1e-9, 1.0)).any() or pixels == 20


def test_of_equal_classes_the_smallest_wins_and_the_background_never_does() -> None:
    labels = np.zeros((1, 8), np.int32)
    mask = np.array([[0, 0, 0, 0, 5, 5, 3, 3]])
    assert np.array_equal(snap_mask(labels, mask, 1, 0.25), np.full((1, 8), 3))
    assert not snap_mask(labels, mask, 1, 0.26).any()
    assert not snap_mask(labels, np.zeros((1, 8), np.uint8), 1, 0).any()


def test_hierarchy_label_map_and_array_give_the_same_mask() -> None:
    rng = np.random.default_rng(3)
    hierarchy = kernels.segment(rng.integers(0, 256, (40, 60, 3), np.uint8))
    mask = rng.integers(0, 4, (40, 60))
    mask[:20, :30] = 2
    label_map = codec.decode(hierarchy.encode(hierarchy.base_count, include_hierarchy=True))
    for count in (1, 7, 50, hierarchy.base_count):
        labels = hierarchy.cut(count)
        wanted = snapped_by_loops(labels, mask, 0.3)
        for source in (hierarchy, label_map, labels, labels.astype(np.uint64)):
            assert np.array_equal(snap_mask(source, mask, count, 0.3), wanted), count
    above = hierarchy.base_count + 40
    wanted = snapped_by_loops(hierarchy.cut(above), mask, 0.5)
    assert np.array_equal(snap_mask(hierarchy, mask, above), wanted)
    # A mask that is already whole superpixels stays as it is.
    assert np.array_equal(snap_mask(hierarchy, wanted, above), wanted)


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
)
def test_the_result_has_the_masks_dtype(dtype: type) -> None:
    mask = (MASK == 2).astype(dtype)
    result = snap_mask(LABELS, mask, 3)
    assert result.dtype == dtype
    assert np.array_equal(result, (LABELS == 1).astype(dtype))
    assert np.array_equal(snap_mask(LABELS, np.asfortranarray(mask), 3), result)


@settings(max_examples=100, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    regions=st.integers(1, 30),
    classes=st.sampled_from([1, 2, 5, 300]),
    threshold=st.one_of(st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0]), st.floats(0, 1)),
    seed=st.integers(0, 2**32),
)
def test_any_mask_is_snapped_by_the_rule(
    shape: tuple[int, int], regions: int, classes: int, threshold: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = codec_labels(rng.integers(0, regions, shape))
    mask = rng.integers(0, classes + 1, shape) * rng.integers(0, 2, shape)
    result = snap_mask(labels, mask, int(labels.max()) + 1, threshold)
    assert np.array_equal(result, snapped_by_loops(labels, mask, threshold))


def codec_labels(labels: np.ndarray) -> np.ndarray:
    """The same regions, numbered 0, 1, ... without gaps."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def test_large_classes_take_no_memory() -> None:
    mask = np.where(MASK == 2, 2**31 - 1, 0)
    assert snap_mask(LABELS, mask, 3).max() == 2**31 - 1


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"mask": MASK[:1]}, "mask", r"must be \(2, 4\) as the superpixels are, got \(1, 4\)"),
        ({"mask": MASK.ravel()}, "mask", r"must be \(2, 4\)"),
        ({"mask": MASK.T}, "mask", r"must be \(2, 4\)"),
        ({"mask": MASK.astype(float)}, "mask", "must be integers or booleans, got float64"),
        ({"mask": MASK - 1}, "mask", "classes must be from 0 to 2147483647, got -1 to 1"),
        ({"mask": MASK.astype(np.uint64) << np.uint64(40)}, "mask", "classes must be from 0 to 2147483647"),
        ({"threshold": -0.1}, "threshold", "must be from 0 to 1, got -0.1"),
        ({"threshold": 1.01}, "threshold", "must be from 0 to 1"),
        ({"threshold": float("nan")}, "threshold", "must be from 0 to 1, got nan"),
        ({"threshold": "0.5"}, "threshold", "must be a number from 0 to 1"),
        ({"threshold": True}, "threshold", "must be a number from 0 to 1"),
        ({"count": 4}, "count", "must be 3 for these labels, got 4"),
        ({"count": 2.0}, "count", "must be an integer, got float"),
        ({"count": True}, "count", "must be an integer, got bool"),
        ({"source": LABELS - 1}, "source", "labels must be 0 or more, got -1"),
        ({"source": LABELS.astype(float)}, "source", r"labels must be \(height, width\) integers"),
        ({"source": LABELS[0]}, "source", r"labels must be \(height, width\) integers"),
        ({"source": LABELS * 1000, "count": 2001}, "source", "labels must be below the number of pixels, 8"),
    ],
)
def test_errors_name_the_argument(change: dict[str, Any], field: str, message: str) -> None:
    arguments = {"source": LABELS, "mask": MASK, "count": 3} | change
    with pytest.raises(InvalidParameter, match=rf"^{field}: {message}") as raised:
        snap_mask(**arguments)
    assert raised.value.parameter == field


def test_a_count_that_the_source_does_not_have() -> None:
    hierarchy = kernels.segment(np.zeros((20, 30, 3), np.uint8))
    mask = np.zeros((20, 30), np.uint8)
    label_map = codec.decode(hierarchy.encode(9, levels=(5, 2)))
    for source, count in ((hierarchy, 0), (hierarchy, 601), (label_map, 8), (label_map, 10)):
        with pytest.raises(InvalidParameter, match=r"^count: must be"):
            snap_mask(source, mask, count)
