"""Stage *graph*: the region adjacency graph of a partition."""

import numpy as np
import numpy.typing as npt

from tests.kernels.reference.guidance import Maps, added_contrast

Table = npt.NDArray[np.int64]


def _sides(planes: npt.NDArray[np.int16], indices: npt.NDArray[np.integer]) -> tuple[Table, Table, Table]:
    """Both ends and the contrast of every horizontal pixel side, each (height*(width-1),)."""
    width = planes.shape[2]
    left = np.arange(width - 1)
    before = planes[:, :, np.maximum(left - 1, 0)].astype(np.int64)
    after = planes[:, :, np.minimum(left + 2, width - 1)].astype(np.int64)
    contrast = np.abs(after - before).sum(axis=0)
    return indices[:, :-1].ravel().astype(np.int64), indices[:, 1:].ravel().astype(np.int64), contrast.ravel()


def sides(planes: npt.NDArray[np.int16], indices: npt.NDArray[np.integer]) -> tuple[Table, Table, Table]:
    """Both ends (as named by `indices`) and the contrast of every pixel side of the image."""
    horizontal = _sides(planes, indices)
    vertical = _sides(planes.transpose(0, 2, 1), indices.T)
    one, other, contrast = (np.concatenate(pair) for pair in zip(horizontal, vertical, strict=True))
    return one, other, contrast


def join(edges: Table) -> Table:
    """Rows [a, b, len, cs] in any order, a and b in any order, to one row a pair, a < b, sorted by (a, b)."""
    pairs = np.sort(edges[:, :2], axis=1)
    unique, row = np.unique(pairs, axis=0, return_inverse=True)
    sums = np.zeros((len(unique), 2), np.int64)
    np.add.at(sums, row.ravel(), edges[:, 2:])
    return np.hstack([unique, sums])


def graph(
    planes: npt.NDArray[np.int16], base: npt.NDArray[np.int32], maps: Maps | None = None
) -> tuple[Table, Table]:
    """Nodes (R, 4) [n, sL, sA, sB] and edges (E, 4) [a, b, len, cs] sorted by (a, b)."""
    nodes = np.zeros((int(base.max()) + 1, 4), np.int64)
    ones = np.ones(base.shape, np.int64)
    np.add.at(nodes, base.ravel(), np.stack([ones, *planes], axis=-1).reshape(-1, 4))
    p, q, contrast = sides(planes, np.arange(base.size).reshape(base.shape))
    if maps is not None:
        contrast = contrast + added_contrast(maps, base, p, q)
    a, b = base.ravel()[p], base.ravel()[q]
    border = a != b
    length = np.ones(np.count_nonzero(border), np.int64)
    return nodes, join(np.column_stack([a[border], b[border], length, contrast[border]]))


def pixel_graph(planes: npt.NDArray[np.int16], base: npt.NDArray[np.int32]) -> tuple[Table, Table]:
    """The same tables with pixels for nodes and the sides inside base regions for edges."""
    nodes = np.stack([np.ones(base.shape, np.int64), *planes], axis=-1).reshape(-1, 4)
    a, b, contrast = sides(planes, np.arange(base.size).reshape(base.shape))
    inside = base.ravel()[a] == base.ravel()[b]
    length = np.ones(np.count_nonzero(inside), np.int64)
    return nodes, join(np.column_stack([a[inside], b[inside], length, contrast[inside]]))
