"""The descriptions of OME-NGFF 0.5 (https://ngff.openmicroscopy.org/0.5/): images, and images of labels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

NGFF_VERSION = "0.5"


class Pixel(NamedTuple):
    """The size of a pixel, and its unit.

    Attributes:
        width, height: in the unit.
        unit: a name of UDUNITS-2 as OME-NGFF lists them; empty: not known.
    """

    width: float = 1.0
    height: float = 1.0
    unit: str = ""


def image_attributes(name: str, paths: Sequence[str], pixel: Pixel) -> dict[str, Any]:
    """Describe an image of three colours, with a path per level of its pyramid."""
    return {
        "version": NGFF_VERSION,
        "multiscales": [_multiscale(name, paths, pixel, ["c"])],
        "omero": {
            "channels": [
                {
                    "label": label,
                    "color": color,
                    "active": True,
                    "window": {"min": 0, "max": 255, "start": 0, "end": 255},
                }
                for label, color in (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
            ],
            "rdefs": {"model": "color"},
        },
    }


def label_attributes(name: str, paths: Sequence[str], pixel: Pixel) -> dict[str, Any]:
    """Describe an image of labels of the image two groups above."""
    return {
        "version": NGFF_VERSION,
        "multiscales": [_multiscale(name, paths, pixel, [])],
        "image-label": {"source": {"image": "../../"}},
    }


def _multiscale(name: str, paths: Sequence[str], pixel: Pixel, before: Sequence[str]) -> dict[str, Any]:
    unit = {"unit": pixel.unit} if pixel.unit else {}
    axes: list[dict[str, Any]] = [{"name": axis, "type": "channel"} for axis in before]
    axes += [{"name": axis, "type": "space", **unit} for axis in ("y", "x")]
    datasets = []
    for level, path in enumerate(paths):
        size = 1 << level
        scale = [1.0 for _ in before] + [pixel.height * size, pixel.width * size]
        # The centre of a pixel of this level, in the coordinates of the finest level's centres.
        shift = [0.0 for _ in before] + [pixel.height * (size - 1) / 2, pixel.width * (size - 1) / 2]
        transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if level:
            transformations.append({"type": "translation", "translation": shift})
        datasets.append({"path": path, "coordinateTransformations": transformations})
    return {"name": name, "axes": axes, "datasets": datasets}
