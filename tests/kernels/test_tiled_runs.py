"""Tiled runs that are stopped, killed, fed with broken sources or short of disk."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from superpixel_kernels import CancelToken, SegmentParams
from superpixel_kernels.errors import Cancelled, InvalidImage, InvalidParameter, SourceError, StoreError
from superpixel_kernels.guidance import Guidance
from superpixel_kernels.tiled import FolderStore, GuidanceSources, open_tiled, segment_tiled
from tests.kernels import images
from tests.kernels.tiled_tools import CountingSource, MemoryStore, assert_equal_to_segment

IMAGE = images.photo(230, 190)
TILES = 12  # of 64 pixels


class StopsAfter:
    """Progress that ends the run after some tiles."""

    def __init__(self, tiles):
        self.tiles = tiles
        self.seen = []

    def __call__(self, progress):
        self.seen.append(progress)
        if progress.tiles_done >= self.tiles:
            raise KeyboardInterrupt


def stopped_run(store, source=IMAGE, tiles=5, **arguments):
    with pytest.raises(KeyboardInterrupt):
        segment_tiled(source, tile=64, threads=1, store=store, progress=StopsAfter(tiles), **arguments)


# --- going on -----------------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_with_the_tiles_that_are_missing(tmp_path):
    stopped_run(tmp_path)
    source = CountingSource(IMAGE, fingerprint="one")
    with pytest.raises(StoreError, match=r"^store: has another run, with source None instead of 'one'"):
        segment_tiled(source, tile=64, store=tmp_path)
    other = tmp_path / "other"
    stopped_run(other, source)
    source.windows.clear()
    assert_equal_to_segment(segment_tiled(source, tile=64, threads=2, store=other), IMAGE)
    assert len(source.windows) == TILES - 5
    # And a complete one does not compute anything.
    source.windows.clear()
    assert_equal_to_segment(segment_tiled(source, tile=64, store=other), IMAGE)
    assert_equal_to_segment(open_tiled(other), IMAGE)
    assert source.windows == []


def test_without_a_fingerprint_tiles_whose_pixels_changed_are_computed_again(tmp_path):
    store = FolderStore(tmp_path)
    image = IMAGE.copy()
    stopped_run(store, image)
    image[10:20, 10:20] = 255 - image[10:20, 10:20]
    assert_equal_to_segment(segment_tiled(image, tile=64, store=store), image)
    # A complete run as well.
    image[100:120, 200:210] = 0
    assert_equal_to_segment(segment_tiled(image, tile=64, store=store), image)
    guidance = Guidance(edges=np.eye(190, 230, dtype=np.uint8) * 255)
    with pytest.raises(StoreError, match="with guidance None instead of"):
        segment_tiled(image, tile=64, store=store, guidance=guidance)


def test_a_map_that_changed_counts_too(tmp_path):
    edges = np.zeros((190, 230), np.uint8)
    edges[50] = 200
    stopped_run(tmp_path, guidance=GuidanceSources(edges=edges))
    edges[20, 20:60] = 255
    tiled = segment_tiled(IMAGE, tile=64, store=tmp_path, guidance=GuidanceSources(edges=edges))
    assert_equal_to_segment(tiled, IMAGE, guidance=Guidance(edges=edges))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("compactness", {"params": SegmentParams(compactness=5.0)}),
        ("tile", {"tile": 32}),
        ("shape", {"source": IMAGE[:100]}),
        ("channels", {"source": IMAGE[..., 0]}),
        ("guidance", {"guidance": Guidance(importance=np.ones((190, 230), np.uint8))}),
    ],
)
def test_a_run_with_other_arguments_is_rejected(tmp_path, name, arguments):
    stopped_run(tmp_path)
    before = (tmp_path / "state.json").read_bytes()
    with pytest.raises(StoreError, match=rf"^store: has another run, with {name} "):
        segment_tiled(**{"source": IMAGE, "tile": 64, "store": tmp_path} | arguments)
    assert (tmp_path / "state.json").read_bytes() == before


@pytest.mark.unsanitized  # starts another program
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    script = textwrap.dedent("""
        import sys, time
        from superpixel_kernels.tiled import segment_tiled
        from tests.kernels import images
        wait = lambda progress: time.sleep(0.05)
        segment_tiled(images.photo(230, 190), tile=32, threads=2, store=sys.argv[1], progress=wait)
    """)
    for wanted in (5, 20):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
        graphs = tmp_path / "graph"
        while process.poll() is None and len(list(graphs.glob("0*"))) < wanted:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    (tmp_path / "labels" / ".writing-left").write_bytes(b"half")
    assert_equal_to_segment(segment_tiled(IMAGE, tile=32, store=tmp_path), IMAGE)
    assert list(tmp_path.rglob(".writing-*")) == []


def test_a_file_that_was_cut_short_is_computed_again(tmp_path):
    stopped_run(tmp_path)
    for name in ("graph/00000_00001.npy", "labels/00000_00002.npy", "graph/00000_00000.npy"):
        path = tmp_path / name
        os.truncate(path, path.stat().st_size // 2 if "1" in name else 0)
    np.save(tmp_path / "graph/00000_00003.npy", np.arange(50, dtype=np.int32))
    assert_equal_to_segment(segment_tiled(IMAGE, tile=64, store=tmp_path), IMAGE)


def test_what_is_damaged_after_the_end_is_named(tmp_path):
    whole = segment_tiled(IMAGE, tile=64, store=tmp_path)
    (tmp_path / "labels/00001_00002.npy").unlink()
    with pytest.raises(StoreError, match=r"^store: the labels of tile \(1, 2\) are missing or damaged"):
        np.asarray(whole.cut(10))
    np.testing.assert_array_equal(whole.cut(1)[:64], 0)
    (tmp_path / "merges.npy").unlink()
    with pytest.raises(StoreError, match=r"^store: the merges are missing"):
        open_tiled(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no run"),
        ("{", "cannot read"),
        ("[]", "is not a JSON object"),
        (json.dumps({"format": 2}), "has format 2, and this version reads format 1"),
        (json.dumps({"format": 1, "base_count": None}), "the run is not complete"),
    ],
)
def test_a_store_without_a_whole_run_cannot_be_opened(tmp_path, content, message):
    if content is not None:
        (tmp_path / "state.json").write_text(content)
    with pytest.raises(StoreError, match=message):
        open_tiled(tmp_path)


# --- cancel, progress ---------------------------------------------------------------------------------------


def test_progress_counts_tiles_and_then_names_the_stages():
    seen = []
    segment_tiled(IMAGE, tile=64, threads=2, store=MemoryStore(), progress=seen.append)
    assert [one.stage for one in seen] == ["tiles"] * TILES + ["graph", "merge", "done"]
    assert [one.tiles_done for one in seen[:TILES]] == list(range(1, TILES + 1))
    assert {one.tiles for one in seen} == {TILES}
    assert seen[TILES - 1].pixels_done == seen[-1].pixels == 190 * 230


def test_a_run_that_goes_on_counts_the_tiles_that_are_done():
    store = MemoryStore()
    stopped_run(store)
    seen = []
    segment_tiled(IMAGE, tile=64, threads=1, store=store, progress=seen.append)
    assert [one.tiles_done for one in seen if one.stage == "tiles"] == list(range(1, TILES + 1))


@pytest.mark.parametrize("stage", ["tiles", "graph", "merge"])
@pytest.mark.parametrize("threads", [1, 3])
def test_cancelling_ends_the_run_and_the_next_one_goes_on(stage, threads):
    store, token = MemoryStore(), CancelToken()

    def cancel(progress):
        if progress.stage == stage:
            token.cancel()

    with pytest.raises(Cancelled):
        segment_tiled(IMAGE, tile=64, threads=threads, store=store, cancel=token, progress=cancel)
    assert_equal_to_segment(segment_tiled(IMAGE, tile=64, store=store), IMAGE)


# --- sources ------------------------------------------------------------------------------------------------


def test_a_broken_tile_is_named_and_the_others_are_kept(tmp_path):
    broken = CountingSource(IMAGE, fails_at=4, error=OSError("bad block\nin the file"), fingerprint="x")
    with pytest.raises(
        SourceError, match=r"^source: rows 0 to \d+, columns \d+ to 229: cannot be read: bad block$"
    ):
        segment_tiled(broken, tile=64, threads=1, store=tmp_path)
    mended = CountingSource(IMAGE, fingerprint="x")
    assert_equal_to_segment(segment_tiled(mended, tile=64, store=tmp_path), IMAGE)
    assert len(mended.windows) == TILES - 3


def test_a_source_that_shrinks_is_named():
    class Shrinking(CountingSource):
        def read(self, window):
            return super().read(window)[:80]

    with pytest.raises(SourceError, match=r"gave uint8 \(80, \d+, 3\) instead of uint8 \(108, \d+, 3\)"):
        segment_tiled(Shrinking(IMAGE), tile=64, threads=1, store=MemoryStore())


@pytest.mark.parametrize("kind", [np.float32, np.uint16, np.int8, bool])
def test_pixels_of_another_type_are_rejected(kind):
    with pytest.raises(InvalidImage, match="source: must be uint8"):
        segment_tiled(IMAGE.astype(kind), store=MemoryStore())


def test_not_a_number_is_rejected_also_if_the_source_hides_it():
    class Hiding(CountingSource):
        def read(self, window):
            return np.full_like(super().read(window), np.nan, np.float32)

    with pytest.raises(SourceError, match="gave float32"):
        segment_tiled(Hiding(IMAGE), tile=64, store=MemoryStore())


@pytest.mark.parametrize(
    "source",
    [
        np.zeros((0, 5), np.uint8),
        np.zeros((4, 5, 2), np.uint8),
        np.zeros(7, np.uint8),
        "image",
        [[1], [2, 3]],
    ],
)
def test_what_is_no_image_is_rejected(source):
    with pytest.raises(InvalidImage, match=r"^source: "):
        segment_tiled(source, store=MemoryStore())


def test_images_above_the_limit_are_rejected():
    class Huge:
        dtype = np.dtype(np.uint8)

        def read(self, window):
            raise AssertionError(window)

    huge = Huge()
    for huge.shape in [(2**18 + 1, 2**18), (1, 2**31)]:
        with pytest.raises(InvalidImage, match=r"^source: "):
            segment_tiled(huge, store=MemoryStore())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("params", {"params": 10.0}),
        ("tile", {"tile": 0}),
        ("tile", {"tile": 8193}),
        ("tile", {"tile": 64.0}),
        ("threads", {"threads": -1}),
        ("cancel", {"cancel": object()}),
        ("store", {"store": object()}),
        ("guidance", {"guidance": IMAGE}),
        ("edges", {"guidance": GuidanceSources(edges=IMAGE)}),
        ("edges", {"guidance": GuidanceSources(edges=np.zeros((4, 4)))}),
        ("prior", {"guidance": GuidanceSources(prior=np.zeros((4, 4)))}),
    ],
)
def test_other_arguments_are_checked(name, arguments):
    with pytest.raises(InvalidParameter, match=rf"^{name}: "):
        segment_tiled(IMAGE, **{"store": MemoryStore()} | arguments)


def test_a_prior_label_out_of_range_is_named():
    prior = np.zeros((190, 230), np.int64)
    prior[150, 200] = 2**31
    with pytest.raises(SourceError, match=r"^prior: labels must be from 0 to 2147483647, got 2147483648"):
        segment_tiled(IMAGE, tile=64, store=MemoryStore(), guidance=GuidanceSources(prior=prior))


# --- a full disk --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["state", "labels", "graph", "ids", "sums", "merges"])
def test_a_full_disk_loses_nothing_that_was_written(name):
    class Full(MemoryStore):
        full = True

        def put(self, put_name, tile, array):
            if self.full and put_name == name and tile in (None, (1, 1)):
                raise OSError(errno.ENOSPC, "No space left on device")
            super().put(put_name, tile, array)

        def write_state(self, state):
            if self.full and name == "state":
                raise OSError(errno.ENOSPC, "No space left on device")
            super().write_state(state)

    store = Full()
    with pytest.raises(StoreError, match=r"^store: .* cannot be written: No space left on device$"):
        segment_tiled(IMAGE, tile=64, threads=2, store=store)
    store.full = False
    assert_equal_to_segment(segment_tiled(IMAGE, tile=64, store=store), IMAGE)


@pytest.mark.unsanitized  # starts another program
def test_a_real_limit_on_files_leaves_no_half_written_file(tmp_path):
    script = textwrap.dedent("""
        import resource, signal, sys
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        from superpixel_kernels.errors import StoreError
        from superpixel_kernels.tiled import segment_tiled
        from tests.kernels import images
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
        try:
            segment_tiled(images.photo(230, 190), tile=64, threads=1, store=sys.argv[1])
        except StoreError as error:
            print(error)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.startswith("store: tile (0, 0) cannot be written: ")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["state.json"]
    assert_equal_to_segment(segment_tiled(IMAGE, tile=64, store=tmp_path), IMAGE)


def test_a_temporary_store_goes_with_the_result():
    tiled = segment_tiled(IMAGE, tile=64)
    labels = tiled.cut(5)
    folder = tiled.store.folder
    del tiled
    assert labels[:1, :1].tolist() == [[0]]
    assert folder.exists()
    del labels
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"^store: cannot make the folder .*file: File exists"):
        segment_tiled(IMAGE, store=tmp_path / "file")
