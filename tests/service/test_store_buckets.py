"""Stores of large images in a bucket that refuses, is slow and breaks off: one line each, nothing is lost."""

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from superpixel_service.client import Client, RetryPolicy, StoreUnusable, Unavailable
from superpixel_service.large.store import Store
from tests.service.buckets import Bucket
from tests.service.command import messages, superpixel
from tests.service.harness import running_server
from tests.service.large_files import contents, smooth

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six shards."""
    path = tmp_path_factory.mktemp("source") / "scene.npy"
    np.save(path, smooth(2200, 4200))
    return path


@pytest.fixture(scope="module")
def local(source: Path) -> Path:
    store = source.with_name("scene.zarr")
    run = superpixel("large", source, "--out", store, "--tile", 1024, "--counts", 500)
    assert run.returncode == 0, run.stderr
    return store


def started(bucket: Bucket, source: Path, name: str, work: Path) -> "subprocess.Popen[str]":
    arguments = ("large", source, "--out", f"s3://{name}/scene.zarr", "--work", work)
    return bucket.start(*arguments, "--tile", 1024, "--counts", 500)


def wait_for(process: "subprocess.Popen[str]", path: Path) -> None:
    """Wait until the run has written a file of its state."""
    end = time.monotonic() + 600
    while process.poll() is None and not (path.exists() and path.stat().st_size):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_bucket_that_fails_in_turns(bucket: Bucket, source: Path, local: Path, tmp_path: Path) -> None:
    bucket.files.mkdir("turns")
    work = tmp_path / "work"
    for mode in ("refuse", "broken", "slow", "stall", "refuse", "broken"):
        run = started(bucket, source, "turns", work)
        wait_for(run, work / "pixels-done")
        bucket.proxy.set(mode)
        time.sleep(3)
        bucket.proxy.set("pass")
        # It goes on, or ends with one line.
        _, said = run.communicate(timeout=900)
        assert run.returncode in (0, 1), said
        if run.returncode == 1:
            assert len(said.splitlines()) == 1
            assert "s3://turns/scene.zarr: " in said
    run = started(bucket, source, "turns", work)
    _, said = run.communicate(timeout=900)
    assert run.returncode == 0, said
    assert contents(bucket.fetch("turns/scene.zarr", tmp_path / "made")) == contents(local)


def test_a_bucket_that_stays_away_ends_the_run_and_the_next_one_goes_on(
    bucket: Bucket, source: Path, local: Path, tmp_path: Path
) -> None:
    bucket.files.mkdir("away")
    work = tmp_path / "work"
    run = started(bucket, source, "away", work)
    wait_for(run, work / "pixels-done")
    bucket.proxy.set("refuse")
    _, said = run.communicate(timeout=900)
    assert (run.returncode, len(said.splitlines())) == (1, 1), said
    assert said.startswith("superpixel: s3://away/scene.zarr: ")
    done = (work / "pixels-done").read_text().split()
    assert done
    bucket.proxy.set("pass")
    # Killed while the engine works.
    run = started(bucket, source, "away", work)
    graph = work / "engine" / "graph" / "00000_00000.npy"
    wait_for(run, graph)
    run.kill()
    run.communicate()
    tile = graph.stat().st_ino
    assert (work / "pixels-done").read_text().split()[: len(done)] == done
    export = ("--count", 5, "--format", "geotiff", "--out", tmp_path / "a.tif")
    half = bucket.run("large", "export", "s3://away/scene.zarr", *export)
    assert messages(half) == [
        "s3://away/scene.zarr: is half written; run its `superpixel large` command again to finish it"
    ]
    run = started(bucket, source, "away", work)
    wait_for(run, work / "engine" / "merges.npy")
    assert run.poll() is not None or graph.stat().st_ino == tile
    _, said = run.communicate(timeout=900)
    assert run.returncode == 0, said
    assert contents(bucket.fetch("away/scene.zarr", tmp_path / "made")) == contents(local)
    assert not work.exists()


def test_a_server_offers_the_stores_of_a_bucket(
    bucket: Bucket, local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.files.mkdir("served")
    bucket.files.put(str(local), "served/prefix/scene.zarr", recursive=True)
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    places = [(0, 0, 300, 200), (2000, 1990, 500, 200)]
    expected = [Store(str(local)).window(*place, count=900) for place in places]
    retry = RetryPolicy(max_attempts=1)
    with (
        running_server("--stores=s3://served/prefix") as server,
        Client(server.listen, retry=retry, timeout=300) as client,
    ):
        assert client.store("scene.zarr").base_count == Store(str(local)).info.base_count
        assert [
            bytes(client.store_window("scene.zarr", place, count=900).spx) for place in places
        ] == expected
        with pytest.raises(StoreUnusable):
            client.store("none.zarr")
        bucket.proxy.set("refuse")
        with pytest.raises(Unavailable) as refused:
            client.store_window("scene.zarr", (500, 500, 100, 100), count=900)
        assert "s3" not in str(refused.value)
        bucket.proxy.set("pass")
        assert bytes(client.store_window("scene.zarr", places[0], count=900).spx) == expected[0]


def test_what_is_wrong_with_a_bucket_is_one_line(bucket: Bucket, source: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        done = bucket.run("large", source, "--out", *arguments)
        assert done.returncode != 0
        (line,) = messages(done)
        return line

    assert run("s3://nosuchbucket/a.zarr", "--work", tmp_path / "a").startswith(
        "s3://nosuchbucket/a.zarr: cannot be made: "
    )
    assert run("s3://bucket/a.zarr") == "a store in a bucket needs --work DIR, a local folder"
    bucket.files.mkdir("foreign")
    bucket.files.pipe_file("foreign/a.zarr/zarr.json", b"{not json")
    assert run("s3://foreign/a.zarr", "--work", tmp_path / "b").startswith("s3://foreign/a.zarr: ")
