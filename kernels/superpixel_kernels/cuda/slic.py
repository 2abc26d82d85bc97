"""Launches stages update and assign."""

import numpy as np

from superpixel_kernels.cuda.stage import Stage

TILE_HEIGHT = 8
ITERATIONS = 3


def sum_cells(stage: Stage) -> None:
    """The sums of the grid's cells: the first update's input."""
    stage.launch_each(
        "slic_clear", 6 * stage.grid.cells, [np.int32(stage.grid.cells), stage.workspace["sums"]]
    )
    _assign(stage, m2=0, own_cells=True, with_sums=True, with_labels=False)


def update(stage: Stage) -> None:
    """Sums to centres; clears the sums."""
    grid, workspace = stage.grid, stage.workspace
    stage.launch_each(
        "slic_update",
        grid.cells,
        [
            np.int32(grid.step),
            np.int32(grid.columns),
            np.int32(grid.rows),
            workspace["sums"],
            workspace["centers"],
        ],
    )


def assign(stage: Stage, m2: int, *, with_sums: bool, with_labels: bool) -> None:
    """Give each pixel its nearest centre, in "labels", and sum up what each centre got, in "sums".

    Args:
        stage: the image.
        m2: weight of the distance in space.
        with_sums: whether an update follows.
        with_labels: whether the labels are wanted.
    """
    _assign(stage, m2, own_cells=False, with_sums=with_sums, with_labels=with_labels)


def _assign(stage: Stage, m2: int, *, own_cells: bool, with_sums: bool, with_labels: bool) -> None:
    grid, workspace = stage.grid, stage.workspace
    stage.launch_tiles(
        "slic_assign",
        TILE_HEIGHT,
        [
            workspace["smooth"],
            *stage.size,
            np.int32(grid.step),
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
