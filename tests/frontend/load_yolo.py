"""Load a YOLO data set with Ultralytics' own loader. `.venv-readers/bin/python load_yolo.py FOLDER`.

FOLDER has the data set (`yolo/`), classes.json, and values.npz: per image and pixel 0, its class, or 256 +
its object; and the class of each value. The longer side of all images has the same length. Prints how many
lines were compared, and fails at the first difference.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

# Without a network, and without files in the user's home. An empty file keeps it from a search for fonts.
HOME = tempfile.TemporaryDirectory()
(Path(HOME.name) / "Ultralytics").mkdir()
for font in ("Arial.ttf", "Arial.Unicode.ttf"):
    (Path(HOME.name) / "Ultralytics" / font).touch()
os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": HOME.name}

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from ultralytics.cfg import get_cfg  # noqa: E402
from ultralytics.data.dataset import YOLODataset  # noqa: E402
from ultralytics.data.utils import check_det_dataset  # noqa: E402


def compare(masks: np.ndarray, labels: np.ndarray, values: np.ndarray, classes: np.ndarray) -> None:
    """The masks of the lines of one image: first objects, then pieces of classes."""
    things = [value for value in np.unique(values).tolist() if value >= 256]
    seen = np.zeros_like(values)
    for number, (mask, label) in enumerate(zip(masks, labels, strict=True)):
        piece = mask == 1
        if number < len(things):
            # The bridges between an object's pieces are drawn, too: at most one pixel wide each.
            own = values == things[number]
            pieces = cv2.connectedComponents(own.astype(np.uint8), connectivity=4)[0] - 1
            assert piece[own].all(), "a part of an object"
            assert (piece & ~own).sum() <= (pieces - 1) * 2 * max(values.shape), "more than bridges"
            piece = own
        assert not seen[piece].any(), "two lines on one pixel"
        (value,) = np.unique(values[piece])
        seen[piece] = value
        assert classes[value] == 1 + int(label)
    assert np.array_equal(seen, values)


def load(folder: str, data: dict, values: dict[str, np.ndarray], classes: np.ndarray) -> int:
    """All images of a split, as for validation: whole, on a square. Returns the number of lines."""
    size = max(max(one.shape) for one in values.values())
    options = {"img_path": folder, "data": data, "task": "segment", "augment": False, "imgsz": size}
    lines = 0
    wanted = {name: one for name, one in values.items() if (Path(folder) / name).exists()}
    exact = YOLODataset(**options, hyp=get_cfg(overrides={"mask_ratio": 1, "overlap_mask": False}))
    usual = YOLODataset(**options, hyp=get_cfg())
    assert len(exact) == len(usual) == len(wanted), "an image was refused"
    for item, other in zip(exact, usual, strict=True):
        one = wanted[str(Path(item["im_file"]).relative_to(folder))]
        (top, left), (height, width) = [(size - side) // 2 for side in one.shape], one.shape
        masks = np.asarray(item["masks"])
        inside = masks[:, top : top + height, left : left + width]
        if one.any():
            assert masks.sum() == inside.sum()
            compare(inside, np.asarray(item["cls"])[:, 0], one, classes)
        else:
            assert not len(item["cls"])
        assert len(other["cls"]) == len(item["cls"])
        lines += len(item["cls"])
    return lines


def main() -> None:
    root = Path(sys.argv[1])
    values = dict(np.load(root / "values.npz").items())
    classes = values.pop("classes")
    names = [one["name"] for one in json.loads((root / "classes.json").read_text())["classes"]]
    data = check_det_dataset(root / "yolo" / "data.yaml", autodownload=False)
    assert data["names"] == dict(enumerate(names))
    assert data["nc"] == len(names)
    print(json.dumps({split: load(data[split], data, values, classes) for split in ("train", "val")}))


if __name__ == "__main__":
    main()
