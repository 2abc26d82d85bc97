"""Objects of an image by points and boxes, for back ends of labelling tools.

```
finder = ObjectFinder.from_environment()                     # SUPERPIXEL_SERVER, or in this process
found = finder.find(image_bytes, [Point(310, 145)])          # (height, width) bool
rings = outlines(found)                                      # polygons, the largest first
```

It is smart select (docs/smart-select.md) behind one call that has no state: the same points give the same
object. Superpixels of the latest images are kept, so that the clicks after the first are quick.
"""

import contextlib
import hashlib
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels.codec import InvalidParameter, LabelMap, measure_regions
from superpixel_service.client import Client, tls_credentials
from superpixel_service.client.exports.outlines import trace_rings
from superpixel_service.client.pieces import find_pieces
from superpixel_service.client.security import read_token
from superpixel_service.client.smart import SmartSelect

__all__ = ["DEFAULT_COUNT", "Box", "ObjectFinder", "Picture", "Point", "find_object", "outlines"]

DEFAULT_COUNT = 3000
"""Superpixels of an image: as many as smart select works well with."""

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""

_MARGIN = 0.1
_GROWTHS = (0.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0, 5.0)


@dataclass(frozen=True, slots=True)
class Point:
    """A click.

    Attributes:
        x, y: in pixels; may be fractional, or outside the image.
        positive: whether it is on the object; else beside it.
    """

    x: float
    y: float
    positive: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image with its superpixels.

    Attributes:
        image: (height, width, 3) uint8, upright.
        label_map: its superpixels with their hierarchy.
    """

    image: NDArray[np.uint8]
    label_map: LabelMap

    @property
    def count(self) -> int:
        """Number of superpixels."""
        return self.label_map.count


@dataclass(slots=True)
class ObjectFinder:
    """Finds objects in images. Threads may share it.

    Attributes:
        client: of a server; None: superpixels are made in this process.
        count: superpixels per image.
        kept: number of images whose superpixels are kept.
    """

    client: Client | None = None
    count: int = DEFAULT_COUNT
    kept: int = 16
    _pictures: OrderedDict[tuple[str, int, bool], Picture] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Make one as environment variables say.

        SUPERPIXEL_SERVER: HOST:PORT of a server; without it superpixels are made in this process.
        SUPERPIXEL_CA and SUPERPIXEL_TOKEN_FILE: files, for a server with TLS. SUPERPIXEL_COUNT: superpixels
        per image.

        Raises:
            ValueError: a variable or a file is malformed.
            OSError: a file cannot be read.
        """
        address, ca = environment.get("SUPERPIXEL_SERVER"), environment.get("SUPERPIXEL_CA")
        token = environment.get("SUPERPIXEL_TOKEN_FILE")
        count = int(environment.get("SUPERPIXEL_COUNT", DEFAULT_COUNT))
        if not address:
            return cls(count=count)
        client = Client(
            address,
            credentials=tls_credentials(ca) if ca else None,
            token=read_token(token) if token else None,
        )
        return cls(client, count)

    def open(self, data: bytes, count: int | None = None, *, upright: bool = True) -> Picture:
        """The superpixels of an image file, made at its first use.

        Args:
            data: an image file of a format that the server reads.
            count: superpixels; None: `self.count`. An image with fewer pixels has one per pixel.
            upright: whether to turn it as its EXIF data say, as browsers do.

        Raises:
            superpixel_service.client.SegmentError: the file is no image, or the call failed.
        """
        count = self.count if count is None else count
        key = (hashlib.sha256(data).hexdigest(), count, upright)
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
                return self._pictures[key]
        picture = self._make(data, count, upright)
        with self._lock:
            self._pictures[key] = picture
            while len(self._pictures) > self.kept:
                self._pictures.popitem(last=False)
        return picture

    def find(
        self,
        data: bytes,
        points: Iterable[Point] = (),
        box: Box | None = None,
        *,
        count: int | None = None,
        upright: bool = True,
    ) -> NDArray[np.bool_]:
        """The object that points and a box show.

        Args:
            data: an image file of a format that the server reads.
            points: in the order of the clicks.
            box: the object lies in it. Without points, the object is the one in its middle whose extent
                agrees best with it.
            count: superpixels; None: `self.count`.
            upright: whether to turn the image as its EXIF data say.

        Returns:
            (height, width) bool; nothing without points and a box.

        Raises:
            superpixel_service.client.SegmentError: the file is no image, or the call failed.
            superpixel_kernels.errors.InvalidParameter: the box is outside the image.
        """
        return find_object(self.open(data, count, upright=upright), list(points), box)

    def _make(self, data: bytes, count: int, upright: bool) -> Picture:
        with contextlib.suppress(OSError, ValueError), Image.open(io.BytesIO(data)) as opened:
            count = min(count, opened.width * opened.height)
        # Imported on demand: it loads the server's decoders. They give the pixels that the server segments.
        from superpixel_service.in_process import read_pixels, segment_file

        # This checks the file, so it comes before the pixels are decoded here.
        if self.client is not None:
            answer = self.client.segment(data, counts=count, apply_exif_orientation=upright)
        else:
            answer = segment_file(data, counts=count, apply_exif_orientation=upright)
        return Picture(read_pixels(data, upright=upright), answer.label_map)


def find_object(picture: Picture, points: Sequence[Point], box: Box | None = None) -> NDArray[np.bool_]:
    """The object of a picture that points and a box show; see `ObjectFinder.find`."""
    labels = picture.label_map.labels
    if not points and box is None:
        return np.zeros(labels.shape, np.bool_)
    view = None if box is None else _view(box, labels.shape)
    x0, y0, x1, y1 = view or (0, 0, labels.shape[1], labels.shape[0])
    smart = SmartSelect(picture.label_map, picture.count, picture.image[y0:y1, x0:x1], box=view)
    if points:
        for point in points:
            smart.click(point.x, point.y, positive=point.positive)
            smart.accept()
        chosen = smart.chosen
    else:
        assert box is not None  # noqa: S101
        chosen = _best_in(smart, picture, box)
    inside = np.zeros(labels.shape, np.bool_)
    inside[y0:y1, x0:x1] = np.isin(labels[y0:y1, x0:x1], chosen)
    return inside


def outlines(mask: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """The outer outline of each 4-connected piece of a mask, the largest piece first.

    Returns:
        Corners (x, y) along the edges of pixels: pixel x reaches from x to x + 1. Holes are left out.
    """
    ids, pieces = find_pieces(mask.astype(np.uint8))
    rings = trace_rings(ids, len(pieces), simple=True)
    ordered = sorted(pieces, key=lambda piece: (-piece.area, piece.id))
    return [
        list(zip(rings[piece.id - 1][0][::2], rings[piece.id - 1][0][1::2], strict=True)) for piece in ordered
    ]


def _view(box: Box, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The box with a margin around it, in whole pixels of the image."""
    x0, x1 = sorted(box[::2])
    y0, y1 = sorted(box[1::2])
    height, width = shape[:2]
    if min(x1, y1) < 0 or x0 >= width or y0 >= height:
        raise InvalidParameter("box", f"must touch the image of {width}x{height}, got {box}")
    margin = _MARGIN * max(x1 - x0, y1 - y0) + 1
    left, top = max(int(x0 - margin), 0), max(int(y0 - margin), 0)
    return left, top, min(int(x1 + margin) + 1, width), min(int(y1 + margin) + 1, height)


def _best_in(smart: SmartSelect, picture: Picture, box: Box) -> NDArray[np.int32]:
    """What a click in the middle of the box takes, grown such that its extent agrees best with the box."""
    x0, x1 = sorted(box[::2])
    y0, y1 = sorted(box[1::2])
    height, width = picture.label_map.labels.shape
    smart.click(min(max((x0 + x1) / 2, 0), width - 1), min(max((y0 + y1) / 2, 0), height - 1))
    boxes = measure_regions(picture.label_map.labels, picture.image).box
    best, agreement = np.zeros(0, np.int32), -1.0
    for grow in _GROWTHS:
        regions = smart.regrow(grow)
        if len(regions) == 0:
            continue
        low, high = boxes[regions, :2].min(axis=0), boxes[regions, 2:].max(axis=0)
        inner = np.minimum(high, (x1, y1)) - np.maximum(low, (x0, y0))
        outer = np.maximum(high, (x1, y1)) - np.minimum(low, (x0, y0))
        shared = float(np.prod(np.maximum(inner, 0)) / np.prod(np.maximum(outer, 1)))
        if shared > agreement:
            best, agreement = regions, shared
    return best
