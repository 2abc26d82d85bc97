"""The classes of a data set."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client.classes import MAX_CLASSES, MAX_ID, Class, is_color

FORMAT = "superpixel-classes"


class Schema:
    """The classes of a data set, each with an `id` that never changes. Names and ids are unique.

    ```
    schema = Schema([Class("cat", "#e6194b", 1), Class("dog", "#3cb44b", 2)])
    Path("classes.json").write_text(json.dumps(schema.to_json()))
    ```
    """

    def __init__(
        self, classes: Iterable[Class] = (), *, fixed: bool = False, ids_decide: bool = False
    ) -> None:
        """Begin with some classes.

        Args:
            classes: those without an `id` get the next free one.
            fixed: True: no class is added later.
            ids_decide: True: a class with a known id is that class, also under another name: it was renamed.

        Raises:
            InvalidParameter: two classes have one name or one id, or there are over 254.
        """
        self._classes: list[Class] = []
        self._fixed = False
        self._ids_decide = ids_decide
        # Numbers that are given come first: the next free one must not take them.
        given = list(classes)
        self._next = 1 + max((one.id for one in given if one.id is not None), default=0)
        self.merge(given, "the schema")
        self._fixed = fixed

    @property
    def classes(self) -> tuple[Class, ...]:
        """All classes, in the order in which they came. Their order never changes."""
        return tuple(self._classes)

    def merge(self, classes: Sequence[Class], where: str) -> NDArray[np.uint8]:
        """Find classes in the schema, by their ids or else by their names; append missing ones.

        Args:
            classes: of an annotation.
            where: what has these classes, for the error text.

        Returns:
            (1 + len(classes),) uint8: the class value in the schema of each class value.

        Raises:
            InvalidParameter: the schema has another name for an id, or another id for a name; two of the
                classes have one name; the schema is fixed, or would have over 254 classes. Then nothing is
                appended.
        """
        all_classes = list(self._classes)
        following = self._next
        values = np.zeros(1 + len(classes), np.uint8)
        seen: set[str] = set()
        for index, one in enumerate(classes, 1):
            at = self._find(all_classes, one, where)
            name = one.name if at is None else all_classes[at].name
            if name in seen:
                raise InvalidParameter("classes", f'{where}: two have the name "{name}"')
            seen.add(name)
            if at is None:
                if self._fixed:
                    raise InvalidParameter("classes", f'{where}: "{one.name}" is not in the schema')
                if len(all_classes) == MAX_CLASSES:
                    raise InvalidParameter("classes", f"{where}: there would be over {MAX_CLASSES}")
                number = one.id
                if number is None:
                    number, following = following, following + 1
                following = max(following, number + 1)
                all_classes.append(Class(one.name, one.color, number))
                at = len(all_classes) - 1
            values[index] = at + 1
        self._classes, self._next = all_classes, following
        return values

    def _find(self, classes: list[Class], one: Class, where: str) -> int | None:
        by_name = next((at for at, known in enumerate(classes) if known.name == one.name), None)
        if one.id is None:
            return by_name
        by_id = next((at for at, known in enumerate(classes) if known.id == one.id), None)
        if by_id is not None and self._ids_decide:
            return by_id
        if by_id is not None and by_id != by_name:
            raise InvalidParameter(
                "classes",
                f'{where}: id {one.id} is "{one.name}", and "{classes[by_id].name}" in the schema',
            )
        if by_name is not None and by_id != by_name:
            raise InvalidParameter(
                "classes",
                f'{where}: "{one.name}" has the id {one.id}, and {classes[by_name].id} in the schema',
            )
        return by_id

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        rows = [{"id": one.id, "name": one.name, "color": one.color} for one in self._classes]
        return {"format": FORMAT, "version": 1, "classes": rows}

    @classmethod
    def from_json(cls, data: Any, *, fixed: bool = False) -> Self:
        """Read what `to_json` returned.

        Args:
            data: parsed JSON; untrusted.
            fixed: as for the constructor.

        Raises:
            InvalidParameter: it is damaged; the text names the field.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != 1:
            raise InvalidParameter("schema", f"must be {FORMAT} of version 1")
        rows = data.get("classes")
        if not isinstance(rows, list) or len(rows) > MAX_CLASSES:
            raise InvalidParameter("classes", f"must be a list of at most {MAX_CLASSES}")
        classes = []
        for index, row in enumerate(rows):
            name, color, number = (
                row.get(key) if isinstance(row, dict) else None for key in ("name", "color", "id")
            )
            valid = isinstance(name, str) and is_color(str(color))
            if not valid or (number is not None and not (type(number) is int and 1 <= number <= MAX_ID)):
                raise InvalidParameter(
                    f"classes[{index}]",
                    f"must have a name, a color #rrggbb, and maybe an id from 1 to {MAX_ID}",
                )
            classes.append(Class(str(name), str(color), number))
        return cls(classes, fixed=fixed)
