"""The error of work on a large image."""


class LargeFailed(Exception):
    """The work cannot go on. The text is one line for the user.

    Attributes:
        usage: whether an argument is wrong.
    """

    def __init__(self, text: str, *, usage: bool = False) -> None:
        super().__init__(text)
        self.usage = usage


MAX_TEXT = 200


def one_line(error: BaseException) -> str:
    """The text of a library's error in one line."""
    return " ".join(str(error).split())[:MAX_TEXT] or type(error).__name__
