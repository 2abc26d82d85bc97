"""SIGINT and SIGTERM of a run that can be continued."""

import signal
from collections.abc import Iterable, Iterator
from typing import TypeVar

from superpixel_service.commands.output import EXIT_FAILED, EXIT_OK

_Item = TypeVar("_Item")


class StopSignals:
    """Handles SIGINT and SIGTERM. After the first signal no image is begun; a second one ends the process.

    Attributes:
        number: the number of the first signal; 0: there was none.
    """

    def __init__(self) -> None:
        self.number = 0
        self.install()

    def install(self) -> None:
        """Install the handlers, also again after a library has installed its own."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def until_signal(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Yield items until the signal."""
        for item in items:
            if self.number:
                return
            yield item

    def exit_status(self, *, left: int, failed: bool) -> int:
        """The exit status of the run.

        Args:
            left: number of images that remain.
            failed: whether something failed.
        """
        if self.number and left:
            return 128 + self.number
        return EXIT_FAILED if failed else EXIT_OK

    def _handle(self, number: int, _frame: object) -> None:
        self.number = number
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
