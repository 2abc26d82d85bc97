"""What to read from a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from superpixel_service.client.exports import Class

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Options:
    """What to read.

    Attributes:
        name: of the image's file; None: not known.
        width: of the image in pixels; None: not known.
        height: of the image in pixels; None: not known.
        classes: of the caller.
        unnamed: class of masks that have none.
        objects: False: classes alone.
    """

    name: str | None
    width: int | None
    height: int | None
    classes: tuple[Class, ...]
    unnamed: Class
    objects: bool


def pick(named: Sequence[_T], *others: Sequence[_T]) -> _T | None:
    """Pick an image of a file of many.

    Args:
        named: those with the name that is wanted.
        others: lists of which the only member is picked.

    Returns:
        The only member of the first list that has one, `named` before the others; else the first of `named`;
        None: there is none.
    """
    only = [some[0] for some in (named, *others) if len(some) == 1]
    return next(iter([*only, *named]), None)
