"""Load exports with the tools that read these formats, and compare every pixel with the mask.

`.venv-frontend/bin/python load_exports.py FOLDER`: each folder in FOLDER contains the exports of one
annotation; `values.npy`: per pixel 0, its class, or 256 + its object; and `classes.npy`: the class
of each value. Prints how many objects were compared, and fails at the first difference. The
environment does not contain this project.
"""

import ast
import contextlib
import copy
import functools
import importlib.util
import io
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import shapely
import shapely.geometry
from label_studio_sdk.converter import brush
from PIL import Image
from pycocotools.coco import COCO


def functions_of(module: str, *names: str) -> dict:
    """Functions from the sources of Ultralytics. Importing the package would need PyTorch."""
    package = importlib.util.find_spec("ultralytics")
    path = Path(package.submodule_search_locations[0], *module.split(".")).with_suffix(".py")
    tree = ast.parse(path.read_text())
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    assert len(found) == len(names), (module, names)
    namespace = {"np": np, "cv2": cv2}
    exec(compile(ast.Module(found, []), str(path), "exec"), namespace)
    return namespace


polygon2mask = functions_of("data.utils", "polygon2mask")["polygon2mask"]
resample_segments = functions_of("utils.ops", "resample_segments")["resample_segments"]


def value_of(piece: np.ndarray, values: np.ndarray) -> int:
    """The value of the pixels that a reader got for one entry. An object must be there as a whole."""
    (value,) = np.unique(values[piece])
    assert value < 256 or piece.sum() == (values == value).sum(), "a part of an object"
    return int(value)


def as_coco(folder: Path, name: str, values: np.ndarray, classes: np.ndarray) -> int:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(folder / name)
        listed = copy.deepcopy(coco.dataset["annotations"])
        if listed:  # as the results of a network; pycocotools takes no empty list
            assert len(coco.loadRes(listed).anns) == len(listed)
    categories = [one["id"] for one in coco.dataset["categories"]]
    seen = np.zeros_like(values)
    for annotation in coco.loadAnns(coco.getAnnIds()):
        assert annotation["iscrowd"] == 0
        piece = coco.annToMask(annotation) == 1
        assert annotation["area"] == piece.sum(), "area"
        y, x = np.nonzero(piece)
        box = [x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()]
        assert annotation["bbox"] == box, "bbox"
        assert not seen[piece].any(), "two annotations on one pixel"
        seen[piece] = value_of(piece, values)
        assert classes[values[piece]][0] == 1 + categories.index(annotation["category_id"])
    assert np.array_equal(seen, values)
    return len(coco.anns)


def as_panoptic(folder: Path, values: np.ndarray, classes: np.ndarray) -> int:
    """By the rules of COCO's panoptic format."""
    data = json.loads((folder / "panoptic.json").read_text())
    (annotation,) = data["annotations"]
    categories = {one["id"]: number for number, one in enumerate(data["categories"], 1)}
    rgb = np.asarray(Image.open(folder / annotation["file_name"])).astype(np.int64)
    ids = rgb @ [1, 256, 65536]
    assert np.array_equal(ids, values)
    things = {int(classes[value]) for value in range(256, len(classes))}
    assert {categories[one["id"]] for one in data["categories"] if one["isthing"]} == things
    for segment in annotation["segments_info"]:
        y, x = np.nonzero(ids == segment["id"])
        assert segment["area"] == len(y)
        assert segment["bbox"] == [x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()]
        value = categories[segment["category_id"]]
        assert classes[segment["id"]] == value
        assert segment["iscrowd"] == int(segment["id"] < 256 and value in things)
    assert {one["id"] for one in annotation["segments_info"]} == {*np.unique(values).tolist()} - {0}
    return len(annotation["segments_info"])


def as_instances(folder: Path, values: np.ndarray, classes: np.ndarray) -> int:
    image = Image.open(folder / "instances.png")
    assert image.mode == "I;16"
    assert np.array_equal(np.asarray(image), values)
    legend = json.loads((folder / "legend.json").read_text())
    for one in [*legend["classes"], *legend["objects"]]:
        assert classes[one["value"]] == one.get("class", one["value"])
        assert one["area"] == (values == one["value"]).sum()
    return len(legend["objects"])


def as_label_studio(folder: Path, values: np.ndarray, classes: np.ndarray, names: list[str]) -> int:
    results = json.loads((folder / "label-studio.json").read_text())
    seen = np.zeros_like(values)
    for result in results:
        label = 1 + names.index(result["value"]["brushlabels"][0])
        flat = {**result, "rle": result["value"]["rle"], "brushlabels": result["value"]["brushlabels"]}
        (layer,) = brush.decode_from_annotation("tag", [flat]).values()
        assert set(np.unique(layer)) <= {0, 255}
        assert not seen[layer == 255].any()
        value = value_of(layer == 255, values)
        assert classes[value] == label
        seen[layer == 255] = value
        # The encoder of label-studio-sdk writes the same bytes.
        if values.size < 20_000:
            assert brush.mask2rle(np.where(values == value, 255, 0)) == result["value"]["rle"]
    assert np.array_equal(seen, values)
    return len(results)


def as_geojson(folder: Path, values: np.ndarray, classes: np.ndarray, colors: list[str]) -> int:
    data = json.loads((folder / "geo.json").read_text())
    height, width = values.shape
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    seen = np.zeros_like(values)
    polygons = 0
    for feature in data["features"]:
        geometry = shapely.geometry.shape(feature["geometry"])
        assert geometry.is_valid, shapely.is_valid_reason(geometry)
        assert geometry.area == feature["properties"]["area"]
        color = bytes(feature["properties"]["classification"]["color"])
        assert color.hex() == colors[classes[feature["id"]] - 1][1:].lower()
        for polygon in geometry.geoms:
            assert polygon.exterior.is_ccw
            assert not any(ring.is_ccw for ring in polygon.interiors)
        shapely.prepare(geometry)
        inside = shapely.contains_xy(geometry, x, y)
        assert not seen[inside].any()
        seen[inside] = feature["id"]
        polygons += len(geometry.geoms)
    assert np.array_equal(seen, values)
    return polygons


def as_yolo(folder: Path, values: np.ndarray, classes: np.ndarray) -> int:
    """Read the labels as Ultralytics does: resample the outlines, and draw them at full size."""
    height, width = values.shape
    things = [value for value in np.unique(values).tolist() if value >= 256]
    size = np.array([width, height], np.float32)
    lines = (folder / "yolo.txt").read_text().splitlines()
    rows = [np.array(line.split(), np.float32) for line in lines]
    segments = [row[1:].reshape(-1, 2) for row in rows]
    for resample in (False, True):
        seen = np.zeros_like(values)
        for number, (row, segment) in enumerate(zip(rows, segments, strict=True)):
            assert ((segment >= 0) & (segment <= 1)).all()
            points = segment.copy()
            if resample:
                # To 1000 points, the default of Ultralytics, or more if the outline has more.
                (points,) = resample_segments([points], n=max(1000, len(points) + 1))
            piece = polygon2mask((height, width), [(points * size).ravel()]) == 1
            if number < len(things):
                # The bridges between an object's pieces are drawn, too: at most one pixel wide each.
                own = values == things[number]
                pieces = cv2.connectedComponents(own.astype(np.uint8), connectivity=4)[0] - 1
                assert piece[own].all(), "a part of an object"
                assert (piece & ~own).sum() <= (pieces - 1) * 2 * max(width, height), "more than bridges"
                piece = own
            assert not seen[piece].any(), "two lines on one pixel"
            seen[piece] = value_of(piece, values)
            assert classes[values[piece]][0] == 1 + int(row[0])
        assert np.array_equal(seen, values)
    return len(lines)


def as_png(folder: Path, mask: np.ndarray, colors: list[str]) -> int:
    image = Image.open(folder / "mask.png")
    assert image.mode == "P"
    assert np.array_equal(np.asarray(image), mask)
    palette = np.array(image.getpalette()).reshape(-1, 3)
    for value, color in enumerate(colors, 1):
        assert bytes(palette[value].tolist()).hex() == color[1:].lower()
    return 1


def main() -> None:
    root = Path(sys.argv[1])
    table = json.loads((root / "table.json").read_text())
    names = [one["name"] for one in table["classes"]]
    colors = [one["color"] for one in table["classes"]]
    tally: dict[str, int] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        values, classes = (np.load(folder / f"{name}.npy") for name in ("values", "classes"))
        checks = {
            **{
                f"COCO {name}": functools.partial(as_coco, folder, f"{name}.json", values, classes)
                for name in ("polygons", "classes", "rle", "class-rle")
            },
            "panoptic": functools.partial(as_panoptic, folder, values, classes),
            "instances": functools.partial(as_instances, folder, values, classes),
            "Label Studio": functools.partial(as_label_studio, folder, values, classes, names),
            "GeoJSON": functools.partial(as_geojson, folder, values, classes, colors),
            "YOLO": functools.partial(as_yolo, folder, values, classes),
            "PNG": functools.partial(as_png, folder, classes[values], colors),
        }
        for name, check in checks.items():
            try:
                tally[name] = tally.get(name, 0) + check()
            except AssertionError as error:
                raise AssertionError(f"{name}, case {(folder / 'name.json').read_text()}: {error}") from error
    print(json.dumps(tally))


if __name__ == "__main__":
    main()
