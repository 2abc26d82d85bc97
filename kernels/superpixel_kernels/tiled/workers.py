"""What computes the tiles of a run: threads of this process, a GPU, or workers elsewhere."""

from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cpu import _engine
from superpixel_kernels.cuda import CudaWorkspace
from superpixel_kernels.guidance import FittedGuidance
from superpixel_kernels.tiled.plan import TilePlan
from superpixel_kernels.tiled.store import Tile
from superpixel_kernels.tiled.tile import TileResult, compute_tile


@runtime_checkable
class TileWorkers(Protocol):
    """Computes tiles for `segment_tiled`, for instance on other machines.

    The run reads the pixels and keeps the results itself. At most `count` tiles are read and not yet kept.
    """

    @property
    def count(self) -> int:
        """How many tiles are computed at the same time."""

    def compute(
        self,
        plan: TilePlan,
        tile: Tile,
        pixels: NDArray[np.uint8],
        guidance: FittedGuidance | None,
        check: bytes,
    ) -> TileResult:
        """The result of `compute_tile` for these arguments. `count` threads call this at the same time.

        Raises:
            WorkerLost: the tile cannot be computed.
            Cancelled: the run was cancelled.
        """


class _WorkersHere:
    """Computes each tile in the thread that asks for it, with a workspace that is free.

    Args:
        threads: how many threads there are.
        cancel: stops or pauses the work.
        workspaces: as many tiles are computed at the same time; further threads wait.
    """

    def __init__(
        self,
        threads: int,
        cancel: _engine.CancelToken | None,
        workspaces: Iterable[_engine.Workspace | CudaWorkspace],
    ) -> None:
        self.count = threads
        self._cancel = cancel
        self._spare: SimpleQueue[_engine.Workspace | CudaWorkspace] = SimpleQueue()
        for workspace in workspaces:
            self._spare.put(workspace)

    def compute(
        self,
        plan: TilePlan,
        tile: Tile,
        pixels: NDArray[np.uint8],
        guidance: FittedGuidance | None,
        check: bytes,
    ) -> TileResult:
        """See `TileWorkers`.

        Raises:
            OutOfMemory: the tile needs more memory than the GPU has free, or than half of it.
            DeviceLost: the GPU failed.
            Cancelled: the run was cancelled.
        """
        workspace = self._spare.get()
        try:
            return compute_tile(
                plan, tile, pixels, guidance, check=check, workspace=workspace, cancel=self._cancel
            )
        finally:
            self._spare.put(workspace)


class LocalWorkers(_WorkersHere):
    """Computes tiles on the CPU, each in the thread that asks for it.

    Args:
        threads: how many there are.
        cancel: stops or pauses the work.
    """

    def __init__(self, threads: int, cancel: _engine.CancelToken | None) -> None:
        super().__init__(threads, cancel, (_engine.Workspace(threads=1) for _ in range(threads)))


TILES_ON_GPU = 2
"""Tiles that are on the GPU at the same time: while one is copied, the kernels of the other run."""

_KEPT_BYTES = 1 << 62
"""A workspace keeps its memory from tile to tile, whatever their size."""


class CudaWorkers(_WorkersHere):
    """Computes tiles on a GPU. The threads that ask for them read and keep the others meanwhile.

    Args:
        threads: how many there are.
        cancel: stops or pauses the work.
        device: index of the GPU.
        open_workspace: opens a workspace on it; `kept_bytes` is that of `CudaWorkspace`.

    Raises:
        BackendUnavailable: there is no such GPU, or a package that it needs is not installed.
    """

    def __init__(
        self,
        threads: int,
        cancel: _engine.CancelToken | None,
        device: int = 0,
        open_workspace: Callable[..., CudaWorkspace] = CudaWorkspace,
    ) -> None:
        opened = (open_workspace(device, kept_bytes=_KEPT_BYTES) for _ in range(min(threads, TILES_ON_GPU)))
        super().__init__(threads, cancel, opened)
