"""Tiles of one large image on a Ray cluster: the same bits, whatever is lost on the way."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from superpixel_kernels import segment
from superpixel_kernels.guidance import Guidance
from superpixel_service.large.run import WORK
from superpixel_service.large.store import Store
from tests.service.command import messages, started, superpixel
from tests.service.large_files import contents, smooth
from tests.service.ray_cluster import RayCluster, ray_cluster

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]

HEIGHT, WIDTH = 900, 1400
TILE = 128
TILES = 8 * 11


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(3) as running:
        yield running


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "scene.npy"
    np.save(path, smooth(HEIGHT, WIDTH))
    return path


def on(cluster: RayCluster, source: Path, store: Path, *flags: object) -> tuple[object, ...]:
    """The command's arguments for a run on this cluster."""
    arguments = ("large", source, "--out", store, "--tile", TILE, "--counts", 60)
    return (*arguments, "--engine", "ray", "--ray-address", cluster.address, *flags)


def tiles_in(store: Path) -> int:
    """The number of tiles that a run has finished."""
    return len(list((store / WORK / "engine" / "graph").glob("0*.npy")))


def wait_for_tiles(process: "subprocess.Popen[Any]", store: Path, wanted: int) -> int:
    """Wait until at least this many tiles are in the store; return their number."""
    end = time.monotonic() + 300
    while (done := tiles_in(store)) < wanted:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    return done


@pytest.fixture(scope="module")
def local(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that one process makes."""
    store = tmp_path_factory.mktemp("local") / "scene.zarr"
    run = superpixel("large", source, "--out", store, "--tile", TILE, "--counts", 60)
    assert run.returncode == 0, run.stderr
    return store


def test_a_store_made_on_a_cluster_has_the_same_bytes(
    cluster: RayCluster, source: Path, local: Path, tmp_path: Path
) -> None:
    store = tmp_path / "scene.zarr"
    run = superpixel(*on(cluster, source, store))
    assert run.returncode == 0, run.stderr
    assert contents(store) == contents(local)
    whole = segment(np.load(source))
    assert Store(str(store)).info.base_count == whole.base_count
    base: Any = zarr.open_group(store, mode="r")["base/0"]
    assert np.array_equal(base[:], whole.base_labels)


def test_a_node_that_dies_changes_nothing(
    cluster: RayCluster, source: Path, local: Path, tmp_path: Path
) -> None:
    store = tmp_path / "scene.zarr"
    run = started(*on(cluster, source, store), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert wait_for_tiles(run, store, 5) < TILES
    cluster.kill_node()
    assert tiles_in(store) < TILES
    _, said = run.communicate(timeout=600)
    cluster.add_node()
    assert run.returncode == 0, said
    assert contents(store) == contents(local)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_ends_early_goes_on(
    cluster: RayCluster, source: Path, local: Path, tmp_path: Path, number: signal.Signals
) -> None:
    store = tmp_path / "scene.zarr"
    run = started(*on(cluster, source, store), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_tiles(run, store, 5)
    run.send_signal(number)
    _, said = run.communicate(timeout=500)
    if number == signal.SIGTERM:
        assert run.returncode == 128 + number, said
        assert "stopped; run the same command again to continue" in said
    assert 5 <= tiles_in(store) < TILES
    # Another engine continues it.
    again = superpixel("large", source, "--out", store, "--tile", TILE, "--counts", 60)
    assert again.returncode == 0, again.stderr
    assert contents(store) == contents(local)


def test_a_cluster_that_is_not_there_is_one_line(source: Path, tmp_path: Path) -> None:
    flags = ("--engine", "ray", "--ray-address", "127.0.0.1:1")
    run = superpixel("large", source, "--out", tmp_path / "a.zarr", *flags)
    assert run.returncode == 1
    (line,) = messages(run)
    assert line.startswith("127.0.0.1:1: no Ray cluster can be reached")
    assert not (tmp_path / "a.zarr").exists()


def test_the_program_of_the_documents(cluster: RayCluster, source: Path, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "large-images.md").read_text()
    (program,) = (each for each in re.findall(r"```py\n(.*?)```", text, re.DOTALL) if "TileActors" in each)
    program = program.replace('"auto"', f"{cluster.address!r}, _node_ip_address='127.0.0.2'")
    before = f"import numpy as np; image = np.load({str(source)!r})[:200, :300]\n"
    after = "np.save('base.npy', np.asarray(hierarchy.base_labels))\n"
    run = subprocess.run(
        [sys.executable, "-c", before + program + after],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    whole = segment(np.load(source)[:200, :300])
    assert np.array_equal(np.load(tmp_path / "base.npy"), whole.base_labels)


PROGRAM = """
import os, sys
import numpy as np
import ray
from superpixel_kernels import SegmentParams
from superpixel_kernels.errors import WorkerLost
from superpixel_kernels.guidance import Guidance
from superpixel_kernels.tiled import TilePlan, segment_tiled
from superpixel_service.ray import TileActors

ray.init(address=sys.argv[1], _node_ip_address="127.0.0.2", log_to_driver=False, logging_level="CRITICAL")
image = np.load(sys.argv[2])[:300, :400]
prior = np.arange(300 * 400, dtype=np.int32).reshape(300, 400) // 30_000
with TileActors() as workers:
    print("count", workers.count)
    tiled = segment_tiled(image, tile=64, workers=workers, guidance=Guidance(prior=prior, prior_mode="hard"))
    np.save(sys.argv[3], np.asarray(tiled.base_labels))


class Deadly:
    # Ends the process that unpickles it.
    shape = (300, 400)

    def __reduce__(self):
        return os._exit, (1,)


with TileActors() as workers:
    plan = TilePlan(SegmentParams(), 300, 400, 3, 512)
    try:
        workers.compute(plan, (0, 0), image, Deadly(), bytes(32))
    except WorkerLost as error:
        print("lost", error)
try:
    TileActors(actor_cpus=64)
except WorkerLost as error:
    print("few", error)
"""


def test_programs_use_the_actors_and_a_deadly_tile_ends_the_run(
    cluster: RayCluster, source: Path, tmp_path: Path
) -> None:
    arguments = [sys.executable, "-c", PROGRAM, cluster.address, source, tmp_path / "base.npy"]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    said = [line for line in run.stdout.splitlines() if line.startswith(("count", "lost", "few"))]
    assert len(said) == 3, run.stdout
    count, lost, few = said
    assert count == "count 6"
    assert lost.startswith("lost tile (0, 0): the worker ended each of the 4 times: ")
    assert few == "few the Ray cluster has 3 cores, and an actor needs 64"
    image = np.load(source)[:300, :400]
    prior = np.arange(300 * 400, dtype=np.int32).reshape(300, 400) // 30_000
    whole = segment(image, guidance=Guidance(prior=prior, prior_mode="hard"))
    assert np.array_equal(np.load(tmp_path / "base.npy"), whole.base_labels)


FIRST_START_FAILS = """
import os, sys
import numpy as np
import ray
from superpixel_kernels.tiled import segment_tiled
from superpixel_service.ray import TileActors, tiles

_, address, source, target, failed = sys.argv


class FailsOnce(tiles._TileActor):
    def __init__(self, threads):
        try:
            os.mkdir(failed)
        except FileExistsError:
            super().__init__(threads)
        else:
            raise RuntimeError("the node has no memory")


ray.init(address=address, _node_ip_address="127.0.0.2", log_to_driver=False, logging_level="CRITICAL")
tiles._TileActor = FailsOnce
with TileActors() as workers:
    tiled = segment_tiled(np.load(source)[:200, :300], tile=64, workers=workers)
    np.save(target, np.asarray(tiled.base_labels))
"""


def test_an_actor_that_cannot_start_is_replaced(cluster: RayCluster, source: Path, tmp_path: Path) -> None:
    target, failed = tmp_path / "base.npy", tmp_path / "failed"
    arguments = [sys.executable, "-c", FIRST_START_FAILS, cluster.address, source, target, failed]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=500)
    assert run.returncode == 0, run.stderr
    assert failed.exists()
    whole = segment(np.load(source)[:200, :300])
    assert np.array_equal(np.load(target), whole.base_labels)
