"""Writes containers."""

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import _codec, layout
from superpixel_kernels.codec.global_ids import GlobalIds, with_global_ids
from superpixel_kernels.codec.label_map import Tree
from superpixel_kernels.codec.measured import Regions
from superpixel_kernels.codec.provenance import Provenance, provenance_payload
from superpixel_kernels.errors import InvalidLabelMap, InvalidParameter
from superpixel_kernels.params import ALGORITHM_VERSION


def encode(
    labels: NDArray[np.integer],
    *,
    tree: Tree | None = None,
    levels: Sequence[int] | None = None,
    heights: NDArray[np.float32] | None = None,
    regions: Regions | None = None,
    provenance: Provenance | None = None,
    global_ids: GlobalIds | None = None,
    connected: bool = True,
    algorithm_version: int = ALGORITHM_VERSION,
) -> bytes:
    """Write a label map, and optionally its coarser levels and measurements, as one container.

    The same arguments give the same bytes.

    Args:
        labels: (height, width) integers, numbered 0, 1, ... by first appearance row by row; `OUTSIDE` for
            pixels that belong to no superpixel. int32 in C order is not copied. At most 2**28 pixels.
        tree: the merges of `labels`. Without `levels` all of it is written, and a reader can cut any count.
        levels: counts of coarser levels to write instead of the whole `tree`: 1 to 32 of them, strictly
            decreasing, each from 1 to below the map's own count. Takes much less space than the whole tree.
        heights: (count - 1,) float32, the heights of the tree's merges in order, not negative. Each is
            rounded up to bfloat16, which keeps their order. Only with the whole tree.
        regions: measurements of the regions of `labels`; see `measure_regions`.
        provenance: what the map was made from. Not verified.
        global_ids: the regions of a store that the labels are, if the map is a window of one.
        connected: whether every label is one 4-connected region. Not verified.
        algorithm_version: 0..65535.

    Raises:
        InvalidLabelMap: the labels are empty, too many, not integers, all `OUTSIDE`, or not numbered by first
            appearance.
        InvalidParameter: another argument is malformed or does not fit the labels.
    """
    if not 0 <= algorithm_version <= 0xFFFF:
        raise InvalidParameter("algorithm_version", f"must be from 0 to 65535, got {algorithm_version}")
    labels = as_labels(labels)
    writer = _codec.container_writer(labels, connected, algorithm_version)
    count = writer.count
    if tree is None:
        if levels is not None:
            raise InvalidParameter("levels", "needs the tree of the labels")
    else:
        into, order = _checked_tree(tree, count)
        if levels is None:
            writer.tree(into, order)
        else:
            writer.levels(_checked_levels(levels, count), into, order)
    if heights is not None:
        if tree is None or levels is not None:
            raise InvalidParameter("heights", "needs the whole tree")
        writer.heights(_checked_heights(heights, count))
    if regions is not None:
        writer.regions(*_checked_regions(regions, count))
    height, width = labels.shape
    if provenance is not None:
        writer.provenance(provenance_payload(provenance, width, height))
    data = writer.finish()
    return data if global_ids is None else with_global_ids(data, global_ids, count)


def varints(values: NDArray[np.integer]) -> bytes:
    """LEB128 variable-length integers, as in SPXL and in protobuf's packed fields.

    Args:
        values: integers from 0 to 2**32 - 1, of any shape, taken in C order.
    """
    return _codec.encode_varints(np.ascontiguousarray(values, np.uint32).reshape(-1))


def as_labels(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Convert `labels` to int32 in C order; no copy if they already are.

    Raises:
        InvalidLabelMap: the labels are empty, too many, not two-dimensional, or not integers in range.
    """
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise InvalidLabelMap(
            f"labels: must be integers in two dimensions, got {labels.shape} {labels.dtype}"
        )
    if not 1 <= labels.size <= layout.MAX_PIXELS:
        raise InvalidLabelMap(f"labels: {labels.size} pixels, must be from 1 to {layout.MAX_PIXELS}")
    # A value of a wider type could wrap around to a valid one.
    if not np.can_cast(labels.dtype, np.int32) and not -1 <= labels.min() <= labels.max() < labels.size:
        raise InvalidLabelMap(f"labels: must be from -1 to below the number of pixels, {labels.size}")
    return np.ascontiguousarray(labels, np.int32)


def _integers(
    parameter: str, values: NDArray[np.integer], shape: tuple[int, ...], limit: int
) -> NDArray[np.uint32]:
    """Convert `values` to uint32 in C order; raise unless they have `shape` and are in 0..limit-1."""
    if values.shape != shape or not np.issubdtype(values.dtype, np.integer):
        raise InvalidParameter(parameter, f"must be {shape} integers, got {values.shape} {values.dtype}")
    if values.size and not 0 <= values.min() <= values.max() < limit:
        raise InvalidParameter(parameter, f"must be from 0 to below {limit}")
    return np.ascontiguousarray(values, np.uint32)


def _checked_tree(tree: Tree, count: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    into = _integers("tree.into", tree.into, (count - 1,), count)
    order = _integers("tree.order", tree.order, (count - 1,), count - 1)
    if not np.all(into < np.arange(1, count)):
        raise InvalidParameter("tree.into", "each must be below its own label")
    if not np.all(np.bincount(order, minlength=count - 1) == 1):
        raise InvalidParameter("tree.order", f"must hold each of 0..{count - 2} once")
    return into, order


def _checked_levels(levels: Sequence[int], count: int) -> list[int]:
    try:
        counts = [operator.index(each) for each in levels]  # accepts NumPy's integers, rejects floats
    except TypeError:
        raise InvalidParameter("levels", f"must be integers, got {list(levels)}") from None
    if not 1 <= len(counts) <= layout.MAX_LEVELS:
        raise InvalidParameter("levels", f"must be 1 to {layout.MAX_LEVELS} counts, got {len(counts)}")
    bounds = [count, *counts, 0]
    if any(finer <= coarser for finer, coarser in itertools.pairwise(bounds)):
        raise InvalidParameter("levels", f"must fall strictly from below {count} to at least 1, got {counts}")
    return counts


def _checked_heights(heights: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    if heights.shape != (count - 1,) or heights.dtype != np.float32:
        raise InvalidParameter(
            "heights", f"must be {(count - 1,)} float32, got {heights.shape} {heights.dtype}"
        )
    # Up to the largest finite bfloat16; NaN fails this test too.
    if not np.all((heights >= 0) & (heights <= np.float32(2.0**127 * (2 - 2.0**-7)))):
        raise InvalidParameter("heights", "must be from 0 to the largest bfloat16")
    return np.ascontiguousarray(heights)


def _checked_regions(regions: Regions, count: int) -> tuple[NDArray[Any], ...]:
    area = _integers("regions.area", regions.area, (count,), 2**32)
    box = _integers("regions.box", regions.box, (count, 4), 2**32)
    centroid = _integers("regions.centroid", regions.centroid, (count, 2), 2**32)
    colors = _integers("regions.mean_color", regions.mean_color, (count, 3), 2**8)
    pairs = len(regions.neighbors)
    offsets = _integers("regions.neighbor_offsets", regions.neighbor_offsets, (count + 1,), pairs + 1)
    neighbors = _integers("regions.neighbors", regions.neighbors, (pairs,), count)
    wide = neighbors.astype(np.int64)
    ends = offsets.astype(np.int64)
    degrees = ends[1:] - ends[:-1]
    if offsets[0] != 0 or offsets[-1] != pairs or np.any(degrees < 0):
        raise InvalidParameter("regions.neighbor_offsets", f"must rise from 0 to the {pairs} neighbors")
    owners = np.repeat(np.arange(count), degrees)
    # Strictly increasing pairs (a, b) mean strictly increasing neighbours of each region.
    if not np.all(wide > owners) or not np.all(np.diff(owners * count + wide) > 0):
        raise InvalidParameter("regions.neighbors", "each region's must rise, from above the region itself")
    return area, box, centroid, colors.astype(np.uint8), offsets, neighbors.astype(np.int32)
