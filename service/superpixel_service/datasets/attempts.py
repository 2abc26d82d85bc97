"""Finds the image that ends its worker each time. Without this its unit would be repeated for ever."""

import json
from collections.abc import Iterator
from dataclasses import replace

from superpixel_service.datasets.items import Item, Unit
from superpixel_service.datasets.storage import Storage, join

FOLDER = ".superpixel-bulk-attempts"
CAREFUL_AFTER = 2
"""A unit that was begun this often and never finished is repeated image by image."""

_BLAMED = "the worker ended each time it worked on this image"


class Attempts:
    """How often a unit was begun, and in a careful attempt at which image it is."""

    def __init__(self, storage: Storage, target: str, unit: Unit) -> None:
        self._storage = storage
        self._unit = unit
        self._address = join(join(target, FOLDER), f"{unit.name}.json")
        self._begun = 0
        self._at: int | None = None
        self._blamed: list[int] = []

    def items(self) -> Iterator[Item]:
        """The unit's images; those that ended a worker have an error.

        Raises:
            superpixel_service.datasets.errors.DataSetFailed: the target cannot be read or written.
        """
        self._read()
        if self._at is not None:  # the last attempt ended there
            self._blamed.append(self._at)
        self._begun += 1
        self._at = None
        self._write()
        for index, item in enumerate(self._unit.items):
            if index in self._blamed:
                yield replace(item, error=_BLAMED)
                continue
            if self.is_careful:
                self._at = index
                self._write()
            yield item

    @property
    def is_careful(self) -> bool:
        """Whether images must be worked on one by one."""
        return self._begun > CAREFUL_AFTER

    def finish(self) -> None:
        """Forget the unit: it is committed."""
        self._storage.delete(self._address)

    def _read(self) -> None:
        state = json.loads(self._storage.load(self._address, missing=b"{}"))
        self._begun = state.get("begun", 0)
        self._at = state.get("at")
        self._blamed = state.get("blamed", [])

    def _write(self) -> None:
        state = {"begun": self._begun, "at": self._at, "blamed": self._blamed}
        self._storage.write(self._address, json.dumps(state).encode())
