"""The flags of `superpixel bulk` for data sets, and whether a run needs more than folders."""

from dataclasses import dataclass, field
from pathlib import Path

from superpixel_service.datasets.names import kind_of


@dataclass(frozen=True)
class DataSetOptions:
    """The flags.

    Attributes:
        engine: "local" or "ray".
        ray_address: the Ray cluster; None: the one of the environment, or a new one on this machine.
        actor_cpus, actor_gpus: what each actor needs.
        shards: write tar files instead of a file per label map.
        shard: index and number of shards of the source; None: all of it.
        images_per_shard: most label maps of a tar file.
        column: the Parquet column with the addresses; empty: found by its name.
        map_columns: by the map of guidance, the column or the suffix that names it.
        maps: by the map of guidance, its address as given.
    """

    engine: str = "local"
    ray_address: str | None = None
    actor_cpus: int = 1
    actor_gpus: float = 0.0
    shards: bool = False
    shard: tuple[int, int] | None = None
    images_per_shard: int = 0
    column: str = ""
    map_columns: dict[str, str] = field(default_factory=dict)
    maps: dict[str, str] = field(default_factory=dict)

    def needed(self, source: str, out: str) -> bool:
        """Whether this is more than a local folder whose label maps go to a local folder."""
        given = self.engine != "local" or self.shards or self.shard or self.column or self.map_columns
        remote = any("://" in each for each in (source, out, *self.maps.values()))
        return bool(given) or remote or (kind_of(source) != "folder" and not Path(source).is_dir())
