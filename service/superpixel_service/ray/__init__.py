"""Work on a Ray cluster. It needs the extra `ray`.

`segment_dataset` is for programs with a Ray dataset, `TileActors` for those with one large image.
`superpixel bulk --engine ray` uses `segment_units`, and `superpixel large --engine ray` uses `TileActors`.
"""

from superpixel_service.ray.cluster import cluster_cpus, start
from superpixel_service.ray.images import segment_dataset
from superpixel_service.ray.tiles import TileActors
from superpixel_service.ray.units import segment_units

__all__ = ["TileActors", "cluster_cpus", "segment_dataset", "segment_units", "start"]
