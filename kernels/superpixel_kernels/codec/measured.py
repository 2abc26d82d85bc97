"""What is measured of the regions of a label map, and of the borders between them."""

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Adjacency:
    """The pairs of regions that share a border, and their borders.

    Attributes:
        count: number of regions.
        pairs: (n, 2) int32: the labels a < b of each pair, ascending.
        border: (n,) int64: length of the common border, in sides of pixels.
        contrast: (n,) float64: mean over these sides of the distance between the values of the two pixels
            beside it (Euclidean over channels, in the image's units); None without an image.
    """

    count: int
    pairs: NDArray[np.int32]
    border: NDArray[np.int64]
    contrast: NDArray[np.float64] | None = None

    def both_ways(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
        """The neighbours of every region, smaller and larger ones (compressed sparse rows).

        Returns:
            offsets, (count + 1,); neighbors, (2n,): region a has `neighbors[offsets[a]:offsets[a + 1]]`,
            ascending; and rows, (2n,): the row of `pairs`, `border` and `contrast` for each neighbour.
        """
        ends = np.concatenate([self.pairs, self.pairs[:, ::-1]])
        order = np.lexsort((ends[:, 1], ends[:, 0]))
        offsets = np.zeros(self.count + 1, np.int64)
        np.cumsum(np.bincount(ends[:, 0], minlength=self.count), out=offsets[1:])
        return offsets, ends[order, 1], order % max(len(self.pairs), 1)

    def to_table(self) -> Any:
        """One row per pair: a, b, border, and contrast if it was measured.

        Returns:
            A `pandas.DataFrame` if pandas is installed, otherwise a dict of arrays, by column.
        """
        columns: dict[str, NDArray[Any]] = {
            "a": self.pairs[:, 0],
            "b": self.pairs[:, 1],
            "border": self.border,
        }
        if self.contrast is not None:
            columns["contrast"] = self.contrast
        return _table(columns, None)


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """Measurements of the `count` regions of a label map.

    Attributes:
        area: (count,) uint32, pixels.
        box: (count, 4) uint32: x0, y0, x1, y1 in pixels; x1 and y1 lie one past the region.
        centroid: (count, 2) uint32: x, y in 1/16 pixel, rounded half up. Pixel x is at coordinate x.
        mean_color: (count, 3) uint8: mean of the sRGB bytes R, G, B, rounded half up.
        neighbor_offsets: (count + 1,) uint32. The 4-neighbours b > a of region a are
            `neighbors[neighbor_offsets[a]:neighbor_offsets[a + 1]]`, ascending.
        neighbors: (pairs,) int32, labels.
    """

    area: NDArray[np.uint32]
    box: NDArray[np.uint32]
    centroid: NDArray[np.uint32]
    mean_color: NDArray[np.uint8]
    neighbor_offsets: NDArray[np.uint32]
    neighbors: NDArray[np.int32]

    @property
    def count(self) -> int:
        """Number of regions."""
        return len(self.area)

    @property
    def centroids(self) -> NDArray[np.float64]:
        """(count, 2) float64: x, y of the centroids in pixels. Pixel x is at coordinate x."""
        return self.centroid / 16.0

    @property
    def pairs(self) -> NDArray[np.int32]:
        """(pairs, 2) int32: the labels a < b of each pair of neighbours, ascending."""
        degrees = np.diff(self.neighbor_offsets.astype(np.int64)).astype(np.intp)
        firsts = np.repeat(np.arange(self.count, dtype=np.int32), degrees)
        return np.stack([firsts, self.neighbors], axis=1)

    def to_table(self) -> Any:
        """One row per region: area, x0, y0, x1, y1, x and y of the centroid in pixels, red, green, blue.

        Returns:
            A `pandas.DataFrame` with the index "label" if pandas is installed, otherwise a dict of arrays, by
            column, with the labels in "label".
        """
        return _table(self._columns(), np.arange(self.count))

    def to_networkx(self, adjacency: Adjacency | None = None) -> Any:
        """The regions as a `networkx.Graph`: nodes are labels with the columns of `to_table` as attributes.

        Args:
            adjacency: of the same map: gives the edges the attributes "border" and "contrast".

        Raises:
            ImportError: networkx is not installed (the extra "analysis").
            ValueError: the adjacency has another number of regions.
        """
        if adjacency is not None and adjacency.count != self.count:
            raise ValueError(f"adjacency: has {adjacency.count} regions, and these are {self.count}")
        try:
            networkx = importlib.import_module("networkx")
        except ImportError as error:
            raise ImportError("networkx is missing: pip install 'superpixel-service[analysis]'") from error
        graph = networkx.Graph()
        columns = {name: column.tolist() for name, column in self._columns().items()}
        graph.add_nodes_from(
            (label, {name: column[label] for name, column in columns.items()}) for label in range(self.count)
        )
        if adjacency is None:
            graph.add_edges_from(self.pairs.tolist())
            return graph
        known = {"border": adjacency.border.tolist()}
        if adjacency.contrast is not None:
            known["contrast"] = adjacency.contrast.tolist()
        graph.add_edges_from(
            (a, b, {name: values[at] for name, values in known.items()})
            for at, (a, b) in enumerate(adjacency.pairs.tolist())
        )
        return graph

    def _columns(self) -> dict[str, NDArray[Any]]:
        columns: dict[str, NDArray[Any]] = {"area": self.area}
        columns |= {name: self.box[:, at] for at, name in enumerate(("x0", "y0", "x1", "y1"))}
        columns |= {name: self.centroids[:, at] for at, name in enumerate(("x", "y"))}
        return columns | {name: self.mean_color[:, at] for at, name in enumerate(("red", "green", "blue"))}


def _table(columns: dict[str, NDArray[Any]], labels: NDArray[np.int64] | None) -> Any:
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        return columns if labels is None else {"label": labels, **columns}
    index = None if labels is None else pandas.RangeIndex(len(labels), name="label")
    return pandas.DataFrame(columns, index=index)
