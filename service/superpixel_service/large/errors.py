"""The error of work on a large image."""

from typing import Literal

Kind = Literal["", "missing", "version", "unfinished", "damaged", "replaced", "unreadable"]


class LargeFailed(Exception):
    """The work cannot go on. The text is one line for the user.

    Attributes:
        usage: whether an argument is wrong.
        kind: what is wrong with a store; empty: something else is wrong.
    """

    def __init__(self, text: str, *, usage: bool = False, kind: Kind = "") -> None:
        super().__init__(text)
        self.usage = usage
        self.kind = kind


def extra_missing(what: str, extra: str) -> LargeFailed:
    """The error if a library is not installed. `what` begins its text, such as "this needs"."""
    return LargeFailed(f"{what} the extra `{extra}`: pip install 'superpixel-service[{extra}]'")


MAX_TEXT = 200


def one_line(error: BaseException) -> str:
    """The text of a library's error in one line."""
    return " ".join(str(error).split())[:MAX_TEXT] or type(error).__name__
