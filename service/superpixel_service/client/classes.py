"""Classes and objects that regions and pixels can have."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import InvalidParameter

MAX_CLASSES = 254
"""Largest number of classes. A class value is 1 to 254; 0 is no class."""

MAX_OBJECTS = 65_000
"""Largest number of objects."""

FIRST_OBJECT = 256
"""The value of a selection's first object."""

MAX_ID = 2**31 - 1
"""Largest `Class.id`."""


@dataclass(frozen=True, slots=True)
class Class:
    """A class that regions and pixels can have.

    Attributes:
        name: for people.
        color: `#rrggbb`.
        id: a number from 1 that stays the same over images and changes of the list: COCO's category.

    Raises:
        InvalidParameter: `color` has another form, or `id` is out of range.
    """

    name: str
    color: str
    id: int | None = None

    def __post_init__(self) -> None:
        if not is_color(self.color):
            raise InvalidParameter("color", f"must be #rrggbb, got {self.color!r}")
        if self.id is not None and not 1 <= self.id <= MAX_ID:
            raise InvalidParameter("id", f"must be from 1 to {MAX_ID}, got {self.id}")


@dataclass(frozen=True, slots=True)
class Instance:
    """An object: one of the things of a class, for example one of three cats.

    Attributes:
        class_value: its class, 1 or more. JSON calls it `class`.
        name: may be empty.
    """

    class_value: int
    name: str = ""


def is_color(text: str) -> bool:
    """Whether a text is `#rrggbb`."""
    return bool(re.fullmatch(r"#[0-9a-fA-F]{6}", text))


def check_lists(classes: Sequence[Class], objects: Sequence[Instance]) -> None:
    """Raise InvalidParameter if a list is too long, two classes have one id, or an object has no class."""
    if len(classes) > MAX_CLASSES:
        raise InvalidParameter("classes", f"must be at most {MAX_CLASSES}, got {len(classes)}")
    ids = [one.id for one in classes if one.id is not None]
    if len(ids) != len(set(ids)):
        raise InvalidParameter("classes", "two have the same id")
    if len(objects) > MAX_OBJECTS or any(not 1 <= one.class_value <= len(classes) for one in objects):
        raise InvalidParameter(
            "objects", f"must be at most {MAX_OBJECTS}, each with a class from 1 to {len(classes)}"
        )


def class_table(objects: Sequence[Instance]) -> NDArray[np.uint8]:
    """The class of each value of a selection: 0 to 254 are classes, 256 and more are objects."""
    table = np.zeros(FIRST_OBJECT + len(objects), np.uint8)
    table[1 : MAX_CLASSES + 1] = np.arange(1, MAX_CLASSES + 1)
    table[FIRST_OBJECT:] = [one.class_value for one in objects]
    return table


def renumbering(objects: int, gone: Collection[int], to: int) -> NDArray[np.uint16]:
    """The new value of each value of a selection when some leave: these become `to`, and later ones fall.

    Args:
        objects: number of objects before.
        gone: classes and objects that leave their lists.
        to: a value as numbered before: 0, or one that stays.
    """
    values = np.arange(FIRST_OBJECT + objects)
    leaves = np.isin(values, sorted(gone))
    fall = np.cumsum(leaves).astype(np.int64)
    fall[FIRST_OBJECT:] -= fall[FIRST_OBJECT - 1]  # classes and objects are numbered apart
    becomes = values - fall
    becomes[leaves] = becomes[to]
    return becomes.astype(np.uint16)
