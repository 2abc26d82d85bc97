"""Pooling, adjacency, tables, graphs and pickles of a hierarchy, against plain NumPy."""

import copy
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superpixel_kernels import codec, measure_adjacency, pool, segment
from superpixel_kernels.errors import InvalidImage, InvalidLabelMap, InvalidParameter
from tests.kernels import images
from tests.kernels.any_image import checked, results

PHOTO = images.photo(70, 50)
HIERARCHY = segment(PHOTO)
LABELS = HIERARCHY.cut(40)
RANDOM = np.random.default_rng(3)
INTEGERS = [np.bool_, np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64]


def values_of(dtype, seed, channels):
    random = np.random.default_rng(seed)
    shape = (50, 70) if channels is None else (50, 70, channels)
    if np.issubdtype(dtype, np.floating):
        return random.normal(0, 1e6, shape).astype(dtype)
    limits = (0, 1) if dtype is np.bool_ else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    low, high = max(limits[0], -(2**31)), min(limits[1], 2**32 - 1)
    return random.integers(low, high, shape, np.int64, endpoint=True).astype(dtype)


def by_region(labels, values, function):
    return np.array([function(values[labels == label]) for label in range(labels.max() + 1)])


@checked
@given(
    st.sampled_from([*INTEGERS, np.float32, np.float64]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([None, 1, 3]),
)
def test_mean_sum_and_max_are_those_of_numpy(dtype, seed, channels):
    values = values_of(dtype, seed, channels)
    labels = HIERARCHY.cut(1 + seed % 300)
    sums = by_region(
        labels, values, lambda part: part.astype(np.float64 if values.dtype.kind == "f" else np.int64).sum(0)
    )
    if values.dtype.kind == "f":
        np.testing.assert_allclose(pool(labels, values, "sum"), sums, rtol=1e-9, atol=1e-3)
    else:
        assert np.array_equal(pool(labels, values, "sum"), sums)
        assert pool(labels, values, "sum").dtype == np.int64
    areas = np.bincount(labels.ravel()).reshape(-1, *[1] * (values.ndim - 2))
    assert np.array_equal(pool(labels, values), pool(labels, values, "sum") / areas)
    greatest = pool(labels, values, "max")
    assert greatest.dtype == values.dtype
    assert np.array_equal(greatest, by_region(labels, values, lambda part: part.max(0)))


def test_sums_of_large_integers_are_exact():
    values = np.full((50, 70), 2**32 - 1, np.uint32)
    assert pool(np.zeros((50, 70), int), values, "sum")[0] == 3500 * (2**32 - 1)
    with pytest.raises(InvalidParameter, match="values"):
        pool(LABELS, values.astype(np.int64) + 1, "sum")


@settings(checked, max_examples=20)
@given(st.sampled_from(INTEGERS), st.integers(1, 2**32 - 1), st.sampled_from([2, 3, 40, 3000]))
def test_mode_and_entropy_are_those_of_numpy(dtype, seed, kinds):
    random = np.random.default_rng(seed)
    kinds_used = np.unique(values_of(dtype, seed, None))[:kinds]
    values = kinds_used[random.integers(0, len(kinds_used), (50, 70))]
    labels = HIERARCHY.cut(1 + seed % 300)

    def counts(part):
        return np.unique(part, return_counts=True)

    def mode(part):
        names, numbers = counts(part)
        return names[numbers.argmax()]

    def entropy(part):
        shares = counts(part)[1] / len(part)
        return -(shares * np.log(shares)).sum()

    assert np.array_equal(pool(labels, values, "mode"), by_region(labels, values, mode))
    assert pool(labels, values, "mode").dtype == values.dtype
    np.testing.assert_allclose(
        pool(labels, values, "entropy"), by_region(labels, values, entropy), atol=1e-12
    )


def test_entropy_of_probabilities_is_that_of_their_mean():
    probabilities = RANDOM.dirichlet([1, 2, 3], (50, 70))

    def entropy(part):
        mean = part.mean(axis=0)
        return -(mean * np.log(mean)).sum()

    np.testing.assert_allclose(
        pool(LABELS, probabilities, "entropy"), by_region(LABELS, probabilities, entropy)
    )
    certain = np.eye(3)[LABELS % 3]
    assert np.array_equal(pool(LABELS, certain, "entropy"), np.zeros(40))


def test_labels_without_pixels():
    labels = LABELS + 2
    values = RANDOM.integers(0, 9, (50, 70))
    for how in ("mean", "sum", "max", "mode", "entropy"):
        assert np.array_equal(pool(labels, values, how)[2:], pool(LABELS, values, how)), how
    assert np.isnan(pool(labels, values)[:2]).all()
    assert np.isnan(pool(labels, values, "entropy")[:2]).all()
    assert (pool(labels, values, "sum")[:2] == 0).all()
    assert (pool(labels, values, "mode")[:2] == -1).all()
    assert (pool(labels, values / 2, "max")[:2] == -np.inf).all()


def test_a_hierarchy_pools_at_any_level():
    values = RANDOM.random((50, 70, 2))
    for count in (1, 13, HIERARCHY.base_count + 5):
        assert np.array_equal(HIERARCHY.pool(count, values, "max"), pool(HIERARCHY.cut(count), values, "max"))


@pytest.mark.parametrize(
    ("values", "how", "message"),
    [
        (np.zeros((50, 71)), "mean", "values"),
        (np.zeros((50, 70, 1, 1)), "mean", "values"),
        (np.zeros((50, 70), complex), "mean", "values"),
        (np.zeros((50, 70)), "median", "how"),
        (np.zeros((50, 70)), "mode", "values"),
        (np.zeros((50, 70)), "entropy", "values"),
        (np.full((50, 70, 2), -1.0), "entropy", "values"),
        (np.zeros((50, 70, 2), int), "entropy", "values"),
    ],
)
def test_values_that_cannot_be_pooled(values, how, message):
    with pytest.raises(InvalidParameter, match=message):
        pool(LABELS, values, how)


@pytest.mark.parametrize(
    "labels", [LABELS - 2, LABELS * 0 - 1, LABELS + 9999, LABELS / 2, LABELS[0], LABELS[:0]]
)
def test_labels_that_cannot_be_pooled(labels):
    with pytest.raises(InvalidLabelMap, match="labels"):
        pool(labels, np.zeros(labels.shape))
    with pytest.raises(InvalidLabelMap, match="labels"):
        measure_adjacency(labels)


def test_pixels_outside_a_mask_belong_to_no_region():
    mask = np.hypot(*(np.indices((50, 70)) - [[[25]], [[35]]])) < 20
    masked = segment(PHOTO, mask=mask)
    labels = masked.cut(30)
    for values, how in ((PHOTO, "mean"), (PHOTO, "max"), (PHOTO[..., 0] // 40, "mode"), (LABELS, "entropy")):
        whole = pool(np.where(mask, labels, 30), values, how)
        assert np.array_equal(masked.pool(30, values, how), whole[:30]), how
    expected = measure_adjacency(np.where(mask, labels, 30), PHOTO)
    kept = (expected.pairs < 30).all(axis=1)
    found = masked.adjacency(30)
    assert np.array_equal(found.pairs, expected.pairs[kept])
    assert np.array_equal(found.border, expected.border[kept])
    assert np.array_equal(found.contrast, expected.contrast[kept])
    assert np.array_equal(masked.regions(30).pairs, found.pairs)
    for copied in (copy.copy(masked), pickle.loads(pickle.dumps(masked))):
        assert np.array_equal(copied.cut(30), labels)
        assert np.array_equal(copied.cut(700), masked.cut(700))
        assert np.array_equal(copied.mask, mask)


# --- adjacency ----------------------------------------------------------------------------------------------


def sides(labels, image):
    """The distances over the sides of each pair, one side at a time."""
    found = {}
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < height and u < width and labels[y, x] != labels[v, u]:
                    pair = tuple(sorted((int(labels[y, x]), int(labels[v, u]))))
                    difference = image[y, x].astype(float) - image[v, u]
                    found.setdefault(pair, []).append(np.sqrt((difference**2).sum()))
    return found


@pytest.mark.parametrize("count", [1, 2, 40, 700])
def test_adjacency_is_that_of_the_sides_of_pixels(count):
    labels = HIERARCHY.cut(count)
    expected = sides(labels, PHOTO)
    measured = HIERARCHY.adjacency(count)
    assert [tuple(pair) for pair in measured.pairs.tolist()] == sorted(expected)
    assert measured.border.tolist() == [len(expected[pair]) for pair in sorted(expected)]
    np.testing.assert_allclose(measured.contrast, [np.mean(expected[pair]) for pair in sorted(expected)])
    assert np.array_equal(measured.pairs, HIERARCHY.regions(count).pairs)
    assert measured.count == count
    assert measure_adjacency(labels).contrast is None
    with pytest.raises(InvalidImage, match="image"):
        measure_adjacency(labels, PHOTO[1:])


def test_adjacency_both_ways():
    measured = HIERARCHY.adjacency(40)
    offsets, neighbors, rows = measured.both_ways()
    assert len(neighbors) == 2 * len(measured.pairs)
    for region in range(40):
        here = slice(offsets[region], offsets[region + 1])
        beside = np.unique(np.concatenate([p for p in measured.pairs if region in p]))
        assert neighbors[here].tolist() == [other for other in beside if other != region]
        for other, row in zip(neighbors[here], rows[here], strict=True):
            assert sorted(measured.pairs[row]) == sorted((region, other))
    assert [len(part) for part in segment(PHOTO[:1, :1]).adjacency(1).both_ways()] == [2, 0, 0]


# --- tables, graphs, pickles --------------------------------------------------------------------------------

COLUMNS = ["area", "x0", "y0", "x1", "y1", "x", "y", "red", "green", "blue"]


def test_tables_have_a_row_per_region(monkeypatch):
    regions, adjacency = HIERARCHY.regions(40), HIERARCHY.adjacency(40)
    frame, borders = regions.to_table(), adjacency.to_table()
    assert list(frame.columns) == COLUMNS
    assert frame.index.name == "label"
    assert frame.loc[7, "area"] == (LABELS == 7).sum()
    y, x = np.nonzero(LABELS == 7)
    np.testing.assert_allclose([frame.loc[7, "x"], frame.loc[7, "y"]], [x.mean(), y.mean()], atol=1 / 32)
    assert np.array_equal(regions.centroids, frame[["x", "y"]])
    assert borders.columns.tolist() == ["a", "b", "border", "contrast"]
    assert measure_adjacency(LABELS).to_table().columns.tolist() == ["a", "b", "border"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    plain = regions.to_table()
    assert list(plain) == ["label", *COLUMNS]
    assert all(np.array_equal(plain[name], frame[name]) for name in COLUMNS)
    assert list(adjacency.to_table()) == ["a", "b", "border", "contrast"]


def test_graphs_have_a_node_per_region(monkeypatch):
    regions, adjacency = HIERARCHY.regions(40), HIERARCHY.adjacency(40)
    graph = regions.to_networkx(adjacency)
    assert list(graph.nodes) == list(range(40))
    assert graph.nodes[7]["area"] == (LABELS == 7).sum()
    assert sorted(map(tuple, map(sorted, graph.edges))) == [tuple(pair) for pair in adjacency.pairs.tolist()]
    a, b = adjacency.pairs[3]
    assert graph.edges[a, b] == {"border": adjacency.border[3], "contrast": adjacency.contrast[3]}
    assert set(regions.to_networkx().edges) == set(graph.edges)
    with pytest.raises(ValueError, match="adjacency"):
        regions.to_networkx(HIERARCHY.adjacency(41))
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(ImportError, match="analysis"):
        regions.to_networkx()


@pytest.mark.parametrize("image", [PHOTO, PHOTO[..., 0]], ids=["rgb", "gray"])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_hierarchy_can_be_pickled_and_copied(image, copied):
    hierarchy = segment(image)
    before = copied(hierarchy)
    assert results(before) == results(hierarchy)  # this computes the pixel merges of both
    after = copied(hierarchy)
    for each in (before, after):
        assert np.array_equal(each.cut(1500), hierarchy.cut(1500))
        assert each.encode(60, include_regions=True) == hierarchy.encode(60, include_regions=True)
        assert (each.shape, each.backend, each.params) == (
            hierarchy.shape,
            hierarchy.backend,
            hierarchy.params,
        )
        assert not any(part.flags.writeable for part in (each.base_labels, each.merges, each.pixel_merges()))


def test_a_pickle_of_another_version_is_refused():
    state = HIERARCHY.__getstate__() | {"algorithm_version": 0}
    with pytest.raises(InvalidParameter, match="algorithm_version"):
        copy.copy(HIERARCHY).__setstate__(state)


def test_a_label_map_pools_like_its_hierarchy():
    label_map = codec.decode(HIERARCHY.encode(300, include_hierarchy=True))
    values = RANDOM.random((50, 70))
    assert np.array_equal(pool(label_map.labels_at(40), values), HIERARCHY.pool(40, values))
