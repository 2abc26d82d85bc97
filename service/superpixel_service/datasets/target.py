"""The target of a run: label maps as tar files or as single files, and the manifest."""

import fcntl
import hashlib
import io
import os
import tarfile
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superpixel_service.datasets import manifest
from superpixel_service.datasets import record as records
from superpixel_service.datasets.errors import DataSetFailed
from superpixel_service.datasets.items import Item
from superpixel_service.datasets.storage import Storage, is_permanent, join, local_path, reason
from superpixel_service.datasets.worker import Outcome

SHARDS = "shards"
RUN = ".superpixel-bulk-run"


@dataclass
class Tally:
    """What became of images.

    Attributes:
        made: number of label maps made.
        failed: a message per image that failed, up to `MOST_MESSAGES`.
        failures: number of images that failed.
        pixels, bytes_read, bytes_written, seconds: sums over the images that have label maps.
    """

    made: int = 0
    failed: list[str] = field(default_factory=list)
    failures: int = 0
    pixels: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    seconds: float = 0.0

    MOST_MESSAGES = 1000

    def add(self, outcome: Outcome) -> None:
        """Count an image."""
        if outcome.error:
            self.fail(f"{outcome.item.address}: {outcome.error}")
            return
        self.made += 1
        self.pixels += outcome.width * outcome.height
        self.bytes_read += outcome.size
        self.bytes_written += len(outcome.spx)
        self.seconds += outcome.seconds

    def fail(self, message: str) -> None:
        """Count an image that failed."""
        self.failures += 1
        if len(self.failed) < self.MOST_MESSAGES:
            self.failed.append(message)

    def merge(self, other: "Tally") -> None:
        """Add the images of another tally."""
        self.made += other.made
        self.failures += other.failures
        self.failed += other.failed[: self.MOST_MESSAGES - len(self.failed)]
        self.pixels += other.pixels
        self.bytes_read += other.bytes_read
        self.bytes_written += other.bytes_written
        self.seconds += other.seconds


class Target:
    """Where label maps go. It can be pickled, so that actors write by themselves.

    Args:
        address: a folder, on any file system.
        storage: writes there.
        shards: write tar files; else a file per label map.
        record: what the label maps depend on besides the images.
    """

    def __init__(self, address: str, storage: Storage, *, shards: bool, record: dict[str, Any]) -> None:
        self.address = address.rstrip("/") or "/"
        self._storage = storage
        self._shards = shards
        self._run = ("", "")
        self._record = record | {"manifest": manifest.FORMAT, "format": "shards" if shards else "files"}

    def check(self) -> None:
        """Record the parameters, or compare them with the record.

        Raises:
            DataSetFailed: the record has other parameters or is damaged, or the target cannot be written.
        """
        path = local_path(self.address)
        if path is not None and path.exists() and not path.is_dir():
            raise DataSetFailed(f"{self.address}: not a folder", usage=True)
        files = self._storage.list(self.address)
        address = join(self.address, records.PARAMETERS)
        if records.IMAGES in files:
            raise DataSetFailed(
                f"{self.address}: holds label maps of a plain folder, without a manifest; choose another "
                "--out",
                usage=True,
            )
        if records.PARAMETERS not in files:
            self._storage.write(address, records.to_bytes(self._record))
            return
        recorded = records.from_bytes(address, self._storage.load(address))
        records.check(self.address, recorded, self._record)

    def begin(self, shard: tuple[int, int] | None) -> None:
        """Take the target over: an actor of a killed run may still live, and must not commit.

        Raises:
            DataSetFailed: the target cannot be written.
        """
        name = RUN if shard is None else f"{RUN}-{shard[0]}-of-{shard[1]}"
        self._run = (join(self.address, name), uuid.uuid4().hex)
        self._storage.write(self._run[0], self._run[1].encode())

    def _check_run(self) -> None:
        address, mine = self._run
        if address and self._storage.load(address).decode() != mine:
            raise DataSetFailed(f"{self.address}: another run has begun to write there")

    def read_manifest(self) -> manifest.Done:
        """What is done. Errors as for `manifest.read`."""
        return manifest.read(self._storage, self.address, self._record)

    def drop(self, stale: dict[str, set[int]]) -> None:
        """Remove the rows of images that are about to be done again."""
        if stale:
            manifest.drop(self._storage, self.address, stale)

    def commit(self, unit: str, outcomes: Iterable[Outcome]) -> tuple[Tally, list[str]]:
        """Write the label maps of a unit, and then its part of the manifest.

        Returns:
            The tally of the unit; and the addresses of the files that were written.

        Raises:
            DataSetFailed: the target cannot be written. Nothing of the unit counts then.
        """
        tally = Tally()
        rows: list[dict[str, Any]] = []
        written: list[str] = []
        if self._shards:
            with tempfile.TemporaryFile() as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    for outcome in outcomes:
                        offset = None if outcome.error else _add(tar, outcome)
                        rows.append(_row(outcome, None, offset))
                        tally.add(outcome)
                if tally.made:
                    file.seek(0)
                    digest = hashlib.file_digest(file, hashlib.blake2b).hexdigest()[:8]
                    # Named by its content: a unit that is done twice cannot change a file that a row names.
                    name = f"{SHARDS}/{unit}-{digest}.tar"
                    written.append(join(self.address, name))
                    for row in rows:
                        row["file"] = name if row["offset"] is not None else None
                    self._storage.write(written[0], Path(f"/proc/self/fd/{file.fileno()}"))
        else:
            for outcome in outcomes:
                result, path = self._write_map(outcome)
                rows.append(_row(result, path, None if path is None else 0))
                tally.add(result)
                written += [] if path is None else [join(self.address, path)]
        if rows:
            self._check_run()
            manifest.write_part(self._storage, self.address, unit, rows, self._record)
        return tally, written

    def _write_map(self, outcome: Outcome) -> tuple[Outcome, str | None]:
        if outcome.error:
            return outcome, None
        name = outcome.item.map_name
        address = join(self.address, name)
        try:
            self._storage.try_write(address, outcome.spx)
        except Exception as error:  # noqa: BLE001 (each driver has its own errors)
            # This name is too long, or a folder has it. Files with other names can be written.
            if isinstance(error, IsADirectoryError | NotADirectoryError | FileExistsError) or (
                isinstance(error, OSError) and is_permanent(error, address) and "too long" in reason(error)
            ):
                return Outcome(outcome.item, f"{address}: {reason(error)}"), None
            raise DataSetFailed(f"{address}: {reason(error)}") from None
        return outcome, name

    def orphans(self, done: manifest.Done) -> list[str]:
        """Tar files that no row names: a run was killed between a tar file and its rows."""
        if not self._shards:
            return []
        there = self._storage.list(join(self.address, SHARDS))
        return sorted(name for name in there if f"{SHARDS}/{name}" not in done.files)

    def delete_orphans(self, names: Iterable[str]) -> int:
        """Delete those tar files that no row names even now; returns their number."""
        deleted = 0
        for name in names:
            if manifest.file_of(self._storage, self.address, name.partition("-")[0]) != f"{SHARDS}/{name}":
                self._storage.delete(join(join(self.address, SHARDS), name))
                deleted += 1
        return deleted

    @contextmanager
    def lock(self, shard: tuple[int, int] | None) -> Iterator[None]:
        """Lock a local target: one run per shard at a time. Elsewhere there are no locks.

        Raises:
            DataSetFailed: another run has the lock, or the target cannot be made.
        """
        path = local_path(self.address)
        if path is None:
            yield
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
            name = (
                ".superpixel-bulk.lock" if shard is None else ".superpixel-bulk-{}-of-{}.lock".format(*shard)
            )
            descriptor = os.open(path / name, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DataSetFailed(f"{self.address}: {reason(error)}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataSetFailed(f"{self.address}: another run is writing there") from None
            except OSError as error:  # some network file systems have no locks
                raise DataSetFailed(f"{self.address}: cannot be locked: {reason(error)}") from None
            yield
        finally:
            os.close(descriptor)


def _add(tar: tarfile.TarFile, outcome: Outcome) -> int:
    """Add a label map; returns the position of its first byte in the tar file."""
    # The same maps give the same tar file: no date, no owner.
    info = tarfile.TarInfo(outcome.item.map_name)
    info.size = len(outcome.spx)
    tar.addfile(info, io.BytesIO(outcome.spx))
    blocks = -(-info.size // tarfile.BLOCKSIZE)
    return tar.offset - blocks * tarfile.BLOCKSIZE


def _row(outcome: Outcome, file: str | None, offset: int | None) -> dict[str, Any]:
    item: Item = outcome.item
    failed = bool(outcome.error)
    return {
        "key": manifest.text(item.key),
        "address": manifest.text(item.address),
        "version": item.version,
        "sha256": outcome.sha256 or None,
        "bytes": outcome.size if outcome.sha256 else None,
        "width": None if failed else outcome.width,
        "height": None if failed else outcome.height,
        "counts": None if failed else list(outcome.counts),
        "base_count": None if failed else outcome.base_count,
        "seconds": None if failed else outcome.seconds,
        "notices": list(outcome.notices),
        "error": manifest.text(outcome.error) if failed else None,
        "file": None if file is None else manifest.text(file),
        "offset": offset,
        "spx_bytes": None if failed else len(outcome.spx),
    }
