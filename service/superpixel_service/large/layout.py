"""The layout of a store (docs/stores.md): names of its arrays, and its attributes."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from superpixel_service.large.errors import LargeFailed, one_line

STORE_VERSION = 1
"""Changes if a reader of the version before could not read a store."""

ATTRIBUTES = "superpixel"
IMAGE, BASE, LABELS = "image", "base", "labels"
TREE_ARRAYS = {
    "parent": "tree/parent",
    "heights": "tree/heights",
    "leaves": "tree/leaves",
    "first_leaf": "tree/first_leaf",
    "leaf_count": "tree/leaf_count",
}
REGION_ARRAYS = {name: f"regions/{name}" for name in ("area", "box", "position_sum", "color_sum")}

CHUNK = 512
SHARD = 2048
"""Sides of a chunk and of a shard, in pixels."""

_SHA256_DIGITS = 64

SMALLEST_OVERVIEW = 512
"""The pyramid ends with the first level whose sides are at most this long."""


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a store says about itself. Lengths are in pixels.

    Attributes:
        width, height: of the whole image.
        base_count: number of base regions.
        algorithm_version: of the algorithm that made the regions.
        compactness: their compactness.
        scales: 1, 2, 4, ...: pixels of the whole image per pixel of each level of the pyramid.
        counts: the counts that have OME-NGFF label images.
        bands: the bands that were segmented, from 1.
        ranges: of each band, the values that became 0 and 255.
        source: address, reader and SHA-256 of the source.
        guidance: what the superpixels followed besides the colours; None: nothing.
        crs: the coordinate reference system as WKT; empty: none.
        transform: a, b, c, d, e, f of x = a column + b row + c, y = d column + e row + f; None: none.
    """

    width: int
    height: int
    base_count: int
    algorithm_version: int
    compactness: float
    scales: tuple[int, ...]
    counts: tuple[int, ...]
    bands: tuple[int, ...]
    ranges: tuple[tuple[float, float], ...]
    source: Mapping[str, Any]
    guidance: Mapping[str, Any] | None = None
    crs: str = ""
    transform: tuple[float, ...] | None = None

    def attributes(self) -> dict[str, Any]:
        """The attributes of a store that is complete."""
        return {
            "version": STORE_VERSION,
            "complete": True,
            "width": self.width,
            "height": self.height,
            "base_count": self.base_count,
            "algorithm_version": self.algorithm_version,
            "compactness": self.compactness,
            "scales": list(self.scales),
            "counts": list(self.counts),
            "bands": list(self.bands),
            "ranges": [list(limits) for limits in self.ranges],
            "source": dict(self.source),
            "guidance": None if self.guidance is None else dict(self.guidance),
            "crs": self.crs,
            "transform": None if self.transform is None else list(self.transform),
        }

    @property
    def source_sha256(self) -> bytes | None:
        """SHA-256 of the source; None: not known."""
        digits = str(self.source.get("sha256", ""))
        return bytes.fromhex(digits) if len(digits) == _SHA256_DIGITS else None

    def level_size(self, scale: int) -> tuple[int, int]:
        """Width and height of a level of the pyramid."""
        return -(-self.width // scale), -(-self.height // scale)


def read_info(address: str, attributes: Mapping[str, Any]) -> StoreInfo:
    """What the attributes of a group say.

    Raises:
        LargeFailed: it is no complete store of this version.
    """
    found = attributes.get(ATTRIBUTES)
    if not isinstance(found, Mapping) or "version" not in found:
        raise LargeFailed(f"{address}: is not a store of superpixels", kind="missing")
    if found["version"] != STORE_VERSION:
        raise LargeFailed(
            f"{address}: is a store of version {found['version']}; only {STORE_VERSION} is known here",
            kind="version",
        )
    if found.get("complete") is not True:
        raise LargeFailed(
            f"{address}: is half written; run its `superpixel large` command again to finish it",
            kind="unfinished",
        )
    try:
        info = StoreInfo(
            width=int(found["width"]),
            height=int(found["height"]),
            base_count=int(found["base_count"]),
            algorithm_version=int(found["algorithm_version"]),
            compactness=float(found["compactness"]),
            scales=tuple(int(scale) for scale in found["scales"]),
            counts=tuple(int(count) for count in found["counts"]),
            bands=tuple(int(band) for band in found["bands"]),
            ranges=tuple((float(low), float(high)) for low, high in found["ranges"]),
            source=dict(found["source"]),
            guidance=found.get("guidance"),
            crs=str(found.get("crs") or ""),
            transform=None if found.get("transform") is None else tuple(map(float, found["transform"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LargeFailed(
            f"{address}: its description is damaged: {one_line(error)}", kind="damaged"
        ) from None
    if not (1 <= info.base_count <= info.width * info.height and info.scales[:1] == (1,)):
        raise LargeFailed(f"{address}: its description is damaged", kind="damaged")
    return info


def level_scales(width: int, height: int) -> tuple[int, ...]:
    """The scales of the pyramid of an image."""
    scales = [1]
    while max(-(-width // scales[-1]), -(-height // scales[-1])) > SMALLEST_OVERVIEW:
        scales.append(2 * scales[-1])
    return tuple(scales)


def json_number(value: float | None) -> float | str | None:
    """A number as JSON can hold it."""
    return value if value is None or math.isfinite(value) else str(value)


def canonical(record: Mapping[str, Any]) -> str:
    """A record as text; equal records give equal texts."""
    return json.dumps(record, sort_keys=True)
