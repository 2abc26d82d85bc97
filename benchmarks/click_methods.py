"""Ways to select an object by clicks, for the robot of clicks.py."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import Hierarchy, codec, segment
from superpixel_service.client.smart import Scorer, SmartSelect
from superpixel_service.client.smart.scene import Scene

Mask = NDArray[np.bool_]
Pixels = NDArray[np.uint8]

REGION = 64
"""Pixels per superpixel."""

GROWTHS = (-4.0, -3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0, 4.0)
"""What a labeller tries while dragging."""

WORTH = 0.05
"""A drag must gain this much intersection over union."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A photograph with its superpixels."""

    image: Pixels

    @cached_property
    def hierarchy(self) -> Hierarchy:
        """All superpixels."""
        return segment(self.image, threads=1)

    @cached_property
    def map(self) -> codec.LabelMap:
        """As a browser gets them."""
        count = self.hierarchy.base_count
        return codec.decode(self.hierarchy.encode(count, include_hierarchy=True))

    @property
    def count(self) -> int:
        """Superpixels of `REGION` pixels."""
        height, width = self.hierarchy.shape
        return min(self.hierarchy.base_count, height * width // REGION)

    @cached_property
    def scene(self) -> Scene:
        """The regions of `count`, as smart select measures them."""
        return SmartSelect(self.map, self.count, self.image, weights=None)._scene  # noqa: SLF001


@dataclass(frozen=True, slots=True, eq=False)
class Click:
    """What the robot does.

    Attributes:
        x, y: the pixel.
        positive: whether it belongs to the object.
        stroke: (n, 2) x, y of the pixels on a stroke through the middle of the wrong area, from the pixel.
        truth: the object: a labeller who drags sees it.
    """

    x: int
    y: int
    positive: bool
    stroke: NDArray[np.int64]
    truth: Mask


class Session(Protocol):
    """One object being selected."""

    def click(self, click: Click) -> Mask:
        """Return what is selected after the click."""


Method = Callable[[Picture], Session]


class _Chosen:
    """Superpixels of a picture, and which of them are selected."""

    def __init__(self, picture: Picture) -> None:
        self.scene = picture.scene
        self.labels = picture.hierarchy.cut(picture.count)
        self.chosen = np.zeros(self.scene.leaves, np.bool_)


def flat(count: int, *, strokes: bool = False) -> Method:
    """Each click takes one superpixel of a flat map, each stroke all that it touches."""

    class Flat:
        def __init__(self, picture: Picture) -> None:
            self.labels = picture.hierarchy.cut(min(count, picture.hierarchy.base_count))
            self.chosen = np.zeros(int(self.labels.max()) + 1, np.bool_)

        def click(self, click: Click) -> Mask:
            points = click.stroke if strokes else np.array([[click.x, click.y]])
            self.chosen[self.labels[points[:, 1], points[:, 0]]] = click.positive
            return self.chosen[self.labels]

    return Flat


def flood(tolerance: float) -> Method:
    """Each click takes the superpixels that hang together with it and have a similar mean colour."""

    class Flood(_Chosen):
        def click(self, click: Click) -> Mask:
            leaf = int(self.labels[click.y, click.x])
            colors = self.scene.colors[: self.scene.leaves]
            near: Mask = np.sqrt(((colors - colors[leaf]) ** 2).sum(axis=1)) <= tolerance
            todo, found = [leaf], {leaf}
            while todo:
                for other in self.scene.adjacency[todo.pop()]:
                    if near[other] and other not in found:
                        found.add(other)
                        todo.append(other)
            self.chosen[list(found)] = click.positive
            return self.chosen[self.labels]

    return Flood


class TreeDrag(_Chosen):
    """Each click takes the best of its ancestors: the labeller drags until it looks best."""

    def click(self, click: Click) -> Mask:
        """Take the ancestor with the largest overlap."""
        areas = self.scene.areas[: self.scene.leaves]
        inside = np.bincount(self.labels[click.truth], minlength=len(areas))
        best, most = self.chosen, -1.0
        for node in self.scene.path(int(self.labels[click.y, click.x])):
            chosen = self.chosen.copy()
            chosen[self.scene.members(node)] = click.positive
            quality = _overlap(chosen, inside, areas)
            if quality > most:
                best, most = chosen, quality
        self.chosen = best
        return self.chosen[self.labels]


def smart(weights: Scorer | None, *, drag: bool = False, strokes: bool = False) -> Method:
    """Smart select, with the weights given (None: those of the package)."""

    class Smart:
        def __init__(self, picture: Picture) -> None:
            self.labels = picture.hierarchy.cut(picture.count)
            self.tool = SmartSelect(
                picture.map, picture.count, picture.image, weights="default" if weights is None else weights
            )
            self.areas = np.bincount(self.labels.ravel())

        def click(self, click: Click) -> Mask:
            points = click.stroke if strokes else np.array([[click.x, click.y]])
            regions = self.labels[points[:, 1], points[:, 0]].tolist()
            flips = self.tool.touch(dict.fromkeys(regions), positive=click.positive)
            if drag:
                inside = np.bincount(self.labels[click.truth], minlength=len(self.areas))
                plain = self._quality(flips, click, inside)
                tried = [(self._quality(self.tool.regrow(g), click, inside), g) for g in GROWTHS]
                best, growth = max(tried)
                self.tool.regrow(growth if best > plain + WORTH else 0.0)
            self.tool.accept()
            return self._mask()

        def _mask(self) -> Mask:
            chosen = np.zeros(len(self.areas), np.bool_)
            chosen[self.tool.chosen] = True
            return chosen[self.labels]

        def _quality(self, flips: NDArray[np.int32], click: Click, inside: NDArray[np.int64]) -> float:
            chosen = np.zeros(len(self.areas), np.bool_)
            chosen[self.tool.chosen] = True
            chosen[flips] = click.positive
            return _overlap(chosen, inside, self.areas)

    return Smart


@dataclass(eq=False)
class _Marked:
    """Marks on pixels, of radius 3."""

    picture: Picture
    marks: NDArray[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.marks = np.zeros(self.picture.hierarchy.shape, np.int8)

    def mark(self, click: Click) -> None:
        """Mark the pixels around a click."""
        rows, columns = np.ogrid[: self.marks.shape[0], : self.marks.shape[1]]
        near = (rows - click.y) ** 2 + (columns - click.x) ** 2 <= 9
        self.marks[near] = 1 if click.positive else -1


class GrabCut(_Marked):
    """OpenCV's GrabCut (Rother et al. 2004), five iterations per click from marks of radius 3."""

    def click(self, click: Click) -> Mask:
        """Mark, and segment again."""
        cv2: Any = importlib.import_module("cv2")
        self.mark(click)
        mask = np.full(self.picture.hierarchy.shape, cv2.GC_PR_BGD, np.uint8)
        # Before there is a mark outside, the object may be near the click.
        rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
        ys, xs = np.nonzero(self.marks > 0)
        for y, x in zip(ys[::9], xs[::9], strict=True):
            mask[(rows - y) ** 2 + (columns - x) ** 2 <= 40**2] = cv2.GC_PR_FGD
        mask[self.marks > 0] = cv2.GC_FGD
        mask[self.marks < 0] = cv2.GC_BGD
        if not (self.marks > 0).any():
            return np.zeros(mask.shape, np.bool_)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        bgr = np.ascontiguousarray(self.picture.image[..., ::-1])
        cv2.setRNGSeed(0)
        cv2.grabCut(bgr, mask, None, *models, 5, cv2.GC_INIT_WITH_MASK)
        return np.asarray((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))


class RandomWalker(_Marked):
    """scikit-image's random walker (Grady 2006) at half the resolution; the frame is outside at first."""

    def click(self, click: Click) -> Mask:
        """Mark, and segment again."""
        walker: Any = importlib.import_module("skimage.segmentation").random_walker
        self.mark(click)
        seeds = np.where(self.marks > 0, 1, np.where(self.marks < 0, 2, 0))[::2, ::2]
        if not (seeds == 2).any():
            for side in (seeds[0], seeds[-1], seeds[:, 0], seeds[:, -1]):
                side[side == 0] = 2
        if not (seeds == 1).any():
            return np.zeros(self.marks.shape, np.bool_)
        found = walker(self.picture.image[::2, ::2] / 255, seeds, beta=130, mode="cg_j", channel_axis=-1)
        height, width = self.marks.shape
        return np.asarray((found == 1).repeat(2, 0).repeat(2, 1)[:height, :width])


def _overlap(chosen: Mask, inside: NDArray[np.integer], areas: NDArray[Any]) -> float:
    hit = float(inside[chosen].sum())
    return hit / (float(inside.sum()) + float(areas[chosen].sum()) - hit)
