"""Reads the images and masks that `superpixel train-smart` learns from."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_service.client import InvalidRequest
from superpixel_service.client.sampling import positions
from superpixel_service.client.smart.arithmetic import Ints
from superpixel_service.client.smart.robot import Target
from superpixel_service.client.smart.samples import sample_sizes
from superpixel_service.client.smart.scene import Scene, groups_of, look
from superpixel_service.commands.image_files import find_images
from superpixel_service.commands.output import EXIT_USAGE, CommandFailed, read_file
from superpixel_service.in_process import FileSegmenter, pixels_of
from superpixel_service.in_process import read_file as accept

Objects: TypeAlias = Literal["values", "pieces"]

SMALLEST, LARGEST = 0.003, 0.5
"""The share of its image that an object may have. Other objects are left out."""

LEAST_PIXELS = 64
MOST_REGIONS = 3000
"""The tool works on a level with superpixels of at least `LEAST_PIXELS` on average, and at most this many."""

_UNLABELLED = 255


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its mask."""

    image: Path
    mask: Path


@dataclass(frozen=True, slots=True)
class Finished:
    """One image, measured, with its finished objects."""

    scene: Scene
    targets: list[Target]


def find_pairs(images: Path, masks: Path) -> tuple[list[Pair], list[str]]:
    """Pair each image with the mask of its name; returns messages about what was left out.

    Raises:
        CommandFailed: a folder does not exist, or there is no pair.
    """
    found = find_images(images)
    if not masks.is_dir():
        problem = "not a folder" if masks.exists() else "no such folder"
        raise CommandFailed(f"{masks}: {problem}", status=EXIT_USAGE)
    pairs, alone = [], []
    for image in found.images:
        inner = image.relative_to(images)
        for name in (inner.with_suffix(".png"), inner.with_name(f"{inner.name}.png")):
            if (masks / name).is_file():
                pairs.append(Pair(image, masks / name))
                break
        else:
            alone.append(image)
    if not pairs:
        raise CommandFailed(
            f"no image of {images} has a mask in {masks}: the mask of a/b.jpg is a/b.png or a/b.jpg.png"
        )
    notes = [*found.problems, *found.left_out]
    if alone:
        one = len(alone) == 1
        notes.append(f"{len(alone):,} {'image has' if one else 'images have'} no mask, such as {alone[0]}")
    return pairs, notes


def read_pair(pair: Pair, objects: Objects) -> Finished:
    """Segment the image, and find the objects of the mask in it.

    Raises:
        CommandFailed: one of the files cannot be read, or they do not fit.
    """
    data = read_file(pair.image)
    try:
        source = FileSegmenter("cpu", threads=1).segment(data).label_map
    except InvalidRequest as error:
        raise CommandFailed(f"{pair.image}: {error}") from None
    truth = _read_mask(pair.mask, (source.height, source.width))
    count = max(1, min(source.count, source.labels.size // LEAST_PIXELS, MOST_REGIONS))
    scene = look(source, count, pixels_of(accept(data)), None)
    # The same pixels as those of the scene.
    size = (source.height, source.width)
    grid = np.ix_(*map(positions, sample_sizes(*size), size))
    leaves = scene.leaf_of[source.cut(count)[source.labels[grid]]]
    return Finished(scene, _targets(scene, leaves, truth[grid], objects))


def _read_mask(path: Path, shape: tuple[int, int]) -> Ints:
    data = read_file(path)
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode, values = image.mode, np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise CommandFailed(f"{path}: cannot be read as a PNG file") from None
    if mode not in {"1", "L", "P", "I", "I;16"}:
        raise CommandFailed(f"{path}: must have one channel, gray or palette indexes, not {mode}")
    if values.shape != shape:
        raise CommandFailed(
            f"{path}: must be {shape[1]}x{shape[0]} as its image is, got {values.shape[1]}x{values.shape[0]}"
        )
    whole = values.astype(np.int64)
    return whole if mode in {"I", "I;16"} else np.where(whole == _UNLABELLED, 0, whole)


def _targets(scene: Scene, leaves: Ints, truth: Ints, objects: Objects) -> list[Target]:
    targets = []
    areas = scene.areas[: scene.leaves]
    for value in np.unique(truth[truth > 0]).tolist():
        inside = np.bincount(leaves[truth == value], minlength=scene.leaves).astype(np.float64)
        for part in _pieces(scene, inside / areas) if objects == "pieces" else [np.ones(scene.leaves)]:
            mine = inside * part
            area = float(mine.sum())
            if SMALLEST <= area / scene.samples <= LARGEST and (mine > 0.5 * areas).any():
                targets.append(Target(mine / areas, area))
    return targets


def _pieces(scene: Scene, inside: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The connected groups of leaves that lie inside, each with the leaves around it; as 0 and 1."""
    pieces = []
    for group in groups_of(scene, inside > 0.5):
        piece = np.zeros(scene.leaves)
        piece[group] = 1
        rim = {other for member in group for other in scene.adjacency[member] if inside[other] <= 0.5}
        piece[list(rim)] = 1
        pieces.append(piece)
    return pieces


def held_out(number: int, share: float) -> Sequence[int]:
    """The last images in the order of names: copies of one photograph stand together there."""
    return range(number - max(1, round(number * share)), number)
