"""Data sets and stores in buckets: a real S3 server on this machine, also one that fails in several ways."""

import time
from pathlib import Path

import numpy as np
import pytest

from superpixel_service.large.store import Store
from tests.service.buckets import Bucket
from tests.service.command import called, messages
from tests.service.data_sets import expected, failures, fill, label_maps, write_tar
from tests.service.images import encoded, scene
from tests.service.large_files import smooth

SHARDS = ("--format", "shards", "--images-per-shard", 4)


def numbered(folder: Path, number: int, width: int, height: int) -> Path:
    """Write images that are all different, named by their number."""
    folder.mkdir()
    for index in range(number):
        (folder / f"{index:02}.png").write_bytes(encoded(scene(width, height, index)))
    return folder


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def test_a_bucket_is_source_and_target(bucket: Bucket, tmp_path: Path) -> None:
    images = fill(tmp_path / "in", [f"x/{number}.png" for number in range(9)])
    write_tar(tmp_path / "part-0.tar", images)
    bucket.files.mkdir("data")
    bucket.files.put(str(tmp_path / "in"), "data/in", recursive=True)
    bucket.files.put(str(tmp_path / "part-0.tar"), "data/tars/part-0.tar")
    bucket.files.pipe_file("data/in/broken.png", b"no image")
    bucket.files.pipe_file(
        "data/list.txt", "\n".join(f"in/{name}" for name in [*images, "gone.png"]).encode()
    )
    maps = {name: expected(data) for name, data in images.items()}

    run = bucket.run(
        "bulk", "s3://data/in", "--out", "s3://data/out", *SHARDS, "--report", "s3://data/report.json"
    )
    assert run.returncode == 1, run.stderr
    assert messages(run)[-1] == "9 made, 0 already there, 1 failed"
    out = bucket.fetch("data/out", tmp_path / "out")
    assert label_maps(out) == maps
    assert list(failures(out)) == ["broken.png"]
    assert b'"made": 9' in bucket.files.cat_file("data/report.json")

    # A file that is replaced has another entity tag.
    bucket.files.pipe_file("data/in/broken.png", images["x/0.png"])
    bucket.files.pipe_file("data/in/x/1.png", images["x/2.png"])
    again = bucket.run("bulk", "s3://data/in", "--out", "s3://data/out", *SHARDS)
    assert (again.returncode, messages(again)) == (0, ["2 made, 8 already there, 0 failed"])
    assert label_maps(bucket.fetch("data/out", tmp_path / "again")) == maps | {
        "broken.png": maps["x/0.png"],
        "x/1.png": maps["x/2.png"],
    }

    tars = bucket.run("bulk", "s3://data/tars/*.tar", "--out", "s3://data/files")
    assert tars.returncode == 0, tars.stderr
    found = bucket.fetch("data/files", tmp_path / "files")
    assert label_maps(found) == {f"part-0/{name}": spx for name, spx in maps.items()}
    assert (found / "part-0" / "x" / "3.png.spx").read_bytes() == maps["x/3.png"]

    listed = bucket.run("bulk", "s3://data/list.txt", "--out", tmp_path / "listed", *SHARDS)
    assert listed.returncode == 1
    assert failures(tmp_path / "listed") == {"in/gone.png": "no such file or directory"}
    assert len(label_maps(tmp_path / "listed")) == 9


def test_a_store_in_a_bucket(
    bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short form of test_store_buckets.py."""
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    bucket.files.mkdir("scenes")
    np.save(tmp_path / "scene.npy", smooth(150, 200))
    arguments = ("large", tmp_path / "scene.npy", "--work", tmp_path / "work", "--counts", 30)
    for out in ("s3://scenes/scene.zarr", tmp_path / "local.zarr"):
        made = called(capsys, *arguments, "--out", out)
        assert made.returncode == 0, made.stderr
    found = Store("s3://scenes/scene.zarr")
    local = Store(str(tmp_path / "local.zarr"))
    assert found.info == local.info
    assert found.window(40, 30, 100, 90, count=60) == local.window(40, 30, 100, 90, count=60)
    files = bucket.fetch("scenes/scene.zarr", tmp_path / "fetched")
    for path in files.rglob("zarr.json"):
        assert path.read_bytes() == (tmp_path / "local.zarr" / path.relative_to(files)).read_bytes()


@pytest.mark.slow
def test_a_bucket_that_is_not_there_or_does_not_answer_is_one_line(bucket: Bucket, tmp_path: Path) -> None:
    fill(tmp_path / "in", ["a.png"])
    none = bucket.run("bulk", "s3://nosuchbucket/in", "--out", tmp_path / "out")
    assert (none.returncode, len(messages(none))) in {(1, 1), (2, 1)}
    none = bucket.run("bulk", tmp_path / "in", "--out", "s3://nosuchbucket/out", *SHARDS)
    assert (none.returncode, len(messages(none))) == (1, 1)
    assert "s3://nosuchbucket/out" in none.stderr
    bucket.proxy.set("refuse")
    refused = bucket.run("bulk", "s3://data/in", "--out", tmp_path / "out", "--retry-for", 1)
    assert (refused.returncode, len(messages(refused))) == (1, 1)
    assert messages(refused)[0].startswith("s3://data/in: ")
    refused = bucket.run("bulk", tmp_path / "in", "--out", "s3://data/x", *SHARDS, "--retry-for", 1)
    assert (refused.returncode, len(messages(refused))) == (1, 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_server_that_refuses_is_slow_and_breaks_off_in_turns_loses_nothing(
    bucket: Bucket, tmp_path: Path
) -> None:
    folder = numbered(tmp_path / "in", 60, 200, 150)
    bucket.files.mkdir("faulty")
    bucket.files.put(str(folder), "faulty/in", recursive=True)
    run = bucket.start("bulk", "s3://faulty/in", "--out", "s3://faulty/out", *SHARDS, "--retry-for", 120)
    assert run.stdout is not None
    seen = []
    for mode in ("refuse", "slow", "broken", "stall", "refuse", "broken"):
        seen.append(run.stdout.readline())
        bucket.proxy.set(mode)
        time.sleep(3)
        bucket.proxy.set("pass")
    _, said = run.communicate(timeout=600)
    assert run.returncode == 0, said
    assert all(seen)
    assert said.splitlines()[-1] == "superpixel: 60 made, 0 already there, 0 failed"
    maps = label_maps(bucket.fetch("faulty/out", tmp_path / "out"))
    assert maps == {path.name: expected(path.read_bytes()) for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_target_that_stays_away_ends_the_run_and_the_next_one_goes_on(
    bucket: Bucket, tmp_path: Path
) -> None:
    folder = numbered(tmp_path / "in", 30, 300, 200)
    bucket.files.mkdir("away")
    arguments = (folder, "--out", "s3://away/out", *SHARDS, "--retry-for", 2, "--jobs", 1)
    run = bucket.start("bulk", *arguments)
    assert run.stdout is not None
    run.stdout.readline()
    bucket.proxy.set("refuse")
    _, said = run.communicate(timeout=500)
    assert run.returncode == 1
    assert said.splitlines()[-1].startswith("superpixel: s3://away/out/")
    bucket.proxy.set("pass")
    before = len(label_maps(bucket.fetch("away/out", tmp_path / "before")))
    assert 4 <= before < 30
    again = bucket.run("bulk", *arguments)
    assert (again.returncode, messages(again)) == (
        0,
        [f"{30 - before} made, {before} already there, 0 failed"],
    )
    assert len(label_maps(bucket.fetch("away/out", tmp_path / "after"))) == 30
