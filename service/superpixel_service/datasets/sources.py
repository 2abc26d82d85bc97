"""Finds the images of a data set: in a folder, by a pattern, in a list, a Parquet file or tar shards."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from superpixel_service.datasets.errors import DataSetFailed
from superpixel_service.datasets.items import Found, Item, Place, estimated_pixels
from superpixel_service.datasets.names import (
    MAP_SUFFIX,
    STANDARD_INPUT,
    SUFFIXES,
    is_hidden,
    is_url,
    kind_of,
    map_suffixes,
    suffix_of,
)
from superpixel_service.datasets.parquet_lists import read_parquet
from superpixel_service.datasets.selection import Selection, item_of, parent, safe_key
from superpixel_service.datasets.storage import Storage, is_local, join, locate, reason, version_of
from superpixel_service.datasets.tar_shards import read_tars

_MAGIC = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_LISTED_SUFFIXES = 6


def find(source: str, selection: Selection, storage: Storage, local: Callable[[Path], Found]) -> Found:
    """Find the images.

    Args:
        source: the argument of the command.
        selection: what is wanted.
        storage: reads the source.
        local: searches a folder of this machine.

    Raises:
        DataSetFailed: the source cannot be read, or has no such column.
    """
    kind = "folder" if not is_url(source) and Path(source).is_dir() else kind_of(source)
    if kind == "compressed tar":
        raise DataSetFailed(f"{source}: compressed; only uncompressed tar files can be read", usage=True)
    if (selection.column or selection.map_columns) and kind not in ("parquet", "tar"):
        raise DataSetFailed(f"{source}: only Parquet files and tar shards have columns", usage=True)
    if kind == "list":
        found = _unique(Found(list(_of_lines(source, storage))))
    elif kind == "parquet":
        found = _unique(read_parquet(_files(source, storage), selection, storage))
    elif kind == "tar":
        return _unique(_with_maps(read_tars(_files(source, storage), selection), selection))
    elif kind == "pattern":
        found = _listed(_matching(source, storage))
    elif is_local(source):
        found = local(Path(locate(source)[1]))
    else:
        found = _listed(_folder(source, storage))
    return _with_maps(
        replace(found, items=[item for item in found.items if selection.takes(item.key)]), selection
    )


def _of_lines(source: str, storage: Storage) -> Iterator[Item]:
    if source == STANDARD_INPUT:
        data, folder = sys.stdin.buffer.read(), ""
    else:
        data, folder = storage.load(source), parent(source)
    for line in data.decode("utf-8", "surrogateescape").splitlines():
        if line.strip():
            yield item_of(line.strip(), folder)


def _files(source: str, storage: Storage) -> list[tuple[str, str, str]]:
    """Address, name and version of each Parquet or tar file that SOURCE names."""
    match = _BRACES.search(source)
    if match:
        first, last = match.groups()
        numbers = [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
        names = [f"{source[: match.start()]}{number}{source[match.end() :]}" for number in numbers]
        return [(name, safe_key(name.rpartition("/")[2]), "") for name in names]
    if _MAGIC.search(source) and not (is_local(source) and Path(locate(source)[1]).exists()):
        return [(address, key, version_of(info)) for address, key, info in _matching(source, storage)]
    file_system, path = locate(source)
    info = storage.checked(lambda: file_system.info(path), source)
    return [(source, source.rpartition("/")[2], version_of(info))]


_Listed = tuple[str, str, dict[str, Any]]


def _matching(pattern: str, storage: Storage) -> list[_Listed]:
    """Address, name below the pattern's fixed part, and listing of each file that matches."""
    file_system, path = locate(pattern)
    match = _MAGIC.search(path)
    fixed = path[: match.start()].rpartition("/")[0] if match else parent(path)
    found = storage.checked(lambda: file_system.glob(path, detail=True), pattern)
    listed = [each for each in found.items() if each[1]["type"] == "file"]
    if not listed:
        raise DataSetFailed(f"{pattern}: no file matches", usage=True)
    return [_named(file_system, pattern, fixed, each, info) for each, info in sorted(listed)]


def _folder(source: str, storage: Storage) -> list[_Listed]:
    file_system, path = locate(source)
    found = storage.checked(lambda: file_system.find(path, detail=True), source)
    if not found or set(found) == {path.rstrip("/")}:
        try:
            exists = storage.checked(lambda: bool(file_system.isdir(path)), source)
        except DataSetFailed as error:
            raise DataSetFailed(str(error), usage=True) from None
        if not exists:
            raise DataSetFailed(f"{source}: no such folder or bucket, or it is empty", usage=True)
    return [_named(file_system, source, path, each, info) for each, info in sorted(found.items())]


def _named(file_system: Any, source: str, folder: str, path: str, info: dict[str, Any]) -> _Listed:
    address = path if not is_url(source) else str(file_system.unstrip_protocol(path))
    return address, path[len(folder) :].lstrip("/") if folder else path, info


def _listed(files: Iterable[_Listed]) -> Found:
    found = Found()
    others: Counter[str] = Counter()
    for address, key, info in files:
        if is_hidden(key):
            continue
        suffix = suffix_of(key)
        if suffix in SUFFIXES:
            pixels = estimated_pixels(key, info.get("size"))
            found.items.append(Item(key, address, Place(address), version_of(info), pixels))
        elif suffix != MAP_SUFFIX:
            others[suffix or "without one"] += 1
    if others:
        kinds = ", ".join(f"{number:,} {suffix}" for suffix, number in others.most_common(_LISTED_SUFFIXES))
        found.left_out.append(
            f"{others.total():,} files have other suffixes than {', '.join(SUFFIXES)} ({kinds})"
        )
    return found


def _unique(found: Found) -> Found:
    """Keep one of equal addresses. A second image with the same name has an error."""
    first: dict[str, str] = {}
    items, repeated = [], 0
    for item in found.items:
        other = first.setdefault(item.key, item.address)
        if other != item.address:
            # Its own name in the manifest, or it would stand for the first one.
            item = replace(
                item, key=item.address, error=item.error or f"its name {item.key} is that of {other}"
            )
            if first.setdefault(item.key, item.address) != item.address:
                continue
        elif other is not item.address:
            repeated += 1
            continue
        items.append(item)
    if repeated:
        found.left_out.append(f"{repeated:,} addresses that occur more than once")
    return replace(found, items=items)


def _with_maps(found: Found, selection: Selection) -> Found:
    places = selection.map_places or {}
    if not places:
        return found
    return replace(found, items=[_with_map_places(item, places) for item in found.items])


def _with_map_places(item: Item, places: dict[str, tuple[str, bool]]) -> Item:
    maps = dict(item.maps or {})
    for name, (address, is_folder) in places.items():
        tried = [address]
        if is_folder:
            # The whole name comes first: a.jpg and a.png can be in one folder.
            stems = (item.key, item.key.removesuffix(suffix_of(item.key)))
            tried = [join(address, f"{stem}{suffix}") for stem in stems for suffix in map_suffixes(name)]
        maps[name] = tuple(Place(each) for each in dict.fromkeys(tried))
    return replace(item, maps=maps)


def map_place(name: str, address: str, storage: Storage) -> tuple[str, bool]:
    """The address of a map or a folder of maps, and whether it is a folder.

    Raises:
        DataSetFailed: there is no such file or folder.
    """
    file_system, path = locate(address)
    try:
        is_folder = storage.checked(lambda: bool(file_system.isdir(path)), address)
        if not is_folder and not storage.checked(lambda: bool(file_system.exists(path)), address):
            raise DataSetFailed(f"--{name}: {address}: no such file or folder", usage=True)
    except OSError as error:
        raise DataSetFailed(f"--{name}: {address}: {reason(error)}", usage=True) from None
    return address, is_folder
