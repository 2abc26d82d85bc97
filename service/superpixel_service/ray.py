"""Segment images on a Ray cluster, with Ray Data. It needs the extra `ray`.

`segment_dataset` is for programs with a Ray dataset. `superpixel bulk --engine ray` uses `segment_units`.
"""

import logging
import os
import pickle
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Unpack

import superpixel_kernels as kernels
from superpixel_service import client
from superpixel_service.datasets.errors import DataSetFailed, Unreadable
from superpixel_service.datasets.items import Item, Place, Unit
from superpixel_service.datasets.local import work_on
from superpixel_service.datasets.storage import Storage, reason
from superpixel_service.datasets.target import Tally, Target
from superpixel_service.datasets.worker import Engine, Outcome, Spec, Worker

try:
    import ray
    import ray.data
except ImportError:
    raise DataSetFailed(
        "Ray is not installed; it comes with the extra `ray`: pip install 'superpixel-service[ray]'"
    ) from None

__all__ = ["cluster_cpus", "segment_dataset", "segment_units", "start"]

_CONNECT_SECONDS = 10.0


def start(address: str | None, cores: int) -> None:
    """Connect to a Ray cluster.

    Args:
        address: HOST:PORT, ray://HOST:PORT or "auto"; None: the cluster that RAY_ADDRESS names, or a new one
            on this machine.
        cores: number of CPUs of a new one.

    Raises:
        DataSetFailed: there is no cluster at this address.
    """
    if ray.is_initialized():
        return
    new = address is None and "RAY_ADDRESS" not in os.environ
    options: dict[str, Any] = {"address": address}
    if address is not None:
        host = _check_reachable(address)
        if host.startswith("127."):  # else Ray looks for a node with this machine's outer address
            options["_node_ip_address"] = host
    if new:  # reachable from this machine alone: Ray asks for no password
        options = {
            "address": "local",
            "num_cpus": cores,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }
    try:
        with _without_native_logs():
            ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except Exception as error:  # noqa: BLE001 (Ray has many)
        raise DataSetFailed(f"{address or 'Ray'}: no Ray cluster can be reached: {reason(error)}") from None


def _check_reachable(address: str) -> str:
    """Connect once, because Ray itself tries for minutes. Returns the host; empty: `address` names none."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        except OSError as error:
            raise DataSetFailed(f"{address}: no Ray cluster can be reached: {reason(error)}") from None
    return host


@contextmanager
def _without_native_logs() -> Iterator[None]:
    """Keep Ray's C++ parts from writing to standard error, where the command's messages go."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    sys.stderr.flush()
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)  # Ray prints that it has set this level
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def cluster_cpus() -> int:
    """Number of CPUs of the cluster now."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


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
        raise _failure(error) from None


class _UnitActor:
    def __init__(
        self, target: Target, spec: Spec, storage: Storage, cpus: int, gpus: float, algorithm_version: int
    ) -> None:
        if algorithm_version != kernels.ALGORITHM_VERSION:
            raise DataSetFailed(
                f"a node has version {kernels.ALGORITHM_VERSION} of the algorithm, and this machine has "
                f"{algorithm_version}; install the same version of superpixel-service on all of them"
            )
        self._target = target
        self._storage = storage
        backend: kernels.Backend = "cuda" if gpus else "cpu"
        self._worker = Worker(spec, storage, 1 if gpus else cpus, backend)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        unit: Unit = pickle.loads(batch["unit"][0])  # noqa: S301 (the driver's)
        return {"result": [pickle.dumps(work_on(unit, self._worker, self._target, self._storage))]}


def segment_dataset(
    ds: "ray.data.Dataset",
    *,
    column: str = "bytes",
    batch_size: int = 16,
    actors: int | tuple[int, int] | None = None,
    actor_cpus: int = 1,
    actor_gpus: float = 0.0,
    retry_for: float = 30.0,
    guidance_columns: Mapping[str, str] | None = None,
    guidance_options: Mapping[str, Any] | None = None,
    **wanted: Unpack[client.Wanted],
) -> "ray.data.Dataset":
    """Add label maps to a Ray dataset of images.

    The new columns are `spx` (the label map, in the SPXL container), `sha256` (of the image file), `width`
    and `height` (pixels), `counts`, `base_count`, `seconds` and `error`. `spx` is empty if `error` is not.

    Args:
        ds: the dataset.
        column: its column with the bytes of image files, as from `ray.data.read_binary_files`; or
            with their addresses.
        batch_size: images in an actor at the same time.
        actors: number of actors, or least and most; None: as many as the cluster has room for.
        actor_cpus: cores of each actor, which has as many threads.
        actor_gpus: GPUs of each actor, also a part of one. With GPUs it uses the CUDA engine.
        retry_for: how long to try again if the source does not answer, in seconds.
        guidance_columns: by "edges", "prior" and "importance": the column with bytes or addresses of maps.
        guidance_options: the other keywords of `client.Guidance`, such as prior_mode.
        wanted: the keywords of `Client.segment`: counts, areas, compactness, include_hierarchy (default
            True), region_of_interest, apply_exif_orientation (default True), first_frame_only.

    Raises:
        DataSetFailed: from the dataset, when it runs: the source does not answer.
    """
    low, high = actors if isinstance(actors, tuple) else (actors or 1, actors)
    # Few bytes per batch between actors and their consumers, so that backpressure has something to act upon.
    return ds.map_batches(
        _ImageActor,
        fn_constructor_args=(
            Spec(dict(wanted), guidance=dict(guidance_options or {})),
            Storage(retry_for),
            column,
            dict(guidance_columns or {}),
            actor_cpus,
            actor_gpus,
        ),
        batch_size=batch_size,
        compute=ray.data.ActorPoolStrategy(min_size=low, max_size=high),
        num_cpus=actor_cpus,
        num_gpus=actor_gpus or None,
    )


class _ImageActor:
    def __init__(
        self, spec: Spec, storage: Storage, column: str, maps: dict[str, str], cpus: int, gpus: float
    ) -> None:
        self._engine = Engine(spec, "cuda" if gpus else "cpu", cpus)
        self._storage = storage
        self._column = column
        self._maps = maps

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        outcomes = [self._segment(batch, index) for index in range(len(batch[self._column]))]
        added = {
            "spx": [outcome.spx for outcome in outcomes],
            "sha256": [outcome.sha256 for outcome in outcomes],
            "width": [outcome.width for outcome in outcomes],
            "height": [outcome.height for outcome in outcomes],
            "counts": [list(outcome.counts) for outcome in outcomes],
            "base_count": [outcome.base_count for outcome in outcomes],
            "seconds": [outcome.seconds for outcome in outcomes],
            "error": [outcome.error for outcome in outcomes],
        }
        return batch | added

    def _segment(self, batch: dict[str, Any], index: int) -> Outcome:
        value = batch[self._column][index]
        address = value if isinstance(value, str) else ""
        item = Item(address, address, Place(address))
        try:
            data = self._bytes(value)
            maps = {name: self._bytes(batch[column][index]) for name, column in self._maps.items()}
        except Unreadable as error:
            return Outcome(item, str(error))
        return self._engine.segment(item, data, maps)

    def _bytes(self, value: object) -> bytes:
        if isinstance(value, bytes):
            return value
        if isinstance(value, str) and value:
            return self._storage.read(value)
        raise Unreadable(f"must be the bytes or the address of a file, got {type(value).__name__}")


def _be_quiet() -> None:
    """Ray Data's own progress bars and logs would garble the command's output."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _failure(error: Exception) -> DataSetFailed:
    """The error of an actor, as the command shows it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DataSetFailed):
            return DataSetFailed(str(cause), usage=cause.usage)
        cause = getattr(cause, "cause", None) or cause.__cause__
    return DataSetFailed(f"Ray: {reason(error)}")
