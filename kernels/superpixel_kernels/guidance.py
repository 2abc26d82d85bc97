"""Guidance: maps beside the image that superpixels follow (docs/algorithm.md)."""

import functools
import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superpixel_kernels.codec import GuidanceRecord
from superpixel_kernels.errors import InvalidParameter
from superpixel_kernels.params import MAX_PIXELS

GUIDANCE_VERSION = 1
"""Changes if any output may change for the same pixels, parameters and guidance."""

DEFAULT_EDGE_WEIGHT = 2
MAX_EDGE_WEIGHT = 8

DEFAULT_PRIOR_WEIGHT = 64
MAX_PRIOR_WEIGHT = 512

MAX_PRIOR_LABEL = 2**31 - 1

PriorMode = Literal["soft", "hard"]
"""How superpixels follow a prior map: "soft" makes its borders costly to cross, "hard" never crosses them."""

Region = tuple[int, int, int, int]
"""A rectangle of a picture: x and y of its first pixel, its width and its height."""


@dataclass(frozen=True, eq=False)
class FittedGuidance:
    """Guidance in the form that the engines take: maps of exactly the image's size, none of them neutral.

    `Guidance.fitted` makes it. A neutral map changes no bit of the result, so it is None here, and the weight
    of a map that is None has its default. Equal fingerprints mean the same guidance.

    Attributes:
        shape: (height, width) of the image that the maps belong to.
        edges: (height, width) uint8, C order, read-only; or None.
        edge_weight: 1 to 8.
        prior: (height, width) int32, C order, read-only; or None.
        prior_mode: "soft" or "hard".
        prior_weight: 1 to 512.
        importance: (height, width) uint8, C order, read-only; or None.
    """

    shape: tuple[int, int]
    edges: NDArray[np.uint8] | None = None
    edge_weight: int = DEFAULT_EDGE_WEIGHT
    prior: NDArray[np.int32] | None = None
    prior_mode: PriorMode = "soft"
    prior_weight: int = DEFAULT_PRIOR_WEIGHT
    importance: NDArray[np.uint8] | None = None

    @property
    def is_neutral(self) -> bool:
        """Whether the result is that without guidance, in every bit."""
        return self.edges is None and self.prior is None and self.importance is None

    @property
    def is_hard(self) -> bool:
        """Whether a prior map in mode "hard" splits the base regions."""
        return self.prior is not None and self.prior_mode == "hard"

    @functools.cached_property
    def fingerprint(self) -> bytes:
        """SHA-256 of the guidance: 32 bytes; b"" if it is neutral.

        It covers the guidance version, the size, and each map with its mode and weight.
        """
        if self.is_neutral:
            return b""
        height, width = self.shape
        digest = hashlib.sha256(f"superpixel guidance {GUIDANCE_VERSION} {width}x{height}\n".encode())
        if self.edges is not None:
            digest.update(f"edges {self.edge_weight}\n".encode())
            digest.update(self.edges.data)
        if self.prior is not None:
            weight = "" if self.prior_mode == "hard" else f" {self.prior_weight}"
            digest.update(f"prior {self.prior_mode}{weight}\n".encode())
            digest.update(self.prior.astype("<i4", copy=False).data)
        if self.importance is not None:
            digest.update(b"importance\n")
            digest.update(self.importance.data)
        return digest.digest()

    @property
    def record(self) -> GuidanceRecord | None:
        """The guidance as a label map's `Provenance` names it; None if it is neutral."""
        if self.is_neutral:
            return None
        return GuidanceRecord(
            sha256=self.fingerprint,
            version=GUIDANCE_VERSION,
            edge_weight=None if self.edges is None else self.edge_weight,
            prior_mode=None if self.prior is None else self.prior_mode,
            prior_weight=None if self.prior is None or self.is_hard else self.prior_weight,
            importance=self.importance is not None,
        )


@dataclass(frozen=True, eq=False)
class Guidance:
    """Maps that superpixels follow besides the colours, each optional, in any combination.

    A map may have another size than the image: it is scaled to the whole picture by nearest neighbour. Maps
    are copied, so later changes to them have no effect; only read-only arrays that own their memory are not.

    Attributes:
        edges: (H, W) uint8: strength of a border at each pixel, 0 to 255. Thin lines work better than blurred
            ones. A constant map has no effect.
        edge_weight: 0 to 8; 0: the edge map has no effect.
        prior: (H, W) of any integer type, 0 to 2^31 - 1: a label map of any model. 0 is a label like any
            other. A constant map has no effect.
        prior_mode: "soft" prefers borders where the prior map has some. "hard": the prior map has a number C
            of 4-connected components. At count C they are the superpixels; finer superpixels lie inside them,
            coarser ones unite them.
        prior_weight: 0 to 512, for mode "soft"; 0: the prior map has no effect.
        importance: (H, W) uint8: superpixels are (32 + importance) / 32 times as dense, so 32 is twice as
            dense. 0 everywhere has no effect.

    Raises:
        InvalidParameter: an attribute has the wrong type, shape or range, or mode "hard" has no prior map.
            `.parameter` names the attribute.
    """

    edges: ArrayLike | None = None
    edge_weight: int = DEFAULT_EDGE_WEIGHT
    prior: ArrayLike | None = None
    prior_mode: PriorMode = "soft"
    prior_weight: int = DEFAULT_PRIOR_WEIGHT
    importance: ArrayLike | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "edge_weight", _weight("edge_weight", self.edge_weight, MAX_EDGE_WEIGHT))
        object.__setattr__(self, "prior_weight", _weight("prior_weight", self.prior_weight, MAX_PRIOR_WEIGHT))
        if self.prior_mode not in ("soft", "hard"):
            raise InvalidParameter("prior_mode", f"must be 'soft' or 'hard', got {self.prior_mode!r}")
        if self.prior_mode == "hard" and self.prior is None:
            raise InvalidParameter("prior_mode", "'hard' needs a prior map")
        for name in ("edges", "importance"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _strengths(name, value))
        if self.prior is not None:
            object.__setattr__(self, "prior", _labels(self.prior))

    def fitted(self, height: int, width: int, region: Region | None = None) -> FittedGuidance:
        """Scale each map to a picture, cut out a region of interest, and drop what has no effect.

        Args:
            height: of the whole picture in pixels.
            width: of the whole picture in pixels.
            region: the part of the picture that is segmented; None: all of it.

        Returns:
            Maps of the region's size. Column x of the picture takes column ((2x + 1) * ws) // (2 * width) of
            a map with ws columns; rows in the same way.

        Raises:
            InvalidParameter: the region is not inside the picture.
        """
        region = (0, 0, width, height) if region is None else region
        x, y, region_width, region_height = region
        if not (0 <= x < x + region_width <= width and 0 <= y < y + region_height <= height):
            raise InvalidParameter("region", f"must be inside {width}x{height}, got {region}")
        edges = _scaled(self.edges, height, width, region)
        prior = _scaled(self.prior, height, width, region)
        importance = _scaled(self.importance, height, width, region)
        if self.edge_weight == 0 or _constant(edges):
            edges = None
        if _constant(prior) or (self.prior_mode == "soft" and self.prior_weight == 0):
            prior = None
        if importance is not None and not importance.any():
            importance = None
        hard = prior is not None and self.prior_mode == "hard"
        return FittedGuidance(
            shape=(region_height, region_width),
            edges=edges,
            edge_weight=DEFAULT_EDGE_WEIGHT if edges is None else self.edge_weight,
            prior=prior,
            prior_mode="hard" if hard else "soft",
            prior_weight=DEFAULT_PRIOR_WEIGHT if prior is None or hard else self.prior_weight,
            importance=importance,
        )


def fitted_to(guidance: object, height: int, width: int) -> FittedGuidance | None:
    """The guidance of one call for an image of this size; None if it has no effect.

    Args:
        guidance: `Guidance`, `FittedGuidance` of the image's size, or None.
        height: of the image in pixels.
        width: of the image in pixels.

    Raises:
        InvalidParameter: another type, or maps of another size.
    """
    if guidance is None:
        return None
    if isinstance(guidance, Guidance):
        guidance = guidance.fitted(height, width)
    if not isinstance(guidance, FittedGuidance):
        raise InvalidParameter("guidance", f"must be Guidance, got {type(guidance).__name__}")
    if guidance.shape != (height, width):
        fitted_height, fitted_width = guidance.shape
        raise InvalidParameter(
            "guidance", f"is fitted to {fitted_width}x{fitted_height}, and the image is {width}x{height}"
        )
    return None if guidance.is_neutral else guidance


def _weight(name: str, value: Any, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InvalidParameter(name, f"must be an integer, got {type(value).__name__}")
    if not 0 <= value <= most:
        raise InvalidParameter(name, f"must be from 0 to {most}, got {value}")
    return int(value)


def _map(name: str, value: ArrayLike) -> NDArray[Any]:
    """A two-dimensional array with at least one pixel."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidParameter(name, "must be an array with rows of equal length") from error
    if array.ndim != 2:
        raise InvalidParameter(name, f"must be (H, W), got {array.shape}")
    if not 1 <= array.size <= MAX_PIXELS:
        height, width = array.shape
        raise InvalidParameter(name, f"must have from 1 to {MAX_PIXELS} pixels, got {height} x {width}")
    return array


def _strengths(name: str, value: ArrayLike) -> NDArray[np.uint8]:
    array = _map(name, value)
    if array.dtype != np.uint8:
        raise InvalidParameter(name, f"must be uint8, got {array.dtype}")
    return _private(array, np.uint8)


def _labels(value: ArrayLike) -> NDArray[np.int32]:
    array = _map("prior", value)
    if not np.issubdtype(array.dtype, np.integer):
        raise InvalidParameter("prior", f"must be of an integer type, got {array.dtype}")
    least, most = int(array.min()), int(array.max())
    if least < 0 or most > MAX_PRIOR_LABEL:
        wrong = least if least < 0 else most
        raise InvalidParameter("prior", f"labels must be from 0 to {MAX_PRIOR_LABEL}, got {wrong}")
    return _private(array, np.int32)


def _private(array: NDArray[Any], dtype: type[Any]) -> NDArray[Any]:
    """The array in C order, read-only, in memory that no other writes to."""
    owned = array.flags.owndata and not array.flags.writeable
    if not (owned and array.flags.c_contiguous and array.dtype == dtype):
        array = np.array(array, dtype, order="C", copy=True, subok=False)
        array.flags.writeable = False
    return array


def _scaled(values: Any, height: int, width: int, region: Region) -> Any:
    """The region of a map that is scaled to a whole picture; None without a map."""
    if values is None or (values.shape == (height, width) and region == (0, 0, width, height)):
        return values
    x, y, region_width, region_height = region
    rows = nearest_positions(y, y + region_height, values.shape[0], height)
    columns = nearest_positions(x, x + region_width, values.shape[1], width)
    # The order in which the array between the two steps is at most as large as the map or the picture.
    if values.shape[1] <= width:
        scaled = values.take(rows, axis=0).take(columns, axis=1)
    else:
        scaled = values.take(columns, axis=1).take(rows, axis=0)
    scaled.flags.writeable = False
    return scaled


def nearest_positions(begin: int, end: int, source: int, target: int) -> NDArray[np.int64]:
    """The nearest of `source` positions for those from `begin` to `end` - 1 of `target`, along one side."""
    return ((2 * np.arange(begin, end, dtype=np.int64) + 1) * source) // (2 * target)


def _constant(values: NDArray[Any] | None) -> bool:
    if values is None:
        return False
    flat = values.ravel()
    # A sample first: most maps differ there, and then the whole need not be read.
    return all(bool((part == flat[0]).all()) for part in (flat[::1009], flat))
