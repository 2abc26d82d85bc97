"""Units of a data set on the actors of a Ray cluster: `superpixel bulk --engine ray`."""

import logging
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import ray
import ray.data

import superpixel_kernels as kernels
from superpixel_service.datasets.items import Unit
from superpixel_service.datasets.local import work_on
from superpixel_service.datasets.storage import Storage
from superpixel_service.datasets.target import Tally, Target
from superpixel_service.datasets.worker import Spec, Worker
from superpixel_service.ray.cluster import check_version, cluster_cpus, failure_of


def segment_units(
    units: Sequence[Unit],
    target: Target,
    spec: Spec,
    storage: Storage,
    *,
    actor_cpus: int = 1,
    actor_gpus: float = 0.0,
) -> Iterator[tuple[Tally, list[str]]]:
    """Segment units on actors, which read the source and write the target by themselves.

    Ray Data gives an actor its next unit when it has finished one, starts lost actors again and repeats their
    units. A unit that is repeated replaces its own result.

    Yields:
        The tally of each unit and the files that were written, as they are finished.

    Raises:
        DataSetFailed: the source or the target does not answer.
    """
    if not units:
        return
    _be_quiet()
    rows = [{"unit": pickle.dumps(unit)} for unit in units]
    actors = max(1, min(len(units), cluster_cpus() // actor_cpus))
    results = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _UnitActor,
        fn_constructor_args=(target, spec, storage, actor_cpus, actor_gpus, kernels.ALGORITHM_VERSION),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
        num_cpus=actor_cpus,
        num_gpus=actor_gpus or None,
    )
    try:
        for row in results.iter_rows():
            yield pickle.loads(row["result"])  # noqa: S301 (our own actors')
    except ray.exceptions.RayError as error:
        raise failure_of(error) from None


class _UnitActor:
    def __init__(
        self, target: Target, spec: Spec, storage: Storage, cpus: int, gpus: float, algorithm_version: int
    ) -> None:
        check_version(algorithm_version)
        self._target = target
        self._storage = storage
        backend: kernels.Backend = "cuda" if gpus else "cpu"
        self._worker = Worker(spec, storage, 1 if gpus else cpus, backend)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        unit: Unit = pickle.loads(batch["unit"][0])  # noqa: S301 (the driver's)
        return {"result": [pickle.dumps(work_on(unit, self._worker, self._target, self._storage))]}


def _be_quiet() -> None:
    """Ray Data's own progress bars and logs would garble the command's output."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
