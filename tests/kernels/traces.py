"""Stages of the engine and of the reference, and their comparison."""

import functools

import numpy as np
import pytest

from superpixel_kernels.cpu import _engine
from superpixel_kernels.guidance import fitted_to
from superpixel_kernels.hierarchy import as_merges
from superpixel_kernels.pixels import as_pixels
from tests.kernels import images, reference

IMAGES = images.SMALL | images.LARGE


def trace(image, compactness, workspace, guidance=None):
    """The engine's stages by the names, shapes and dtypes of `reference.Trace`."""
    pixels = as_pixels(image)
    stages = _engine.trace(pixels, compactness, workspace, fitted_to(guidance, *pixels.shape[:2]))
    return stages | {"merges": as_merges(stages["merges"])}


@functools.cache
def reference_trace(name, compactness):
    return reference.trace(IMAGES[name](), compactness)


def assert_same(stage, actual, expected):
    """Equal in dtype, shape and every element; the message names the first that differs."""
    actual = np.asarray(actual)
    assert (stage, actual.dtype, actual.shape) == (stage, expected.dtype, expected.shape)
    differing = np.argwhere(actual != expected)
    if len(differing):
        first = tuple(differing[0].tolist())
        pytest.fail(
            f"{stage}: {len(differing)} of {actual.size} differ, first at {first}: "
            f"{actual[first]} instead of {expected[first]}"
        )


def assert_same_trace(actual, expected):
    """Every stage equal, compared in order: the first difference is the cause of those after it."""
    for stage in ("color", "smooth"):
        assert_same(stage, actual[stage], getattr(expected, stage))
    for iteration in range(reference.ITERATIONS):
        for stage in ("centers", "assign"):
            expected_stage = getattr(expected, stage)[iteration]
            assert_same(f"{stage}, iteration {iteration}", actual[stage][iteration], expected_stage)
    for stage in ("base", "nodes"):
        assert_same(stage, actual[stage], getattr(expected, stage))
    for stage in ("edge_levels", "prior_labels", "importance"):
        # The engine drops neutral maps, so the reference may know more.
        if stage in actual:
            assert_same(stage, actual[stage], getattr(expected, stage))
    for stage in ("edges", "merges"):
        assert_same(stage, actual[stage], getattr(expected, stage))
    assert actual.get("prior_components", expected.prior_components) == expected.prior_components
    assert actual["rounds"] == expected.rounds
