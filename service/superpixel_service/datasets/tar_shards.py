"""Reads the images of WebDataset shards: uncompressed tar files in which a sample's files share a name."""

import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from typing import Any

from superpixel_service.datasets.errors import DataSetFailed
from superpixel_service.datasets.items import Found, Item, Place, estimated_pixels
from superpixel_service.datasets.names import SUFFIXES, is_url, suffix_of
from superpixel_service.datasets.selection import Selection, safe_key
from superpixel_service.datasets.storage import is_local, locate, reason

_BLOCK_BYTES = 64 << 10
"""Read at a time from a remote shard: enough for a header, little beside an image."""

_TARS_AT_ONCE = 16


def read_tars(files: list[tuple[str, str, str]], selection: Selection) -> Found:
    """The images of the shards that belong to the selection. A damaged shard is a problem, not the end."""
    wanted = [each for each in files if selection.takes(each[1])]
    found = Found()
    with ThreadPoolExecutor(_TARS_AT_ONCE, thread_name_prefix="tar") as pool:
        for items, problem in pool.map(lambda each: _read(each, selection), wanted):
            found.items += items
            found.problems += [problem] if problem else []
    return found


def _read(shard: tuple[str, str, str], selection: Selection) -> tuple[list[Item], str]:
    address, name, version = shard
    members: list[tuple[str, int, int]] = []
    problem = ""
    try:
        file_system, path = locate(address)
        options: dict[str, Any] = (
            {} if is_local(address) else {"block_size": _BLOCK_BYTES, "cache_type": "bytes"}
        )
        with file_system.open(path, "rb", **options) as file:
            size = file.seek(0, 2)
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    # tarfile checks the length of a member only if another one follows.
                    if member.isreg() and member.offset_data + member.size <= size:
                        members.append((member.name, member.offset_data, member.size))
                    elif member.isreg():
                        problem = f"{address}: ends in the middle of {member.name}"
    except tarfile.TarError as error:
        problem = f"{address}: damaged, or not an uncompressed tar file: {reason(error)}"
    except DataSetFailed:
        raise
    except Exception as error:  # noqa: BLE001 (each driver has its own errors)
        problem = f"{address}: {reason(error)}"
    return list(_samples(address, name.removesuffix(".tar"), version, members, selection)), problem


def _samples(
    address: str, name: str, version: str, members: list[tuple[str, int, int]], selection: Selection
) -> Iterator[Item]:
    columns = selection.map_columns or {}
    suffixes = {f".{column.lstrip('.')}": each for each, column in columns.items()}
    for _, group in groupby(members, key=lambda member: _sample(member[0])):
        maps: dict[str, tuple[Place, ...]] = {}
        images = []
        for path, start, size in group:
            ending = path[len(_sample(path)) :]
            place = Place(address, start, size)
            if ending in suffixes:
                maps[suffixes[ending]] = (place,)
            elif suffix_of(path) in SUFFIXES and not path.rpartition("/")[2].startswith("."):
                images.append((path, place, size))
        for path, place, size in images:
            whole = address if is_url(address) else f"file://{address}"
            key = safe_key(path)
            item = Item(
                f"{name}/{key}", f"tar://{path}::{whole}", place, version, estimated_pixels(path, size)
            )
            missing = [each for each in columns if each not in maps]
            if not key:
                item = replace(item, error="its name leads out of the target")
            elif missing:
                text = f"there is no map for this image: no file {columns[missing[0]]} in its sample"
                item = replace(item, error=f"guidance.{missing[0]}: {text}")
            yield replace(item, maps=maps) if maps else item


def _sample(path: str) -> str:
    """A sample's name: the path up to the first dot of its last part."""
    folder, slash, last = path.rpartition("/")
    return folder + slash + last.partition(".")[0]
