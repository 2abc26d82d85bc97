"""Tiles of one large image on the actors of a Ray cluster."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

import numpy as np
import ray
from numpy.typing import NDArray

import superpixel_kernels as kernels
from superpixel_kernels.errors import Cancelled, KernelError, WorkerLost
from superpixel_kernels.guidance import FittedGuidance
from superpixel_kernels.tiled import Tile, TilePlan, TileResult, compute_tile
from superpixel_service.datasets.storage import reason
from superpixel_service.ray.cluster import check_version, cluster_cpus, failure_of

TILES_PER_ACTOR = 2
"""One is computed, and one is on its way, so that an actor does not wait for pixels."""

ATTEMPTS = 4
"""If the actor of a tile ended this often, the run ends."""

_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Start:
    """An actor has started, or failed to."""

    actor: Any
    error: BaseException | None


class TileActors:
    """The `workers` of `segment_tiled` that are actors on a Ray cluster.

    The cluster must be connected (`ray.init`). This process reads the pixels and keeps the results, so the
    nodes need neither the source nor the store. An actor that is lost with its node is replaced as soon as
    the cluster has room, and its tiles are computed again.

    Args:
        actor_cpus: cores of each actor, which has as many threads.
        stopped: returns whether to stop; called about once per second.

    Attributes:
        count: how many tiles are in work at the same time: `TILES_PER_ACTOR` per actor.

    Raises:
        WorkerLost: the cluster has too few cores for an actor.
    """

    def __init__(self, *, actor_cpus: int = 1, stopped: Callable[[], bool] = lambda: False) -> None:
        self._cpus = actor_cpus
        self._stopped = stopped
        most = cluster_cpus() // actor_cpus
        if most < 1:
            raise WorkerLost(f"the Ray cluster has {cluster_cpus()} cores, and an actor needs {actor_cpus}")
        self.count = most * TILES_PER_ACTOR
        self._lock = threading.Lock()
        self._actors: set[Any] = set()
        # An actor, once per tile that it can take; an actor that has started or failed to; or an error.
        self._free: SimpleQueue[Any] = SimpleQueue()
        self._is_open = True
        self._failed_starts = 0
        for _ in range(most):
            self._start_actor()

    def compute(
        self,
        plan: TilePlan,
        tile: Tile,
        pixels: NDArray[np.uint8],
        guidance: FittedGuidance | None,
        check: bytes,
    ) -> TileResult:
        """See `TileWorkers`."""
        lost: Exception | None = None
        for _ in range(ATTEMPTS):
            actor = self._take()
            result = actor.compute.remote(plan, tile, pixels, guidance, check)
            try:
                found: TileResult = self._wait_for(result)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, KernelError):
                    raise error.cause from None
                raise WorkerLost(f"tile {tile}: {reason(error.cause)}") from None
            except ray.exceptions.RayError as error:
                lost = error
                self._replace(actor)
                continue
            self._free.put(actor)
            return found
        why = "" if lost is None else f": {reason(lost)}"
        raise WorkerLost(f"tile {tile}: the worker ended each of the {ATTEMPTS} times{why}")

    def close(self) -> None:
        """End the actors."""
        with self._lock:
            self._is_open = False
            ended, self._actors = self._actors, set()
        for actor in ended:
            ray.kill(actor)

    def _take(self) -> Any:
        """An actor that can take a tile."""
        while True:
            self._check_stopped()
            try:
                found = self._free.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            if isinstance(found, _Start):
                self._note_start(found.actor, found.error)
                continue
            if isinstance(found, Exception):
                self._free.put(found)  # for the other threads
                raise found
            with self._lock:
                if found in self._actors:
                    return found

    def _wait_for(self, result: Any) -> Any:
        while not ray.wait([result], timeout=_POLL_SECONDS)[0]:
            self._check_stopped()
        return ray.get(result)

    def _check_stopped(self) -> None:
        if self._stopped() or not self._is_open:
            raise Cancelled("stopped")

    def _start_actor(self) -> None:
        """Ask for an actor. It takes tiles when the cluster has room for it."""
        actor = (
            ray.remote(_TileActor)
            .options(num_cpus=self._cpus, scheduling_strategy="SPREAD")
            .remote(self._cpus)
        )
        with self._lock:
            self._actors.add(actor)

        def end(started: "Future[None]") -> None:
            # On a thread of Ray's own, where calls of Ray, such as `ray.kill`, would never return.
            self._free.put(_Start(actor, started.exception()))

        actor.check_version.remote(kernels.ALGORITHM_VERSION).future().add_done_callback(end)

    def _note_start(self, actor: Any, error: BaseException | None) -> None:
        if error is None:
            self._failed_starts = 0
            for _ in range(TILES_PER_ACTOR):
                self._free.put(actor)
        elif not isinstance(error, ray.exceptions.RayActorError) or self._failed_starts >= self.count:
            self._free.put(WorkerLost(str(failure_of(error))))
        else:
            self._failed_starts += 1
            self._replace(actor)

    def _replace(self, actor: Any) -> None:
        with self._lock:
            if actor not in self._actors or not self._is_open:
                return
            self._actors.remove(actor)
        ray.kill(actor)
        self._start_actor()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _TileActor:
    def __init__(self, threads: int) -> None:
        self._workspace = kernels.Workspace(threads=threads)

    def check_version(self, algorithm_version: int) -> None:
        check_version(algorithm_version)

    def compute(
        self,
        plan: TilePlan,
        tile: Tile,
        pixels: NDArray[np.uint8],
        guidance: FittedGuidance | None,
        check: bytes,
    ) -> TileResult:
        return compute_tile(plan, tile, pixels, guidance, check=check, workspace=self._workspace)
