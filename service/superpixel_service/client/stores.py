"""Stores of a server: requests for them, and what they answer."""

import io
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import grpc
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import codec
from superpixel_service.client.errors import InvalidRequest
from superpixel_service.contract import Reason
from superpixel_service.pb.superpixel.v1 import stores_pb2
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb

_UINT32_MAX = 2**32 - 1
_TRANSFORM_NUMBERS = 6


@dataclass(frozen=True, slots=True)
class StoreDescription:
    """What a store says about itself.

    Attributes:
        width, height: of the whole image, in pixels.
        base_count: number of base regions: the largest count.
        algorithm_version: of the algorithm that made the superpixels.
        compactness: the compactness that was used.
        scales: the levels: pixels of the image per pixel of the level, along each side.
        bands: the bands of the source that were segmented, from 1.
        ranges: of each band, the values that became 0 and 255.
        source_sha256: of the source's pixels, as hexadecimal digits; empty: not known.
        crs: the coordinate reference system as WKT; empty: none.
        transform: a, b, c, d, e, f of x = a column + b row + c, y = d column + e row + f; None: none.
        max_window_pixels: largest window that the server sends, in pixels of its level.
        max_regions: most ids of a call of `store_regions`.
    """

    width: int
    height: int
    base_count: int
    algorithm_version: int
    compactness: float
    scales: tuple[int, ...]
    bands: tuple[int, ...]
    ranges: tuple[tuple[float, float], ...]
    source_sha256: str
    crs: str
    transform: tuple[float, ...] | None
    max_window_pixels: int
    max_regions: int


@dataclass(frozen=True, eq=False)
class StoreWindow:
    """The superpixels of a window. `spx` is decoded at the first use of `label_map`, `labels` or `ids`.

    Attributes:
        spx: the label map, in the SPXL container with global ids (docs/label-map.md).
        count: number of superpixels of the whole image.
        image_png: the pixels as a PNG; empty: not requested.
    """

    spx: bytes
    count: int
    image_png: bytes = b""

    @cached_property
    def label_map(self) -> codec.LabelMap:
        """The decoded label map."""
        return codec.decode(self.spx)

    @property
    def labels(self) -> NDArray[np.int32]:
        """(height, width) int32: the label of each pixel."""
        return self.label_map.labels

    @property
    def ids(self) -> NDArray[np.uint32]:
        """(n,) uint32: the global id of each label; `codec.NO_REGION`: pixels of no superpixel."""
        found = self.label_map.global_ids
        assert found is not None  # noqa: S101 (the contract promises it)
        return found.ids

    @property
    def image(self) -> NDArray[np.uint8] | None:
        """(height, width, 3) uint8, sRGB: the pixels; None: not requested."""
        return np.asarray(Image.open(io.BytesIO(self.image_png))) if self.image_png else None


@dataclass(frozen=True, slots=True, eq=False)
class StoreMeasures:
    """Measurements of regions of the whole image, in its pixels.

    Attributes:
        ids: (n,) uint32, global ids, as requested.
        area: (n,) uint64, pixels.
        box: (n, 4) uint32: x0, y0, x1, y1; x1 and y1 lie one past the region.
        centroid: (n, 2) float64: x, y; pixel x is at coordinate x.
        mean_color: (n, 3) uint8: mean of the sRGB bytes that were segmented.
    """

    ids: NDArray[np.uint32]
    area: NDArray[np.uint64]
    box: NDArray[np.uint32]
    centroid: NDArray[np.float64]
    mean_color: NDArray[np.uint8]


def window_request(
    name: str,
    window: Sequence[int],
    scale: int,
    count: int | None,
    include_hierarchy: bool,
    include_regions: bool,
    include_image: bool,
) -> stores_pb2.GetWindowRequest:
    """Build a request.

    Raises:
        InvalidRequest: a number does not fit its field.
    """
    if len(window) != 4:
        raise _invalid(Reason.WINDOW_OUTSIDE_STORE, "window", f"must be 4 numbers, got {len(window)}")
    x, y, width, height = (_uint32(value, Reason.WINDOW_OUTSIDE_STORE, "window") for value in window)
    return stores_pb2.GetWindowRequest(
        store=name,
        window=pb.Rectangle(x=x, y=y, width=width, height=height),
        scale=_uint32(scale, Reason.SCALE_UNKNOWN, "scale"),
        count=None if count is None else _uint32(count, Reason.COUNT_OUT_OF_RANGE, "count"),
        include_hierarchy=include_hierarchy,
        include_regions=include_regions,
        include_image=include_image,
    )


def measure_request(name: str, ids: Iterable[int]) -> stores_pb2.MeasureRegionsRequest:
    """Build a request.

    Raises:
        InvalidRequest: an id does not fit its field.
    """
    checked = [_uint32(id_, Reason.REGION_UNKNOWN, f"ids[{index}]") for index, id_ in enumerate(ids)]
    return stores_pb2.MeasureRegionsRequest(store=name, ids=checked)


def read_store(response: stores_pb2.GetStoreResponse) -> StoreDescription:
    """Convert a response."""
    return StoreDescription(
        width=response.width,
        height=response.height,
        base_count=response.base_count,
        algorithm_version=response.algorithm_version,
        compactness=response.compactness,
        scales=tuple(response.scales),
        bands=tuple(response.bands),
        ranges=tuple((each.low, each.high) for each in response.ranges),
        source_sha256=response.source_sha256.hex(),
        crs=response.crs,
        transform=tuple(response.transform) if len(response.transform) == _TRANSFORM_NUMBERS else None,
        max_window_pixels=response.max_window_pixels,
        max_regions=response.max_regions,
    )


def read_window(response: stores_pb2.GetWindowResponse) -> StoreWindow:
    """Convert a response."""
    return StoreWindow(response.spx, response.count, response.image_png)


def read_measures(
    request: stores_pb2.MeasureRegionsRequest, response: stores_pb2.MeasureRegionsResponse
) -> StoreMeasures:
    """Convert a response."""
    box = [response.x0, response.y0, response.x1, response.y1]
    centroid = [response.centroid_x, response.centroid_y]
    return StoreMeasures(
        ids=np.array(request.ids, np.uint32),
        area=np.array(response.area, np.uint64),
        box=np.array(box, np.uint32).reshape(4, -1).T,
        centroid=np.array(centroid, np.float64).reshape(2, -1).T,
        mean_color=np.frombuffer(response.mean_rgb, np.uint8).reshape(-1, 3),
    )


def _uint32(value: int, reason: Reason, field: str) -> int:
    number = operator.index(value)  # accepts NumPy's integers, rejects floats
    if not 0 <= number <= _UINT32_MAX:
        raise _invalid(reason, field, f"must be from 0 to {_UINT32_MAX}, got {number}")
    return number


def _invalid(reason: Reason, field: str, text: str) -> InvalidRequest:
    return InvalidRequest(
        grpc.StatusCode.INVALID_ARGUMENT, f"{field}: {text}", reason=reason.value, field=field
    )
