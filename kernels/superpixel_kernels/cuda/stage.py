"""What the launcher of each stage takes: the device, its memory, and the image's size and grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from superpixel_kernels.cuda.device import Argument, Device
from superpixel_kernels.cuda.workspace import Arguments, Grid, Tuning, Workspace

_KEPT_LAUNCHES = 256
"""Number of launches per image size that arguments are kept for: callers choose any compactness."""

TILE_WIDTH = 32
"""The same number as in device.cuh."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One image, and what its stages run on.

    Attributes:
        node_capacity: number of nodes that the workspace has room for in stages graph and merge.
        kept: arguments of earlier launches for this size, see `arguments`.
    """

    device: Device
    workspace: Workspace
    grid: Grid
    tuning: Tuning
    node_capacity: int
    kept: Arguments = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kept", self.workspace.arguments(self.grid, self.node_capacity))

    def arguments(self, *key: object, make: Callable[[], Sequence[Argument]]) -> tuple[Argument, ...]:
        """What `make` returns, kept for later images of this size.

        Args:
            key: the kernel's name, and all values in the arguments that are not the same in each launch.
            make: makes the arguments, from the workspace's arrays and the image's size.
        """
        kept = self.kept.get(key)
        if kept is None:
            if len(self.kept) > _KEPT_LAUNCHES:
                self.kept.clear()
            kept = self.kept[key] = tuple(make())
        return kept

    @property
    def size(self) -> tuple[np.int32, np.int32]:
        """Width and height, as kernel arguments."""
        return np.int32(self.grid.width), np.int32(self.grid.height)

    @property
    def counters(self) -> tuple[Argument, np.uint32]:
        """The first arguments of the kernels of graph and merge: the counters, and `node_capacity`."""
        return self.workspace["counters"], np.uint32(self.node_capacity)

    def launch_each(
        self, kernel: str, count: int, args: Sequence[Argument], *, threads: int | None = None
    ) -> None:
        """Run a kernel with one thread per element."""
        threads = threads or self.tuning.threads
        self.device.launch(kernel, max(1, -(-count // threads)), threads, args)

    def launch_tiles(self, kernel: str, tile_height: int, args: Sequence[Argument]) -> None:
        """Run a kernel with one block per tile of the image, and one thread per pixel."""
        tiles = -(-self.grid.width // TILE_WIDTH) * -(-self.grid.height // tile_height)
        self.device.launch(kernel, tiles, TILE_WIDTH * tile_height, args)
