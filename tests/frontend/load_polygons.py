"""Rasterise polygons with pycocotools. `.venv-frontend/bin/python load_polygons.py CASES OUT`.

CASES is a JSON file of COCO data sets; OUT gets a (height, width) array per data set: 1 + the index of the
last annotation that covers the pixel.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO


def main() -> None:
    found = {}
    for number, content in enumerate(json.loads(Path(sys.argv[1]).read_text())):
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO()
            coco.dataset = content
            coco.createIndex()
        image = content["images"][0]
        owners = np.zeros((image["height"], image["width"]), np.int32)
        for index, one in enumerate(content["annotations"], 1):
            owners[coco.annToMask(one) == 1] = index
        found[str(number)] = owners
    np.savez(sys.argv[2], **found)


if __name__ == "__main__":
    main()
