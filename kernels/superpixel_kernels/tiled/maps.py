"""Guidance of a tiled run: maps that are read window by window."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.errors import InvalidParameter, SourceError
from superpixel_kernels.guidance import (
    DEFAULT_EDGE_WEIGHT,
    DEFAULT_PRIOR_WEIGHT,
    MAX_PRIOR_LABEL,
    FittedGuidance,
    Guidance,
    PriorMode,
    nearest_positions,
)
from superpixel_kernels.masked import prior_with_mask
from superpixel_kernels.tiled.source import PixelSource, Reader
from superpixel_kernels.tiled.store import Window

Map = NDArray[Any] | PixelSource


@dataclass(frozen=True, eq=False)
class GuidanceSources:
    """Guidance whose maps are arrays or sources, of any size. Otherwise as `Guidance`.

    Attributes:
        edges: (H, W) uint8.
        edge_weight: 0 to 8.
        prior: (H, W) of any integer type, 0 to 2^31 - 1.
        prior_mode: "soft" or "hard".
        prior_weight: 0 to 512.
        importance: (H, W) uint8.

    Raises:
        InvalidParameter: a weight or a mode is out of range.
    """

    edges: Map | None = None
    edge_weight: int = DEFAULT_EDGE_WEIGHT
    prior: Map | None = None
    prior_mode: PriorMode = "soft"
    prior_weight: int = DEFAULT_PRIOR_WEIGHT
    importance: Map | None = None

    def __post_init__(self) -> None:
        # Guidance checks these; a prior of one pixel stands for the real one.
        prior = None if self.prior is None else np.zeros((1, 1), np.int32)
        Guidance(None, self.edge_weight, prior, self.prior_mode, self.prior_weight)


class MapReader:
    """Reads one map, scaled to the image by nearest neighbour.

    Raises:
        InvalidParameter: the map is not (H, W), or has the wrong type.
    """

    def __init__(self, source: Map, name: str, height: int, width: int) -> None:
        self._reader = Reader(source, name)
        shape, dtype = self._reader.shape, self._reader.dtype
        if len(shape) != 2 or min(shape) < 1:
            raise InvalidParameter(name, f"must be (H, W), got {shape}")
        if name == "prior":
            if not np.issubdtype(dtype, np.integer):
                raise InvalidParameter(name, f"must be of an integer type, got {dtype}")
        elif dtype != np.uint8:
            raise InvalidParameter(name, f"must be uint8, got {dtype}")
        self.fingerprint = self._reader.fingerprint
        self._height, self._width = height, width

    def read(self, window: Window) -> NDArray[Any]:
        """The map in a window of the image: C order, uint8 or, of a prior map, int32.

        Raises:
            SourceError: the source failed, or a prior label is out of range.
        """
        y0, y1, x0, x1 = window
        height, width = self._reader.shape
        if (height, width) == (self._height, self._width):
            values = self._reader.read(window)
        else:
            rows = nearest_positions(y0, y1, height, self._height)
            columns = nearest_positions(x0, x1, width, self._width)
            part = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
            values = self._reader.read(part)[(rows - rows[0])[:, None], columns - columns[0]]
        if self._reader.name != "prior":
            return np.ascontiguousarray(values)
        if values.dtype != np.int32 or values.min() < 0:
            least, most = int(values.min()), int(values.max())
            if least < 0 or most > MAX_PRIOR_LABEL:
                wrong = least if least < 0 else most
                raise SourceError(f"prior: labels must be from 0 to {MAX_PRIOR_LABEL}, got {wrong}")
        return np.ascontiguousarray(values, np.int32)


class TiledGuidance:
    """The maps of one run that may have an effect, and its mask.

    Args:
        guidance: `Guidance`, `GuidanceSources`, `FittedGuidance` or None.
        mask: (height, width) bool, an array or a source; or None.
        height: of the image in pixels.
        width: of the image in pixels.

    Raises:
        InvalidParameter: another type, or a map has the wrong shape or type; or a mask beside a soft prior.
    """

    def __init__(self, guidance: object, mask: object, height: int, width: int) -> None:
        guidance = GuidanceSources() if guidance is None else guidance
        if not isinstance(guidance, Guidance | GuidanceSources | FittedGuidance):
            raise InvalidParameter("guidance", f"must be Guidance, got {type(guidance).__name__}")
        self._edge_weight = guidance.edge_weight
        self._prior_mode: PriorMode = guidance.prior_mode
        self._prior_weight = guidance.prior_weight
        maps: dict[str, Any] = {"edges": guidance.edges, "prior": guidance.prior}
        maps["importance"] = guidance.importance
        if guidance.edge_weight == 0:
            maps["edges"] = None
        if guidance.prior_mode == "soft" and guidance.prior_weight == 0:
            maps["prior"] = None
        self._readers = {
            name: MapReader(source, name, height, width)
            for name, source in maps.items()
            if source is not None
        }
        self._mask = None if mask is None else Reader(mask, "mask")
        if self._mask is not None:
            shape, dtype = self._mask.shape, self._mask.dtype
            if shape != (height, width) or dtype != np.bool_:
                raise InvalidParameter("mask", f"must be ({height}, {width}) bool, got {shape} {dtype}")
            if "prior" in self._readers and self._prior_mode == "soft":
                raise InvalidParameter("mask", "cannot be combined with a soft prior; make it a hard one")

    def __bool__(self) -> bool:
        return bool(self._readers) or self.masked

    @property
    def masked(self) -> bool:
        """Whether there is a mask."""
        return self._mask is not None

    @property
    def weighted(self) -> bool:
        """Whether there is an importance map."""
        return "importance" in self._readers

    @property
    def hard(self) -> bool:
        """Whether there is a hard prior, or a mask, which becomes one: 0 outside, other labels inside."""
        return self.masked or ("prior" in self._readers and self._prior_mode == "hard")

    @property
    def trusted(self) -> bool:
        """Whether all maps and the mask have fingerprints."""
        fingerprints = [reader.fingerprint for reader in self._readers.values()]
        if self._mask is not None:
            fingerprints.append(self._mask.fingerprint)
        return None not in fingerprints

    def state(self) -> dict[str, Any] | None:
        """What the store keeps about it: JSON."""
        if not self:
            return None
        state: dict[str, Any] = {
            name: {"source": reader.fingerprint} for name, reader in self._readers.items()
        }
        if self._mask is not None:
            state["mask"] = {"source": self._mask.fingerprint}
        if "edges" in state:
            state["edges"]["weight"] = self._edge_weight
        if "prior" in state:
            state["prior"]["mode"] = self._prior_mode
            if not self.hard:
                state["prior"]["weight"] = self._prior_weight
        return state

    def read(self, window: Window) -> FittedGuidance | None:
        """The maps in a window of the image; None without maps.

        Raises:
            SourceError: a source failed, or a prior label is out of range.
        """
        if not self:
            return None
        maps = {name: reader.read(window) for name, reader in self._readers.items()}
        if self._mask is not None:
            maps["prior"] = prior_with_mask(maps.get("prior"), self.hard, self._mask.read(window))
        return FittedGuidance(
            shape=(window[1] - window[0], window[3] - window[2]),
            edges=maps.get("edges"),
            edge_weight=self._edge_weight,
            prior=maps.get("prior"),
            prior_mode="hard" if self.hard else "soft",
            prior_weight=self._prior_weight,
            importance=maps.get("importance"),
        )
