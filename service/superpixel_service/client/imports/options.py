"""What to read from a file."""

from dataclasses import dataclass

from superpixel_service.client.exports import Class


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
