"""Exports of an annotation. frontend/src/exports.js writes the same bytes, function by function.

```
chosen = {Class("cat", "#e6194b"): [17, 18], Class("dog", "#3cb44b"): [40]}
annotation = Annotation.of_regions(result, 400, chosen)
Path("mask.png").write_bytes(to_indexed_png(annotation))
Path("labels.txt").write_text(to_yolo(annotation))
```
"""

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import codec
from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client.outlines import Piece, Ring, find_pieces, join_rings, trace_rings
from superpixel_service.client.runs import from_runs
from superpixel_service.client.segmentation import Segmentation

MAX_CLASSES = 254
"""Largest number of classes. A class value is 1 to 254; 0 is no class."""


@dataclass(frozen=True, slots=True)
class Class:
    """A class that regions and pixels can have.

    Attributes:
        name: for people.
        color: `#rrggbb`.

    Raises:
        InvalidParameter: `color` has another form.
    """

    name: str
    color: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", self.color):
            raise InvalidParameter("color", f"must be #rrggbb, got {self.color!r}")


class HasCut(Protocol):
    """Cuts an image into any number of superpixels, as `superpixel_kernels.Hierarchy` does."""

    def cut(self, count: int, /) -> NDArray[np.int32]:
        """Return the label map with `count` superpixels: (height, width) int32, 0..count-1."""


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """A class per pixel.

    Attributes:
        mask: (height, width) uint8: 0 for no class, else 1 + the index of the class in `classes`.
        classes: at most `MAX_CLASSES`.

    Raises:
        InvalidParameter: the mask has another shape or type, or `classes` does not cover its values.
    """

    mask: NDArray[np.uint8]
    classes: tuple[Class, ...]

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.uint8 or self.mask.size == 0:
            raise InvalidParameter(
                "mask", f"must be (height, width) uint8, got {self.mask.shape} {self.mask.dtype}"
            )
        if len(self.classes) > MAX_CLASSES or self.mask.max() > len(self.classes):
            raise InvalidParameter(
                "classes", f"{len(self.classes)} do not cover the mask, or are over {MAX_CLASSES}"
            )

    @classmethod
    def of_regions(
        cls,
        source: HasCut | codec.LabelMap | Segmentation,
        count: int,
        chosen: Mapping[Class, Iterable[int]],
    ) -> Self:
        """Make an annotation from regions of one level.

        Args:
            source: contains the level: a `superpixel_kernels.Hierarchy`, a label map, or a server's answer.
            count: number of superpixels of the level.
            chosen: regions of each class, 0 to count - 1. Class values follow its order.

        Raises:
            InvalidParameter: the source does not contain the level, the level does not have a region, or a
                region has two classes.
        """
        if isinstance(source, codec.LabelMap | Segmentation):
            labels = source.labels_at(count)
        else:
            labels = source.cut(count)
        value_of = np.zeros(count, np.uint8)
        for value, (one, regions) in enumerate(chosen.items(), 1):
            for region in regions:
                if not 0 <= region < count:
                    raise InvalidParameter(
                        "chosen", f"{one.name}: region {region}, must be from 0 to {count - 1}"
                    )
                if value_of[region] not in (0, value):
                    raise InvalidParameter("chosen", f"{one.name}: region {region} has another class, too")
                value_of[region] = value
        return cls(value_of[labels], tuple(chosen))

    @classmethod
    def of_selection(cls, label_map: codec.LabelMap, data: Mapping[str, Any]) -> Self:
        """Make an annotation from a selection of the npm package.

        Args:
            label_map: the map that the selection was made on.
            data: the parsed JSON of `Selection.toJSON` (frontend/src/serialise.js).

        Raises:
            InvalidParameter: the selection is damaged, or was made on another map. The message names the part
                and what would be valid.
        """
        known = isinstance(data, Mapping) and data.get("format") == "superpixel-selection"
        if not known or data.get("version") != 1 or data["version"] is True:
            raise InvalidParameter("selection", "must be a superpixel-selection of version 1")
        height, width = label_map.labels.shape
        made_on = [data.get(name) for name in ("width", "height", "count", "map")]
        same = made_on == [width, height, label_map.count, fingerprint(label_map.labels)]
        if not same or bool in map(type, made_on):
            raise InvalidParameter("selection", "was made on another map")
        try:
            classes = _classes(data.get("classes"))
            regions, pixels = data.get("regions"), data.get("pixels")
            mask = from_runs("regions", regions, label_map.count, len(classes))[label_map.labels]
            if pixels != []:
                painted = from_runs("pixels", pixels, mask.size, len(classes) + 1).reshape(mask.shape)
                mask = np.where(painted > 0, painted - (painted > 0), mask).astype(np.uint8)
        except (OverflowError, TypeError, ValueError) as error:
            raise InvalidParameter("selection", f"is damaged: {error}") from error
        return cls(mask, classes)


def fingerprint(labels: NDArray[np.int32]) -> str:
    """`LabelMap.fingerprint` of the npm package: eight hexadecimal digits, the same for the same labels.

    Args:
        labels: (height, width) int32.
    """
    flat = labels.ravel().astype(np.uint32)
    place = np.arange(flat.size, dtype=np.uint32) * np.uint32(0x9E3779B1) | np.uint32(1)
    return f"{int(((flat + np.uint32(1)) * place).sum(dtype=np.uint64)) % 2**32:08x}"


def _classes(given: object) -> tuple[Class, ...]:
    """The classes of a stored selection. Raises TypeError or ValueError if they are damaged."""
    if not isinstance(given, list) or len(given) > MAX_CLASSES:
        raise ValueError(f"classes: must be a list of at most {MAX_CLASSES}")
    classes = []
    for one in given:
        name, color = (one.get(key) if isinstance(one, Mapping) else None for key in ("name", "color"))
        if not isinstance(name, str) or not isinstance(color, str):
            raise TypeError("classes: each must have a name and a color, as text")
        classes.append(Class(name, color))
    return tuple(classes)


def to_indexed_png(annotation: Annotation) -> bytes:
    """An 8-bit indexed PNG. The pixel value is the class; the palette holds the colours of the classes."""
    image = Image.fromarray(annotation.mask).convert("L")
    image.putpalette(
        [0, 0, 0, *(byte for one in annotation.classes for byte in bytes.fromhex(one.color[1:]))]
    )
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def to_coco(
    annotation: Annotation,
    *,
    file_name: str = "image",
    image_id: int = 1,
    rle: bool = False,
    split: bool = True,
) -> dict[str, Any]:
    """A COCO data set of one image, ready for JSON.

    Polygon points are pixel corners, and pycocotools reads exactly the same pixels. COCO has no holes: a
    bridge of width 0 joins each hole to its outer ring.

    Args:
        annotation: a class per pixel.
        file_name: of the image.
        image_id: of the image.
        rle: True: masks as compressed run lengths; False: polygons.
        split: True: an annotation per 4-connected piece; False: one per class.
    """
    mask = annotation.mask
    height, width = mask.shape
    ids, pieces = find_pieces(mask)
    polygons: list[Ring] = []
    if not rle:
        polygons = [[value // 2 for value in ring] for ring in join_rings(ids, len(pieces), inside=False)]
    groups = [[piece] for piece in pieces] if split else _by_class(pieces)
    annotations = []
    for number, group in enumerate(groups, 1):
        first = group[0]
        x0, y0, x1, y1 = _box_around(group)
        segmentation: Any = [polygons[piece.id - 1] for piece in group] if not rle else None
        if rle:
            part = (slice(y0, y1), slice(x0, x1))
            inside = ids[1:-1, 1:-1][part] == first.id if split else mask[part] == first.value
            runs = _column_runs(inside, x0, y0, width, height)
            segmentation = {"size": [height, width], "counts": _compressed(runs)}
        annotations.append(
            {
                "id": number,
                "image_id": image_id,
                "category_id": first.value,
                "segmentation": segmentation,
                "area": sum(piece.area for piece in group),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "iscrowd": 0,
            }
        )
    return {
        "images": [{"id": image_id, "file_name": file_name, "width": width, "height": height}],
        "categories": [{"id": number, "name": one.name} for number, one in enumerate(annotation.classes, 1)],
        "annotations": annotations,
    }


def _by_class(pieces: list[Piece]) -> list[list[Piece]]:
    groups: dict[int, list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(piece.value, []).append(piece)
    return [groups[value] for value in sorted(groups)]


def _box_around(pieces: list[Piece]) -> list[int]:
    boxes = np.array([piece.box for piece in pieces])
    box: list[int] = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
    return box


def _column_runs(inside: NDArray[np.bool_], x0: int, y0: int, width: int, height: int) -> list[int]:
    """COCO's run lengths: column by column from the left, alternately outside and inside.

    Args:
        inside: the pixels of a box; no pixel outside the box is inside.
        x0: left column of the box.
        y0: top row of the box.
        width: of the image.
        height: of the image.
    """
    columns = np.zeros((inside.shape[1], height), bool)
    columns[:, y0 : y0 + inside.shape[0]] = inside.T
    flat = columns.ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False, append=False)) + x0 * height
    runs: list[int] = np.diff(changes, prepend=0, append=width * height).tolist()
    return runs if runs[-1] else runs[:-1]


def _compressed(runs: list[int]) -> str:
    """COCO's run lengths as text.

    Differences to the run before the last, five bits per character, lowest bits first.
    """
    out = []
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            out.append(chr(48 + bits + (32 if more else 0)))
    return "".join(out)


def to_label_studio(
    annotation: Annotation, *, from_name: str = "tag", to_name: str = "image"
) -> list[dict[str, Any]]:
    """Results of a Label Studio annotation or prediction: one brush mask per class.

    Args:
        annotation: a class per pixel.
        from_name: name of the BrushLabels tag.
        to_name: name of the Image tag.
    """
    height, width = annotation.mask.shape
    used = set(np.unique(annotation.mask).tolist())
    return [
        {
            "id": f"class-{value}",
            "type": "brushlabels",
            "from_name": from_name,
            "to_name": to_name,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": _brush_rle(annotation.mask.ravel() == value),
                "brushlabels": [one.name],
            },
        }
        for value, one in enumerate(annotation.classes, 1)
        if value in used
    ]


def _brush_rle(inside: NDArray[np.bool_]) -> list[int]:
    """Label Studio's run lengths (thi.ng/rle-pack) of a picture with four equal channels: 255 inside, else 0.

    Args:
        inside: (height * width,) the pixels of the class.

    Returns:
        Bytes.
    """
    sizes = (3, 4, 8, 16)  # bits of a run's length
    bits = [f"{4 * inside.size:032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in sizes)]
    starts = np.flatnonzero(np.diff(inside, prepend=~inside[:1]))
    lengths = np.diff(starts, append=inside.size)
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        left = 4 * length
        word = "11111111" if inside[start] else "00000000"
        while left > 0:
            run = min(left, 1 << 16)
            index = next(i for i, size in enumerate(sizes) if run <= 1 << size)
            bits.append(f"1{index:02b}{run - 1:0{sizes[index]}b}{word}")
            left -= run
    text = "".join(bits)
    # At a byte boundary this adds a zero byte, as label-studio-sdk does.
    text += "0" * (8 - len(text) % 8)
    return np.packbits(np.frombuffer(text.encode(), np.uint8) - ord("0")).tolist()


def to_geojson(annotation: Annotation) -> dict[str, Any]:
    """GeoJSON: a MultiPolygon with holes per class, along pixel edges.

    (0, 0) is the image's top left corner, y points down.
    """
    ids, pieces = find_pieces(annotation.mask)
    rings = trace_rings(ids, len(pieces), simple=True)
    features = []
    for group in _by_class(pieces):
        value = group[0].value
        one = annotation.classes[value - 1]
        polygons = [[_closed_ring(ring) for ring in rings[piece.id - 1]] for piece in group]
        area = sum(piece.area for piece in group)
        features.append(
            {
                "type": "Feature",
                "id": value,
                "properties": {"class": one.name, "color": one.color, "area": area},
                "geometry": {"type": "MultiPolygon", "coordinates": polygons},
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _closed_ring(ring: Ring) -> list[list[int]]:
    points = [list(point) for point in zip(ring[::2], ring[1::2], strict=True)]
    return [*points, points[0]]


def to_yolo(annotation: Annotation) -> str:
    """YOLO segmentation labels: a line per 4-connected piece.

    It holds the class, counted from 0, and the piece's outline through the centres of its outermost pixels,
    as fractions of width and height. A reader that also fills the outline's own pixels gets exactly the same
    pixels; Ultralytics does so with cv2.fillPoly.
    """
    height, width = annotation.mask.shape
    ids, pieces = find_pieces(annotation.mask)
    lines = []
    for piece, ring in zip(pieces, join_rings(ids, len(pieces), inside=True), strict=True):
        # A YOLO polygon needs three points.
        while len(ring) < 6:
            ring += ring[-2:]
        shares = [_share(value, height if at % 2 else width) for at, value in enumerate(ring)]
        lines.append(f"{piece.value - 1} {' '.join(shares)}\n")
    return "".join(lines)


def _share(half_pixels: int, size: int) -> str:
    """half_pixels / (2 * size) to six decimal places, rounded half up."""
    millionths = (half_pixels * 10**6 + size) // (2 * size)
    return f"{millionths // 10**6}.{millionths % 10**6:06d}"
