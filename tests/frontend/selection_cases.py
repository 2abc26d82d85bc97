"""Damaged selections: mutations of the JSON that `Selection.toJSON` of the npm package writes.

`python -m tests.frontend.selection_cases --count 1000000 --seed 1` runs longer. Any exception but
InvalidParameter, any wrong mask and any wrong verdict ends the run.
"""

import argparse
import base64
import copy
import json
import random
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from superpixel_kernels import codec
from superpixel_kernels.errors import InvalidParameter
from superpixel_service.client.exports import Annotation, fingerprint
from superpixel_service.client.selection import Selection
from tests.kernels.codec_tools import blobs, canonical

MAP = codec.LabelMap(canonical(blobs(14, 18, 9)), 9, connected=True, algorithm_version=1)
SIZE = MAP.labels.size
CLASSES = [{"name": "cat", "color": "#e6194b"}, {"name": "dog", "color": "#3cb44b"}]

WHOLE: dict[str, Any] = {
    "format": "superpixel-selection",
    "version": 1,
    "width": MAP.width,
    "height": MAP.height,
    "count": MAP.count,
    "map": fingerprint(MAP.labels),
    "classes": CLASSES,
    "regions": [0, 2, 2, 3, 1, 4],
    "pixels": [],
}
PAINTED: dict[str, Any] = {**WHOLE, "pixels": [0, 40, 3, 12, 1, 50, 0, SIZE - 102]}
OBJECTS: dict[str, Any] = {
    **WHOLE,
    "version": 2,
    "parameters": {"compactness": 10, "edges": None, "note": "x"},
    "classes": [{**CLASSES[0], "id": 7}, CLASSES[1]],
    "objects": [{"class": 1, "name": "Tom"}, {"class": 2, "name": ""}],
    "regions": [256, 2, 2, 3, 257, 4],
    "pixels": [0, 40, 257, 12, 258, 50, 1, 10, 0, SIZE - 112],
}

LENGTHS = [0, -1, 1, 2, 255, 256, 2**31 - 1, 2**31, 2**32, 2**53 - 1, 2**53, 2**53 + 1, 2**62, 2**63 - 1]
ODD: list[Any] = [
    *LENGTHS,
    2**63,
    2**64 - 1,
    2**64,
    10**30,
    10**400,
    0.5,
    1.0,
    -0.0,
    1e18,
    float("inf"),
    float("-inf"),
    float("nan"),
    True,
    False,
    None,
    "",
    "1",
    [],
    [1],
    {},
]
"""Numbers at which integers wrap or floats lose their last bit, and what is no number."""


BAD_OBJECTS: list[Any] = [
    *ODD,
    *([{"class": odd, "name": ""}] for odd in [0, 3, *ODD]),
    *([{"class": 1, "name": odd}] for odd in [0, None, [], "Tom"]),
    [{"class": 1}],
    [[]],
    [{"class": 1, "name": ""}] * 65_000,
    [{"class": 1, "name": ""}] * 65_001,
]
BAD_PARAMETERS: list[Any] = [
    *ODD,
    *({"note": odd} for odd in ODD),
    *({name: 1} for name in ("", "1", "a-b", "x" * 100, "x" * 101, "é", "a\n")),
    {"note": "x" * 100},
    {"note": "x" * 101},
    {"note": "\U0001f431" * 51},
    {f"n{i}": i for i in range(100)},
    {f"n{i}": i for i in range(101)},
]
BAD_IDS: list[Any] = [
    *([{**CLASSES[0], "id": odd}] for odd in ODD),
    [{**CLASSES[0], "id": 5}, {**CLASSES[1], "id": 5}],
    [{**CLASSES[0], "id": 5}, {**CLASSES[1], "id": 6}],
]


def wrapping(size: int, value: int = 0, bits: int = 64) -> list[int]:
    """Runs whose lengths are positive, and whose sum is `size` modulo 2**bits."""
    half = 2 ** (bits - 1) - 1
    return [value, half, value, half, value, size + 2]


def forged(size: int) -> Iterator[list[Any]]:
    """Runs of `size` values that must all be refused."""
    yield from (wrapping(size, bits=bits) for bits in (32, 33, 53, 54, 64, 65))
    yield [0, 2**63 - 1, 0, -(2**63) + 1 + size]
    yield [0, size + 5, 0, -5]
    yield [0, size - 0.5, 0, 0.5]
    yield [0, size + 0.0, 0, 0]
    yield [0, size, 1]
    yield [0, 2**53, 0, size]
    yield from ([0, odd] for odd in ODD if odd != size)
    yield from ([odd, size] for odd in (-1, 4, 256, 2**32, 2**64, 0.5, True, None, "0", float("nan")))
    yield [0, 1] * (size + 1)
    yield [0, 1] * 300_000


def mutate_runs(rng: random.Random, runs: list[Any], size: int) -> list[Any]:
    """A few runs changed."""
    changed = list(runs)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(8):
            case 0:
                changed[at : at + 1] = [rng.choice(ODD)]
            case 1:
                changed[at : at + 1] = [rng.randrange(size + 2)]
            case 2:
                del changed[at : at + rng.choice([1, 2])]
            case 3:
                changed[at:at] = [rng.choice(ODD) for _ in range(rng.choice([1, 2]))]
            case 4 if changed:
                # One length grows, another shrinks: the sum stays.
                by = rng.choice([1, 2, 5, *LENGTHS])
                i, j = (rng.randrange(len(changed)) | 1 for _ in range(2))
                for place, sign in ((i, 1), (j, -1)):
                    if place < len(changed) and type(changed[place]) is int:
                        changed[place] += sign * by
            case 5 if len(changed) > 1 and type(changed[1]) is int and changed[1] > 1:
                # The first run becomes two.
                first = rng.randrange(1, changed[1])
                changed[:2] = [changed[0], first, rng.randrange(4), changed[1] - first]
            case 6:
                changed = wrapping(size, rng.randrange(4), rng.choice([32, 53, 64]))
            case _:
                changed = changed * rng.choice([2, 3])
    return changed


def mutate(rng: random.Random) -> Any:
    """A selection with one part changed."""
    data = copy.deepcopy(rng.choice([WHOLE, PAINTED, OBJECTS]))
    choice = rng.random()
    if choice < 0.8:
        part, size = rng.choice([("regions", MAP.count), ("pixels", SIZE)])
        data[part] = mutate_runs(rng, data[part] or [0, size], size)
    elif choice < 0.9:
        data[rng.choice(list(data))] = rng.choice(ODD)
    elif choice < 0.95:
        del data[rng.choice(list(data))]
    elif choice < 0.97:
        data["objects"] = rng.choice(BAD_OBJECTS)
    elif choice < 0.98:
        data["parameters"] = rng.choice(BAD_PARAMETERS)
    elif choice < 0.99:
        data["classes"] = rng.choice(
            [[], CLASSES[:1], CLASSES * 127, CLASSES * 128, [None], [{}], ["cat"], *BAD_IDS]
        )
    else:
        return rng.choice(ODD)
    return data


class Refused(Exception):
    """The selection breaks a rule."""


def need(condition: object) -> None:
    if not condition:
        raise Refused


def expected(data: Any) -> list[int] | None:
    """The mask, by a plain reading of the rules; None if the selection must be refused."""

    def runs(given: Any, size: int, classes: int, objects: int, first: int) -> list[int]:
        need(type(given) is list and len(given) % 2 == 0)
        values: list[int] = []
        for value, length in zip(given[::2], given[1::2], strict=True):
            need({type(value), type(length)} <= {int, float})
            is_class = 0 <= value <= classes + first
            need((is_class or 256 + first <= value < 256 + first + objects) and value % 1 == 0)
            need(1 <= length <= size - len(values) and length % 1 == 0)
            values += [int(value)] * int(length)
        need(len(values) == size)
        return values

    try:
        need(type(data) is dict and data.keys() >= WHOLE.keys())
        for name in ("format", "width", "height", "count", "map"):
            need(data[name] == WHOLE[name] and data[name] is not True)
        need(type(data["version"]) in (int, float) and data["version"] in (1, 2))
        classes = data["classes"]
        need(type(classes) is list and len(classes) <= 254)
        for one in classes:
            need(type(one) is dict and type(one.get("name")) is type(one.get("color")) is str)
            need(re.fullmatch("#[0-9a-fA-F]{6}", one["color"]))
            need("id" not in one or is_integer(one["id"], 2**31 - 1))
        ids = [one["id"] for one in classes if "id" in one]
        need(len(set(ids)) == len(ids))
        need_parameters(data.get("parameters"))
        objects = data.get("objects") if data["version"] == 2 else []
        need(type(objects) is list and len(objects) <= 65_000)
        for one in objects:
            need(type(one) is dict and is_integer(one.get("class"), len(classes)))
            need(type(one.get("name")) is str)
        counts = (len(classes), len(objects))
        regions = runs(data["regions"], MAP.count, *counts, 0)
        pixels = runs(data["pixels"], SIZE, *counts, 1) if data["pixels"] != [] else [0] * SIZE
    except Refused:
        return None
    labels = MAP.labels.ravel().tolist()
    values = [paint - 1 if paint else regions[label] for paint, label in zip(pixels, labels, strict=True)]
    return [value if value < 256 else int(objects[value - 256]["class"]) for value in values]


def is_integer(value: Any, most: int) -> bool:
    return type(value) in (int, float) and 1 <= value <= most and value % 1 == 0


def need_parameters(given: Any) -> None:
    if given is None:
        return
    need(type(given) is dict and len(given) <= 100)
    for name, value in given.items():
        need(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) and len(name) <= 100)
        if type(value) is str:
            need(len(value.encode("utf-16-le")) <= 200)
        elif type(value) in (int, float):
            need(-1.7976931348623157e308 <= value <= 1.7976931348623157e308)
        else:
            need(value is None or type(value) is bool)


def check(data: Any) -> bool:
    """Raise AssertionError if Python reads `data` otherwise than the rules say. True: it was read."""
    try:
        mask = Annotation.of_selection(MAP, data).mask.ravel().tolist()
    except InvalidParameter:
        mask = None
    if mask is not None:
        again = Selection.restore(MAP, Selection.restore(MAP, data).to_json())
        if again.annotation().mask.ravel().tolist() != mask:
            raise AssertionError(f"written otherwise: {data}")
    if mask != expected(data):
        raise AssertionError(f"{'refused' if mask is None else 'read otherwise'}: {data}")
    return mask is not None


def fuzz(count: int, seed: int) -> tuple[int, int]:
    """Check `count` mutations, the same ones for the same seed. Returns how many were read and refused."""
    rng = random.Random(seed)
    read = sum(check(mutate(rng)) for _ in range(count))
    return read, count - read


def as_json(data: Any) -> str | None:
    """JSON text that JavaScript reads as the same value, or None: JSON has no NaN."""
    text = json.dumps(data).replace("Infinity", "1e999")
    return None if "NaN" in text else text


def peak_bytes(data: Any) -> int:
    """Largest memory that Python takes to refuse `data`."""
    tracemalloc.start()
    try:
        Annotation.of_selection(MAP, data)
    except InvalidParameter:
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    raise AssertionError("was read")


def rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Cases for JavaScript: JSON text, and the mask that it must give or null."""
    rng = random.Random(seed)
    forgeries: list[Any] = [{**WHOLE, "regions": runs} for runs in forged(MAP.count)]
    forgeries += [{**WHOLE, "pixels": runs} for runs in forged(SIZE)]
    for data in [WHOLE, PAINTED, OBJECTS, *forgeries, *(mutate(rng) for _ in range(count))]:
        text = as_json(data)
        if text is not None and len(text) < 10_000:
            yield {"text": text, "mask": expected(data)}


def write(folder: Path, count: int, seed: int) -> None:
    """Write selections.json: the map, and cases with `count` mutations."""
    spx = base64.b64encode(codec.encode(MAP.labels)).decode()
    (folder / "selections.json").write_text(json.dumps({"map": spx, "cases": [*rows(count, seed)]}))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    assert np.all(np.unique(MAP.labels) == np.arange(MAP.count))
    print("{} read, {} refused".format(*fuzz(arguments.count, arguments.seed)))


if __name__ == "__main__":
    main()
