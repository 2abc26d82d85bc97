"""Load exports with the tools that read these formats, and compare every pixel with the mask.

`.venv-frontend/bin/python load_exports.py FOLDER`: each folder in FOLDER contains `mask.npy` and the exports
of one annotation. Prints how many objects were compared, and fails at the first difference. The environment
does not contain this project.
"""

import ast
import contextlib
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


def as_coco(folder: Path, name: str, mask: np.ndarray) -> int:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(folder / name)
    seen = np.zeros_like(mask)
    for annotation in coco.loadAnns(coco.getAnnIds()):
        piece = coco.annToMask(annotation) == 1
        assert annotation["area"] == piece.sum(), "area"
        y, x = np.nonzero(piece)
        box = [x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()]
        assert annotation["bbox"] == box, "bbox"
        assert not seen[piece].any(), "two annotations on one pixel"
        seen[piece] = annotation["category_id"]
    assert np.array_equal(seen, mask)
    return len(coco.anns)


def as_label_studio(folder: Path, mask: np.ndarray, classes: list[str]) -> int:
    results = json.loads((folder / "label-studio.json").read_text())
    seen = np.zeros_like(mask)
    for result in results:
        value = 1 + classes.index(result["value"]["brushlabels"][0])
        flat = {**result, "rle": result["value"]["rle"], "brushlabels": result["value"]["brushlabels"]}
        (layer,) = brush.decode_from_annotation("tag", [flat]).values()
        assert set(np.unique(layer)) <= {0, 255}
        assert not seen[layer == 255].any()
        seen[layer == 255] = value
        # The encoder of label-studio-sdk writes the same bytes.
        if mask.size < 20_000:
            assert brush.mask2rle(np.where(mask == value, 255, 0)) == result["value"]["rle"]
    assert np.array_equal(seen, mask)
    return len(results)


def as_geojson(folder: Path, mask: np.ndarray) -> int:
    data = json.loads((folder / "geo.json").read_text())
    height, width = mask.shape
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    seen = np.zeros_like(mask)
    polygons = 0
    for feature in data["features"]:
        geometry = shapely.geometry.shape(feature["geometry"])
        assert geometry.is_valid, shapely.is_valid_reason(geometry)
        assert geometry.area == feature["properties"]["area"]
        for polygon in geometry.geoms:
            assert polygon.exterior.is_ccw
            assert not any(ring.is_ccw for ring in polygon.interiors)
        shapely.prepare(geometry)
        inside = shapely.contains_xy(geometry, x, y)
        assert not seen[inside].any()
        seen[inside] = feature["id"]
        polygons += len(geometry.geoms)
    assert np.array_equal(seen, mask)
    return polygons


def as_yolo(folder: Path, mask: np.ndarray) -> int:
    """Read the labels as Ultralytics does: resample the outlines, and draw them at full size."""
    height, width = mask.shape
    size = np.array([width, height], np.float32)
    lines = (folder / "yolo.txt").read_text().splitlines()
    rows = [np.array(line.split(), np.float32) for line in lines]
    segments = [row[1:].reshape(-1, 2) for row in rows]
    for resample in (False, True):
        seen = np.zeros_like(mask)
        for row, segment in zip(rows, segments, strict=True):
            assert ((segment >= 0) & (segment <= 1)).all()
            points = segment.copy()
            if resample:
                # To 1000 points, the default of Ultralytics, or more if the outline has more.
                (points,) = resample_segments([points], n=max(1000, len(points) + 1))
            piece = polygon2mask((height, width), [(points * size).ravel()]) == 1
            assert not seen[piece].any(), "two lines on one pixel"
            seen[piece] = 1 + int(row[0])
        assert np.array_equal(seen, mask)
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
        mask = np.load(folder / "mask.npy")
        checks = {
            **{
                f"COCO {name}": lambda folder, mask, name=name: as_coco(folder, f"{name}.json", mask)
                for name in ("polygons", "classes", "rle", "class-rle")
            },
            "Label Studio": lambda folder, mask: as_label_studio(folder, mask, names),
            "GeoJSON": as_geojson,
            "YOLO": as_yolo,
            "PNG": lambda folder, mask: as_png(folder, mask, colors),
        }
        for name, check in checks.items():
            try:
                tally[name] = tally.get(name, 0) + check(folder, mask)
            except AssertionError as error:
                raise AssertionError(f"{name}, case {(folder / 'name.json').read_text()}: {error}") from error
    print(json.dumps(tally))


if __name__ == "__main__":
    main()
