"""Label maps for the images of a Ray dataset, in a user's own program."""

from collections.abc import Mapping
from typing import Any, Unpack

import ray
import ray.data

from superpixel_service import client
from superpixel_service.datasets.errors import Unreadable
from superpixel_service.datasets.items import Item, Place
from superpixel_service.datasets.storage import Storage
from superpixel_service.datasets.worker import Engine, Outcome, Spec


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
