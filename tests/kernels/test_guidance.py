"""`Guidance`: what it accepts, how maps are scaled and cut, what counts as the same guidance."""

import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superpixel_kernels import FittedGuidance, Guidance, SegmentParams, segment
from superpixel_kernels.errors import InvalidParameter
from superpixel_kernels.guidance import MAX_PRIOR_LABEL
from superpixel_kernels.params import MAX_PIXELS
from tests.kernels import golden, golden_guidance, images, reference
from tests.kernels.any_image import checked, results
from tests.kernels.guided import any_guidance

EDGES = golden_guidance.edges(12, 9)
PRIOR = golden_guidance.prior(36, 27)
IMPORTANCE = golden_guidance.importance(12, 9)

# --- errors -------------------------------------------------------------------------------------------------

HUGE = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (MAX_PIXELS + 1, 1), (0, 0))

WRONG = {
    "edges": [
        EDGES.astype(np.int32), EDGES.astype(np.float32), EDGES > 0, EDGES.ravel(), EDGES[:, :, np.newaxis],
        EDGES[:0], EDGES[:, :0], np.uint8(3), "edges.png", [[0, 1], [2]], HUGE,
    ],
    "importance": [
        IMPORTANCE.astype(np.int8), IMPORTANCE.astype(np.uint16), IMPORTANCE.ravel(), IMPORTANCE[:0], 7, HUGE,
    ],
    "prior": [
        PRIOR.astype(np.float64), PRIOR > 0, PRIOR.ravel(), PRIOR[np.newaxis], PRIOR[:0], PRIOR[:, :0], 3,
        np.array([[0, -1]]), np.array([[2**31]]), np.array([[2**31]], np.uint32), np.array([[-(2**63)]]),
        np.array([[2**64 - 1]], np.uint64), HUGE,
    ],
    "edge_weight": [-1, 9, 2.0, "2", None, True, np.float32(2)],
    "prior_weight": [-1, 513, 64.0, "64", None, False],
    "prior_mode": ["", "Soft", None, 1, "hard"],
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_error_names_the_field(name):
    for value in WRONG[name]:
        with pytest.raises(InvalidParameter, match=rf"^{name}: ") as raised:
            Guidance(**{name: value})
        assert raised.value.parameter == name


def test_weights_are_checked_where_they_are_not_used():
    with pytest.raises(InvalidParameter, match=r"^prior_weight: "):
        Guidance(prior=PRIOR, prior_mode="hard", prior_weight=513)
    with pytest.raises(InvalidParameter, match=r"^edge_weight: "):
        Guidance(importance=IMPORTANCE, edge_weight=9)


def test_hard_mode_needs_a_prior():
    with pytest.raises(InvalidParameter, match=r"^prior_mode: 'hard' needs a prior map"):
        Guidance(edges=EDGES, prior_mode="hard")


@pytest.mark.parametrize("value", ["edges", {"edges": EDGES}, EDGES, SegmentParams()])
def test_segment_takes_guidance_only(value):
    with pytest.raises(InvalidParameter, match=r"^guidance: must be Guidance, got ") as raised:
        segment(images.golden(12, 9), guidance=value)
    assert raised.value.parameter == "guidance"


def test_fitted_guidance_of_another_size():
    fitted = Guidance(edges=EDGES).fitted(9, 12)
    with pytest.raises(InvalidParameter, match=r"^guidance: is fitted to 12x9, and the image is 9x12"):
        segment(images.golden(9, 12), guidance=fitted)


@pytest.mark.parametrize(
    "region", [(-1, 0, 3, 3), (0, 0, 0, 3), (0, 0, 13, 9), (10, 0, 3, 3), (0, 8, 1, 2), (12, 0, 1, 1)]
)
def test_a_region_outside_the_picture(region):
    with pytest.raises(InvalidParameter, match=r"^region: "):
        Guidance(edges=EDGES).fitted(9, 12, region)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, ">i4"]
)
def test_every_integer_type_of_a_prior_gives_the_same(dtype):
    labels = np.array([[0, 1], [2, 127]])
    fitted = Guidance(prior=labels.astype(dtype)).fitted(2, 2)
    assert fitted.prior.dtype == np.int32
    np.testing.assert_array_equal(fitted.prior, labels)
    assert fitted.fingerprint == Guidance(prior=labels).fitted(2, 2).fingerprint


def test_the_largest_label_is_accepted():
    assert MAX_PRIOR_LABEL == 2**31 - 1
    assert Guidance(prior=np.array([[0, 2**31 - 1]], np.uint64)).fitted(1, 2).prior.tolist() == [
        [0, 2**31 - 1]
    ]


# --- memory -------------------------------------------------------------------------------------------------


def test_maps_are_copied():
    edges = EDGES.copy()
    guidance = Guidance(edges=edges, prior=PRIOR.copy())
    expected = guidance.fitted(9, 12).fingerprint
    edges[:] = 0
    assert guidance.fitted(9, 12).fingerprint == expected
    with pytest.raises(ValueError, match="read-only"):
        guidance.edges[0, 0] = 1


def test_a_read_only_map_that_owns_its_memory_is_not_copied():
    edges = EDGES.copy()
    edges.flags.writeable = False
    assert Guidance(edges=edges).edges is edges
    view = edges[:]
    assert not np.shares_memory(Guidance(edges=view).edges, edges)
    assert Guidance(edges=edges).fitted(9, 12).edges is edges


# --- scaling ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "width", "expected"),
    [
        # ((2x + 1) * ws) // (2w)
        ([5], 4, [5, 5, 5, 5]),
        ([5, 6], 4, [5, 5, 6, 6]),
        ([5, 6], 3, [5, 6, 6]),  # the middle, 3 * 2 // 6 = 1, takes the right one
        ([5, 6, 7], 2, [5, 7]),  # 1 * 3 // 4 = 0, 3 * 3 // 4 = 2
        ([5, 6, 7, 8], 2, [6, 8]),  # 1 * 4 // 4 = 1, 3 * 4 // 4 = 3
        ([5, 6, 7, 8], 1, [7]),
        ([5, 6, 7], 5, [5, 5, 6, 7, 7]),  # 3/10, 9/10, 15/10, 21/10, 27/10
    ],
)
def test_scaling_by_hand(source, width, expected):
    row = np.array([source], np.uint8)
    if len(set(expected)) == 1:  # neutral as an edge map
        assert Guidance(importance=row).fitted(1, width).importance.tolist() == [expected]
        return
    assert Guidance(edges=row).fitted(1, width).edges.tolist() == [expected]
    assert Guidance(edges=row.T).fitted(width, 1).edges.tolist() == [[value] for value in expected]
    assert Guidance(prior=row.astype(np.int64)).fitted(1, width).prior.tolist() == [expected]
    assert Guidance(importance=row).fitted(1, width).importance.tolist() == [expected]


def test_scaled_maps_of_the_golden_rows():
    fitted = Guidance(**golden_guidance.scaled_maps()).fitted(90, 120)
    sums = tuple(golden.crc(values) for values in (fitted.edges, fitted.prior, fitted.importance))
    assert sums == golden_guidance.MAPS["scaled"]


@checked
@given(st.integers(0, 2**32 - 1), st.data())
def test_scaling_and_regions_against_the_reference(seed, data):
    random = np.random.default_rng(seed)
    height, width = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    values = random.integers(1, 256, data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))).astype(
        np.uint8
    )
    scaled = reference.guidance.scaled(values, width, height)
    guidance = Guidance(importance=values)
    np.testing.assert_array_equal(guidance.fitted(height, width).importance, scaled)
    x, y = data.draw(st.tuples(st.integers(0, width - 1), st.integers(0, height - 1)))
    across, down = data.draw(st.tuples(st.integers(1, width - x), st.integers(1, height - y)))
    fitted = guidance.fitted(height, width, (x, y, across, down))
    assert fitted.shape == (down, across)
    np.testing.assert_array_equal(fitted.importance, scaled[y : y + down, x : x + across])


def test_large_maps_of_small_pictures_need_little_memory():
    # By way of an array of 2^26 rows and 2^13 columns this would fail.
    tall = np.zeros((2**26, 1), np.uint8)
    tall[-1] = 9
    assert Guidance(edges=tall).fitted(1, 2**13).is_neutral
    assert Guidance(importance=tall.T).fitted(2**13, 1).is_neutral


# --- the same guidance --------------------------------------------------------------------------------------

NEUTRAL = {
    "nothing": {},
    "no maps": {"edge_weight": 8, "prior_weight": 512},
    "constant edges": {"edges": np.full((3, 5), 200, np.uint8)},
    "edges without weight": {"edges": EDGES, "edge_weight": 0},
    "constant prior": {"prior": np.full((3, 5), 7), "prior_weight": 512},
    "constant hard prior": {"prior": np.full((3, 5), 7), "prior_mode": "hard"},
    "prior without weight": {"prior": PRIOR, "prior_weight": 0},
    "no importance": {"importance": np.zeros((3, 5), np.uint8)},
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_neutral_guidance_is_none(name):
    fitted = Guidance(**NEUTRAL[name]).fitted(9, 12)
    assert fitted.is_neutral
    assert not fitted.is_hard
    assert fitted.fingerprint == b""
    assert dataclasses.astuple(fitted) == dataclasses.astuple(FittedGuidance((9, 12)))


def test_a_map_that_is_constant_in_the_region_is_neutral():
    edges = np.zeros((4, 8), np.uint8)
    edges[:, 6:] = 9
    assert Guidance(edges=edges).fitted(4, 8, (0, 0, 6, 4)).is_neutral
    assert not Guidance(edges=edges).fitted(4, 8, (0, 0, 7, 4)).is_neutral


def test_constant_importance_is_not_neutral():
    assert not Guidance(importance=np.full((3, 5), 1, np.uint8)).fitted(9, 12).is_neutral


BASE = {"edges": EDGES, "prior": PRIOR, "importance": IMPORTANCE}
HARD = BASE | {"prior_mode": "hard"}


def fingerprint(arguments, height=9, width=12):
    return Guidance(**arguments).fitted(height, width).fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BASE, BASE | {"edge_weight": 2, "prior_weight": 64, "prior_mode": "soft"}),
        (BASE, BASE | {"edges": EDGES.repeat(3, axis=0).repeat(3, axis=1)}),  # equal after scaling
        (HARD, HARD | {"prior_weight": 3}),
        ({"edges": EDGES}, {"edges": EDGES, "prior_weight": 3}),
        ({"prior": PRIOR}, {"prior": PRIOR, "edge_weight": 7, "edges": np.full((2, 2), 9, np.uint8)}),
        ({"prior": PRIOR}, {"prior": PRIOR, "importance": np.zeros((2, 2), np.uint8)}),
    ],
)
def test_same_guidance_has_the_same_fingerprint(one, other):
    assert fingerprint(one) == fingerprint(other)
    assert len(fingerprint(one)) == 32


def test_other_guidance_has_another_fingerprint():
    transposed = {name: BASE[name].T for name in BASE}
    others = [
        BASE, HARD, {"edges": EDGES}, {"importance": EDGES}, {"prior": EDGES}, {"prior": PRIOR},
        {"prior": PRIOR, "prior_mode": "hard"}, {"importance": IMPORTANCE}, BASE | {"edge_weight": 3},
        BASE | {"prior_weight": 65}, BASE | {"prior": PRIOR + 1}, BASE | {"edges": EDGES ^ 1},
        BASE | {"importance": IMPORTANCE | 1},
    ]  # fmt: skip
    found = [fingerprint(arguments) for arguments in others]
    found += [fingerprint(BASE, 12, 9), fingerprint(transposed, 12, 9), fingerprint(BASE, 9, 13)]
    assert len(set(found)) == len(found)


def test_the_fingerprint_of_version_1():
    """Stored maps and caches keep it, so it must not change."""
    prior = reference.guidance.scaled(PRIOR, 12, 9).astype("<i4").tobytes()
    content = [b"superpixel guidance 1 12x9\nedges 2\n", EDGES.tobytes(), b"prior soft 64\n", prior]
    content += [b"importance\n", IMPORTANCE.tobytes()]
    assert fingerprint(BASE) == hashlib.sha256(b"".join(content)).digest()
    hard = b"superpixel guidance 1 12x9\nprior hard\n" + prior
    assert fingerprint({"prior": PRIOR, "prior_mode": "hard"}) == hashlib.sha256(hard).digest()


@checked
@given(st.integers(0, 2**32 - 1))
def test_guidance_with_one_fingerprint_gives_one_result(seed):
    random = np.random.default_rng(seed)
    image = images.noise(17, 13, seed=seed)
    guidance = Guidance(**any_guidance(random, 13, 17))
    fitted = guidance.fitted(13, 17)
    assert results(segment(image, guidance=guidance)) == results(segment(image, guidance=fitted))
    again = Guidance(
        edges=fitted.edges,
        edge_weight=fitted.edge_weight,
        prior=fitted.prior,
        prior_mode=fitted.prior_mode,
        prior_weight=fitted.prior_weight,
        importance=fitted.importance,
    )
    assert again.fitted(13, 17).fingerprint == fitted.fingerprint
    assert results(segment(image, guidance=again)) == results(segment(image, guidance=fitted))
