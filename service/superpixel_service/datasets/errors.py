"""The errors of a run over a data set."""


class DataSetFailed(Exception):
    """The run cannot go on. The text is one line for the user.

    Attributes:
        usage: whether the arguments are wrong.
    """

    def __init__(self, text: str, *, usage: bool = False) -> None:
        super().__init__(text)
        self.usage = usage

    def __reduce__(self) -> tuple[object, ...]:  # it crosses processes
        return _restored, (str(self), self.usage)


class Unreadable(Exception):
    """A file of the source cannot be read; other files can."""


def _restored(text: str, usage: bool) -> DataSetFailed:
    return DataSetFailed(text, usage=usage)
