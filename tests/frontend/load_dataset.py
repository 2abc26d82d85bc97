"""Load a data set with the tools that read these formats. `.venv-frontend/bin/python load_dataset.py FOLDER`.

FOLDER holds the data set, and masks.npz with (height, width) classes of each image, 1 + the index in the
schema. Prints how many objects were compared, and fails at the first difference.
"""

import contextlib
import importlib
import io
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset as Datumaro
from load_exports import polygon2mask
from PIL import Image
from pycocotools.coco import COCO


def as_coco(root: Path, wanted: dict[str, np.ndarray], ids: list[int]) -> int:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(root / "instances.json")
    assert [one["id"] for one in coco.loadCats(coco.getCatIds())] == ids
    assert len(coco.anns) == len(coco.dataset["annotations"]), "annotation ids are not unique"
    for image in coco.loadImgs(coco.getImgIds()):
        seen = np.zeros((image["height"], image["width"]), np.uint8)
        for one in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]])):
            inside = coco.annToMask(one) == 1
            assert not seen[inside].any()
            seen[inside] = 1 + ids.index(one["category_id"])
        assert np.array_equal(seen, wanted[image["file_name"]]), image
    # Results of a model can be compared with it.
    with contextlib.redirect_stdout(io.StringIO()):
        coco.loadRes([{**one, "score": 1.0} for one in coco.dataset["annotations"]])
    return len(coco.anns)


def as_panoptic(root: Path, wanted: dict[str, np.ndarray], ids: list[int]) -> int:
    """As panopticapi reads it: the id of a segment is R + 256 G + 65,536 B."""
    content = json.loads((root / "panoptic.json").read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    things = {one["id"] for one in content["categories"] if one["isthing"]}
    segments = 0
    for row in content["annotations"]:
        rgb = np.asarray(Image.open(root / "panoptic" / row["file_name"]).convert("RGB"), np.uint32)
        numbers = rgb @ np.array([1, 256, 65_536], np.uint32)
        seen = np.zeros(numbers.shape, np.uint8)
        for one in row["segments_info"]:
            inside = numbers == one["id"]
            assert inside.sum() == one["area"]
            assert not one["iscrowd"] or one["category_id"] in things
            seen[inside] = 1 + ids.index(one["category_id"])
            segments += 1
        assert np.array_equal(seen, wanted[names[row["image_id"]]])
    return segments


def panoptic_quality(root: Path) -> list[str]:
    """The set compared with itself, and with other classes, by evaluations for this format: their names.

    panopticapi is not on PyPI, so it takes part only if it is installed, or on PYTHONPATH.
    """
    truth = root / "panoptic.json"
    content = json.loads(truth.read_text())
    segments = [one for row in content["annotations"] for one in row["segments_info"]]
    counted = {one["category_id"] for one in segments if not one["iscrowd"]}
    things = {one["id"] for one in content["categories"] if one["isthing"]}
    ids = [one["id"] for one in content["categories"]]
    for one in segments:
        one["category_id"] = ids[(ids.index(one["category_id"]) + 1) % len(ids)]
    readers = []
    with tempfile.TemporaryDirectory() as folder:
        wrong = Path(folder) / "wrong.json"
        wrong.write_text(json.dumps(content))
        for name in ("hotcoco.panoptic", "panopticapi.evaluation"):
            try:
                reader = importlib.import_module(name)
            except ModuleNotFoundError:
                continue
            for predicted, quality in ((truth, 1), (wrong, 0)):
                with contextlib.redirect_stdout(io.StringIO()):
                    found = reader.pq_compute(str(truth), str(predicted), *[str(root / "panoptic")] * 2)
                assert found["All"]["pq"] == found["All"]["rq"] == quality, (name, found)
                if quality:
                    groups = {"All": counted, "Things": counted & things, "Stuff": counted - things}
                    assert {key: found[key]["n"] for key in groups} == {k: len(v) for k, v in groups.items()}
            readers.append(name.split(".")[0])
    return readers


def as_yolo(root: Path, wanted: dict[str, np.ndarray], classes: list[str]) -> int:
    settings = yaml.safe_load((root / "yolo" / "data.yaml").read_text())
    assert settings["names"] == dict(enumerate(classes))
    lines = 0
    found = []
    for split in ("train", "val"):
        images = root / "yolo" / settings[split]
        for image in sorted(path for path in images.rglob("*") if path.is_file()):
            # As Ultralytics' img2label_paths.
            label = Path(str(image).replace("/images/", "/labels/").rsplit(".", 1)[0] + ".txt")
            name = str(image.relative_to(images))
            mask = wanted[name]
            height, width = mask.shape
            seen = np.zeros_like(mask)
            for line in label.read_text().splitlines():
                row = np.array(line.split(), np.float32)
                points = row[1:].reshape(-1, 2) * np.array([width, height], np.float32)
                seen[polygon2mask((height, width), [points.ravel()]) == 1] = 1 + int(row[0])
                lines += 1
            assert np.array_equal(seen, mask), name
            found.append(name)
    assert sorted(found) == sorted(wanted)
    return lines


def as_datumaro(root: Path, wanted: dict[str, np.ndarray], classes: list[str]) -> int:
    """COCO as datumaro reads it, with pictures of the right size."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "annotations").mkdir()
        shutil.copy(root / "instances.json", home / "annotations" / "instances_all.json")
        for name, mask in wanted.items():
            (home / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(home / "images" / name)
        dataset = Datumaro.import_from(folder, "coco_instances")
        labels = dataset.categories()[AnnotationType.label]
        masks = 0
        for item in dataset:
            mask = next(mask for name, mask in wanted.items() if name.removesuffix(".jpg") == item.id)
            seen = np.zeros_like(mask)
            for one in item.annotations:
                if one.type is AnnotationType.mask:
                    seen[np.asarray(one.image).astype(bool)] = 1 + classes.index(labels[one.label].name)
                    masks += 1
            assert np.array_equal(seen, mask), item.id
        assert len(dataset) == len(wanted)
        return masks


def main() -> None:
    logging.disable(logging.WARNING)
    root = Path(sys.argv[1])
    wanted = dict(np.load(root / "masks.npz").items())
    classes = json.loads((root / "classes.json").read_text())["classes"]
    ids, names = [one["id"] for one in classes], [one["name"] for one in classes]
    tally = {
        "coco": as_coco(root, wanted, ids),
        "panoptic": as_panoptic(root, wanted, ids),
        "panoptic quality": panoptic_quality(root),
        "yolo": as_yolo(root, wanted, names),
    }
    if "size" in json.loads((root / "instances.json").read_text())["annotations"][0]["segmentation"]:
        tally["datumaro"] = as_datumaro(root, wanted, names)
    for name, mask in wanted.items():
        image = Image.open((root / "masks" / name).with_suffix(".png"))
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), mask)
    print(json.dumps(tally))


if __name__ == "__main__":
    main()
