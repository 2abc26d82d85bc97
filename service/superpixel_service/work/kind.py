"""What kind of work an image is, as far as the request tells before the image is decoded."""

from enum import StrEnum

from superpixel_service.model import Task

_PIXELS_PER_BASE_REGION = 40
"""A photograph's base partition has about one region per 52 pixels; most images have more regions."""


class Kind(StrEnum):
    """Kinds of work whose costs per pixel differ too much for one estimate."""

    USUAL = "usual"
    FINE = "fine"  # a count probably above the base count, for which regions must be split


def kind_of(task: Task) -> Kind:
    """The kind of work that `task` is."""
    where = task.region or task.image
    finest = task.counts[0] if task.counts else 0
    return Kind.FINE if finest * _PIXELS_PER_BASE_REGION > where.width * where.height else Kind.USUAL
