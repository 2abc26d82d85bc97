"""Runs on large images whose source shrinks or whose disk is full: one line each, and nothing is lost."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.opening import open_source
from superpixel_service.large.run import WORK, Plan, make_store
from tests.service.command import messages, superpixel
from tests.service.large_files import contents, smooth, write_geotiff

HEIGHT, WIDTH = 600, 1100


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("writer", "stored_mask"):
        monkeypatch.setattr(f"superpixel_service.large.{module}.SHARD", 512)


def write(path: Path, reader: str) -> None:
    image = smooth(HEIGHT, WIDTH)
    if reader == "numpy":
        np.save(path, image)
    else:
        write_geotiff(path, image, tiled=True, blockxsize=256, blockysize=256)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("reader", ["numpy", "rasterio", "tifffile"])
def test_a_source_that_shrinks_while_it_is_read(tmp_path: Path, reader: str) -> None:
    path = tmp_path / ("scene.npy" if reader == "numpy" else "scene.tif")
    write(path, reader)
    whole, times = path.read_bytes(), path.stat()

    def make(store: str, shrink_after: int = 0) -> None:
        seen = 0

        def progress(step: str, *_: int) -> None:
            nonlocal seen
            seen += step == "pixels"
            if step == "pixels" and seen == shrink_after:
                os.truncate(path, len(whole) // 3)

        source = open_source(str(path), reader)
        try:
            make_store(Plan(source, str(path), counts=[50]), str(tmp_path / store), progress=progress)
        finally:
            source.close()

    make("whole.zarr")
    with pytest.raises(LargeFailed) as caught:
        make("cut.zarr", shrink_after=3)
    assert str(caught.value).startswith(f"{path}: cannot be read at ")
    assert "\n" not in str(caught.value)
    assert len((tmp_path / "cut.zarr" / WORK / "pixels-done").read_text().split()) >= 2
    path.write_bytes(whole)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    make("cut.zarr")
    assert contents(tmp_path / "cut.zarr") == contents(tmp_path / "whole.zarr")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a file system of a size; skips if this is not permitted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "superpixel-test", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("full", ["store", "work"])
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(tmp_path: Path, full: str) -> None:
    source = tmp_path / "scene.npy"
    np.save(source, smooth(1200, 1600))
    arguments: tuple[Any, ...] = ("large", source, "--tile", 256, "--counts", 60)
    once = superpixel(*arguments, "--out", tmp_path / "once.zarr")
    assert once.returncode == 0, once.stderr
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    store = (disk if full == "store" else elsewhere) / "scene.zarr"
    work = (disk if full == "work" else elsewhere) / "work"
    arguments = (*arguments, "--out", store, "--work", work)
    # Too small for the image; for a part of the store; for a part of the work.
    sizes = ("1m", "7m") if full == "store" else ("200k", "4m", "9m")
    with small_disk(disk, sizes[0]):
        for size in sizes:
            subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
            run = superpixel(*arguments)
            assert run.returncode == 1, (size, run.stderr)
            (line,) = messages(run)
            assert "no space left on device" in line.lower(), line
        assert list((work / "engine" / "graph").glob("0*.npy"))
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        again = superpixel(*arguments)
        assert again.returncode == 0, again.stderr
        assert contents(store) == contents(tmp_path / "once.zarr")
