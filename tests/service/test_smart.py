"""Smart select in Python: its rules, and its arithmetic. tests/frontend compares it with JavaScript."""

import math
from itertools import product

import numpy as np
import pytest

from superpixel_kernels import codec, segment
from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client.smart import SmartSelect
from superpixel_service.client.smart.arithmetic import CURVE, curve_of, lab_of, ln
from superpixel_service.client.smart.choice import choose
from superpixel_service.client.smart.features import FEATURES, Reached, Work, features, reach
from superpixel_service.client.smart.scene import look
from superpixel_service.client.smart.scorer import Scorer, default_scorer
from tests.service.images import scene

IMAGE = np.ascontiguousarray(scene()[..., :3])


@pytest.fixture(scope="module")
def source() -> codec.LabelMap:
    hierarchy = segment(IMAGE)
    return codec.decode(hierarchy.encode(hierarchy.base_count, include_hierarchy=True, include_regions=True))


def test_logarithm() -> None:
    x = np.exp(np.linspace(-20, 20, 10_001))
    assert np.abs(ln(x) - np.log(x)).max() < 1e-9
    assert ln(np.array([1.0]))[0] == 0


def test_colours_are_cielab() -> None:
    # White, black, and sRGB red by the formulas of CIE 15 for D65.
    rgb = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]], np.uint8)
    lab = lab_of(curve_of(rgb).astype(np.float64), np.ones(3))
    assert np.abs(lab[:, 0] - 16 - [100, 0, 53.24]).max() < 0.1
    assert np.abs(lab[2, 1:] - [80.09, 67.20]).max() < 0.3
    assert np.abs(lab[:2, 1:]).max() < 0.3
    # Rounding never depends on the last bits of a power: no amount of light lies near a half.
    value = np.arange(256) / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4) * 65535
    assert np.abs(light % 1 - 0.5).min() > 1e-6
    assert CURVE == 4096


def test_the_scene_follows_the_tree(source: codec.LabelMap) -> None:
    count = 60
    whole = look(source, count, IMAGE, None)
    assert whole.leaves == count
    assert whole.areas[-1] == whole.samples == source.labels.size
    for level in (1, 7, 31):
        lut = codec.LabelMap.cut(source, level)
        fine = source.cut(count)
        nodes = np.arange(count)
        for rank in range(count - level):
            nodes = np.where(np.isin(nodes, whole.children[rank]), count + rank, nodes)
        region_of = {}
        for label, region in zip(fine.tolist(), lut.tolist(), strict=True):
            assert region_of.setdefault(int(nodes[label]), region) == region
    assert np.array_equal(whole.sums(whole.areas[:count]), whole.areas)
    for node in (3, count + 5, 2 * count - 2):
        assert whole.areas[whole.members(node)].sum() == whole.areas[node]


def test_the_best_set_of_nodes_is_the_best(source: codec.LabelMap) -> None:
    scene_ = look(source, 7, IMAGE, None)
    rng = np.random.default_rng(2)
    price = 1024 * (scene_.samples // scene_.leaves)
    everything = list(product((0, 1), repeat=7))
    for _ in range(60):
        scores = rng.integers(-3000, 3000, 7)
        able = rng.random(7) < 0.8
        source_leaf = int(rng.integers(7))
        able[source_leaf] = True
        scores[source_leaf] = 12 * 1024
        cost = np.where(able, 1.0, np.inf)
        reached = Reached([source_leaf], True, able, cost, cost)
        found = choose(scene_, reached, np.where(able, scores, 0))

        def worth(taken: np.ndarray, able: np.ndarray = able, scores: np.ndarray = scores) -> float:
            """The gain of a set, with the cheapest division into whole nodes."""

            def fees(node: int) -> int:
                below = scene_.members(node)
                mine = able[below]
                if not mine.any():
                    return 0
                same = len({bool(one) for one in taken[below][mine]}) == 1
                a, b = scene_.children[node - 7] if node >= 7 else (0, 0)
                split = fees(a) + fees(b) if node >= 7 else price
                return min(price, split) if same else split

            gain = float((scores * scene_.areas[:7])[taken & able].sum())
            return gain - fees(12)

        best = max(worth(np.array(each, bool)) for each in everything)
        # What does not hang together with the click is left out: the found set is a part of a best one.
        assert any(
            worth(np.array(each, bool)) == best and not (found & able & ~np.array(each, bool)).any()
            for each in everything
        )


def test_features_are_finite_and_of_the_leaves_that_may_change(source: codec.LabelMap) -> None:
    scene_ = look(source, 60, IMAGE, None)
    rng = np.random.default_rng(1)
    for _ in range(30):
        work = Work(rng.random(60) < 0.4)
        marks = rng.choice(60, 4, replace=False).tolist()
        work.marks = {leaf: bool(rng.random() < 0.5) for leaf in marks}
        work.clicks = 4
        positive = bool(rng.random() < 0.5)
        leaf = int(rng.integers(60))
        reached = reach(scene_, work, [leaf], positive)
        assert reached.able[leaf]
        others = np.flatnonzero(reached.able & (np.arange(60) != leaf))
        assert not (work.chosen[others] == positive).any()
        assert not set(others.tolist()) & set(marks)
        known = features(scene_, work, reached)
        assert known.shape == (FEATURES, np.count_nonzero(reached.able))
        assert np.isfinite(known).all()


def test_positive_clicks_only_add_and_negative_ones_only_take_away(source: codec.LabelMap) -> None:
    smart = SmartSelect(source, 200, IMAGE)
    rng = np.random.default_rng(4)
    marks: dict[int, bool] = {}
    labels = source.labels_at(200)
    for _ in range(25):
        y, x = (int(rng.integers(size)) for size in labels.shape)
        positive = bool(rng.random() < 0.6)
        before = set(smart.chosen.tolist())
        found = set(smart.click(x, y, positive=positive, grow=float(rng.uniform(-2, 2))).tolist())
        assert set(smart.chosen.tolist()) == before
        assert found.isdisjoint(before) if positive else found <= before
        clicked = int(labels[y, x])
        assert not {mark for mark, kind in marks.items() if kind != positive} & (found - {clicked})
        assert (clicked in before) == positive or clicked in found
        smart.accept()
        marks[clicked] = positive
        assert set(smart.chosen.tolist()) == (before | found if positive else before - found)
    smart.reset()
    assert not len(smart.chosen)


def test_outside_the_image_or_the_view_nothing_is_found(source: codec.LabelMap) -> None:
    smart = SmartSelect(source, 200, IMAGE)
    for x, y in ((-1, 5), (5, -0.1), (IMAGE.shape[1], 5), (5, IMAGE.shape[0]), (math.nan, 5)):
        assert not len(smart.click(x, y))
    smart.accept()
    part = SmartSelect(source, 200, IMAGE[:20, :20], box=(0, 0, 20, 20))
    assert not len(part.click(IMAGE.shape[1] - 1, IMAGE.shape[0] - 1))
    assert set(part.click(10, 10, grow=5).tolist()) <= set(source.labels_at(200)[:20, :20].ravel().tolist())


def test_wrong_arguments_name_the_parameter(source: codec.LabelMap) -> None:
    flat = codec.decode(codec.encode(source.labels_at(50)))
    for arguments, options, name in [
        ((flat, 50, IMAGE), {}, "source"),
        ((source, 50, IMAGE[..., 0]), {}, "image"),
        ((source, 50, IMAGE.astype(float)), {}, "image"),
        ((source, 50, IMAGE), {"box": (0, 0, 10, 10)}, "image"),
        ((source, 50), {"box": (5, 0, 5, 9)}, "box"),
        ((source, 50), {"box": (0, 0, 5, 99999)}, "box"),
        ((source, 0, IMAGE), {}, "count"),
        ((source, 50, IMAGE), {"weights": {}}, "weights"),
        ((source, 50, IMAGE), {"weights": "other"}, "weights"),
    ]:
        with pytest.raises(InvalidParameter, match=name):
            SmartSelect(*arguments, **options)  # type: ignore[arg-type]
    smart = SmartSelect(source, 50, IMAGE)
    for grow in (5.1, -6, math.nan):
        with pytest.raises(InvalidParameter, match="grow"):
            smart.click(3, 3, grow=grow)
        with pytest.raises(InvalidParameter, match="grow"):
            smart.regrow(grow)
    for region in (50, -1):
        with pytest.raises(InvalidParameter, match="regions"):
            smart.touch([region])
    with pytest.raises(TypeError):
        smart.touch([3.7])  # type: ignore[list-item]


def test_damaged_weights_are_refused() -> None:
    scorer = default_scorer()
    good = {
        "format": "superpixel-smart-weights",
        "version": 1,
        "bias": 0.5,
        "layers": [{"weights": w.tolist(), "biases": b.tolist()} for w, b in scorer.layers],
    }
    assert len(Scorer.of(good).layers) == len(scorer.layers)
    first, *others = good["layers"]
    for wrong in (
        {**good, "version": 2},
        {**good, "layers": []},
        {**good, "layers": others},
        {**good, "layers": [first]},
        {**good, "layers": [{"weights": first["weights"]}, *others]},
        {**good, "layers": [{**first, "biases": [math.nan] * len(first["biases"])}, *others]},
        {**good, "layers": [{**first, "weights": [[1.0]]}, *others]},
        {**good, "bias": "x"},
        {**good, "bias": math.inf},
        [],
        None,
    ):
        with pytest.raises(InvalidParameter, match="weights"):
            Scorer.of(wrong)


def test_the_weights_say_from_what_they_were_trained() -> None:
    about = default_scorer().about
    assert "BSDS500" in about["source"]
    assert "non-commercial" in about["source"]
    assert about["images"] >= 200
    assert about["objects"] >= 400
