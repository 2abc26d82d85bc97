"""Load COCO exports with datumaro, as a whole and as a stream.

`.venv-frontend/bin/python load_datumaro.py FOLDER`: FOLDER has one data set as datumaro wants it: `images`,
`annotations/instances_NAME.json`, `annotations/panoptic_NAME.json`, `annotations/panoptic_NAME`; and
`values.npy`: per pixel 0, its class, or 256 + its object. Prints how many objects were read.
"""

import json
import logging
import sys
from pathlib import Path

import numpy as np
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset, StreamDataset


def read(dataset: Dataset, values: np.ndarray) -> int:
    """Compare every pixel; return the number of objects."""
    (item,) = list(dataset)
    seen = np.zeros_like(values)
    masks = [one for one in item.annotations if one.type is AnnotationType.mask]
    for mask in masks:
        inside = np.asarray(mask.image).astype(bool)
        (value,) = np.unique(values[inside])
        assert not seen[inside].any()
        seen[inside] = value
    assert np.array_equal(seen, values)
    return len(masks)


def main() -> None:
    logging.disable(logging.WARNING)
    root = sys.argv[1]
    values = np.load(Path(root) / "values.npy")
    found = {
        "whole": read(Dataset.import_from(root, "coco_instances"), values),
        "stream": read(StreamDataset.import_from(root, "coco_instances"), values),
        "panoptic": read(Dataset.import_from(root, "coco_panoptic"), values),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
