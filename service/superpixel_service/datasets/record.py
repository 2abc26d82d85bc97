"""What the label maps of a target were made with, and the files in which a target records it."""

import json
from collections.abc import Mapping
from typing import Any

from superpixel_service.datasets.errors import DataSetFailed

PARAMETERS = "superpixel-bulk.json"
"""The parameters, which are the same for all label maps of a target."""

IMAGES = "superpixel-bulk-images.jsonl"
"""The images of a plain folder. Other targets have a manifest instead."""


def to_bytes(record: Mapping[str, Any]) -> bytes:
    """The content of the file of parameters."""
    return json.dumps(record, indent=2).encode() + b"\n"


def from_bytes(file: str, data: bytes) -> dict[str, Any]:
    """Read a file of parameters.

    Raises:
        DataSetFailed: it is damaged.
    """
    try:
        record = json.loads(data)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise DataSetFailed(f"{file}: damaged; choose another --out, or remove this folder")
    return record


def check(target: str, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compare what label maps were made with.

    Args:
        target: for the error text.
        there: recorded.
        now: of this run.

    Raises:
        DataSetFailed: it differs.
    """
    if there == now:
        return
    differing = ", ".join(
        f"{name} {there.get(name)} there, {now.get(name)} now"
        for name in (*now, *sorted(there.keys() - now.keys()))
        if there.get(name) != now.get(name)
    )
    raise DataSetFailed(
        f"{target}: holds label maps made with other parameters ({differing}); choose another --out",
        usage=True,
    )
