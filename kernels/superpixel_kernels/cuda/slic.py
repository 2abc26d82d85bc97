"""Launcher of stages update and assign."""

import numpy as np

from superpixel_kernels.cpu import _engine
from superpixel_kernels.cuda.stage import Stage

TILE_HEIGHT = 8
ALIGNED_STEP = 8
"""The step of large images. Their tiles are larger, and have the grid's lines among their own."""
ALIGNED_TILE = 32
ALIGNED_THREADS = 256
ITERATIONS = _engine.SLIC_ITERATIONS


def sum_cells(stage: Stage) -> None:
    """Compute the sums over each grid cell, for the first update."""
    stage.launch_each(
        "slic_clear", 6 * stage.grid.cells, [np.int32(stage.grid.cells), stage.workspace["sums"]]
    )
    _assign(stage, m2=0, own_cells=True, with_sums=True, with_labels=False)


def update(stage: Stage) -> None:
    """Compute the centres from the sums, and clear the sums."""
    grid, workspace = stage.grid, stage.workspace
    args = stage.arguments(
        "slic_update",
        make=lambda: [
            np.int32(grid.step),
            np.int32(grid.columns),
            np.int32(grid.rows),
            workspace["sums"],
            workspace["centers"],
        ],
    )
    stage.launch_each("slic_update", grid.cells, args)


def assign(stage: Stage, m2: int, *, with_sums: bool, with_labels: bool) -> None:
    """Assign each pixel to its nearest centre.

    Args:
        stage: the image.
        m2: weight of the distance in space.
        with_sums: whether to write the sums over each centre's pixels to "sums", for an update.
        with_labels: whether to write the index of each pixel's centre to "labels".
    """
    _assign(stage, m2, own_cells=False, with_sums=with_sums, with_labels=with_labels)


def _assign(stage: Stage, m2: int, *, own_cells: bool, with_sums: bool, with_labels: bool) -> None:
    grid, workspace = stage.grid, stage.workspace
    aligned = grid.step == ALIGNED_STEP
    args = stage.arguments(
        "slic_assign",
        m2,
        own_cells,
        with_sums,
        with_labels,
        make=lambda: [
            workspace["smooth"],
            *stage.size,
            *([] if aligned else [np.int32(grid.step)]),
            np.int32(m2),
            np.int32(grid.columns),
            np.int32(grid.rows),
            np.int32(own_cells),
            workspace["centers"],
            np.int32(with_sums),
            workspace["sums"],
            np.int32(with_labels),
            workspace["labels"],
        ],
    )
    if aligned:
        tiles = -(-grid.width // ALIGNED_TILE) * -(-grid.height // ALIGNED_TILE)
        stage.device.launch("slic_assign_aligned", tiles, ALIGNED_THREADS, args)
    else:
        stage.launch_tiles("slic_assign", TILE_HEIGHT, args)
