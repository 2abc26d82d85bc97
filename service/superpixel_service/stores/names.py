"""Names of stores: callers give a name, never a path."""

import re

from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def check_name(name: str) -> str:
    """The name, if it can be that of a store.

    Raises:
        InvalidRequest: it contains separators, two dots in a row, or other characters of paths and URLs.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidRequest(
            Reason.STORE_NAME_INVALID,
            "must be 1 to 128 of A-Z a-z 0-9 . _ - that begin with a letter or a digit, without two dots in "
            "a row",
            field="store",
        )
    return name
