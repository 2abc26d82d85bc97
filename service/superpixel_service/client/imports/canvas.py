"""Masks drawn one over another become an annotation."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.classes import MAX_CLASSES, MAX_ID, MAX_OBJECTS, Class, Instance, is_color
from superpixel_service.client.exports import Annotation
from superpixel_service.client.imports.checks import MAX_COVERED, as_text, fail
from superpixel_service.client.imports.colors import unused_color

_AT_ONCE = 1 << 22
"""Pixels that are painted at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Runs of pixels of many masks.

    Attributes:
        starts: int64: first pixel of each run, row by row or column by column.
        lengths: int64: pixels of each run.
        masks: int64: the number of the mask of each run, from 0.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    masks: NDArray[np.int64]


@dataclass(slots=True)
class Mask:
    """A mask of a file.

    Attributes:
        value: its class.
        is_object: False: its pixels have the class alone.
        name: of the object.
    """

    value: int
    is_object: bool
    name: str = ""


@dataclass(slots=True)
class Canvas:
    """Masks of one image. A later mask covers earlier ones.

    Attributes:
        width: pixels.
        height: pixels.
        masks: in the order in which they cover each other.
    """

    width: int
    height: int
    masks: list[Mask] = field(default_factory=list)

    def paint(self, runs: Iterable[Runs], *, by_columns: bool) -> NDArray[np.int32]:
        """Paint the runs of all masks.

        Returns:
            (height, width) int32: 1 + the number of the mask that covers each pixel, 0 for none.
        """
        parts = list(runs)
        starts, lengths, masks = (
            np.concatenate([getattr(part, name) for part in parts] or [np.zeros(0, np.int64)])
            for name in ("starts", "lengths", "masks")
        )
        if int(lengths.sum()) > MAX_COVERED:
            fail("masks", f"cover over {MAX_COVERED} pixels in all")
        order = np.argsort(masks, kind="stable")
        starts, lengths, masks = starts[order], lengths[order], masks[order]
        owners = np.zeros(self.width * self.height, np.int32)
        ends = np.cumsum(lengths)
        at = 0
        while at < starts.size:
            done = int(ends[at] - lengths[at])
            to = max(at + 1, int(np.searchsorted(ends, done + _AT_ONCE, "right")))
            if to == at + 1:
                owners[starts[at] : starts[at] + lengths[at]] = masks[at] + 1
            else:
                part = lengths[at:to]
                shift = starts[at:to] - (ends[at:to] - part - done)
                pixels = np.repeat(shift, part) + np.arange(int(part.sum()))
                owners[pixels] = np.repeat(masks[at:to] + 1, part)
            at = to
        if by_columns:
            return np.ascontiguousarray(owners.reshape(self.width, self.height).T)
        return owners.reshape(self.height, self.width)

    @staticmethod
    def label(labels: NDArray[np.uint32], owner_of: dict[int, int], where: str) -> NDArray[np.int32]:
        """Give all pixels to masks by labels, as `paint` does by runs.

        Args:
            labels: (height, width): 0 for none.
            owner_of: 1 + the number of the mask of each label.
            where: the part of the file that must list the labels, for the error text.
        """
        numbers, index = np.unique(labels, return_inverse=True)
        missing = next((one for one in numbers.tolist() if one and one not in owner_of), None)
        if missing is not None:
            fail("png", f"has the value {missing}, which {where} must list")
        table = np.array([owner_of[one] if one else 0 for one in numbers.tolist()], np.int32)
        return table[index].reshape(labels.shape)

    def annotation(self, owners: NDArray[np.int32], classes: Iterable[Class]) -> Annotation:
        """The annotation. Objects without pixels are left out."""
        seen = np.zeros(len(self.masks) + 1, bool)
        seen[owners] = True
        values = np.zeros(seen.size, np.uint8)
        numbers = np.zeros(seen.size, np.int64)
        objects = []
        for owner, mask in enumerate(self.masks, 1):
            values[owner] = mask.value
            if mask.is_object and seen[owner]:
                objects.append(mask)
                numbers[owner] = len(objects)
        if len(objects) > MAX_OBJECTS:
            fail("objects", f"must be at most {MAX_OBJECTS}, got {len(objects)}; read it with objects=False")
        instances = numbers.astype(np.uint16)[owners] if objects else None
        listed = tuple(Instance(one.value, one.name) for one in objects)
        return Annotation(values[owners], tuple(classes), instances, listed)


class Classes:
    """The classes of a file, found by what the file calls them."""

    def __init__(self, known: Iterable[Class]) -> None:
        """Begin without a class. A class with the name of one in `known` gets its colour."""
        self._known = {one.name: one for one in known}
        self._values: dict[Hashable, int] = {}
        self.all: list[Class] = []

    def find(self, key: Any) -> int | None:
        """The value of the class with this key in the file; None: no class has it yet."""
        return self._values.get(key) if isinstance(key, Hashable) else None

    def add(self, key: Any, name: str, *, color: Any = None, number: Any = None) -> int:
        """The value of the class with this key in the file; a missing class is appended.

        Args:
            key: number or name in the file.
            name: of a class that is appended.
            color: ignored if it is not `#rrggbb`.
            number: its stable number; ignored if it is not valid, or another class has it.
        """
        key = key if isinstance(key, Hashable) else repr(key)
        if key in self._values:
            return self._values[key]
        if len(self.all) == MAX_CLASSES:
            fail("classes", f"must be at most {MAX_CLASSES}")
        text = as_text(color)
        if text is None or not is_color(text):
            known = self._known.get(name)
            text = known.color if known else unused_color(self.all)
        valid = type(number) is int and 1 <= number <= MAX_ID
        taken = valid and any(one.id == number for one in self.all)
        self.all.append(Class(name, text, number if valid and not taken else None))
        self._values[key] = len(self.all)
        return len(self.all)
