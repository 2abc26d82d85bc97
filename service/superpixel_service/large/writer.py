"""Writes the parts of a store. `large.run` calls them in order."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import codec
from superpixel_kernels.codec import NO_REGION
from superpixel_service.large.layout import BASE, CHUNK, IMAGE, LABELS, REGION_ARRAYS, SHARD, TREE_ARRAYS
from superpixel_service.large.ngff import NGFF_VERSION, Pixel, image_attributes, label_attributes
from superpixel_service.large.numbering import number_labels
from superpixel_service.large.source import Window, slices
from superpixel_service.large.tree import Ids, Tree
from superpixel_service.large.zarr_store import zarr_library

_LIST_CHUNK = 1 << 20
"""Values of a chunk of a one-dimensional array."""

_UNWRITTEN = 255
"""The value of the image's samples that a run has not written."""

Progress = Callable[[int], None]
"""Called with a number of pixels that are done."""


class Readable(Protocol):
    """An array on disk, or in memory."""

    shape: tuple[int, ...]

    def __getitem__(self, index: Any) -> Any:
        """A part of it."""

    def __setitem__(self, index: Any, value: Any) -> None:
        """Write a part of it."""


def shards(width: int, height: int) -> Iterator[Window]:
    """Windows that cover an image, a shard each."""
    for y in range(0, height, SHARD):
        for x in range(0, width, SHARD):
            yield Window(x, y, min(SHARD, width - x), min(SHARD, height - y))


def create_image(group: Any, path: str, width: int, height: int) -> Readable:
    """A level of the image, three planes; kept if it is there already."""
    return _create(group, path, (3, height, width), np.dtype(np.uint8), ("c", "y", "x"), _UNWRITTEN)


def create_labels(group: Any, path: str, width: int, height: int, fill: int) -> Readable:
    """A level of labels of 32 bits; kept if it is there already."""
    return _create(group, path, (height, width), np.dtype(np.uint32), ("y", "x"), fill)


def _create(
    group: Any, path: str, shape: tuple[int, ...], dtype: np.dtype[Any], axes: Sequence[str], fill: int
) -> Readable:
    if path in group:
        found: Readable = group[path]
        return found
    zarr = zarr_library()
    before = (3,) * (len(shape) - 2)
    # Small images have no shards, so that a shard is not much larger than the image.
    is_small = max(shape[-2:]) <= CHUNK
    created: Readable = group.create_array(
        path,
        shape=shape,
        dtype=dtype,
        chunks=(*before, CHUNK, CHUNK),
        shards=None if is_small else (*before, SHARD, SHARD),
        compressors=zarr.codecs.ZstdCodec(level=1),
        fill_value=fill,
        dimension_names=axes,
    )
    return created


class Measures:
    """Adds up the measurements of base regions tile by tile; about 60 bytes per region."""

    def __init__(self, count: int) -> None:
        self.area = np.zeros(count, np.uint32)
        self.box = np.zeros((count, 4), np.uint32)
        self.box[:, :2] = NO_REGION
        self.position_sum = np.zeros((count, 2), np.uint64)
        self.color_sum = np.zeros((count, 3), np.uint32)

    def add(self, base: Ids, pixels: NDArray[np.uint8], window: Window) -> None:
        """Add a tile: the base region of each pixel, and the pixels."""
        numbering = number_labels(base, lambda ids: ids)
        labels, found = numbering.labels, numbering.ids
        here = codec.measure_regions(labels, pixels)
        kept = np.flatnonzero(found != NO_REGION)
        ids = found[kept]
        self.area[ids] += here.area[kept]
        box = here.box[kept] + np.array([window.x, window.y] * 2, np.uint32)
        self.box[ids, :2] = np.minimum(self.box[ids, :2], box[:, :2])
        self.box[ids, 2:] = np.maximum(self.box[ids, 2:], box[:, 2:])
        columns = np.arange(window.x, window.x + window.width, dtype=np.float64)
        rows = np.arange(window.y, window.y + window.height, dtype=np.float64)[:, None]
        places = (np.broadcast_to(columns, base.shape), np.broadcast_to(rows, base.shape))
        for axis, place in enumerate(places):
            self.position_sum[ids, axis] += _sums(labels, place)[kept]
        for channel in range(3):
            self.color_sum[ids, channel] += _sums(labels, pixels[:, :, channel])[kept].astype(np.uint32)

    def write(self, group: Any) -> None:
        """Write the arrays of the store. Regions without a pixel get the box 0, 0, 0, 0."""
        self.box[self.area == 0] = 0
        for name, path in REGION_ARRAYS.items():
            write_list(group, path, getattr(self, name))


def _sums(labels: NDArray[np.int32], values: NDArray[Any]) -> NDArray[np.uint64]:
    """The sum of the values over each label; doubles hold such sums exactly."""
    return np.bincount(labels.ravel(), weights=values.ravel()).astype(np.uint64)


def write_tree(group: Any, tree: Tree) -> None:
    """Write the merge tree."""
    for name, path in TREE_ARRAYS.items():
        write_list(group, path, getattr(tree, name))


def write_list(group: Any, path: str, values: NDArray[Any]) -> None:
    """Write an array with an entry per region or merge."""
    zarr = zarr_library()
    array = group.create_array(
        path,
        shape=values.shape,
        dtype=values.dtype,
        chunks=(max(1, min(len(values), _LIST_CHUNK)), *values.shape[1:]),
        compressors=zarr.codecs.ZstdCodec(level=1),
        fill_value=0,
        overwrite=True,
    )
    if values.size:
        array[:] = values


def write_pyramids(group: Any, sizes: Sequence[tuple[int, int]], progress: Progress) -> None:
    """Write the coarser levels of the image and of the base regions, each from the level before."""
    for level in range(1, len(sizes)):
        width, height = sizes[level]
        image = create_image(group, f"{IMAGE}/{level}", width, height)
        base = create_labels(group, f"{BASE}/{level}", width, height, NO_REGION)
        halve(group[f"{IMAGE}/{level - 1}"], image, sizes[level - 1], sizes[level], half_image, progress)
        halve(
            group[f"{BASE}/{level - 1}"], base, sizes[level - 1], sizes[level], _half_labels(level), progress
        )


def halve(
    fine: Readable,
    coarse: Readable,
    fine_size: tuple[int, int],
    coarse_size: tuple[int, int],
    half: Callable[[NDArray[Any]], NDArray[Any]],
    progress: Progress,
) -> None:
    """Write a level from the level before, shard by shard."""
    for window in shards(*coarse_size):
        y, x = slices(window)
        rows = slice(2 * y.start, min(2 * y.stop, fine_size[1]))
        columns = slice(2 * x.start, min(2 * x.stop, fine_size[0]))
        coarse[..., y, x] = half(np.asarray(fine[..., rows, columns]))
        progress(window.width * window.height)


def half_image(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of 2 x 2 pixels, rounded half up. An odd last row or column is repeated."""
    even = np.pad(planes, ((0, 0), (0, planes.shape[1] % 2), (0, planes.shape[2] % 2)), mode="edge")
    total = even[:, ::2].astype(np.uint16) + even[:, 1::2]
    return ((total[:, :, ::2] + total[:, :, 1::2] + 2) // 4).astype(np.uint8)


def _half_labels(level: int) -> Callable[[Ids], Ids]:
    return lambda labels: half_labels(labels, level % 2)


def half_labels(labels: Ids, first: int) -> Ids:
    """One of each 2 x 2 pixels: the lower right if `first` is 1, else the upper left.

    Levels take turns, so that the pixel that a coarse pixel shows lies near its centre.
    """
    rows = np.minimum(np.arange(0, labels.shape[0], 2) + first, labels.shape[0] - 1)
    columns = np.minimum(np.arange(0, labels.shape[1], 2) + first, labels.shape[1] - 1)
    return np.ascontiguousarray(labels[rows][:, columns])


def write_image_attributes(group: Any, name: str, sizes: Sequence[tuple[int, int]], pixel: Pixel) -> None:
    """Describe the image of the store as OME-NGFF does."""
    paths = [f"{IMAGE}/{level}" for level in range(len(sizes))]
    group.attrs["ome"] = image_attributes(name, paths, pixel)


def write_count(
    group: Any, tree: Tree, count: int, sizes: Sequence[tuple[int, int]], pixel: Pixel, progress: Progress
) -> None:
    """Write the label image of a count: 0 outside, and from 1 the superpixels by first appearance."""
    write_label_image(group, str(count), tree.numbered(count)[0], sizes, pixel, progress)


def write_label_image(
    group: Any,
    name: str,
    table: NDArray[np.uint32],
    sizes: Sequence[tuple[int, int]],
    pixel: Pixel,
    progress: Progress,
) -> None:
    """Write a label image from the label of each base region; 0 outside."""
    path = f"{LABELS}/{name}"
    for level, (width, height) in enumerate(sizes):
        base = group[f"{BASE}/{level}"]
        labels = create_labels(group, f"{path}/{level}", width, height, 0)
        for window in shards(width, height):
            ids_here = np.asarray(base[slices(window)])
            inside = ids_here != NO_REGION
            labels[slices(window)] = np.where(inside, table[np.where(inside, ids_here, 0)], 0)
            progress(window.width * window.height)
    group[path].attrs["ome"] = label_attributes(name, [str(level) for level in range(len(sizes))], pixel)


def write_label_list(group: Any) -> None:
    """List the label images of the store as OME-NGFF does."""
    labels = group.require_group(LABELS)
    labels.attrs["ome"] = {"version": NGFF_VERSION, "labels": sorted(labels.group_keys())}
