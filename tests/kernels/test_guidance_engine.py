"""The C++ engine with guidance: golden values, and every stage `==` the reference."""

import numpy as np
import pytest

from superpixel_kernels import Guidance, SegmentParams, Workspace, segment
from superpixel_kernels.cpu import _engine
from tests.kernels import golden, golden_guidance, images, reference
from tests.kernels.guided import any_guidance, reference_trace
from tests.kernels.traces import assert_same, assert_same_trace, trace

INSTRUCTION_SETS = _engine.available_instruction_sets()


@pytest.fixture(params=INSTRUCTION_SETS)
def workspace(request):
    return Workspace(threads=1, instruction_set=request.param)


@pytest.mark.parametrize("row", golden_guidance.ROWS, ids=str)
def test_golden_row(row, workspace):
    hierarchy = segment(row.pixels(), guidance=Guidance(**row.guidance()), workspace=workspace)
    assert hierarchy.base_count == row.regions
    assert hierarchy.prior_components == row.components
    assert golden.crc(hierarchy.base_labels) == row.base
    assert golden.crc(hierarchy.merges) == row.merges
    for count, checksum in row.maps:
        assert golden.crc(hierarchy.cut(count)) == checksum


@pytest.mark.parametrize("row", golden_guidance.ROWS, ids=str)
def test_golden_row_stages(row, workspace):
    result = trace(row.pixels(), 10.0, workspace, Guidance(**row.guidance()))
    assert len(result["edges"]) == row.edges
    assert result["rounds"] == sum(row.rounds)
    assert result.get("prior_components") == row.components


@pytest.mark.parametrize("name", images.SMALL)
def test_stages_of_small_images(name, workspace):
    image = images.SMALL[name]()
    for seed in range(2):
        arguments = any_guidance(np.random.default_rng(seed), *image.shape[:2])
        actual = trace(image, 10.0, workspace, Guidance(**arguments))
        assert_same_trace(actual, reference_trace(image, arguments))


def noisy_guidance(random, height, width, mode):
    """All three maps, without any order: the prior's label changes within most runs."""
    return {
        "edges": random.integers(0, 256, (height, width), np.uint8),
        "edge_weight": 8,
        "prior": random.integers(0, 3, (height, width)),
        "prior_mode": mode,
        "prior_weight": 512,
        "importance": random.integers(0, 256, (height, width), np.uint8),
    }


@pytest.mark.parametrize("width", range(1, 70))
def test_every_width_up_to_a_few_vectors(width, workspace):
    image = images.noise(width, 6, seed=width)
    arguments = noisy_guidance(np.random.default_rng(width), 6, width, ["soft", "hard"][width % 2])
    actual = trace(image, 10.0, workspace, Guidance(**arguments))
    assert_same_trace(actual, reference_trace(image, arguments))


def test_many_labels_in_a_region(workspace):
    """More than a region's counter has room for: of each label a pixel, or two of some."""
    image = images.flat(48, 32)
    for seed in range(6):
        random = np.random.default_rng(seed)
        most = int(random.integers(9, 60))
        arguments = {"prior": random.integers(0, most, (32, 48)).astype(np.uint16)}
        actual = trace(image, 10.0, workspace, Guidance(**arguments))
        assert_same_trace(actual, reference_trace(image, arguments))


LARGE = [
    name if name == "photo-311x293" else pytest.param(name, marks=pytest.mark.slow) for name in images.LARGE
]


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.slow_under_sanitizer
def test_stages_of_large_images(name, workspace):
    image = images.LARGE[name]()
    height, width = image.shape[:2]
    arguments = {
        "edges": golden_guidance.edges(width, height),
        "prior": golden_guidance.prior(width, height),
        "prior_mode": ["soft", "hard"][height % 2],
        "importance": golden_guidance.importance(width, height),
    }
    actual = trace(image, 10.0, workspace, Guidance(**arguments))
    assert_same_trace(actual, reference_trace(image, arguments))


def test_a_black_and_white_image_by_hand(workspace):
    """Every map adds its own term to one edge of known cost (see test_engine.check_black_and_white)."""
    image = np.array([[0, 0, 0, 255, 255, 255]] * 2, np.uint8)

    def height(col, hm):
        return np.float32((col**2 + 256) * hm**1.25 * (1 + 4 * hm**0.5 / 2) * (12 / 16) ** 2)

    def stages(**arguments):
        result = trace(image, 10.0, workspace, Guidance(**arguments))
        return result["edges"].tolist(), result["merges"]["height"].tolist()

    edges = np.zeros((2, 6), np.uint8)
    edges[0, 2], edges[1, 3], edges[1, 0] = 90, 30, 30
    # Means: (90 + 30) // 6 = 20 and 30 // 6 = 5. Sides: max(90, 0) - 20 and max(0, 30) - 20, times 3.
    cs = 800 + 3 * (70 + 10)
    assert stages(edges=edges, edge_weight=3) == ([[0, 1, 2, cs]], [height(2000 / 6 + cs / 4, 3)])
    # Labels 1 and 2 are most frequent: two sides of 64.
    prior = np.array([[1, 1, 1, 2, 2, 2], [1, 2, 2, 1, 2, 2]])
    assert stages(prior=prior) == ([[0, 1, 2, 928]], [height(2000 / 6 + 928 / 4, 3)])
    # Three of each: the smaller one in both, so nothing is added.
    prior = np.array([[1, 1, 1, 2, 2, 2], [2, 2, 2, 1, 1, 1]])
    assert stages(prior=prior) == ([[0, 1, 2, 800]], [height(2000 / 6 + 200, 3)])
    # 6 and 6 + 6 * 32 / 32 pixels: hm = 6 * 12 / 18 = 4.
    importance = np.array([[0, 0, 0, 32, 32, 32]] * 2, np.uint8)
    assert stages(importance=importance) == ([[0, 1, 2, 800]], [height(2000 / 6 + 200, 4)])


@pytest.mark.parametrize("compactness", [0.0, 12.34, 100.0])
def test_compactness_beside_guidance(compactness, workspace):
    image = images.photo(80, 60)
    arguments = noisy_guidance(np.random.default_rng(1), 60, 80, "hard")
    actual = trace(image, compactness, workspace, Guidance(**arguments))
    expected = reference_trace(image, arguments, compactness)
    assert_same_trace(actual, expected)
    hierarchy = segment(
        image, SegmentParams(compactness), guidance=Guidance(**arguments), workspace=workspace
    )
    pixel_merges = reference.pixel_merges(expected.smooth, expected.base, compactness)
    assert_same("pixel merges", hierarchy.pixel_merges(), pixel_merges)
