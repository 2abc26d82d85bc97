"""Launcher of stage graph."""

from functools import partial

import numpy as np

from superpixel_kernels.cuda import guidance
from superpixel_kernels.cuda.device import Argument, DeviceArray
from superpixel_kernels.cuda.guidance import Guide
from superpixel_kernels.cuda.stage import Stage
from superpixel_kernels.cuda.workspace import EDGES_PER_PIXEL, EDGES_PER_REGION, Counter

TILE_HEIGHT = 8
NODES = ("nodes",)
NODE_STATE = ("into", "best", "tie")
EDGES = ("edge_key", "edge_len", "edge_cs")
TABLE = ("table_key", "table_len", "table_cs")


def arrays(stage: Stage, *groups: tuple[str, ...]) -> list[DeviceArray]:
    """The workspace's arrays with these names, in order."""
    return [stage.workspace[name] for group in groups for name in group]


def build(stage: Stage, guide: Guide | None = None, *, by_label: bool = True) -> None:
    """Compute the sums over the base regions in "labels", and the list of edges between them.

    Args:
        stage: the image.
        guide: its guidance.
        by_label: with a hard prior, list edges between two of its labels apart, for the merge.
    """
    _clear(stage, EDGES_PER_REGION)
    _launch_tiles(stage, "graph_nodes", NODES)
    if guide is None:
        _launch_tiles(stage, "graph_sides", TABLE)
    else:
        guidance.add_sides(stage, guide)
    if by_label and guide is not None and guide.kind.prior == "hard":
        guidance.list_by_label(stage)
    else:
        list_edges(stage)


def list_edges(stage: Stage) -> None:
    """Move the edges from the table to the list."""
    args = stage.arguments("graph_list", make=lambda: [*stage.counters, *arrays(stage, TABLE, EDGES)])
    # Threads beyond the number of slots would have no work.
    stage.launch_each("graph_list", EDGES_PER_REGION * stage.node_capacity, args)


def _launch_tiles(stage: Stage, kernel: str, group: tuple[str, ...]) -> None:
    args = stage.arguments(kernel, make=partial(_of_pixels, stage, group))
    stage.launch_tiles(kernel, TILE_HEIGHT, args)


def _of_pixels(stage: Stage, group: tuple[str, ...]) -> list[Argument]:
    image = [stage.workspace["smooth"], stage.workspace["labels"], *stage.size]
    return [*stage.counters, *image, *arrays(stage, group)]


def build_pixels(stage: Stage) -> None:
    """Build the pixel level: every pixel is a node; edges are inside the base regions in "labels"."""
    pixels = np.array([stage.grid.pixels], np.uint32)
    stage.device.upload(pixels, stage.workspace["counters"][Counter.REGIONS : Counter.REGIONS + 1])
    _clear(stage, EDGES_PER_PIXEL)
    stage.launch_tiles(
        "graph_pixels",
        TILE_HEIGHT,
        [
            stage.workspace["counters"],
            stage.workspace["smooth"],
            stage.workspace["labels"],
            *stage.size,
            *arrays(stage, NODES, EDGES),
        ],
    )


def _clear(stage: Stage, edges_per_node: int) -> None:
    args = stage.arguments(
        "graph_clear",
        edges_per_node,
        make=lambda: [
            *stage.counters,
            np.uint32(edges_per_node),
            *arrays(stage, NODES, NODE_STATE, TABLE),
        ],
    )
    stage.launch_each("graph_clear", edges_per_node * stage.node_capacity, args)
