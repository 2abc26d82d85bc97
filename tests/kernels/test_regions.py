"""The regions of a cut, against plain NumPy."""

import numpy as np
import pytest

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_kernels.errors import InvalidParameter

RANDOM = np.random.default_rng(7)
RGBA = np.repeat(np.repeat(RANDOM.integers(0, 256, (6, 8, 4), dtype=np.uint8), 7, axis=0), 6, axis=1)
FIELDS = ("area", "box", "centroid", "mean_color", "neighbor_offsets", "neighbors")


def srgb(image: np.ndarray) -> np.ndarray:
    """What is segmented, as (height, width, 3) integers."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    values = image.reshape(*image.shape[:2], channels).astype(np.int64)
    if channels == 4:
        alpha = values[..., 3:]
        return (values[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return values if channels == 3 else np.repeat(values, 3, axis=2)


def measured_by_numpy(labels: np.ndarray, image: np.ndarray, count: int) -> codec.Regions:
    """Every field by its definition, a region at a time."""
    colors = srgb(image)
    area, box, centroid, mean = [], [], [], []
    for label in range(count):
        y, x = np.nonzero(labels == label)
        n = len(x)
        area.append(n)
        box.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
        centroid.append([(32 * x.sum() + n) // (2 * n), (32 * y.sum() + n) // (2 * n)])
        mean.append((2 * colors[y, x].sum(axis=0) + n) // (2 * n))
    across = np.stack([labels[:, :-1].ravel(), labels[:, 1:].ravel()], axis=1)
    down = np.stack([labels[:-1].ravel(), labels[1:].ravel()], axis=1)
    pairs = np.sort(np.concatenate([across, down]), axis=1)
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    offsets = np.searchsorted(pairs[:, 0], np.arange(count + 1))
    return codec.Regions(*map(np.array, (area, box, centroid, mean, offsets, pairs[:, 1])))


def assert_equal(actual: codec.Regions, expected: codec.Regions) -> None:
    for field in FIELDS:
        assert np.array_equal(getattr(actual, field), getattr(expected, field)), field


@pytest.mark.parametrize(
    "image", [RGBA, RGBA[..., :3], RGBA[..., 0], RGBA[..., :1]], ids=["rgba", "rgb", "gray", "gray in 3 axes"]
)
@pytest.mark.parametrize("place", ["one", "few", "base", "above the base", "pixels"])
def test_regions_of_a_cut(image: np.ndarray, place: str) -> None:
    hierarchy = kernels.segment(image)
    pixels = image.shape[0] * image.shape[1]
    base = hierarchy.base_count
    count = {"one": 1, "few": 20, "base": base, "above the base": base + 30, "pixels": pixels}[place]
    expected = measured_by_numpy(hierarchy.cut(count), image, count)
    assert_equal(hierarchy.regions(count), expected)


@pytest.mark.parametrize("options", [{}, {"levels": (20, 3)}, {"include_hierarchy": True}])
def test_regions_travel_in_the_container(options: dict[str, object]) -> None:
    hierarchy = kernels.segment(RGBA)
    label_map = codec.decode(hierarchy.encode(50, include_regions=True, **options))
    assert label_map.regions is not None
    assert_equal(label_map.regions, hierarchy.regions(50))
    assert np.array_equal(label_map.labels, hierarchy.cut(50))
    assert codec.decode(hierarchy.encode(50, **options)).regions is None


@pytest.mark.parametrize("count", [0, RGBA.shape[0] * RGBA.shape[1] + 1, 2.5])
def test_regions_of_no_cut(count: float) -> None:
    with pytest.raises(InvalidParameter, match="count"):
        kernels.segment(RGBA).regions(count)
