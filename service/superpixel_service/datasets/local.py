"""Runs units in this process: all of a run, or one that an actor was given."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice

from superpixel_service.datasets.attempts import Attempts
from superpixel_service.datasets.items import Item, Unit
from superpixel_service.datasets.storage import Storage
from superpixel_service.datasets.target import Tally, Target
from superpixel_service.datasets.worker import Outcome, Worker


def run_units(
    units: Sequence[Unit],
    worker: Worker,
    target: Target,
    *,
    stopped: Callable[[], bool] = lambda: False,
    seen: Callable[[Outcome], None] = lambda _: None,
) -> Iterator[tuple[Tally, list[str]]]:
    """Segment the images of all units and commit each unit; gives its tally and the files that were written.

    Args:
        units: the units, in order.
        worker: segments the images. It does not pause between units.
        target: where the label maps go.
        stopped: whether to begin no further image. What is finished is committed.
        seen: called with each image's outcome.

    Raises:
        superpixel_service.datasets.errors.DataSetFailed: the source or the target does not answer.
    """

    def items() -> Iterator[Item]:
        for unit in units:
            for item in unit.items:
                if stopped():
                    return
                yield item

    def outcomes() -> Iterator[Outcome]:
        for outcome in worker.outcomes(items()):
            seen(outcome)
            yield outcome

    coming = outcomes()
    for unit in units:
        tally, written = target.commit(unit.name, islice(coming, len(unit.items)))
        yield tally, written
        if tally.made + tally.failures < len(unit.items):
            return


def work_on(unit: Unit, worker: Worker, target: Target, storage: Storage) -> tuple[Tally, list[str]]:
    """Segment and commit one unit, which may have ended other workers before.

    Raises:
        superpixel_service.datasets.errors.DataSetFailed: the source or the target does not answer.
    """
    attempts = Attempts(storage, target.address, unit)
    items = attempts.items()
    first = next(items)  # this reads how often the unit was begun
    outcomes = worker.outcomes(chain([first], items), ahead=not attempts.is_careful)
    result = target.commit(unit.name, outcomes)
    attempts.finish()
    return result
