"""The output folder of `superpixel bulk`: its lock, its parameters, and the image of which each map was made.

`superpixel-bulk.json` holds the parameters, which are the same for all maps of the folder.
`superpixel-bulk-images.jsonl` holds a line per image: its path, size and date, and maybe a hash. A later line
for the same path replaces an earlier one.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from superpixel_kernels.codec import layout
from superpixel_service.commands.guidance_files import GuidanceFiles
from superpixel_service.commands.label_maps import Parameters
from superpixel_service.commands.output import (
    EXIT_FAILED,
    EXIT_USAGE,
    CommandFailed,
    append,
    read_entries,
    read_file,
    reason,
    save,
)
from superpixel_service.datasets import record as records
from superpixel_service.datasets.errors import DataSetFailed
from superpixel_service.datasets.names import MAP_SUFFIX
from superpixel_service.datasets.record import IMAGES, PARAMETERS

_END_OF_FILE = layout.SECTION.pack(layout.END, 0, 0)
_MAX_HASHED_BYTES = 2**31
"""Larger files cannot be segmented, so they are not read either."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Identifies the content of an image file.

    Attributes:
        size: size in bytes.
        modified_ns: date of the last change, in nanoseconds since 1970.
        digest: BLAKE2b of the content, in hexadecimal; empty: not computed.
        guidance: names, sizes and dates of the maps of guidance, as text; empty: there are none.
        guidance_digest: BLAKE2b of their contents; empty: not computed.
    """

    size: int
    modified_ns: int
    digest: str = ""
    guidance: str = ""
    guidance_digest: str = ""

    def equals(self, other: "Fingerprint") -> bool:
        """Compare by content if both have a digest, else by size and date."""
        if self.digest and other.digest:
            return (self.digest, self.guidance_digest) == (other.digest, other.guidance_digest)
        return (self.size, self.modified_ns, self.guidance) == (
            other.size,
            other.modified_ns,
            other.guidance,
        )


def fingerprint(image: Path, guidance: GuidanceFiles | None = None, *, checksum: bool) -> Fingerprint | None:
    """The fingerprint of an image file and its maps of guidance; None if one cannot be read."""
    try:
        size, modified_ns, digest = _file_state(image, checksum=checksum)
        maps = {} if guidance is None else guidance.files(image)
        states = {name: _file_state(path, checksum=checksum) for name, path in maps.items()}
    except OSError:
        return None
    described = "; ".join(f"{name} {map_size} {map_ns}" for name, (map_size, map_ns, _) in states.items())
    digests = [f"{name} {map_digest}" for name, (_, _, map_digest) in states.items() if map_digest]
    combined = hashlib.blake2b("; ".join(digests).encode()).hexdigest() if digests else ""
    return Fingerprint(size, modified_ns, digest, described, combined)


def _file_state(path: Path, *, checksum: bool) -> tuple[int, int, str]:
    """Size, date and digest; without a digest unless `checksum`."""
    status = path.stat()
    digest = ""
    if checksum and status.st_size < _MAX_HASHED_BYTES:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, hashlib.blake2b).hexdigest()
    return status.st_size, status.st_mtime_ns, digest


class MapFolder:
    """The label maps in the folder `out`, made of the images in `folder`. Use it inside `lock(out)`."""

    def __init__(
        self, folder: Path, out: Path, *, checksum: bool, guidance: GuidanceFiles | None = None
    ) -> None:
        self._guidance = guidance
        self._folder = folder
        self._out = out
        self._checksum = checksum
        self._made_of = _read_images(out / IMAGES)
        # Operations on paths are slow, and a finished run of 100,000 images does little else.
        self._prefix = len(_inside(folder))
        self._out_prefix = _inside(out)

    def path_of(self, image: Path) -> Path:
        """The path of an image's label map."""
        return Path(self._map_path(image))

    def _map_path(self, image: Path) -> str:
        return f"{self._out_prefix}{self._name(image)}{MAP_SUFFIX}"

    def split(self, images: Iterable[Path]) -> tuple[list[Path], int]:
        """The images to segment, and the number of those whose maps are complete and up to date.

        Older versions recorded no sizes and dates. A map without a record counts as up to date if it is not
        older than its image; from then on it has a record.
        """
        todo, done, adopted = [], 0, {}
        for image in images:
            now = self.fingerprint(image)
            output = self._map_path(image)
            if now is None or not _is_complete(output):
                todo.append(image)
                continue
            before = self._made_of.get(self._name(image))
            if not (_is_not_older(output, now) if before is None else now.equals(before)):
                todo.append(image)
                continue
            done += 1
            digest = now.digest or (before.digest if before else "")
            maps_digest = now.guidance_digest or (before.guidance_digest if before else "")
            if (digest, maps_digest) != (now.digest, now.guidance_digest):
                now = replace(now, digest=digest, guidance_digest=maps_digest)
            if now != before:
                adopted[image] = now
        self._record_all(adopted)
        return todo, done

    def fingerprint(self, image: Path) -> Fingerprint | None:
        """The state of an image and its maps of guidance now; None if one cannot be read."""
        return fingerprint(image, self._guidance, checksum=self._checksum)

    def record(self, image: Path, made_of: Fingerprint | None) -> None:
        """Record that the map of `image` was made and written."""
        if made_of is not None:
            self._record_all({image: made_of})

    def without_image(self, images: Iterable[Path], unreadable: Iterable[Path]) -> list[Path]:
        """The label maps in the folder that belong to no image. Those of unreadable folders do not count."""
        expected = {self._map_path(image) for image in images}
        unknown = {f"{self._out_prefix}{self._name(path)}" for path in unreadable}
        found = []
        for parent, folders, names in os.walk(self._out):
            here = _inside(Path(parent))
            folders[:] = [name for name in folders if not name.startswith(".") and here + name not in unknown]
            found += [
                Path(here + name)
                for name in names
                if name.endswith(MAP_SUFFIX) and not name.startswith(".") and here + name not in expected
            ]
        return sorted(found)

    def check_parameters(
        self, parameters: Parameters, algorithm_version: int, guidance_version: int | None = None
    ) -> None:
        """Record the parameters of the label maps in the folder, or compare them with the record.

        Raises:
            CommandFailed: the record has other parameters, or is damaged.
        """
        _check_record(self._out, record_of(parameters, algorithm_version, guidance_version))

    def _name(self, image: Path) -> str:
        return str(image)[self._prefix :]

    def _record_all(self, made_of: dict[Path, Fingerprint]) -> None:
        if not made_of:
            return
        lines = []
        for image, each in made_of.items():
            self._made_of[self._name(image)] = each
            line: dict[str, object] = {
                "image": self._name(image),
                "bytes": each.size,
                "modified_ns": each.modified_ns,
            }
            if each.digest:
                line["blake2b"] = each.digest
            if each.guidance:
                line["guidance"] = each.guidance
            if each.guidance_digest:
                line["guidance_blake2b"] = each.guidance_digest
            lines.append(json.dumps(line) + "\n")
        append(self._out / IMAGES, "".join(lines).encode())


@contextmanager
def lock(out: Path) -> Iterator[None]:
    """Lock the output folder: one run at a time. The system releases the lock however the run ends."""
    try:
        descriptor = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise CommandFailed(reason(error, out)) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed(f"{out}: another run is writing there") from None
        except OSError as error:  # some network file systems have no locks
            raise CommandFailed(f"cannot be locked: {reason(error, out)}") from None
        yield
    finally:
        os.close(descriptor)


def _inside(folder: Path) -> str:
    """What the paths of the files in a folder begin with."""
    return str(folder / "x")[:-1]


def _is_complete(output: str) -> bool:
    """Whether the label map exists and was written to its end."""
    try:
        file = os.open(output, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.pread(file, len(layout.MAGIC), 0) != layout.MAGIC:
            return False
        end = os.lseek(file, 0, os.SEEK_END) - len(_END_OF_FILE)
        return end >= 0 and os.pread(file, len(_END_OF_FILE), end) == _END_OF_FILE
    except OSError:
        return False
    finally:
        os.close(file)


def _is_not_older(output: str, image: Fingerprint) -> bool:
    return Path(output).stat().st_mtime_ns >= image.modified_ns


def _read_images(path: Path) -> dict[str, Fingerprint]:
    """The record of images."""
    found: dict[str, Fingerprint] = {}
    for entry in read_entries(path):
        try:
            found[str(entry["image"])] = Fingerprint(
                int(entry["bytes"]),
                int(entry["modified_ns"]),
                str(entry.get("blake2b", "")),
                str(entry.get("guidance", "")),
                str(entry.get("guidance_blake2b", "")),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return found


def _check_record(out: Path, parameters: dict[str, object]) -> None:
    path = out / PARAMETERS
    if not path.exists():
        save(path, records.to_bytes(parameters))
        return
    try:
        records.check(str(out), records.from_bytes(str(path), read_file(path)), parameters)
    except DataSetFailed as error:
        raise CommandFailed(str(error), status=EXIT_USAGE if error.usage else EXIT_FAILED) from None


def record_of(
    parameters: Parameters, algorithm_version: int, guidance_version: int | None = None
) -> dict[str, object]:
    """Everything that the label maps depend on, besides the images."""
    record: dict[str, object] = {
        "counts": list(parameters.counts),
        "compactness": parameters.compactness,
        "hierarchy": parameters.hierarchy,
        "algorithm_version": algorithm_version,
    }
    # At their defaults these are left out, as in the records of versions that did not have them.
    if parameters.areas:
        record["areas"] = list(parameters.areas)
    if parameters.region is not None:
        record["region"] = list(parameters.region)
    if parameters.sample_range is not None:
        record["sample_range"] = list(parameters.sample_range)
    if parameters.first_frame:
        record["first_frame"] = True
    if not parameters.orientation:
        record["orientation"] = False
    if parameters.clamp:
        record["clamp"] = True
    if parameters.guidance is not None:
        record["guidance"] = {"version": guidance_version, **parameters.guidance.record()}
    return record
