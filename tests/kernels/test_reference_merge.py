"""The reference's stages merge, cut and tree: tables that a reader can check by hand."""

import numpy as np
import pytest

from tests.kernels import golden, reference

pytestmark = pytest.mark.unsanitized  # no native code

# --- by hand: merge -----------------------------------------------------------------------------------------


def cost_of(node_a, node_b, length, cs, compactness, step):
    one, other = np.array([node_a]), np.array([node_b])
    return reference.cost(one, other, np.array([length]), np.array([cs]), compactness, step)[0]


@pytest.mark.parametrize(
    ("node_a", "node_b", "length", "cs", "compactness", "step", "expected"),
    [
        # hm = 32*32/64 = 16, q = 4, size = 16*2; d = |(3, 0, 4)| = 5, mean contrast 24/4, s = 5 + 3;
        # col = 64 + 256; shape = 1 + 4*4/4; t = 1: 320 * 32 * 5.
        ((32, 96, 0, 128), (32, 0, 0, 0), 4, 24, 10.0, 4, 51200.0),
        # The same at compactness 0: shape = 1.
        ((32, 96, 0, 128), (32, 0, 0, 0), 4, 24, 0.0, 4, 10240.0),
        # Unequal sizes: hm = 20*80/100 = 16 again; d = 10, s = 10 + 6; col = 512.
        ((20, 200, 0, 0), (80, 0, 0, 0), 1, 12, 0.0, 4, 512 * 32),
        # Specks: hm = 1, size = 1, shape = 1 + 4; t = 4/16, t*t = 1/16: 256 * 5 / 16.
        ((2, 0, 0, 0), (2, 0, 0, 0), 1, 0, 10.0, 4, 80.0),
        # At step 8 t = 4/64: 256 * 5 / 256.
        ((2, 0, 0, 0), (2, 0, 0, 0), 1, 0, 10.0, 8, 5.0),
        # The pixel level knows no specks.
        ((2, 0, 0, 0), (2, 0, 0, 0), 1, 0, 10.0, None, 1280.0),
        # k4 = 1, shape = 1.5, s = 2501: (2501^2 + 256) * 1.5 = 9382885.5, a tie in float32, to the even one.
        ((2, 5002, 0, 0), (2, 0, 0, 0), 2, 0, 2.5, None, 9382886.0),
    ],
)
def test_cost(node_a, node_b, length, cs, compactness, step, expected):
    assert cost_of(node_a, node_b, length, cs, compactness, step) == expected
    assert cost_of(node_b, node_a, length, cs, compactness, step) == expected


def table(*rows):
    return np.array(rows, np.int64).reshape(-1, 4)


def test_merge_of_a_path():
    # Pairs of pixels of one colour: hm = 1, so cost = (cs/2)^2 + 256.
    nodes = table((2, 0, 0, 0), (2, 0, 0, 0), (2, 0, 0, 0), (2, 0, 0, 0))
    edges = table((0, 1, 1, 8), (1, 2, 1, 40), (2, 3, 1, 16))
    result = reference.merge(nodes, edges, 0.0, None)
    # Both ends are merged in round 0; then hm = 2, size = 2^1.25.
    assert result.merges.tolist() == [
        (272.0, 0, 0, 1),
        (320.0, 0, 2, 3),
        (np.float32((20 * 20 + 256) * 2**1.25), 1, 0, 2),
    ]
    assert (result.rounds, result.collective_rounds) == (2, [])


def test_heights_never_fall():
    # 0 and 1 are 100 apart: 100^2 + 256. 2 lies half-way, contrast 51: (50 + 51)^2 + 256, it waits.
    # The mean of 0 and 1 is its own colour: the second merge costs only (51^2 + 256) * (4/3)^1.25.
    nodes = table((2, 0, 0, 0), (2, 200, 0, 0), (2, 100, 0, 0))
    edges = table((0, 1, 1, 0), (0, 2, 1, 102), (1, 2, 1, 102))
    result = reference.merge(nodes, edges, 0.0, None)
    assert result.merges.tolist() == [(10256.0, 0, 0, 1), (10256.0, 1, 0, 2)]


def star(leaves, center=0):
    """Nodes and edges of a star of equal regions, its centre first."""
    nodes = table(*[(2, 0, 0, 0)] * (leaves + 1))
    edges = table(*[(center, center + leaf, 1, 0) for leaf in range(1, leaves + 1)])
    return nodes, edges


@pytest.mark.parametrize(
    ("leaves", "rounds", "collective_rounds"),
    [
        (1, 1, []),
        (63, 63, []),  # 64 * 1 merge is not below 64 live regions
        (64, 2, [1]),
        (500, 2, [1]),
    ],
)
def test_stars_call_for_a_collective_round(leaves, rounds, collective_rounds):
    result = reference.merge(*star(leaves), 10.0, 4)
    assert (result.rounds, result.collective_rounds) == (rounds, collective_rounds)
    assert len(result.merges) == leaves


def test_round_96_is_collective():
    # One merge a round for each star that has leaves left. In every round they are at least a 64th of the
    # live regions (those without an edge count), until the two large stars have 14 leaves each in round 96.
    leaves = (110, 110, 52, 40, 30, 6)
    nodes, edges, first = [], [], 0
    for count in leaves:
        star_nodes, star_edges = star(count, first)
        nodes.append(star_nodes)
        edges.append(star_edges)
        first += count + 1
    result = reference.merge(np.concatenate(nodes), np.concatenate(edges), 10.0, 4)
    assert (result.rounds, result.collective_rounds) == (97, [96])
    assert np.bincount(result.merges["round"])[96] == 28
    assert len(result.merges) == sum(leaves)


def test_equal_costs_go_by_hash():
    # A triangle of equals: the edge with the least hash is the only one merged in round 0.
    edges = table((0, 1, 1, 0), (0, 2, 1, 0), (1, 2, 1, 0))
    hashes = reference.edge_hash(edges[:, 0], edges[:, 1]).tolist()
    first = reference.merge(table(*[(2, 0, 0, 0)] * 3), edges, 10.0, 4).merges[0]
    assert [first["a"], first["b"]] == edges[np.argmin(hashes), :2].tolist()
    assert (hashes[0], hashes[2]) == (golden.HASHES[0, 1], golden.HASHES[1, 2])


# --- by hand: cut, tree -------------------------------------------------------------------------------------


def merge_list(*rows):
    return np.array(list(rows), reference.MERGE_DTYPE)


def test_cut_and_tree_of_a_short_list():
    base = np.array([[0, 1, 2, 3]], np.int32)
    merges = merge_list((1.0, 0, 2, 3), (2.0, 0, 0, 1), (3.0, 1, 0, 2))
    assert reference.cut(base, merges, 4).tolist() == [[0, 1, 2, 3]]
    assert reference.cut(base, merges, 3).tolist() == [[0, 1, 2, 2]]
    assert reference.cut(base, merges, 2).tolist() == [[0, 0, 1, 1]]
    assert reference.cut(base, merges, 1).tolist() == [[0, 0, 0, 0]]

    # 2 goes into the component {0, 1}, whose largest label below 2 is 1.
    into, order, heights = reference.tree(base, merges, 4)
    assert (into.tolist(), order.tolist(), heights.tolist()) == ([0, 1, 2], [1, 2, 0], [1.0, 2.0, 3.0])
    into, order, heights = reference.tree(base, merges, 3)
    assert (into.tolist(), order.tolist(), heights.tolist()) == ([0, 1], [0, 1], [2.0, 3.0])
    assert [part.tolist() for part in reference.tree(base, merges, 1)] == [[], [], []]


def test_tree_where_records_repeat_b():
    # A collective round: 3 is swallowed by 0, then 1 and 2 are, by way of 3.
    base = np.array([[0, 1], [2, 3]], np.int32)
    merges = merge_list((1.0, 0, 0, 3), (2.0, 0, 1, 3), (3.0, 0, 2, 3))
    assert reference.cut(base, merges, 2).tolist() == [[0, 0], [1, 0]]
    into, order, heights = reference.tree(base, merges, 4)
    assert (into.tolist(), order.tolist(), heights.tolist()) == ([0, 1, 0], [1, 2, 0], [1.0, 2.0, 3.0])


def test_labels_are_numbered_by_first_appearance():
    base = np.array([[0, 1, 2], [3, 4, 4]], np.int32)
    assert reference.cut(
        base, merge_list((1.0, 0, 0, 2), (1.0, 0, 1, 4), (2.0, 1, 0, 1), (3.0, 1, 0, 3)), 3
    ).tolist() == [
        [0, 1, 0],
        [2, 1, 1],
    ]


def test_cut_above_the_base():
    # Base regions {0, 1, 2} and {3}: named by the pixels 0 and 3 on the pixel level.
    base = np.array([[0, 0], [0, 1]], np.int32)
    merges = merge_list((0.5, 0, 0, 1))
    pixel_merges = merge_list((1.0, 0, 0, 2), (4.0, 1, 0, 1))
    maps = {count: reference.cut(base, merges, count, pixel_merges).tolist() for count in (1, 2, 3, 4)}
    assert maps == {1: [[0, 0], [0, 0]], 2: [[0, 0], [0, 1]], 3: [[0, 1], [0, 2]], 4: [[0, 1], [2, 3]]}
    # Heights may fall at the base.
    into, order, heights = reference.tree(base, merges, 4, pixel_merges)
    assert (into.tolist(), order.tolist(), heights.tolist()) == ([0, 0, 2], [1, 0, 2], [1.0, 4.0, 0.5])


def test_lut_of_nested_maps():
    fine, coarse = np.array([[0, 1, 2], [3, 1, 2]]), np.array([[0, 1, 0], [2, 1, 0]])
    assert reference.lut(fine, coarse).tolist() == [0, 1, 0, 2]
