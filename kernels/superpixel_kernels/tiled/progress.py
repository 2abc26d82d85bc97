"""How far a tiled run is."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from superpixel_kernels.tiled.plan import TilePlan
from superpixel_kernels.tiled.store import Tile


@dataclass(frozen=True, slots=True)
class TiledProgress:
    """How far a run is.

    Attributes:
        stage: "tiles", then "graph", then "merge", then "done". The tiles take about half of the time,
            and the merge most of the rest.
        tiles_done: tiles whose results are in the store, also those of an earlier run.
        tiles: of the image.
        pixels_done: in the tiles that are done.
        pixels: of the image.
    """

    stage: Literal["tiles", "graph", "merge", "done"]
    tiles_done: int
    tiles: int
    pixels_done: int
    pixels: int


Progress = Callable[[TiledProgress], object]


class TileCounter:
    """Counts the tiles that are done, and reports them, one call at a time."""

    def __init__(self, plan: TilePlan, progress: Progress | None) -> None:
        self._plan = plan
        self._progress = progress
        self._tiles = 0
        self._pixels = 0
        self._lock = threading.Lock()

    def add(self, tile: Tile) -> None:
        """Count one more tile."""
        y0, y1, x0, x1 = self._plan.window(tile)
        with self._lock:
            self._tiles += 1
            self._pixels += (y1 - y0) * (x1 - x0)
            if self._progress is not None:
                pixels = self._plan.height * self._plan.width
                self._progress(TiledProgress("tiles", self._tiles, len(self._plan), self._pixels, pixels))


def report(progress: Progress | None, stage: Literal["graph", "merge", "done"], plan: TilePlan) -> None:
    """Report a stage that begins after the tiles."""
    if progress is not None:
        pixels = plan.height * plan.width
        progress(TiledProgress(stage, len(plan), len(plan), pixels, pixels))
