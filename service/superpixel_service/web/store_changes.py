"""Changes of a selection's classes and objects, as the page of a store sends them."""

from collections.abc import Callable, Mapping
from typing import Any

from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client.classes import FIRST_OBJECT, Class, Instance, check_lists, renumbering
from superpixel_service.large.errors import LargeFailed
from superpixel_service.web.store_state import ListChange, StoreState

MAX_NAME = 100
"""Most characters of a name of a class or an object."""


def read_change(state: StoreState, change: Mapping[str, Any]) -> ListChange:
    """What a change does to the lists.

    Args:
        state: the lists now, and their regions.
        change: `do` is one of `CHANGES`; the rest depends on it.

    Raises:
        LargeFailed: it is malformed, or names a class or an object that is not there.
    """
    make = CHANGES.get(str(change.get("do")))
    if make is None:
        raise LargeFailed(f"do: must be one of {', '.join(CHANGES)}", usage=True)
    try:
        found = make(state, change)
        check_lists(found.classes, found.objects)
    except InvalidParameter as error:
        raise LargeFailed(str(error), usage=True) from None
    return found


def _add_class(state: StoreState, change: Mapping[str, Any]) -> ListChange:
    return ListChange((*state.classes, _class(change)), state.objects)


def _edit_class(state: StoreState, change: Mapping[str, Any]) -> ListChange:
    classes = list(state.classes)
    classes[_class_value(state, change, "value") - 1] = _class(change)
    return ListChange(tuple(classes), state.objects)


def _remove_class(state: StoreState, change: Mapping[str, Any]) -> ListChange:
    value = _class_value(state, change, "value")
    into = _class_value(state, change, "into") if change.get("into") else 0
    if value == into:
        raise LargeFailed(f"into: must be another class than {value}", usage=True)
    if len(state.classes) == 1:
        raise LargeFailed("value: the last class stays", usage=True)
    own = {FIRST_OBJECT + i for i, one in enumerate(state.objects) if one.class_value == value}
    becomes = renumbering(len(state.objects), {value} if into else {value, *own}, into)
    merged = (into if one.class_value == value else one.class_value for one in state.objects)
    objects = tuple(
        Instance(kind - (kind > value), one.name)
        for kind, one in zip(merged, state.objects, strict=True)
        if kind  # 0: its class is gone, without another one
    )
    return ListChange((*state.classes[: value - 1], *state.classes[value:]), objects, becomes)


def _add_object(state: StoreState, change: Mapping[str, Any]) -> ListChange:
    return ListChange(state.classes, (*state.objects, _object(state, change)))


def _change_object(state: StoreState, change: Mapping[str, Any]) -> ListChange:
    value = _object_value(state, change.get("value"))
    objects = list(state.objects)
    objects[value - FIRST_OBJECT] = _object(state, change)
    return ListChange(state.classes, tuple(objects))


def _remove_object(state: StoreState, change: Mapping[str, Any]) -> ListChange:
    value = _object_value(state, change.get("value"))
    at = value - FIRST_OBJECT
    objects = (*state.objects[:at], *state.objects[at + 1 :])
    return ListChange(state.classes, objects, renumbering(len(state.objects), {value}, 0))


def _join_objects(state: StoreState, change: Mapping[str, Any]) -> ListChange:
    given = change.get("values")
    if not isinstance(given, list) or len(given) < 2:
        raise LargeFailed("values: must be a list of at least two objects", usage=True)
    values = [_object_value(state, value) for value in given]
    first = min(values)
    others = set(values) - {first}
    objects = list(state.objects)
    objects[first - FIRST_OBJECT] = objects[values[0] - FIRST_OBJECT]
    kept = tuple(one for i, one in enumerate(objects) if FIRST_OBJECT + i not in others)
    return ListChange(state.classes, kept, renumbering(len(objects), others, first))


CHANGES: dict[str, Callable[[StoreState, Mapping[str, Any]], ListChange]] = {
    "addClass": _add_class,
    "editClass": _edit_class,
    "removeClass": _remove_class,
    "addObject": _add_object,
    "changeObject": _change_object,
    "removeObject": _remove_object,
    "joinObjects": _join_objects,
}


def _class(change: Mapping[str, Any]) -> Class:
    found = change.get("class")
    if not isinstance(found, Mapping) or not isinstance(found.get("color"), str):
        raise LargeFailed("class: must have a name and a color", usage=True)
    id_ = found.get("id")
    if id_ is not None and type(id_) is not int:
        raise LargeFailed("class: id: must be a whole number", usage=True)
    return Class(_name(found, "class"), found["color"], id_)


def _object(state: StoreState, change: Mapping[str, Any]) -> Instance:
    found = change.get("object")
    if not isinstance(found, Mapping):
        raise LargeFailed("object: must have a class and a name", usage=True)
    return Instance(_class_value(state, found, "class"), _name(found, "object"))


def _name(found: Mapping[str, Any], of: str) -> str:
    name = found.get("name")
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise LargeFailed(f"{of}: name: must be a text of at most {MAX_NAME} characters", usage=True)
    return name


def _class_value(state: StoreState, change: Mapping[str, Any], key: str) -> int:
    value = change.get(key)
    if type(value) is not int or not 1 <= value <= len(state.classes):
        raise LargeFailed(f"{key}: must be a class from 1 to {len(state.classes)}", usage=True)
    return value


def _object_value(state: StoreState, value: Any) -> int:
    if type(value) is not int or not 0 <= value - FIRST_OBJECT < len(state.objects):
        raise LargeFailed(
            f"value: must be an object, {FIRST_OBJECT} and more; there are {len(state.objects)}", usage=True
        )
    return value
