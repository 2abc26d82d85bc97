"""Launcher of stage cut."""

import numpy as np

from superpixel_kernels.cuda import components
from superpixel_kernels.cuda.device import DeviceArray
from superpixel_kernels.cuda.stage import Stage


def cut(
    stage: Stage, records: DeviceArray, nodes: int, count: int, labels: DeviceArray, base: DeviceArray | None
) -> None:
    """Write the labels of exactly `count` superpixels.

    Args:
        stage: the image.
        records: four int32 each: the merges of the nodes, in order.
        nodes: number of nodes.
        count: nodes - (number of records) to nodes.
        labels: (pixels,) int32, written.
        base: (pixels,) int32, the node of each pixel; None if the pixels are the nodes.
    """
    workspace = stage.workspace
    stage.launch_each("cut_begin", nodes, [np.int32(nodes), workspace["parent"]])
    merges = nodes - count
    if merges > 0:
        stage.launch_each("cut_unite", merges, [np.int32(merges), records, workspace["parent"]])
    components.number(stage, nodes)
    pixels = np.int32(stage.grid.pixels)
    numbering = (workspace["parent"], workspace["number"])
    if base is None:
        stage.launch_each("components_label", stage.grid.pixels, [pixels, *numbering, labels])
    else:
        stage.launch_each("cut_pixels", stage.grid.pixels, [pixels, base, *numbering, labels])
