"""Random images for hypothesis, and what must hold for the segmentation of any image."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from tests.kernels import reference

# The same examples in every run, and no time limit: a failure always comes from the code.
checked = settings(derandomize=True, deadline=None, max_examples=60)
checked_more_often = settings(checked, max_examples=180)

THREADS = (1, 2, 3, 7)


def noise(random, height, width):
    return random.integers(0, 256, (height, width, 3), np.uint8)


def few_colors(random, height, width):
    return noise(random, 1, 3)[0][random.integers(0, 3, (height, width))]


def two_near_colors(random, height, width):
    return (100 + random.integers(0, 2, (height, width, 1)) * random.integers(0, 3, 3)).astype(np.uint8)


def blocks(random, height, width):
    cells = noise(random, height // 5 + 1, width // 5 + 1)
    return cells.repeat(5, axis=0).repeat(5, axis=1)[:height, :width]


def gradient(random, height, width):
    y, x = np.indices((height, width))
    slope = y * random.integers(0, 9) + x * random.integers(0, 9)
    return (slope[..., np.newaxis] + random.integers(0, 256, 3)).astype(np.uint8)


def flat(random, height, width):
    return np.broadcast_to(noise(random, 1, 1), (height, width, 3)).copy()


STYLES = st.sampled_from([noise, few_colors, two_near_colors, blocks, gradient, flat])

SHAPES = st.one_of(
    st.tuples(st.integers(1, 22), st.integers(1, 22)),
    st.tuples(st.just(1), st.integers(1, 90)),
    st.tuples(st.integers(1, 90), st.just(1)),
    st.sampled_from([(1, 1), (2, 2), (13, 17), (2, 3), (4, 4), (7, 5)]),
)

COMPACTNESS = st.sampled_from([0.0, 0.3, 10.0, 12.34, 100.0])


@st.composite
def small_images(draw):
    height, width = draw(SHAPES)
    style = draw(STYLES)
    return style(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), height, width)


def results(hierarchy):
    """All that a segmentation gives, as bytes."""
    return tuple(
        part.tobytes() for part in (hierarchy.base_labels, hierarchy.merges, hierarchy.pixel_merges())
    )


def assert_partition(labels, count):
    """Labels 0..count-1 by first appearance, each one 4-connected region."""
    assert labels.dtype == np.int32
    # Components are numbered by first appearance: such a map is the map of its own components.
    np.testing.assert_array_equal(labels, reference.components(labels))
    assert labels.max() + 1 == count


def assert_nested(fine, coarse):
    """Each label of the fine map lies in one label of the coarse map."""
    np.testing.assert_array_equal(reference.lut(fine, coarse)[fine], coarse)
