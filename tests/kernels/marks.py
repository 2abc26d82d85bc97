"""Marks on some of a test's parameters."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def marked(values: Iterable[Any], mark: pytest.MarkDecorator, chosen: Collection[Any]) -> list[Any]:
    """`values` for `parametrize`, with `mark` on those that are in `chosen`.

    Raises:
        ValueError: `chosen` has a value that is not in `values`.
    """
    listed = list(values)
    if missing := [value for value in chosen if value not in listed]:
        raise ValueError(f"no such values: {missing}")
    return [pytest.param(value, marks=mark) if value in chosen else value for value in listed]
