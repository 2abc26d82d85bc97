"""A selection in Python: read what a labeller chose, change it, move it to another map, and write it back.

```
selection = Selection.restore(result.label_map, saved)      # saved by JSON.stringify(selection) in a browser
tom = selection.add_object(1, "Tom")
selection.choose(400, [17, 18], tom)
selection.move_to(other.label_map)                          # of the same image
saved = selection.to_json()                                 # the same text as in a browser
annotation = selection.annotation()                         # for superpixel_service.client.exports
```
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import codec
from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client import selection_json
from superpixel_service.client.classes import (
    FIRST_OBJECT,
    MAX_OBJECTS,
    Class,
    Instance,
    check_lists,
    renumbering,
)
from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.pieces import find_pieces
from superpixel_service.client.selection_json import Parameters, Stored

__all__ = ["Selection"]


class Selection:
    """The classes and objects that somebody gave to regions and pixels of a map.

    A value is a class (1 + its index in `classes`), an object (256 + its index in `objects`), or 0 for no
    class. Painted pixels lie above the regions. The npm package's `Selection` does the same, with undo.

    Attributes:
        label_map: the map.
        classes: at most 254.
        objects: at most 65,000; an object may have no pixels.
        regions: (count,) uint16: the value of each finest region.
        pixels: (height, width) uint16: 0 if not painted, else 1 + the value; None if nothing was painted.
        parameters: what the map was made with; None if unknown.
    """

    def __init__(
        self,
        label_map: codec.LabelMap,
        classes: Iterable[Class] = (),
        *,
        parameters: Parameters | None = None,
    ) -> None:
        """Make an empty selection.

        Raises:
            InvalidParameter: there are too many classes, or two have the same id; a parameter is no finite
                number, short text, boolean or None.
        """
        self.label_map = label_map
        self.classes = list(classes)
        self.objects: list[Instance] = []
        self.regions: NDArray[np.uint16] = np.zeros(label_map.count, np.uint16)
        self.pixels: NDArray[np.uint16] | None = None
        check_lists(self.classes, ())
        try:
            self.parameters = selection_json.check_parameters(parameters)
        except ValueError as error:
            raise InvalidParameter("parameters", str(error)) from error

    @classmethod
    def restore(cls, label_map: codec.LabelMap, data: str | bytes | Mapping[str, Any]) -> Self:
        """Read a selection.

        Args:
            label_map: the map that the selection was made on, or one with the same labels.
            data: JSON of version 1 or 2 (docs/selection.md), or the parsed JSON; untrusted.

        Raises:
            InvalidParameter: the selection is damaged, or was made on another map. The message names the part
                and what would be valid.
        """
        if isinstance(data, str | bytes):
            try:
                data = json.loads(data)
            except (ValueError, RecursionError) as error:
                raise InvalidParameter("selection", f"is not JSON: {error}") from error
        stored = selection_json.read(label_map, data)
        selection = cls(label_map, stored.classes, parameters=stored.parameters)
        selection.objects = list(stored.objects)
        selection.regions = stored.regions
        if stored.pixels is not None:
            selection.pixels = stored.pixels.reshape(label_map.labels.shape)
        return selection

    def to_json(self) -> str:
        """The JSON that `JSON.stringify(selection)` gives in JavaScript, character by character.

        Raises:
            InvalidParameter: `classes` or `objects` were changed to something that is not valid.
        """
        check_lists(self.classes, self.objects)
        return selection_json.to_text(selection_json.write(self.label_map, self._stored()))

    def _stored(self) -> Stored:
        pixels = None if self.pixels is None else self.pixels.ravel()
        return Stored(tuple(self.classes), tuple(self.objects), self.regions, pixels, self.parameters)

    # ---- reading

    def values(self) -> NDArray[np.uint16]:
        """(height, width) uint16: the value of each pixel."""
        return self._stored().values(self.label_map)

    def annotation(self) -> Annotation:
        """A class and an object per pixel, for exports.

        Raises:
            InvalidParameter: `classes` or `objects` were changed so that they no longer cover the values.
        """
        return Annotation.of_values(self.values(), tuple(self.classes), tuple(self.objects))

    def object_areas(self) -> list[int]:
        """The area of each object in pixels."""
        areas = np.bincount(self.values().ravel(), minlength=FIRST_OBJECT + len(self.objects))
        listed: list[int] = areas[FIRST_OBJECT:].tolist()
        return listed

    # ---- regions and pixels

    def choose(self, count: int, regions: Iterable[int], value: int) -> None:
        """Give regions of a level a value, and remove the paint in them.

        Args:
            count: number of superpixels of the level.
            regions: 0 to count - 1.
            value: a class, an object, or 0.

        Raises:
            InvalidParameter: the map does not contain the level, the level does not have a region, or the
                value does not exist.
        """
        self._check_value(value)
        lut = self.label_map.cut(count)
        wanted = np.zeros(count, bool)
        for region in regions:
            if not 0 <= region < count:
                raise InvalidParameter("regions", f"{region}, must be from 0 to {count - 1}")
            wanted[region] = True
        members = wanted[lut]
        self.regions[members] = value
        if self.pixels is not None:
            self.pixels[codec.with_outside(members, 0)[self.label_map.labels]] = 0

    def paint(self, where: NDArray[np.bool_], value: int | None) -> None:
        """Paint pixels above the regions. Pixels outside the mask of the map stay as they are.

        Args:
            where: (height, width) bool.
            value: a class, an object, or 0 for no class; None: remove the paint.

        Raises:
            InvalidParameter: `where` has another shape or type, or the value does not exist.
        """
        shape = self.label_map.labels.shape
        if where.shape != shape or where.dtype != np.bool_:
            raise InvalidParameter("where", f"must be {shape} bool, got {where.shape} {where.dtype}")
        if value is not None:
            self._check_value(value)
        if self.pixels is None:
            self.pixels = np.zeros(shape, np.uint16)
        self.pixels[where & (self.label_map.labels >= 0)] = 0 if value is None else 1 + value

    def move_to(self, label_map: codec.LabelMap) -> None:
        """Switch to another map of the same image. Every pixel keeps its class and object.

        A region of the new map gets a value if all of its pixels have it. All other pixels with a value
        become painted pixels; those outside the mask of the new map lose it. `parameters` stays; set it to
        those of the new map.

        Raises:
            InvalidParameter: the map has another size.
        """
        labels = label_map.labels
        if labels.shape != self.label_map.labels.shape:
            raise InvalidParameter(
                "label_map", f"must be of {self.label_map.labels.shape} pixels, got {labels.shape}"
            )
        values = self.values()
        values[labels < 0] = 0
        regions = np.zeros(label_map.count + 1, np.uint16)  # the last one is the outside
        regions[labels] = values
        regions[labels[values != regions[labels]]] = 0  # regions with several values
        self.pixels = np.where(values == regions[labels], np.uint16(0), values + np.uint16(1))
        self.regions = regions[:-1]
        self.label_map = label_map

    # ---- classes and objects

    def remove_class(self, value: int, into: int = 0) -> None:
        """Remove a class; later values fall.

        Args:
            value: the class.
            into: the class that its regions, pixels and objects get; 0: none, and its objects are removed.

        Raises:
            InvalidParameter: there is no such class, or both are the same.
        """
        self._check_class(value)
        if into:
            self._check_class(into)
        if value == into:
            raise InvalidParameter("into", f"must be another class than {value}")
        own = {FIRST_OBJECT + i for i, one in enumerate(self.objects) if one.class_value == value}
        self._renumber({value} if into else {value, *own}, into)
        del self.classes[value - 1]
        kept = [
            Instance(into, one.name) if one.class_value == value else one
            for one in self.objects
            if into or one.class_value != value
        ]
        self.objects = [Instance(one.class_value - (one.class_value > value), one.name) for one in kept]

    def add_object(self, class_value: int, name: str = "") -> int:
        """Add an object without pixels.

        Returns:
            Its value, 256 or more.

        Raises:
            InvalidParameter: there is no such class, or there are too many objects.
        """
        self._check_class(class_value)
        self._check_room(1)
        self.objects.append(Instance(class_value, name))
        return FIRST_OBJECT + len(self.objects) - 1

    def change_object(self, value: int, *, class_value: int | None = None, name: str | None = None) -> None:
        """Give an object another class or another name.

        Raises:
            InvalidParameter: there is no such object or class.
        """
        self._check_object(value)
        old = self.objects[value - FIRST_OBJECT]
        new = Instance(
            old.class_value if class_value is None else class_value, old.name if name is None else name
        )
        self._check_class(new.class_value)
        self.objects[value - FIRST_OBJECT] = new

    def remove_object(self, value: int) -> None:
        """Remove an object: its regions and pixels get no class; the values of later objects fall by one.

        Raises:
            InvalidParameter: there is no such object.
        """
        self._check_object(value)
        self._renumber({value}, 0)
        del self.objects[value - FIRST_OBJECT]

    def join_objects(self, values: Iterable[int]) -> None:
        """Join objects into the one that has the smallest value. The values of later objects fall.

        It gets class and name of the first one given.

        Raises:
            InvalidParameter: there is no such object.
        """
        given = list(values)
        for value in given or [0]:
            self._check_object(value)
        first = min(given)
        others = set(given) - {first}
        self.objects[first - FIRST_OBJECT] = self.objects[given[0] - FIRST_OBJECT]
        self._renumber(others, first)
        self.objects = [one for i, one in enumerate(self.objects) if FIRST_OBJECT + i not in others]

    def split_object(self, value: int) -> list[int]:
        """Make each 4-connected piece of an object an object of its own, of the same class.

        The largest piece, of equal ones the first, stays; the others are appended in the order of their first
        pixels, row by row.

        Returns:
            The values of all pieces, `value` first.

        Raises:
            InvalidParameter: there is no such object, or there are too many pieces.
        """
        self._check_object(value)
        inside = self.values() == value
        ids, pieces = find_pieces(inside.astype(np.uint8))
        if len(pieces) < 2:
            return [value]
        self._check_room(len(pieces) - 1)
        largest = max(pieces, key=lambda piece: piece.area)
        added = list(
            range(FIRST_OBJECT + len(self.objects), FIRST_OBJECT + len(self.objects) + len(pieces) - 1)
        )
        becomes = np.zeros(len(pieces) + 1, np.uint16)
        becomes[[piece.id for piece in pieces if piece is not largest]] = added
        becomes[largest.id] = value
        target = becomes[ids[1:-1, 1:-1]]
        # A region moves if all of it that is not painted lies in one piece. The other pixels are painted.
        labels = self.label_map.labels
        bare = inside if self.pixels is None else inside & (self.pixels == 0)
        moved = np.zeros(self.label_map.count, np.uint16)
        moved[labels[bare]] = target[bare]
        torn = np.zeros(self.label_map.count, bool)
        torn[labels[bare & (target != moved[labels])]] = True
        whole = (moved > 0) & ~torn
        self.regions[whole] = moved[whole]
        painted = inside & (target != value) & (~bare | torn[labels])
        if painted.any():
            if self.pixels is None:
                self.pixels = np.zeros(labels.shape, np.uint16)
            self.pixels[painted] = target[painted] + np.uint16(1)
        one = self.objects[value - FIRST_OBJECT]
        self.objects += [Instance(one.class_value)] * len(added)
        return [value, *added]

    # ---- internal

    def _renumber(self, gone: set[int], to: int) -> None:
        """Give regions and pixels of the values that leave another value; later values of their kind fall."""
        becomes = renumbering(len(self.objects), gone, to)
        self.regions = becomes[self.regions]
        if self.pixels is not None:
            painted = self.pixels > 0
            self.pixels[painted] = becomes[self.pixels[painted] - np.uint16(1)] + np.uint16(1)

    def _check_value(self, value: int) -> None:
        if value >= FIRST_OBJECT:
            self._check_object(value)
        elif value != 0:
            self._check_class(value)

    def _check_class(self, value: int) -> None:
        _check_in("class", value, 1, self.classes)

    def _check_object(self, value: int) -> None:
        _check_in("object", value, FIRST_OBJECT, self.objects)

    def _check_room(self, more: int) -> None:
        if len(self.objects) + more > MAX_OBJECTS:
            raise InvalidParameter("objects", f"a selection has at most {MAX_OBJECTS}")


def _check_in(name: str, value: int, first: int, listed: Sequence[object]) -> None:
    if not first <= value < first + len(listed) or value % 1:
        raise InvalidParameter(name, f"must be from {first} to {first + len(listed) - 1}, got {value}")
