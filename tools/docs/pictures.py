"""Draw the pictures of the documents with the engine, from the photographs in examples/photos.

    python -m tools.docs.pictures

This writes docs/images/NAME.webp (`make pictures`). tests/project/test_pictures.py draws the pictures again
and compares them.
"""

import functools
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from superpixel_kernels import Guidance, SegmentParams, segment, snap_mask
from superpixel_service.client.topology import share_borders
from superpixel_service.images.overlay import cracks, draw, grow
from superpixel_service.interactive import ObjectFinder, Point, find_object, outlines
from tools.docs import ROOT

PHOTOS = ROOT / "examples" / "photos"
IMAGES = ROOT / "docs" / "images"

Picture = NDArray[np.uint8]
_GAP = 8
_QUALITY = 70
_PORTRAIT = np.s_[:352, 60:412]  # of the astronaut
_MASK_COLORS = np.array(
    [(90, 90, 90), (200, 90, 60), (240, 240, 240), (190, 130, 60), (110, 160, 220)], np.uint8
)
_BLUE, _YELLOW, _RED = (0, 90, 181), (255, 225, 40), (220, 50, 32)


def photo(name: str, part: tuple[slice, slice] = (slice(None), slice(None))) -> Picture:
    """A part of a photograph: (height, width, 3) uint8."""
    return np.ascontiguousarray(np.asarray(Image.open(PHOTOS / f"{name}.jpg").convert("RGB"))[part])


def overview() -> Picture:
    """100, 400 and 1600 superpixels of one photograph."""
    image = photo("astronaut")
    hierarchy = segment(image)
    return beside([draw(image, hierarchy.cut(count), scale=1)[_PORTRAIT] for count in (100, 400, 1600)])


def nesting() -> Picture:
    """Three nested levels: borders of the coarsest in red, added borders of the next in yellow, then blue."""
    image = photo("chelsea", np.s_[:, 40:420])
    hierarchy = segment(image)
    scale = 2
    size = (image.shape[1] * scale, image.shape[0] * scale)
    picture = np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    for count, width, color in ((480, 0, _BLUE), (120, 1, _YELLOW), (30, 2, _RED)):
        labels = hierarchy.cut(count).repeat(scale, axis=0).repeat(scale, axis=1)
        picture[grow(cracks(labels), width)] = color
    return picture


def levels() -> Picture:
    """Each superpixel in its mean colour, at four counts."""
    image = photo("chelsea", np.s_[:, 75:375])
    hierarchy = segment(image)
    counts = (30, 120, 480, 1920)
    return beside([filled(hierarchy.cut(count), hierarchy.regions(count).mean_color) for count in counts])


def compactness() -> Picture:
    """150 superpixels at compactness 0, 10 and 60."""
    image = photo("coffee", np.s_[60:360, 120:460])
    panels = [segment(image, SegmentParams(compactness=value)).cut(150) for value in (0.0, 10.0, 60.0)]
    return beside([draw(image, labels, scale=1) for labels in panels])


def regions() -> Picture:
    """60 superpixels, with a line between the centroids of each two that touch."""
    image = photo("chelsea", np.s_[:, 40:400])
    hierarchy = segment(image)
    measured = hierarchy.regions(60)
    scale = 2
    labels = hierarchy.cut(60).repeat(scale, axis=0).repeat(scale, axis=1)
    picture = Image.fromarray(filled(labels, measured.mean_color))
    centers = (measured.centroid / 16 + 0.5) * scale
    pen = ImageDraw.Draw(picture)
    firsts = np.repeat(np.arange(60), np.diff(measured.neighbor_offsets))
    for a, b in zip(firsts, measured.neighbors, strict=True):
        pen.line([*centers[a], *centers[b]], fill=(255, 255, 255), width=2)
    for x, y in centers:
        pen.ellipse([x - 4, y - 4, x + 4, y + 4], fill=_RED)
    return np.asarray(picture)


def brush() -> Picture:
    """A stroke, and the superpixels that it selects."""
    image = photo("astronaut", _PORTRAIT)
    labels = segment(photo("astronaut")).cut(400)[_PORTRAIT]
    stroke = Image.new("L", (image.shape[1], image.shape[0]))
    ImageDraw.Draw(stroke).line(
        [(60, 250), (110, 310), (190, 320), (270, 260)], fill=255, width=9, joint="curve"
    )
    touched = np.asarray(stroke) > 0
    before, after = draw(image, labels, scale=1), draw(image, labels, scale=1)
    before[touched] = _BLUE
    chosen = np.isin(labels, np.unique(labels[touched]))
    after[chosen] = (after[chosen] * 0.35 + np.array(_BLUE) * 0.65).round().astype(np.uint8)
    return beside([before, after])


def guidance() -> Picture:
    """Rough masks of a photograph, and 24 superpixels: without them, and with each kind of guidance."""
    part = np.s_[:, 60:500]
    image = photo("coffee", part)
    masks = coffee_masks()[part]
    cup = np.isin(masks, (2, 3))
    hierarchies = [
        segment(image, guidance=given)
        for given in (
            None,
            Guidance(edges=255 * cracks(masks).astype(np.uint8)),
            Guidance(prior=masks),
            Guidance(prior=masks, prior_mode="hard"),
            Guidance(importance=96 * cup.astype(np.uint8)),
        )
    ]
    panels = [filled(masks, _MASK_COLORS)]
    panels += [filled(each.cut(24), each.regions(24).mean_color) for each in hierarchies]
    rows = [beside(panels[:3]), beside(panels[3:])]
    return np.vstack([rows[0], np.full((_GAP, *rows[0].shape[1:]), 255, np.uint8), rows[1]])


def borders() -> Picture:
    """Superpixels as polygons: exact, each simplified alone, and with shared borders."""
    part = np.s_[120:215, 330:450]
    hierarchy = segment(photo("coffee"))
    labels = hierarchy.cut(60)[part]
    colors = hierarchy.regions(60).mean_color
    values = np.array([colors[label] for label in np.unique(labels)])
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    panels = []
    for tolerance, alone in ((0, False), (2, True), (2, False)):
        found = share_borders(labels, 0 if alone else tolerance)
        polygons = [
            shapely.Polygon(outer.reshape(-1, 2) / 2, [hole.reshape(-1, 2) / 2 for hole in holes])
            for outer, *holes in ([np.array(ring) for ring in rings] for rings in found.rings())
        ]
        if alone:
            polygons = [shapely.simplify(polygon, tolerance) for polygon in polygons]
        panels.append(_drawn(polygons, [values[piece.value] for piece in found.pieces], labels.shape))
    return beside(panels)


def _drawn(polygons: list[Any], colors: list[Picture], shape: tuple[int, ...]) -> Picture:
    """Polygons in their colours, with lines around them; gaps are yellow, overlaps blue."""
    scale = 8  # drawn large, and reduced to half of it
    times = np.zeros((shape[0] * scale, shape[1] * scale), np.uint8)
    picture = Image.new("RGB", times.shape[::-1], _YELLOW)
    pen = ImageDraw.Draw(picture)
    for polygon, color in zip(polygons, colors, strict=True):
        inside = Image.new("1", picture.size)
        ImageDraw.Draw(inside).polygon(_points(polygon.exterior, scale), fill=1)
        for hole in polygon.interiors:
            ImageDraw.Draw(inside).polygon(_points(hole, scale), fill=0)
        picture.paste(tuple(map(int, color)), mask=inside)
        # A pixel less on each side: neighbours draw their common line both.
        times += ~grow(~np.asarray(inside), 1)
    picture.paste(_BLUE, mask=Image.fromarray(times > 1))
    for polygon in polygons:
        for ring in (polygon.exterior, *polygon.interiors):
            pen.line(_points(ring, scale), fill=(30, 30, 30), width=3)
    return np.asarray(picture.resize((shape[1] * scale // 2, shape[0] * scale // 2), Image.Resampling.BOX))


def _points(ring: Any, scale: int) -> list[tuple[float, ...]]:
    return [tuple(scale * value for value in point) for point in ring.coords]


def coffee_masks() -> NDArray[np.int32]:
    """Masks of the coffee cup as a network might give them: rough, and painted over one another."""
    canvas = Image.new("L", (600, 400))
    pen = ImageDraw.Draw(canvas)
    pen.ellipse([78, 62, 479, 388], fill=1)  # saucer
    body = [(174, 110), (180, 170), (205, 215), (235, 262), (280, 283), (330, 270), (370, 235), (396, 185)]
    pen.polygon([*body, (408, 110)], fill=2)
    pen.polygon([(195, 285), (207, 248), (228, 230), (258, 238), (248, 272), (232, 302), (205, 305)], fill=2)
    pen.ellipse([173, 17, 408, 208], fill=2)
    pen.ellipse([206, 95, 370, 193], fill=3)  # coffee
    pen.polygon([(377, 250), (404, 150), (398, 70), (424, 70), (422, 95), (386, 250)], fill=4)  # spoon
    pen.ellipse([326, 244, 407, 327], fill=4)
    return np.asarray(canvas, np.int32)


def cvat() -> Picture:
    """Two clicks on the coffee cup, and the mask with its polygon that CVAT gets."""
    image, found, points = clicked(
        "coffee", [Point(290, 140), Point(290, 60), Point(330, 300, positive=False)]
    )
    pen = ImageDraw.Draw(drawn := Image.fromarray(tinted(image, found, _BLUE)))
    ring = outlines(found)[0]
    pen.line([*ring, ring[0]], fill=_YELLOW, width=3)
    for x, y in ring[::12]:
        pen.rectangle([x - 3, y - 3, x + 3, y + 3], fill=_YELLOW)
    return halves([with_points(image, points), np.asarray(drawn)])


def label_studio() -> Picture:
    """A rectangle around the coffee cup, and the brush mask that Label Studio gets."""
    image = photo("coffee")
    box = (170, 15, 410, 285)
    found = find_object(picture_of("coffee"), (), box)
    pen = ImageDraw.Draw(drawn := Image.fromarray(image))
    pen.rectangle(box, outline=_YELLOW, width=4)
    return halves([np.asarray(drawn), tinted(image, found, _RED)])


def x_anylabeling() -> Picture:
    """The model "superpixels-100", and a click of smart select."""
    image, found, points = clicked("coffee", [Point(290, 140), Point(290, 60)])
    labels = segment(image).cut(100)
    pen = ImageDraw.Draw(drawn := Image.fromarray(image))
    rings = share_borders(labels + 1, 1).rings()
    for ring in [[value / 2 for value in rings[0]] for rings in rings]:
        pen.line([*ring, *ring[:2]], fill=_YELLOW, width=2)
    pen = ImageDraw.Draw(object_drawn := Image.fromarray(with_points(tinted(image, found, _BLUE), points)))
    ring = [value / 2 for value in share_borders(found.astype(int), 1).rings()[-1][0]]
    pen.line([*ring, *ring[:2]], fill=_YELLOW, width=3)
    return halves([np.asarray(drawn), np.asarray(object_drawn)])


def fiftyone() -> Picture:
    """The detection of a model, and the same snapped to superpixels."""
    image = photo("coffee")
    rough = np.roll(np.isin(coffee_masks(), (2, 3)), (9, 12), axis=(0, 1))
    snapped = snap_mask(segment(image), rough, 400)
    return halves([tinted(image, rough, _BLUE), tinted(image, snapped, _BLUE)])


@functools.cache
def picture_of(name: str) -> Any:
    """A photograph with its superpixels, for smart select."""
    return ObjectFinder().open((PHOTOS / f"{name}.jpg").read_bytes())


def clicked(name: str, points: list[Point]) -> tuple[Picture, NDArray[np.bool_], list[Point]]:
    """A photograph, the object that points select in it, and the points."""
    return photo(name), find_object(picture_of(name), points), points


def tinted(image: Picture, mask: NDArray[np.bool_], color: tuple[int, int, int]) -> Picture:
    """The picture with a colour over the mask."""
    out = image.copy()
    out[mask] = (out[mask] * 0.5 + np.array(color) * 0.5).round().astype(np.uint8)
    return out


def with_points(image: Picture, points: list[Point]) -> Picture:
    """The picture with clicks: white on the object, red beside it."""
    pen = ImageDraw.Draw(drawn := Image.fromarray(image))
    for point in points:
        color = (255, 255, 255) if point.positive else _RED
        pen.ellipse(
            [point.x - 8, point.y - 8, point.x + 8, point.y + 8], fill=color, outline=(0, 0, 0), width=2
        )
    return np.asarray(drawn)


def halves(panels: list[Picture]) -> Picture:
    """Panels side by side at two thirds of their size."""
    size = (panels[0].shape[1] * 2 // 3, panels[0].shape[0] * 2 // 3)
    return beside(
        [np.asarray(Image.fromarray(panel).resize(size, Image.Resampling.LANCZOS)) for panel in panels]
    )


PICTURES: Mapping[str, Callable[[], Picture]] = {
    function.__name__: function
    for function in (
        *(overview, nesting, levels, compactness, regions, brush, guidance, borders),
        *(cvat, label_studio, x_anylabeling, fiftyone),
    )
}
"""Per picture name, the function that draws it."""


def beside(panels: list[Picture]) -> Picture:
    """Join panels of equal height from left to right, with white gaps."""
    padded = [np.pad(panel, ((0, 0), (0, _GAP), (0, 0)), constant_values=255) for panel in panels]
    return np.hstack(padded)[:, :-_GAP]


def filled(labels: NDArray[np.int32], colors: Picture) -> Picture:
    """Give each pixel the colour of its label in `colors` (labels, 3), and darken the borders."""
    picture = colors[labels]
    line = cracks(labels)
    picture[line] = (picture[line] * 0.7).astype(np.uint8)
    return picture


def packed(picture: Picture) -> bytes:
    """Encode the picture as lossy WebP."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=_QUALITY, method=6)
    return file.getvalue()


def path_of(name: str) -> Path:
    """The file of the picture."""
    return IMAGES / f"{name}.webp"


def main() -> None:
    """Draw and write all pictures."""
    for name, function in PICTURES.items():
        path_of(name).write_bytes(packed(function()))


if __name__ == "__main__":
    main()
