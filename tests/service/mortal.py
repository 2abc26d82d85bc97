"""Starts `mortal_server`: a server whose engine stalls, fails or dies when a test says so."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.service.harness import RunningServer, program_with, running_server

EXIT_ENGINE_DEAD = 70
PROGRAM = "tests.service.mortal_server"


class Mortal:
    """A server with faults on command.

    Args:
        orders: the file that the server reads orders from.
    """

    def __init__(self, server: RunningServer, orders: Path) -> None:
        self.server = server
        self._orders = orders

    def order(self, name: str) -> None:
        """Bring about the fault `name` of `mortal_server`; returns when it is in force."""
        half_written = self._orders.with_suffix(".new")
        half_written.write_text(name)
        half_written.rename(self._orders)
        self.server.wait_until(self._orders.with_suffix(".done").exists)

    def release(self) -> None:
        """Let images go on that `stall` or `stall_large` keep."""
        self._orders.with_suffix(".go").touch()


@contextmanager
def mortal_server(
    folder: Path, *flags: str, order: str = "", constants: Mapping[str, object] | None = None
) -> Iterator[Mortal]:
    """A running server with faults on command.

    Args:
        folder: an empty folder, for orders.
        order: given as soon as the server is ready.
        constants: as for `program_with`.
    """
    orders = folder / "orders"
    program = program_with(constants, PROGRAM) if constants else PROGRAM
    # A machine that is slow for a minute must not look like an engine that hangs.
    patient = ("--step-limit-seconds=3600", *flags)
    with running_server(*patient, program=program, environment={"MORTAL_ORDERS": str(orders)}) as server:
        mortal = Mortal(server, orders)
        if order:
            mortal.order(order)
        try:
            yield mortal
        finally:
            mortal.release()
