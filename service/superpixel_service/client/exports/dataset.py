"""Annotations of many images as one data set. frontend/src/dataset/ writes the same files."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client.classes import FIRST_OBJECT, Class
from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.coco import check_rle, to_coco
from superpixel_service.client.exports.instances import to_instance_legend, to_instance_png
from superpixel_service.client.exports.panoptic import panoptic_category, to_panoptic_json, to_panoptic_png
from superpixel_service.client.exports.png import to_indexed_png
from superpixel_service.client.exports.schema import Schema
from superpixel_service.client.exports.yolo import to_yolo
from superpixel_service.client.topology import check_tolerance

Format: TypeAlias = Literal["coco", "panoptic", "yolo", "png"]

FORMATS: tuple[Format, ...] = ("coco", "panoptic", "yolo", "png")

_SPLIT = re.compile(r"[A-Za-z0-9_-]{1,40}")


class Dataset:
    """Writes a data set into a folder, an image at a time. Its ids are unique over all images.

    ```
    with Dataset("out", Schema.from_json(json.loads(Path("classes.json").read_text()))) as dataset:
        for path, annotation in finished:
            dataset.add(path.name, annotation, image=path)
    ```

    The folder gets, by format:

    - `coco`: `instances.json`;
    - `panoptic`: `panoptic.json`, and `panoptic/a.png` for a.jpg;
    - `yolo`: `yolo/data.yaml`, `yolo/labels/train/a.txt`, and `yolo/images/train/a.jpg` if it is given;
    - `png`: `masks/a.png`, whose values are the classes of `masks/legend.json`; and if there are objects,
      `instances/a.png` with its legend `instances/a.json`;
    - always `classes.json`, the schema.

    The JSON files and `data.yaml` are written at the end, and not at all if the block ends by an error.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        schema: Schema | None = None,
        *,
        formats: Iterable[Format] = FORMATS,
        rle: bool | None = None,
        simplify: float = 0,
    ) -> None:
        """Create the folder.

        Args:
            folder: must be empty or not exist.
            schema: the classes; classes of annotations are merged into it. Default: an empty one.
            formats: what to write.
            rle: True: `coco` as run lengths, which are exact for every reader; False: as polygons. Default:
                True without `simplify`.
            simplify: pixels by which the borders of polygons in `coco` and `yolo` may move, the same for both
                neighbours; 0: none moves. The other formats are exact.

        Raises:
            InvalidParameter: a format is unknown, the folder is not empty, or `simplify` is not a number from
                0 on or is given with `rle`.
            OSError: the folder cannot be written.
        """
        self.schema = Schema() if schema is None else schema
        self._formats = tuple(formats)
        unknown = [one for one in self._formats if one not in FORMATS]
        if unknown:
            raise InvalidParameter("formats", f"must be of {', '.join(FORMATS)}, got {unknown[0]}")
        check_tolerance(simplify)
        self._rle = simplify == 0 if rle is None else rle
        self._simplify = simplify
        check_rle(rle=self._rle, simplify=simplify)
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        if any(self._folder.iterdir()):
            raise InvalidParameter("folder", f"{self._folder}: must be empty")
        self._names: dict[str, str] = {}
        self._splits: dict[str, None] = {}
        self._instances = _Rows() if "coco" in self._formats else None
        self._panoptic = _Rows() if "panoptic" in self._formats else None
        self._images = 0
        self._things: set[int] = set()

    def add(
        self,
        name: str,
        annotation: Annotation,
        *,
        image: str | os.PathLike[str] | bytes | None = None,
        split: str = "train",
    ) -> int:
        """Write the annotation of an image.

        Args:
            name: of the image's file, maybe with folders, as "street/a.jpg".
            annotation: its classes are merged into the schema.
            image: path or content of the image's file, copied for YOLO; None: not copied.
            split: YOLO's part of the data set, as "train" or "val".

        Returns:
            The image's id: 1, 2, ...

        Raises:
            InvalidParameter: the name is not a relative path, or another image has the same but for its
                suffix; or the classes contradict the schema. Then nothing was written.
            OSError: a file cannot be written.
        """
        path = _checked(name)
        if not _SPLIT.fullmatch(split):
            raise InvalidParameter("split", f"must be letters and digits, got {split!r}")
        stem = str(path.with_suffix(""))
        other = self._names.get(stem.casefold())
        if other is not None:
            raise InvalidParameter("name", f"{name}: {other} has the same name but for its suffix")
        merged = self._merged(annotation, name)
        self._names[stem.casefold()] = name
        self._images += 1
        number = self._images
        if self._instances is not None:
            self._instances.add(
                to_coco(merged, file_name=name, image_id=number, rle=self._rle, simplify=self._simplify)
            )
        if self._panoptic is not None:
            self._things |= {one.class_value for one in merged.objects}
            self._panoptic.add(
                to_panoptic_json(merged, file_name=name, mask_name=f"{stem}.png", image_id=number)
            )
            self._write(f"panoptic/{stem}.png", to_panoptic_png(merged))
        if "yolo" in self._formats:
            self._splits[split] = None
            self._write(f"yolo/labels/{split}/{stem}.txt", to_yolo(merged, simplify=self._simplify).encode())
            if image is not None:
                self._copy(f"yolo/images/{split}/{name}", image)
        if "png" in self._formats:
            self._write(f"masks/{stem}.png", to_indexed_png(merged))
            if merged.objects:
                self._write(f"instances/{stem}.png", to_instance_png(merged))
                self._write(f"instances/{stem}.json", _compact(to_instance_legend(merged)))
        return number

    def finish(self) -> None:
        """Write the files about the whole set. The data set takes no more images then.

        Raises:
            OSError: a file cannot be written.
        """
        classes = self.schema.classes
        self._write("classes.json", _compact(self.schema.to_json()))
        if self._instances is not None:
            categories = [{"id": one.id, "name": one.name} for one in classes]
            self._instances.write(self._folder / "instances.json", categories)
        if self._panoptic is not None:
            panoptic = [
                panoptic_category(one, one.id, is_thing=value in self._things)
                for value, one in enumerate(classes, 1)
            ]
            self._panoptic.write(self._folder / "panoptic.json", panoptic)
        if "yolo" in self._formats:
            self._write("yolo/data.yaml", _yolo_settings(classes, list(self._splits)).encode())
        if "png" in self._formats:
            rows = [
                {"value": value, "name": one.name, "color": one.color, "id": one.id}
                for value, one in enumerate(classes, 1)
            ]
            self._write("masks/legend.json", _compact({"classes": rows}))
        self.close()

    def close(self) -> None:
        """Remove temporary files."""
        for rows in (self._instances, self._panoptic):
            if rows is not None:
                rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.close()

    def _merged(self, annotation: Annotation, name: str) -> Annotation:
        """The annotation with the classes of the schema."""
        values = self.schema.merge(annotation.classes, name)
        objects = tuple(replace(one, class_value=int(values[one.class_value])) for one in annotation.objects)
        return replace(annotation, mask=values[annotation.mask], classes=self.schema.classes, objects=objects)

    def _write(self, name: str, data: bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def _copy(self, name: str, image: str | os.PathLike[str] | bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(image, bytes):
            path.write_bytes(image)
        else:
            shutil.copyfile(image, path)


class _Rows:
    """The images and annotations of a COCO file. Annotations lie in a temporary file, a line each."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._images: list[str] = []
        self._rows = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass")  # noqa: SIM115
        self._number = 0

    def add(self, content: dict[str, Any]) -> None:
        """Add the data set of one image."""
        self._head = {key: value for key, value in content.items() if key in ("info", "licenses")}
        self._images += map(_text, content["images"])
        for row in content["annotations"]:
            self._number += 1
            self._rows.write(_text({**row, "id": self._number} if "id" in row else row) + "\n")

    def write(self, path: Path, categories: list[dict[str, Any]]) -> None:
        """Write the file."""
        things = {one["id"] for one in categories if one.get("isthing")}
        head = "".join(f"{_text(key)}:{_text(value)}," for key, value in self._head.items())
        with path.open("w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            file.write(f'{{{head}"images":[{",".join(self._images)}],"annotations":[')
            self._rows.seek(0)
            for number, line in enumerate(self._rows):
                row = _with_crowds(line.rstrip("\n"), things) if things else line.rstrip("\n")
                file.write(f",{row}" if number else row)
            file.write(f'],"categories":{_text(categories)}}}')

    def close(self) -> None:
        """Remove the temporary file."""
        self._rows.close()


def _with_crowds(line: str, things: set[int]) -> str:
    """A panoptic row: pixels without an object are a crowd if their class has objects in any image."""
    row = json.loads(line)
    for segment in row["segments_info"]:
        segment["iscrowd"] = int(segment["id"] < FIRST_OBJECT and segment["category_id"] in things)
    return _text(row)


def _checked(name: str) -> PurePosixPath:
    """The name as a path inside the data set's folders."""
    path = PurePosixPath(name.replace("\\", "/"))
    parts = path.parts
    if (
        not parts
        or path.is_absolute()
        or ".." in parts
        or ":" in name
        or not name.isprintable()
        or not path.stem
    ):
        raise InvalidParameter("name", f"must be a relative path of a file, got {name!r}")
    return path


def _text(value: Any) -> str:
    """JSON as JavaScript writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _compact(value: Any) -> bytes:
    return _text(value).encode("utf-8", "surrogatepass")


def _yolo_settings(classes: Sequence[Class], splits: list[str]) -> str:
    """YOLO's data.yaml. Ultralytics needs `train` and `val`; without images for `val` it is `train`."""
    train = "train" if "train" in splits or not splits else splits[0]
    parts = {"train": train, "val": "val" if "val" in splits else train}
    parts |= {split: split for split in splits if split not in parts}
    lines = [f"{key}: images/{split}" for key, split in parts.items()]
    return (
        "\n".join([*lines, "names:", *(f"  {i}: {_quoted(one.name)}" for i, one in enumerate(classes))])
        + "\n"
    )


def _quoted(text: str) -> str:
    """A YAML string. YAML reads JSON's strings; only characters that it does not print need an escape."""
    return re.sub(
        r"[\x7f-\x9f\ud800-\udfff\u2028\u2029\ufeff\ufffe\uffff]",
        lambda found: f"\\u{ord(found[0]):04x}",
        json.dumps(text, ensure_ascii=False),
    )
