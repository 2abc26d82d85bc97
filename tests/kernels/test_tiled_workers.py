"""Tiled runs whose tiles are computed elsewhere: the seam that a cluster fills."""

import pickle
import threading

import pytest

from superpixel_kernels.errors import InvalidParameter, WorkerLost
from superpixel_kernels.guidance import Guidance
from superpixel_kernels.tiled import TileWorkers, compute_tile, segment_tiled
from tests.kernels import images
from tests.kernels.tiled_tools import CountingSource, MemoryStore, assert_equal_to_segment

IMAGE = images.photo(230, 190)
TILES = 12  # of 64 pixels


class Elsewhere:
    """Computes tiles as another process would: from pickled arguments, to a pickled result."""

    def __init__(self, count, lost=()):
        self.count = count
        self.lost = set(lost)
        self.computed = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def compute(self, plan, tile, pixels, guidance, check):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        if tile in self.lost:
            raise WorkerLost(f"tile {tile}: lost")
        arguments = pickle.loads(pickle.dumps((plan, tile, pixels, guidance)))
        arguments[2].flags.writeable = False  # as in the shared memory of a cluster's node
        result = pickle.loads(pickle.dumps(compute_tile(*arguments, check=check)))
        with self._lock:
            self._now -= 1
            self.computed.append(tile)
        return result


@pytest.mark.parametrize("count", [1, 5])
def test_tiles_that_are_computed_elsewhere_give_the_same_bits(count):
    edges = (images.gray(230, 190) // 2).reshape(190, 230)
    guidance = Guidance(edges=edges)
    workers = Elsewhere(count)
    assert isinstance(workers, TileWorkers)
    tiled = segment_tiled(IMAGE, tile=64, workers=workers, guidance=guidance, store=MemoryStore())
    assert_equal_to_segment(tiled, IMAGE, guidance=guidance)
    assert sorted(workers.computed) == [(row, column) for row in range(3) for column in range(4)]
    assert workers.most <= count


def test_a_lost_tile_ends_the_run_and_the_next_one_computes_the_rest():
    store = MemoryStore()
    source = CountingSource(IMAGE, fingerprint="one")
    with pytest.raises(WorkerLost, match=r"^tile \(1, 2\): lost$"):
        segment_tiled(source, tile=64, workers=Elsewhere(2, lost=[(1, 2)]), store=store)
    done = sum(name == "graph" for name, _ in store.arrays)
    assert 6 <= done < TILES
    workers = Elsewhere(3)
    assert_equal_to_segment(segment_tiled(source, tile=64, workers=workers, store=store), IMAGE)
    assert len(workers.computed) == TILES - done


def test_workers_are_checked():
    with pytest.raises(InvalidParameter, match=r"^workers: must be TileWorkers, got int$"):
        segment_tiled(IMAGE, workers=3, store=MemoryStore())


def test_the_backend_is_checked():
    store = MemoryStore()
    with pytest.raises(InvalidParameter, match=r"^backend: must be 'auto', 'cpu' or 'cuda', got 'gpu'$"):
        segment_tiled(IMAGE, backend="gpu", store=store)
    for backend in ("cuda", "auto", "gpu"):
        with pytest.raises(
            InvalidParameter, match=rf"^backend: must be 'cpu' with workers, got '{backend}'$"
        ):
            segment_tiled(IMAGE, workers=Elsewhere(1), backend=backend, store=store)
    assert store.state is None
