"""The manifest of a target: Parquet files with a row per image, one file per unit."""

import hashlib
import io
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from superpixel_service.datasets import record as records
from superpixel_service.datasets.errors import DataSetFailed
from superpixel_service.datasets.items import Item
from superpixel_service.datasets.storage import Storage, join, reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
"""The version of the manifest's format. A run does not continue a manifest of another format."""

FOLDER = "manifest"
SUFFIX = ".parquet"
_PARAMETERS = b"superpixel.parameters"
_READS_AT_ONCE = 16

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("address", pa.string()),
        ("version", pa.string()),
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("counts", pa.list_(pa.int32())),
        ("base_count", pa.int32()),
        ("seconds", pa.float32()),
        ("notices", pa.list_(pa.string())),
        ("error", pa.string()),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("spx_bytes", pa.int64()),
    ]
)


def text(name: str) -> str:
    """A name as Parquet can hold it: bytes that are no text are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def write_part(
    storage: Storage, target: str, unit: str, rows: list[dict[str, Any]], record: dict[str, Any]
) -> None:
    """Write the rows of a unit. This commits the unit.

    Raises:
        DataSetFailed: the target cannot be written.
    """
    metadata = {_PARAMETERS: json.dumps(record).encode()}
    _write(storage, _address(target, unit), pa.Table.from_pylist(rows, SCHEMA.with_metadata(metadata)))


def _write(storage: Storage, address: str, table: pa.Table) -> None:
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    storage.write(address, file.getvalue())


def _address(target: str, unit: str) -> str:
    return join(join(target, FOLDER), f"{unit}{SUFFIX}")


@dataclass
class Done:
    """What the manifest says is done.

    Attributes:
        parts: the names of its parts.
        failed: number of images that failed.
        files: the tar files that the rows name.
        keys: hashes of the names of images that have label maps, sorted.
        versions: hashes of their versions.
        part_of: for each, the index of its part.
        failed_in: by index of the part: hashes of the names of images that failed.
    """

    parts: list[str] = field(default_factory=list)
    failed: int = 0
    files: set[str] = field(default_factory=set)
    keys: "NDArray[np.uint64]" = field(default_factory=lambda: np.zeros(0, np.uint64))
    versions: "NDArray[np.uint64]" = field(default_factory=lambda: np.zeros(0, np.uint64))
    part_of: "NDArray[np.int32]" = field(default_factory=lambda: np.zeros(0, np.int32))
    failed_in: dict[int, set[int]] = field(default_factory=dict)

    def split(self, items: Iterable[Item]) -> tuple[list[Item], int, int, dict[str, set[int]]]:
        """Divide the images into those to do and those that are done.

        Returns:
            The images to do; the number of those that are done; the number of rows without an image; and by
            part the hashes of rows that are about to be replaced.
        """
        items = list(items)
        keys = np.fromiter((_hash(text(item.key)) for item in items), np.uint64, len(items))
        versions = np.fromiter((_hash(item.version) for item in items), np.uint64, len(items))
        at = np.searchsorted(self.keys, keys)
        known = at < len(self.keys)
        known[known] = self.keys[at[known]] == keys[known]
        same = known.copy()
        theirs = self.versions[at[known]]
        # A list says nothing about the content of its images, so they count as unchanged.
        same[known] = (theirs == versions[known]) | (theirs == _NO_VERSION) | (versions[known] == _NO_VERSION)
        # If two runs wrote at the same moment, an image may have two rows. One stays.
        stale: dict[str, set[int]] = {}
        for index in np.flatnonzero(self.keys[1:] == self.keys[:-1]) + 1:
            stale.setdefault(self.parts[self.part_of[index]], set()).add(int(self.keys[index]))
        for index in np.flatnonzero(known & ~same):
            stale.setdefault(self.parts[self.part_of[at[index]]], set()).add(int(keys[index]))
        todo_keys = {int(key) for key in keys[~same]} if self.failed_in else set()
        for part, hashes in self.failed_in.items():
            if again := hashes & todo_keys:
                stale.setdefault(self.parts[part], set()).update(again)
        gone = len(np.unique(self.keys)) - len(np.intersect1d(self.keys, keys))
        todo = [items[index] for index in np.flatnonzero(~same)]
        return todo, len(items) - len(todo), gone, stale


def read(storage: Storage, target: str, record: dict[str, Any]) -> Done:
    """Read the manifest.

    Raises:
        DataSetFailed: a part is damaged, or was made with other parameters.
    """
    names = sorted(name for name in storage.list(join(target, FOLDER)) if name.endswith(SUFFIX))
    done = Done(parts=[name.removesuffix(SUFFIX) for name in names])
    if not names:
        return done
    keys, versions, part_of = [], [], []
    with ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="manifest") as pool:
        tables = pool.map(lambda part: _read_part(storage, target, part, record), done.parts)
        for index, table in enumerate(tables):
            errors = table["error"].to_pylist()
            hashes = [_hash(key) for key in table["key"].to_pylist()]
            made = [position for position, error in enumerate(errors) if error is None]
            if len(made) < len(errors):
                done.failed_in[index] = {hashes[p] for p, error in enumerate(errors) if error is not None}
                done.failed += len(errors) - len(made)
            part_versions = table["version"].to_pylist()
            keys += [hashes[position] for position in made]
            versions += [_hash(part_versions[position]) for position in made]
            part_of += [index] * len(made)
            done.files |= _files(table)
    unsorted = np.array(keys, np.uint64)
    order = np.argsort(unsorted, kind="stable")
    done.keys = unsorted[order]
    done.versions = np.array(versions, np.uint64)[order]
    done.part_of = np.array(part_of, np.int32)[order]
    return done


def drop(storage: Storage, target: str, stale: dict[str, set[int]]) -> None:
    """Remove rows, by part and hash, whose images are about to be done again.

    If the run is killed then, these images have no row, so the next run does them.
    """

    def rewrite(part: str) -> None:
        address = _address(target, part)
        table = pq.read_table(io.BytesIO(storage.load(address)))
        keep = [_hash(key) not in stale[part] for key in table["key"].to_pylist()]
        if any(keep):
            _write(storage, address, table.filter(pa.array(keep)))
        else:
            storage.delete(address)

    with ThreadPoolExecutor(_READS_AT_ONCE, thread_name_prefix="manifest") as pool:
        list(pool.map(rewrite, stale))


def file_of(storage: Storage, target: str, unit: str) -> str | None:
    """The tar file that the part of a unit names; None: there is no part, or it names none."""
    data = storage.load(_address(target, unit), missing=b"")
    names = _files(pq.read_table(io.BytesIO(data))) if data else set()
    return names.pop() if names else None


def _files(table: pa.Table) -> set[str]:
    """The tar files that the rows name."""
    return set(table["file"].unique().to_pylist()) - {None}


def _read_part(storage: Storage, target: str, part: str, record: dict[str, Any]) -> pa.Table:
    address = _address(target, part)
    data = storage.load(address)
    try:
        table = pq.read_table(io.BytesIO(data))
        made_with = json.loads((table.schema.metadata or {})[_PARAMETERS])
        table = table.select(["key", "version", "error", "file"])
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise DataSetFailed(
            f"{address}: damaged, or not part of a manifest ({reason(error)}); remove it, and its images are "
            "done again"
        ) from None
    records.check(address, made_with, record)
    return table


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


_NO_VERSION = np.uint64(_hash(""))
