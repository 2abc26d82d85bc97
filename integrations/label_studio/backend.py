"""A machine-learning backend for Label Studio: clicks, rectangles and brush strokes become objects.

    pip install -r requirements.txt ../..                    in a new environment; ../.. is this checkout
    python label_config.py Cat Dog > config.xml              the labelling interface of the project
    SUPERPIXEL_SERVER=127.0.0.1:50051 python backend.py      then connect Label Studio to http://127.0.0.1:9090

The interface needs a BrushLabels tag for the results. Beside it, it may have the tags that Label Studio sends
to a backend while a labeller works: KeyPointLabels, RectangleLabels and BrushLabels with smart="true". Two
attributes of the BrushLabels tag choose what the backend does:

    superpixelCount="400"     superpixels of an image; default SUPERPIXEL_COUNT, or 3000
    superpixelMode="touched"  a mark selects the superpixels that it touches;
                   "smart"    a mark selects the object that it shows; default SUPERPIXEL_MODE, or "smart"

Without SUPERPIXEL_SERVER the backend makes the superpixels itself. LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY
let it fetch uploaded images and images of cloud storages from Label Studio.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from label_studio_ml.api import init_app
from label_studio_ml.model import LabelStudioMLBase
from label_studio_sdk._extensions.label_studio_tools.core.utils.io import get_local_path
from label_studio_sdk.converter.brush import decode_rle
from numpy.typing import NDArray

from superpixel_service.client import exports
from superpixel_service.client.smart import SmartSelect
from superpixel_service.interactive import DEFAULT_COUNT, Box, ObjectFinder, Picture, find_object

FINDER = ObjectFinder.from_environment()
MODES = ("smart", "touched")

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Options:
    """What the labelling interface chooses.

    Attributes:
        count: superpixels of an image.
        mode: of `MODES`.
    """

    count: int
    mode: str

    @classmethod
    def of(cls, label_config: str, name: str) -> "Options":
        """Read the attributes of a BrushLabels tag.

        Raises:
            ValueError: an attribute, or the variable that stands for it, is malformed.
        """
        tag = next(
            each
            for each in ElementTree.fromstring(label_config).iter("BrushLabels")
            if each.get("name") == name
        )
        count = int(tag.get("superpixelCount") or os.environ.get("SUPERPIXEL_COUNT") or DEFAULT_COUNT)
        mode = tag.get("superpixelMode") or os.environ.get("SUPERPIXEL_MODE") or "smart"
        if count < 1 or mode not in MODES:
            raise ValueError(f"superpixelCount must be at least 1 and superpixelMode one of {MODES}")
        return cls(count, mode)


def stroke_of(mark: dict[str, Any], shape: tuple[int, ...]) -> Mask | None:
    """The pixels of a brush stroke; None for other marks."""
    value = mark["value"]
    if "rle" not in value:
        return None
    height, width = shape
    # decode_rle allocates as many bytes as the first 32 bits say.
    announced = int.from_bytes(bytes(value["rle"][:4]), "big")
    if announced != 4 * height * width:
        raise ValueError(f"rle: {announced} values, must be {4 * height * width}")
    stroke: Mask = decode_rle(value["rle"]).reshape(height, width, 4)[..., 3] > 0
    return stroke


def place_of(mark: dict[str, Any], shape: tuple[int, ...]) -> tuple[float, float]:
    """The place of a click, or the corner of a rectangle, in pixels."""
    height, width = shape
    x, y = mark["value"]["x"] / 100 * width, mark["value"]["y"] / 100 * height
    return min(max(x, 0), width - 1), min(max(y, 0), height - 1)


def box_of(mark: dict[str, Any], shape: tuple[int, ...]) -> Box:
    """The rectangle of a mark in pixels."""
    height, width = shape
    value = mark["value"]
    x, y = value["x"] / 100 * width, value["y"] / 100 * height
    return x, y, x + value["width"] / 100 * width, y + value["height"] / 100 * height


def is_rectangle(mark: dict[str, Any]) -> bool:
    """Whether a mark is a rectangle; clicks have a width, too, but no height."""
    return "height" in mark["value"]


def touched(picture: Picture, marks: list[dict[str, Any]]) -> Mask:
    """The superpixels that marks touch; marks that are not positive take away."""
    labels = picture.label_map.labels
    chosen = np.zeros(picture.count, np.bool_)
    for mark in marks:
        stroke = stroke_of(mark, labels.shape)
        if stroke is not None:
            regions = np.unique(labels[stroke])
        elif is_rectangle(mark):
            x0, y0, x1, y1 = (round(value) for value in box_of(mark, labels.shape))
            regions = np.unique(labels[max(y0, 0) : y1, max(x0, 0) : x1])
        else:
            x, y = place_of(mark, labels.shape)
            regions = labels[int(y), int(x)]
        chosen[regions] = mark.get("is_positive", True)
    return chosen[labels]


def selected(picture: Picture, marks: list[dict[str, Any]]) -> Mask:
    """The object that marks show: clicks and strokes one after another, and rectangles around it."""
    labels = picture.label_map.labels
    found = np.zeros(labels.shape, np.bool_)
    smart = SmartSelect(picture.label_map, picture.count, picture.image)
    clicked = False
    for mark in marks:
        stroke = stroke_of(mark, labels.shape)
        if stroke is None and is_rectangle(mark):
            inside = find_object(picture, (), box_of(mark, labels.shape))
            found = found | inside if mark.get("is_positive", True) else found & ~inside
            continue
        positive = mark.get("is_positive", True)
        if stroke is not None:
            # A stroke is wanted itself, too: its superpixels in the order of their pixels.
            regions = np.unique(labels[stroke]).tolist()
        else:
            x, y = place_of(mark, labels.shape)
            regions = [int(labels[int(y), int(x)])]
        smart.touch(regions, positive=positive)
        smart.accept()
        clicked = True
    if clicked:
        chosen = np.zeros(picture.count, np.bool_)
        chosen[smart.chosen] = True
        found = found | chosen[labels]
    return found


class SuperpixelBackend(LabelStudioMLBase):  # type: ignore[misc]  # the package has no types
    """Label Studio's predictions while a labeller works."""

    def predict(
        self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **_: Any
    ) -> list[dict[str, Any]]:
        """Return one prediction per task: a brush mask, or none if the labeller has marked nothing."""
        marks = (context or {}).get("result", [])
        return [{"result": self._brush(task, marks) if marks else [], "score": 1.0} for task in tasks]

    def _brush(self, task: dict[str, Any], marks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        (name, tag), *_ = (
            (name, tag) for name, tag in self.parsed_label_config.items() if tag["type"] == "BrushLabels"
        )
        options = Options.of(self.label_config, name)
        url = task["data"][tag["inputs"][0]["value"]]
        picture = FINDER.open(self._read(url, task.get("id")), options.count)
        mask = (selected if options.mode == "smart" else touched)(picture, marks)
        value = marks[-1]["value"]
        labels = (value.get(kind) for kind in ("brushlabels", "keypointlabels", "rectanglelabels"))
        label = next((each for each in labels if each), tag["labels"])[0]
        annotation = exports.Annotation(mask.astype(np.uint8), (exports.Class(label, "#000000"),))
        return exports.to_label_studio(annotation, from_name=name, to_name=tag["to_name"][0])

    def _read(self, url: str, task: int | None) -> bytes:
        """The image file of a task: local, by URL, or from Label Studio with its token."""
        host, key = os.environ.get("LABEL_STUDIO_URL"), os.environ.get("LABEL_STUDIO_API_KEY")
        if host:
            return Path(get_local_path(url, hostname=host, access_token=key, task_id=task)).read_bytes()
        return Path(self.get_local_path(url)).read_bytes()


app = init_app(SuperpixelBackend)

if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ.get("PORT", "9090")))
