"""Comparison of the CUDA engine with the C++ engine."""

from superpixel_kernels.cpu import _engine
from superpixel_kernels.cuda.trace import trace
from superpixel_kernels.pixels import as_pixels
from tests.kernels.devices import open_pipeline
from tests.kernels.traces import assert_same


def run_trace(image, compactness, line):
    with line.device.active():
        return trace(as_pixels(image), compactness, line)


def assert_equal_stages(image, compactness, seed, **options):
    pixels = as_pixels(image)
    actual = run_trace(image, compactness, open_pipeline(seed, **options))
    expected = _engine.trace(pixels, compactness, _engine.Workspace(threads=1))
    for stage in ("color", "smooth"):
        assert_same(stage, actual[stage], expected[stage])
    for iteration in range(3):
        for stage in ("centers", "assign"):
            name = f"{stage}, iteration {iteration}"
            assert_same(name, actual[stage][iteration], expected[stage][iteration])
    for stage in ("base", "nodes", "edges", "merges"):
        assert_same(stage, actual[stage], expected[stage])
    assert actual["rounds"] == expected["rounds"]
    return actual


def assert_same_hierarchy(actual, expected):
    assert_same("base", actual.base_labels, expected.base_labels)
    assert_same("merges", actual.merges, expected.merges)
