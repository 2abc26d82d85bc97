"""The files of `superpixel migrate`: which belong together, and what was already done with them."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from superpixel_service.commands.output import (
    EXIT_USAGE,
    CommandFailed,
    append,
    make_folder,
    read_entries,
    read_file,
    reason,
    save,
)
from superpixel_service.datasets.names import MAP_SUFFIX

RECORD = "superpixel-migrate.jsonl"
"""A line per finished map: its name, the digest of what it was made from, and those of what was written."""

_SELECTION_SUFFIX = ".json"
_FORMAT = b"superpixel-selection"


@dataclass(slots=True)
class Job:
    """A label map and its selections.

    Attributes:
        name: the map's path in its folder.
        label_map: the map's file.
        image: the image's file.
        selections: the files of its selections.
    """

    name: str
    label_map: Path
    image: Path
    selections: list[Path] = field(default_factory=list)


@dataclass(slots=True)
class Problems:
    """What could not be migrated: a text per file."""

    files: list[tuple[str, str]] = field(default_factory=list)

    def add(self, file: Path | str, text: str) -> None:
        """Note a problem with a file."""
        self.files.append((str(file), text))


def find_jobs(folder: Path, images: Path, problems: Problems) -> list[Job]:
    """Find the label maps of a folder with their selections, sorted by name.

    Raises:
        CommandFailed: a folder does not exist.
    """
    for path in (folder, images):
        if not path.is_dir():
            raise CommandFailed(f"{path}: no such folder", status=EXIT_USAGE)
    jobs = []
    for parent, folders, names in os.walk(folder, onerror=lambda error: _note(error, problems)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(parent)
        of_maps: dict[str, list[Job]] = {}
        for name in sorted(names):
            if name.endswith(MAP_SUFFIX) and not name.startswith("."):
                path = here / name
                inside = path.relative_to(folder)
                job = Job(str(inside), path, images / inside.with_name(name.removesuffix(MAP_SUFFIX)))
                jobs.append(job)
                for base in {name, job.image.name, job.image.stem}:
                    of_maps.setdefault(base, []).append(job)
        for name in sorted(names):
            if name.endswith(_SELECTION_SUFFIX) and not name.startswith("."):
                _assign(here / name, of_maps, problems)
    return jobs


def _note(error: OSError, problems: Problems) -> None:
    problems.add(error.filename, reason(error).split(": ", 1)[-1])


def _assign(path: Path, of_maps: Mapping[str, list[Job]], problems: Problems) -> None:
    """Give a selection to the map of its name. Other JSON files are left out."""
    try:
        with path.open("rb") as file:
            if _FORMAT not in file.read(256):
                return
    except OSError as error:
        _note(error, problems)
        return
    base = path.name.removesuffix(_SELECTION_SUFFIX).removesuffix(".selection")
    found = of_maps.get(base, [])
    if not found:
        problems.add(path, f"there is no label map of its name, {base}{MAP_SUFFIX}")
    elif len(found) > 1:
        maps = " or ".join(job.label_map.name for job in found)
        problems.add(path, f"its name does not say whether it belongs to {maps}")
    else:
        found[0].selections.append(path)


class Results:
    """The output folder, with a record of what was written there. Use it inside `map_folder.lock(out)`."""

    def __init__(self, folder: Path, out: Path, settings: str) -> None:
        """Read the record.

        Args:
            folder: of the originals.
            out: of the results.
            settings: everything that the results depend on, besides the files.
        """
        self._folder = folder
        self._out = out
        self._settings = settings
        self._done: dict[str, dict[str, Any]] = {}
        self._written: dict[str, set[tuple[str, str]]] = {}
        for name, entry in _read_record(out / RECORD):
            self._note(name, entry)

    def path_of(self, original: Path) -> Path:
        """Where the result for an original goes."""
        return self._out / original.relative_to(self._folder)

    def inputs(self, job: Job) -> str:
        """A digest of the files and settings that the results of a job depend on.

        Raises:
            CommandFailed: a file cannot be read.
        """
        digest = hashlib.blake2b(self._settings.encode())
        for path in (job.image, job.label_map, *job.selections):
            digest.update(f"{path.name}:".encode(errors="surrogateescape"))
            digest.update(hashlib.blake2b(read_file(path)).digest())
        return digest.hexdigest()

    def are_done(self, job: Job, inputs: str) -> bool:
        """Whether all results of a job are there, from these inputs.

        Raises:
            CommandFailed: a file is there that this command did not write, or that was changed since.
        """
        record = self._done.get(job.name, {})
        own = self._written.get(job.name, set())
        latest = record.get("outputs", {})
        complete = record.get("inputs") == inputs
        for original in (job.label_map, *job.selections):
            path = self.path_of(original)
            if not path.exists():
                complete = False
                continue
            digest = _digest(read_file(path))
            complete = complete and latest.get(path.name) == digest
            if (path.name, digest) not in own:
                was_ours = any(name == path.name for name, _ in own)
                state = "was changed since it was written" if was_ours else "exists already"
                raise CommandFailed(f"{path}: {state}; it is not overwritten")
        return complete

    def write(self, job: Job, inputs: str, results: Mapping[Path, bytes]) -> None:
        """Write the results of a job.

        Args:
            job: the job.
            inputs: its digest.
            results: contents by the path of the original.

        Raises:
            CommandFailed: a file cannot be written.
        """
        outputs = {path.name: _digest(data) for path, data in results.items()}
        line: dict[str, Any] = {"map": job.name, "inputs": inputs, "outputs": outputs}
        # Recorded first: after a kill in between, the next run knows the files as its own.
        append(self._out / RECORD, json.dumps(line).encode() + b"\n")
        for original, data in results.items():
            path = self.path_of(original)
            make_folder(path.parent)
            save(path, data)
        self._note(job.name, line)

    def _note(self, name: str, entry: dict[str, Any]) -> None:
        self._done[name] = entry
        self._written.setdefault(name, set()).update(entry["outputs"].items())


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _read_record(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The names of the maps in the record, and their lines."""
    for entry in read_entries(path):
        try:
            if isinstance(entry["outputs"], dict):
                yield str(entry["map"]), entry
        except (TypeError, KeyError):
            continue
