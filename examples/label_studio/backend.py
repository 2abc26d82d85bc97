"""A machine-learning backend for Label Studio: it turns a click or a brush stroke into whole superpixels.

    pip install -r requirements.txt ../..                    in a new environment; ../.. is this checkout
    SUPERPIXEL_SERVER=127.0.0.1:50051 python backend.py      then connect Label Studio to http://127.0.0.1:9090

The labelling interface of the project needs a BrushLabels tag. Beside it, add any of the tags that Label
Studio sends to a backend while a labeller works ("smart" tools):

    <View>
      <Image name="image" value="$image"/>
      <BrushLabels name="brush" toName="image" smart="true"><Label value="Cat"/></BrushLabels>
      <KeyPointLabels name="point" toName="image" smart="true"><Label value="Cat"/></KeyPointLabels>
    </View>

`SUPERPIXEL_AREA` is the average size of superpixels, in pixels (default 600).
"""

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
from label_studio_ml.api import init_app
from label_studio_ml.model import LabelStudioMLBase
from label_studio_sdk.converter.brush import decode_rle
from numpy.typing import NDArray

from superpixel_service.client import Client, exports

SERVER = os.environ.get("SUPERPIXEL_SERVER", "127.0.0.1:50051")
AREA = float(os.environ.get("SUPERPIXEL_AREA", "600"))

# Label Studio calls once per stroke; the cache avoids segmenting the same image again.
CACHED_IMAGES = 16


@functools.lru_cache(CACHED_IMAGES)
def superpixels(path: Path, _changed: float) -> NDArray[np.int32]:
    """Label map of the image, (height, width) int32."""
    with Client(SERVER) as client:
        return client.segment(path, areas=AREA).labels


def touched(labels: NDArray[np.int32], mark: dict[str, Any]) -> NDArray[np.int32]:
    """Labels of the superpixels that a click or a stroke touches."""
    height, width = labels.shape
    value = mark["value"]
    if "rle" in value:
        # decode_rle allocates as many bytes as the first 32 bits say.
        announced = int.from_bytes(bytes(value["rle"][:4]), "big")
        if announced != 4 * height * width:
            raise ValueError(f"rle: {announced} values, must be {4 * height * width}")
        stroke = decode_rle(value["rle"]).reshape(height, width, 4)[..., 3] > 0
        return np.unique(labels[stroke])
    x, y = (int(value[axis] / 100 * size) for axis, size in (("x", width), ("y", height)))
    here = labels[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]
    return np.array([here])


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
        path = Path(self.get_local_path(task["data"][tag["inputs"][0]["value"]]))
        labels = superpixels(path, path.stat().st_mtime)
        mask = np.zeros(labels.shape, np.uint8)
        for mark in marks:
            erases = not mark.get("is_positive", True)
            mask[np.isin(labels, touched(labels, mark))] = 0 if erases else 1
        value = marks[-1]["value"]
        label = (value.get("brushlabels") or value.get("keypointlabels") or tag["labels"])[0]
        annotation = exports.Annotation(mask, (exports.Class(label, "#000000"),))
        return exports.to_label_studio(annotation, from_name=name, to_name=tag["to_name"][0])


app = init_app(SuperpixelBackend)

if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ.get("PORT", "9090")))
