"""Reads stored selections and project files of the page."""

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

from superpixel_kernels import codec
from superpixel_kernels.codec import InvalidLabelMap
from superpixel_service.client.exports import Annotation
from superpixel_service.client.imports.checks import as_list, as_text, check_size, fail, shown
from superpixel_service.client.imports.options import Options, pick

MAP_MAGIC = b"SPXL"
ZIP_MAGIC = b"PK\x03\x04"

_INDEX = "project.json"
_MAX_INDEX = 32 << 20
_MAX_FILE = 1 << 30


def is_selection(content: Any) -> bool:
    """Whether it is a stored selection."""
    return isinstance(content, dict) and content.get("format") == "superpixel-selection"


def read_selection(content: dict[str, Any], maps: Sequence[bytes]) -> Annotation:
    """Read a stored selection.

    Args:
        content: parsed JSON; untrusted.
        maps: the label map that it was made on.
    """
    if len(maps) != 1:
        fail("selection", "needs the label map that it was made on, an .spx file, too")
    # The text gives the size, so the map is compared with it before it is decoded.
    check_size("selection.width", content.get("width"), content.get("height"))
    try:
        label_map = codec.decode(maps[0])
    except InvalidLabelMap as error:
        fail("spx", f"is not a valid label map: {error}")
    return Annotation.of_selection(label_map, content)


def read_project(data: bytes, options: Options) -> Annotation:
    """Read one image of a project file: the one of the name, else the only one."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _image(archive, options.name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        fail("project", f"is a damaged ZIP file: {error}")


def _image(archive: zipfile.ZipFile, name: str | None) -> Annotation:
    index = _json(archive, _INDEX, _MAX_INDEX)
    if (
        not isinstance(index, dict)
        or index.get("format") != "superpixel-project"
        or index.get("version") != 1
    ):
        fail(_INDEX, "must be a superpixel-project of version 1")
    images = [one for one in as_list("images", index.get("images")) if isinstance(one, dict)]
    named = [one for one in images if name and one.get("name") == name]
    found = pick(named, images)
    if found is None:
        fail("images", f"must list {shown(name)}; it has {len(images)} images, and none of that name")
    place, selection = as_text(found.get("map")), as_text(found.get("selection"))
    if place is None or selection is None:
        fail("images", f"{shown(found.get('name'))} has no annotation yet")
    content = _json(archive, selection, _MAX_FILE)
    if not is_selection(content):
        fail(selection, "must be a superpixel-selection")
    return read_selection(content, [_read(archive, place, _MAX_FILE)])


def _json(archive: zipfile.ZipFile, name: str, most: int) -> Any:
    try:
        return json.loads(_read(archive, name, most))
    except (ValueError, RecursionError):
        fail(name, "is not valid JSON")


def _read(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file of the archive; not more than `most` bytes are unpacked."""
    try:
        with archive.open(name) as file:
            data = file.read(most + 1)
    except KeyError:
        fail("project", f"has no file {shown(name)}")
    if len(data) > most:
        fail(name, f"must be at most {most} bytes")
    return data
