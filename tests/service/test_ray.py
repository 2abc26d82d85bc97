"""Data sets on a Ray cluster: the same bytes as in one process, whatever is lost on the way."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.dataset
import pytest

from tests.service.command import messages, started, superpixel_program
from tests.service.data_sets import expected, failures, fill, label_maps, rows
from tests.service.images import encoded, scene
from tests.service.ray_cluster import RayCluster, ray_cluster

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = Path(os.environ.get("SUPERPIXEL_BSDS", ROOT.parent / "shared" / "data"))
SHARDS = ("--format", "shards", "--engine", "ray")

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(3) as running:
        yield running


def test_a_cluster_on_this_machine_makes_the_same_label_maps(tmp_path: Path) -> None:
    """The short form: one process starts Ray, and works on images of which one is broken."""
    images = fill(tmp_path / "in", [f"{number}.png" for number in range(6)])
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    flags = ("--format", "shards", "--images-per-shard", 2, "--counts", 20)
    arguments = ("bulk", tmp_path / "in", "--out", tmp_path / "out", *flags)
    run = superpixel_program(*arguments, "--engine", "ray", "--jobs", 2)
    assert run.returncode == 1, run.stderr
    assert messages(run)[-1] == "6 made, 0 already there, 1 failed"
    assert label_maps(tmp_path / "out") == {
        name: expected(data, counts=20, include_hierarchy=False) for name, data in images.items()
    }
    assert list(failures(tmp_path / "out")) == ["broken.png"]
    assert len(run.stdout.splitlines()) == len(list((tmp_path / "out" / "shards").iterdir()))
    # Another engine continues the target.
    again = superpixel_program(*arguments)
    assert messages(again)[-1] == "0 made, 6 already there, 1 failed"


def on(cluster: RayCluster, folder: Path, out: Path, *flags: object) -> tuple[object, ...]:
    """The command's arguments for a run on this cluster."""
    return ("bulk", folder, "--out", out, *SHARDS, "--ray-address", cluster.address, *flags)


def photographs(folder: Path, number: int = 300) -> None:
    """BSDS photographs if they are there, else generated ones of the same size."""
    folder.mkdir(parents=True)
    found = sorted(PHOTOGRAPHS.rglob("*.jpg"))[:number]
    for index in range(number):
        data = found[index].read_bytes() if index < len(found) else encoded(scene(481, 321, index), "JPEG")
        (folder / f"{index:03}.jpg").write_bytes(data)


@pytest.mark.slow
def test_three_hundred_photographs_equal_those_of_one_process(cluster: RayCluster, tmp_path: Path) -> None:
    photographs(tmp_path / "in")
    local = superpixel_program("bulk", tmp_path / "in", "--out", tmp_path / "local", "--format", "shards")
    assert local.returncode == 0, local.stderr
    run = superpixel_program(*on(cluster, tmp_path / "in", tmp_path / "ray"))
    assert run.returncode == 0, run.stderr
    assert messages(run)[-1] == "300 made, 0 already there, 0 failed"
    assert len(label_maps(tmp_path / "ray")) == 300
    assert label_maps(tmp_path / "ray") == label_maps(tmp_path / "local")
    names = ("key", "sha256", "bytes", "width", "height", "counts", "base_count", "error")
    assert [[row[name] for name in names] for row in rows(tmp_path / "ray")] == [
        [row[name] for name in names] for row in rows(tmp_path / "local")
    ]


@pytest.mark.slow
def test_a_node_that_dies_loses_and_doubles_nothing(cluster: RayCluster, tmp_path: Path) -> None:
    photographs(tmp_path / "in")
    local = superpixel_program("bulk", tmp_path / "in", "--out", tmp_path / "local", "--format", "shards")
    assert local.returncode == 0, local.stderr
    run = started(
        *on(cluster, tmp_path / "in", tmp_path / "ray", "--images-per-shard", 5),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert run.stdout is not None
    for _ in range(6):
        assert run.stdout.readline()
    cluster.kill_node()
    left = len(label_maps(tmp_path / "ray"))
    assert left < 300
    _, said = run.communicate(timeout=600)
    cluster.add_node()
    assert run.returncode == 0, said
    assert "300 made, 0 already there, 0 failed" in said
    assert label_maps(tmp_path / "ray") == label_maps(tmp_path / "local")
    named = {row["file"] for row in rows(tmp_path / "ray")}
    assert named <= {f"shards/{path.name}" for path in (tmp_path / "ray" / "shards").iterdir()}


@pytest.mark.slow
def test_a_run_killed_whole_goes_on(cluster: RayCluster, tmp_path: Path) -> None:
    photographs(tmp_path / "in", 120)
    arguments = on(cluster, tmp_path / "in", tmp_path / "out", "--images-per-shard", 5)
    run = started(*arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert run.stdout is not None
    with run.stdout:
        for _ in range(4):
            assert run.stdout.readline()
        run.send_signal(signal.SIGKILL)
        run.wait(60)
    again = superpixel_program(*arguments)
    assert again.returncode == 0, again.stderr
    maps = label_maps(tmp_path / "out")
    assert len(maps) == 120
    for name in list(maps)[::10]:
        assert maps[name] == expected((tmp_path / "in" / name).read_bytes())
    made, already = (int(each.split()[0]) for each in messages(again)[-1].split(", ")[:2])
    assert made + already == 120
    assert already >= 20


@pytest.mark.slow
def test_a_signal_ends_the_run_and_what_is_committed_stays(cluster: RayCluster, tmp_path: Path) -> None:
    photographs(tmp_path / "in", 120)
    arguments = on(cluster, tmp_path / "in", tmp_path / "out", "--images-per-shard", 5)
    run = started(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    run.stdout.readline()
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=500)
    assert run.returncode == 128 + signal.SIGTERM, said
    assert " left; run the same command again to continue" in said
    time.sleep(2)  # its actors end
    assert 5 <= len(label_maps(tmp_path / "out")) < 120
    again = superpixel_program(*arguments)
    assert again.returncode == 0, again.stderr
    assert len(label_maps(tmp_path / "out")) == 120


def test_a_cluster_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    fill(tmp_path / "in", ["a.png"])
    run = superpixel_program(
        "bulk", tmp_path / "in", "--out", tmp_path / "out", *SHARDS, "--ray-address", "127.0.0.1:1"
    )
    assert run.returncode == 1
    assert messages(run)[-1].startswith("127.0.0.1:1: no Ray cluster can be reached")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_program_of_the_documents(cluster: RayCluster, tmp_path: Path) -> None:
    images = fill(tmp_path / "images", ["a.png", "b.png"])
    text = (ROOT / "docs" / "data-sets.md").read_text()
    (program,) = [each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "ray" in each]
    program = program.replace("s3://bucket", str(tmp_path)).replace("[100, 400]", "[10, 40]")
    connect = f"import ray; ray.init(address={cluster.address!r}, _node_ip_address='127.0.0.2')\n"
    subprocess.run([sys.executable, "-c", connect + program], check=True, capture_output=True)
    found = pyarrow.dataset.dataset(tmp_path / "label-maps").to_table().to_pylist()
    want = {expected(data, counts=(10, 40)) for data in images.values()}
    assert {row["spx"] for row in found} == want


PROGRAM = """
import sys
import ray
from superpixel_service.ray import segment_dataset
ray.init(address=sys.argv[2], _node_ip_address="127.0.0.2", log_to_driver=False, logging_level="ERROR")
images = ray.data.read_binary_files(sys.argv[1], include_paths=True)
done = segment_dataset(images, counts=20, include_hierarchy=False, batch_size=2, actors=(1, 3))
for row in sorted(done.iter_rows(), key=lambda row: row["path"]):
    print("row", row["path"].rsplit("/", 1)[1], row["spx"].hex() or row["error"])
paths = ray.data.from_items([{"place": sys.argv[1] + "/0.png"}, {"place": "/none.png"}])
for row in segment_dataset(paths, column="place", counts=20, include_hierarchy=False).iter_rows():
    print("address", row["place"], row["spx"].hex() or row["error"])
"""


@pytest.mark.slow
def test_programs_add_label_maps_to_their_datasets(cluster: RayCluster, tmp_path: Path) -> None:
    images = fill(tmp_path / "in", [f"{number}.png" for number in range(7)])
    (tmp_path / "in" / "z.png").write_bytes(b"no image")
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "in", cluster.address],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = dict(line.split(" ", 2)[1:] for line in run.stdout.splitlines() if line.startswith("row "))
    want = {name: expected(data, counts=20, include_hierarchy=False) for name, data in images.items()}
    assert found.pop("z.png") == "must be a JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF file"
    assert found == {name: spx.hex() for name, spx in want.items()}
    found = dict(line.split(" ", 2)[1:] for line in run.stdout.splitlines() if line.startswith("address "))
    assert found == {
        f"{tmp_path}/in/0.png": want["0.png"].hex(),
        "/none.png": "no such file or directory",
    }
