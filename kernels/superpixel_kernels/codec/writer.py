"""Writes containers."""

import itertools
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import _codec, layout
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
    connected: bool = True,
    algorithm_version: int = ALGORITHM_VERSION,
) -> bytes:
    """Write a label map, and optionally its coarser levels and measurements, as one container.

    The same arguments give the same bytes.

    Args:
        labels: (height, width) integers, numbered 0, 1, ... by first appearance row by row; int32 in C order
            is not copied. At most 2**28 pixels.
        tree: the merges of `labels`. Without `levels` all of it is written, and a reader can cut any count.
        levels: counts of coarser levels to write instead of the whole `tree`: 1 to 32 of them, strictly
            decreasing, each from 1 to below the map's own count. Takes much less space than the whole tree.
        heights: (count - 1,) float32, the heights of the tree's merges in order, not negative. Each is
            rounded up to bfloat16, which keeps their order. Only with the whole tree.
        regions: measurements of the regions of `labels`; see `measure_regions`.
        provenance: what the map was made from. Not verified.
        connected: whether every label is one 4-connected region. Not verified.
        algorithm_version: 0..65535.

    Raises:
        InvalidLabelMap: the labels are empty, too many, not integers, or not numbered by first appearance.
        InvalidParameter: another argument is malformed or does not fit the labels.
    """
    if not 0 <= algorithm_version <= 0xFFFF:
        raise InvalidParameter("algorithm_version", f"must be from 0 to 65535, got {algorithm_version}")
    labels = as_labels(labels)
    payload, count = _codec.encode_labels(labels)
    # A pixel takes at most 8 bytes (token, three arguments, end of row), so all sizes fit 32 bits.
    token_end = 4 + int.from_bytes(payload[:4], "little")
    # Huffman codes only: half the time of a search for repeats, and 10 % smaller, as tokens hardly repeat.
    sections = [_section(layout.LABELS, [payload[:token_end], payload[token_end:]], zlib.Z_HUFFMAN_ONLY)]
    if tree is None:
        if levels is not None:
            raise InvalidParameter("levels", "needs the tree of the labels")
    else:
        into, order = _checked_tree(tree, count)
        if levels is None:
            sections.append(_section(layout.TREE, _tree_parts(into, order, count)))
        else:
            sections.append(_section(layout.LEVELS, _levels_parts(levels, into, order, count)))
    if heights is not None:
        if tree is None or levels is not None:
            raise InvalidParameter("heights", "needs the whole tree")
        sections.append(_section(layout.HEIGHTS, [_heights_payload(heights, count)]))
    if regions is not None:
        sections.append(_section(layout.REGIONS, _regions_parts(regions, count)))
    height, width = labels.shape
    if provenance is not None:
        sections.append(_section(layout.PROVENANCE, [provenance_payload(provenance, width, height)]))

    flags = layout.FLAG_CONNECTED if connected else 0
    header = layout.HEADER.pack(
        layout.MAGIC, layout.FORMAT_VERSION, flags, algorithm_version, width, height, count
    )
    return b"".join([header, *sections, layout.SECTION.pack(layout.END, 0, 0)])


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
    if not np.can_cast(labels.dtype, np.int32) and not 0 <= labels.min() <= labels.max() < labels.size:
        raise InvalidLabelMap(f"labels: must be from 0 to below the number of pixels, {labels.size}")
    return np.ascontiguousarray(labels, np.int32)


def _section(kind: bytes, parts: Sequence[bytes], strategy: int = zlib.Z_DEFAULT_STRATEGY) -> bytes:
    """A section with the concatenated `parts` as its payload, each part with Huffman codes of its own."""
    deflate = zlib.compressobj(level=1, wbits=layout.GZIP_WINDOW_BITS, memLevel=9, strategy=strategy)
    # A new block where the statistics change saves 1 to 15 %.
    blocks = [deflate.compress(part) + deflate.flush(zlib.Z_BLOCK) for part in parts]
    stored = b"".join(blocks) + deflate.flush()
    return layout.SECTION.pack(kind, len(stored), sum(map(len, parts))) + stored


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


def _tree_parts(into: NDArray[np.uint32], order: NDArray[np.uint32], count: int) -> list[bytes]:
    planes = layout.plane_count(count)
    return [*layout.to_planes(into, planes), *layout.to_planes(order, planes)]


def _levels_parts(
    levels: Sequence[int], into: NDArray[np.uint32], order: NDArray[np.uint32], count: int
) -> list[bytes]:
    counts = list(levels)
    if not 1 <= len(counts) <= layout.MAX_LEVELS:
        raise InvalidParameter("levels", f"must be 1 to {layout.MAX_LEVELS} counts, got {len(counts)}")
    bounds = [count, *counts, 0]
    if any(finer <= coarser for finer, coarser in itertools.pairwise(bounds)):
        raise InvalidParameter("levels", f"must fall strictly from below {count} to at least 1, got {counts}")
    # Level j does the first count - counts[j] merges. `level`: the first level that does the label's merge.
    level = np.searchsorted(count - np.array(counts), order, side="right").astype(np.uint8)
    head = struct.pack(f"<B{len(counts)}I", len(counts), *counts)
    return [head, *layout.to_planes(into, layout.plane_count(count)), level.tobytes()]


def _heights_payload(heights: NDArray[np.float32], count: int) -> bytes:
    if heights.shape != (count - 1,) or heights.dtype != np.float32:
        raise InvalidParameter(
            "heights", f"must be {(count - 1,)} float32, got {heights.shape} {heights.dtype}"
        )
    # Up to the largest finite bfloat16; NaN fails this test too.
    if not np.all((heights >= 0) & (heights <= np.float32(2.0**127 * (2 - 2.0**-7)))):
        raise InvalidParameter("heights", "must be from 0 to the largest bfloat16")
    # Adding 0 turns -0 into 0. The bits of non-negative floats have the order of the floats.
    bits = (np.ascontiguousarray(heights) + np.float32(0)).view(np.uint32).astype(np.int64)
    differences = np.diff((bits + 0xFFFF) >> 16, prepend=0)
    zigzag = (differences << 1) ^ (differences >> 63)
    return _codec.encode_varints(zigzag.astype(np.uint32))


def _regions_parts(regions: Regions, count: int) -> list[bytes]:
    fields = [
        _integers("regions.area", regions.area, (count,), 2**32),
        *_integers("regions.box", regions.box, (count, 4), 2**32).T,
        *_integers("regions.centroid", regions.centroid, (count, 2), 2**32).T,
    ]
    colors = _integers("regions.mean_color", regions.mean_color, (count, 3), 2**8).T
    pairs = len(regions.neighbors)
    offsets = _integers("regions.neighbor_offsets", regions.neighbor_offsets, (count + 1,), pairs + 1)
    offsets = offsets.astype(np.int64)
    neighbors = _integers("regions.neighbors", regions.neighbors, (pairs,), count).astype(np.int64)
    degrees = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != pairs or np.any(degrees < 0):
        raise InvalidParameter("regions.neighbor_offsets", f"must rise from 0 to the {pairs} neighbors")
    owners = np.repeat(np.arange(count), degrees)
    # Strictly increasing pairs (a, b) mean strictly increasing neighbours of each region.
    if not np.all(neighbors > owners) or not np.all(np.diff(owners * count + neighbors) > 0):
        raise InvalidParameter("regions.neighbors", "each region's must rise, from above the region itself")
    adjacency = np.insert(neighbors - owners, offsets[:-1], degrees).astype(np.uint32)
    return [
        *(plane for field in fields for plane in layout.to_planes(np.ascontiguousarray(field), 4)),
        *(color.astype(np.uint8).tobytes() for color in colors),
        struct.pack("<I", pairs),
        _codec.encode_varints(adjacency),
    ]
