"""What every stage's launcher is given: the device, the memory, the image's grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superpixel_kernels.cuda.device import Argument, Device
from superpixel_kernels.cuda.workspace import Grid, Tuning, Workspace

TILE_WIDTH = 32
"""As in device.cuh."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One image on its way through the stages.

    Attributes:
        node_capacity: nodes that the workspace has room for in stages graph and merge.
    """

    device: Device
    workspace: Workspace
    grid: Grid
    tuning: Tuning
    node_capacity: int

    @property
    def size(self) -> tuple[np.int32, np.int32]:
        """Width and height, as kernels take them."""
        return np.int32(self.grid.width), np.int32(self.grid.height)

    @property
    def counters(self) -> tuple[Argument, np.uint32]:
        """What the kernels of graph and merge begin with: the counters, and the nodes there is room for."""
        return self.workspace["counters"], np.uint32(self.node_capacity)

    def launch_each(
        self, kernel: str, count: int, args: Sequence[Argument], *, threads: int | None = None
    ) -> None:
        """Run a kernel with a thread for each of `count` elements."""
        threads = threads or self.tuning.threads
        self.device.launch(kernel, max(1, -(-count // threads)), threads, args)

    def launch_tiles(self, kernel: str, tile_height: int, args: Sequence[Argument]) -> None:
        """Run a kernel with a block for each tile of the image, a thread a pixel."""
        tiles = -(-self.grid.width // TILE_WIDTH) * -(-self.grid.height // tile_height)
        self.device.launch(kernel, tiles, TILE_WIDTH * tile_height, args)
