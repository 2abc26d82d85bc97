"""Maps that are kept for smart select, each for the caller who asked for it."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import codec
from superpixel_service.client import Segmentation
from superpixel_service.client.smart import SmartSelect

SECONDS = 600.0
"""How long a map stays after its last use."""

_BYTES_PER_PIXEL = 12
"""Estimate of the memory that a decoded map and its scenes take."""

Box = tuple[int, int, int, int]

_SCENES = 4
"""Levels and views of one map that stay measured."""


@dataclass(frozen=True, slots=True)
class Click:
    """A click on an object.

    Attributes:
        x, y: point, in pixels.
        positive: whether it adds to the object.
        grow: -5 to 5: more or less than the click would take.
    """

    x: float
    y: float
    positive: bool = True
    grow: float = 0.0


@dataclass(slots=True, eq=False)
class _Scene:
    """A level in a view, and the clicks that were made on it."""

    select: SmartSelect
    clicks: tuple[Click, ...] = ()


@dataclass(slots=True, eq=False)
class KeptMap:
    """A map.

    Attributes:
        spx: the label map, with hierarchy and regions.
        byte_count: memory that it is counted with.
        used: when it was used last, on the store's clock.
    """

    spx: bytes
    pixels: int
    byte_count: int
    used: float
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _label_map: codec.LabelMap | None = None
    _scenes: "OrderedDict[tuple[int, Box | None], _Scene]" = field(default_factory=OrderedDict)

    def label_map(self) -> codec.LabelMap:
        """The decoded map."""
        with self._lock:
            if self._label_map is None:
                self._label_map = codec.decode(self.spx, max_pixels=self.pixels)
            return self._label_map

    def select(self, count: int, box: Box | None, clicks: Sequence[Click]) -> NDArray[np.int32]:
        """The regions of a level that belong to the object of these clicks, ascending: (n,).

        Args:
            count: superpixels of the level.
            box: x0, y0, x1, y1: the part of the image in view; None: everything.
            clicks: all clicks on the object, in their order.

        Raises:
            InvalidParameter: the map has no such level, or the box is wrong.
        """
        label_map, key = self.label_map(), (count, box)
        with self._lock:
            scene = self._scenes.pop(key, None) or _Scene(SmartSelect(label_map, count, box=box))
            self._scenes[key] = scene
            while len(self._scenes) > _SCENES:
                self._scenes.popitem(last=False)
            # A labeller adds clicks, so usually only the last one is new.
            if scene.clicks != tuple(clicks[: len(scene.clicks)]):
                scene.select.reset()
                scene.clicks = ()
            for click in clicks[len(scene.clicks) :]:
                scene.select.click(click.x, click.y, positive=click.positive, grow=click.grow)
                scene.select.accept()
                scene.clicks += (click,)
            return scene.select.chosen


class KeptMaps:
    """The maps, of which those used least recently go first. Used from one thread.

    Args:
        max_bytes: memory for all of them.
        clock: seconds.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self._clock = clock
        self._maps: OrderedDict[tuple[str, str], KeptMap] = OrderedDict()
        self.byte_count = 0

    def __len__(self) -> int:
        return len(self._maps)

    def put(self, owner: str, map_id: str, result: Segmentation) -> bool:
        """Keep a map; returns whether there is room for it.

        Args:
            owner: whose it is.
            map_id: its name for this owner.
            result: with hierarchy and regions.
        """
        pixels = result.width * result.height
        size = len(result.spx) + _BYTES_PER_PIXEL * pixels
        if size > self.max_bytes:
            return False
        self._remove((owner, map_id))
        self._maps[owner, map_id] = KeptMap(result.spx, pixels, size, self._clock())
        self.byte_count += size
        while self.byte_count > self.max_bytes:
            self._remove(next(iter(self._maps)))
        return True

    def get(self, owner: str, map_id: str) -> KeptMap | None:
        """The map of this name; None: it is not kept, or no longer."""
        self.expire()
        kept = self._maps.get((owner, map_id))
        if kept is not None:
            kept.used = self._clock()
            self._maps.move_to_end((owner, map_id))
        return kept

    def expire(self) -> None:
        """Remove the maps that nothing has used for `SECONDS`."""
        oldest = self._clock() - SECONDS
        while self._maps and next(iter(self._maps.values())).used < oldest:
            self._remove(next(iter(self._maps)))

    def _remove(self, key: tuple[str, str]) -> None:
        kept = self._maps.pop(key, None)
        if kept is not None:
            self.byte_count -= kept.byte_count
