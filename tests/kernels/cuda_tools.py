"""Comparison of the CUDA engine with the C++ engine."""

from superpixel_kernels.cpu import _engine
from superpixel_kernels.cuda.trace import trace
from superpixel_kernels.guidance import fitted_to
from superpixel_kernels.pixels import as_pixels
from tests.kernels.devices import open_pipeline
from tests.kernels.traces import assert_same


def run_trace(image, compactness, line, guidance=None):
    pixels = as_pixels(image)
    with line.device.active():
        return trace(pixels, compactness, line, fitted_to(guidance, *pixels.shape[:2]))


def assert_equal_stages(image, compactness, seed, guidance=None, **options):
    pixels = as_pixels(image)
    fitted = fitted_to(guidance, *pixels.shape[:2])
    actual = run_trace(image, compactness, open_pipeline(seed, **options), guidance)
    expected = _engine.trace(pixels, compactness, _engine.Workspace(threads=1), fitted)
    assert actual.keys() == expected.keys()
    for stage in ("color", "smooth"):
        assert_same(stage, actual[stage], expected[stage])
    for iteration in range(3):
        for stage in ("centers", "assign"):
            name = f"{stage}, iteration {iteration}"
            assert_same(name, actual[stage][iteration], expected[stage][iteration])
    for stage in ("base", "nodes", "edge_levels", "prior_labels", "importance", "edges", "merges"):
        if stage in expected:
            assert_same(stage, actual[stage], expected[stage])
    for number in ("rounds", "prior_components"):
        assert actual.get(number) == expected.get(number)
    return actual


def assert_same_hierarchy(actual, expected):
    assert_same("base", actual.base_labels, expected.base_labels)
    assert_same("merges", actual.merges, expected.merges)
