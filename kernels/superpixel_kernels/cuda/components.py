"""Launcher of stage components."""

import numpy as np

from superpixel_kernels.cuda.stage import TILE_WIDTH, Stage
from superpixel_kernels.cuda.workspace import Counter

TILE_HEIGHT = 16


def label(stage: Stage, *, hard_prior: bool = False) -> None:
    """Replace the assigned labels in "labels" by base regions; write how many there are to the counters.

    Args:
        stage: the image.
        hard_prior: also split the regions at the borders of "prior_map".
    """
    grid, workspace = stage.grid, stage.workspace
    labels, parent = workspace["labels"], workspace["parent"]
    split = [labels, workspace["prior_map"]] if hard_prior else [labels]
    of_pairs = "_of_pairs" if hard_prior else ""
    stage.launch_tiles(f"components_tiles{of_pairs}", TILE_HEIGHT, [*split, *stage.size, parent])
    seam_pixels = (grid.height - 1) // TILE_HEIGHT * grid.width + (grid.width - 1) // TILE_WIDTH * grid.height
    if seam_pixels > 0:
        stage.launch_each(f"components_seams{of_pairs}", seam_pixels, [*split, *stage.size, parent])
    number(stage, grid.pixels)
    stage.launch_each(
        "components_label", grid.pixels, [np.int32(grid.pixels), parent, workspace["number"], labels]
    )


def number(stage: Stage, nodes: int) -> None:
    """Number the sets in "parent" in the order of their least members; write to "number" at the roots."""
    workspace = stage.workspace
    parent, block_roots = workspace["parent"], workspace["block_roots"]
    blocks = -(-nodes // stage.tuning.threads)
    total = workspace["counters"][Counter.REGIONS : Counter.REGIONS + 1]
    stage.launch_each("components_flatten", nodes, [np.int32(nodes), parent, block_roots])
    stage.device.launch(
        "components_scan", 1, stage.tuning.scan_threads, [np.int32(blocks), block_roots, total]
    )
    stage.launch_each("components_number", nodes, [np.int32(nodes), parent, block_roots, workspace["number"]])
