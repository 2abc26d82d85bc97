"""Data sets: what a run opens, reads ahead and divides. Counts, not seconds."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchmarks.data_sets_model import PHOTOGRAPHS, SLIDES, UNIT_IMAGES, simulate, table

from superpixel_service.datasets.attempts import FOLDER
from superpixel_service.datasets.items import MAX_UNIT_IMAGES, MAX_UNIT_PIXELS, Item, Place, in_shard, units
from superpixel_service.datasets.local import run_units, work_on
from superpixel_service.datasets.storage import Storage
from superpixel_service.datasets.target import Target
from superpixel_service.datasets.worker import Spec, Worker
from tests.service.command import called, messages
from tests.service.data_sets import failures, image, label_maps

IMAGES = 300


class _Opened:
    count = 0
    counting = False


def _hook(event: str, _: object) -> None:
    if event == "open" and _Opened.counting:
        _Opened.count += 1


@contextmanager
def opened_files() -> Iterator[type[_Opened]]:
    """Count the files that this process opens. A hook cannot be removed, so it is added once."""
    if not hasattr(sys, "_superpixel_counts_opened"):
        sys.addaudithook(_hook)
        sys._superpixel_counts_opened = True  # type: ignore[attr-defined]
    _Opened.count, _Opened.counting = 0, True
    try:
        yield _Opened
    finally:
        _Opened.counting = False


@pytest.mark.parametrize(("flags", "per_image"), [((), 1), (("--format", "shards"), 0)])
def test_the_scan_of_a_finished_run_opens_few_files(
    flags: tuple[str, ...], per_image: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    data = image()
    for number in range(IMAGES):
        (folder / f"{number:05}.png").write_bytes(data)
    arguments = ("bulk", folder, "--out", out, "--counts", 9, *flags)
    assert called(capsys, *arguments).returncode == 0
    assert called(capsys, *arguments).returncode == 0  # loads what a scan needs
    with opened_files() as opened:
        result = called(capsys, *arguments)
    assert messages(result) == [f"0 made, {IMAGES} already there, 0 failed"]
    assert IMAGES * per_image <= opened.count <= IMAGES * per_image + 40


def test_a_target_that_does_not_take_data_stops_the_reading(tmp_path: Path) -> None:
    data = image()
    for number in range(100):
        (tmp_path / f"{number:03}.png").write_bytes(data)
    read = 0
    blocked, go_on = threading.Event(), threading.Event()

    class Counting(Storage):
        def read(self, address: str, start: int = 0, length: int | None = None) -> bytes:
            nonlocal read
            read += 1
            return super().read(address, start, length)

        def try_write(self, address: str, content: bytes | Path) -> None:
            if address.endswith(".tar"):
                blocked.set()
                assert go_on.wait(60)
            super().try_write(address, content)

    storage = Counting()
    paths = sorted(tmp_path.glob("*.png"))
    plan = units((Item(path.name, str(path), Place(str(path))) for path in paths), workers=1, max_images=10)
    target = Target(str(tmp_path / "out"), storage, shards=True, record={})
    worker = Worker(Spec({"counts": (9,)}), storage, jobs=2)
    thread = threading.Thread(target=lambda: list(run_units(plan, worker, target)))
    thread.start()
    try:
        assert blocked.wait(60)
        # A unit, and four reads and two images per engine ahead; not the other ninety.
        assert 10 <= read <= 10 + 6 * 2
    finally:
        go_on.set()
        thread.join(60)
        worker.close()
    assert len(label_maps(tmp_path / "out")) == 100


def test_an_image_that_ends_its_worker_each_time_is_found(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.png").write_bytes(image(number))
    paths = sorted(tmp_path.glob("*.png"))
    items = [Item(path.name, str(path), Place(str(path)), pixels=2400) for path in paths]
    (unit,) = units(items, workers=1)
    deadly = {"07.png", "13.png"}
    lives = 0

    class Dead(BaseException):
        pass

    class Mortal(Worker):
        def _read(self, item: Item) -> tuple[bytes, dict[str, bytes]]:
            if item.key in deadly and not item.error:
                raise Dead
            return super()._read(item)

    storage = Storage()
    target = Target(str(tmp_path / "out"), storage, shards=True, record={})
    while True:
        lives += 1
        assert lives < 10
        worker = Mortal(Spec({"counts": (9,)}), storage, jobs=1)
        try:
            tally, _ = work_on(unit, worker, target, storage)
            break
        except Dead:
            continue
        finally:
            worker.close()
    assert lives == 2 + 2 + 1  # twice as usual, once per deadly image, and then to the end
    assert (tally.made, tally.failures) == (18, 2)
    text = "the worker ended each time it worked on this image"
    assert failures(tmp_path / "out") == dict.fromkeys(sorted(deadly), text)
    assert len(label_maps(tmp_path / "out")) == 18
    assert not list((tmp_path / "out" / FOLDER).iterdir())


def test_units_are_divided_by_pixels_and_named_by_their_images() -> None:
    def item(number: int, pixels: int) -> Item:
        return Item(f"{number}.jpg", f"/{number}.jpg", Place(f"/{number}.jpg"), pixels=pixels)

    large = [item(number, 50_000_000) for number in range(20)]
    assert {len(unit.items) for unit in units(large, workers=1)} == {1}
    small = [item(number, 1000) for number in range(10_000)]
    assert max(len(unit.items) for unit in units(small, workers=1)) == MAX_UNIT_IMAGES
    mixed = [item(number, 40_000_000 if number % 10 == 0 else 100_000) for number in range(5000)]
    plan = units(mixed, workers=1)
    assert all(unit.pixels <= MAX_UNIT_PIXELS for unit in plan)
    assert [each for unit in plan for each in unit.items] == mixed
    assert [unit.name for unit in plan] == [unit.name for unit in units(mixed, workers=1)]
    assert len({unit.name for unit in plan}) == len(plan)
    # Every worker gets several.
    assert len(units(mixed, workers=20)) >= 20 * 16


def test_shards_do_not_depend_on_the_other_images() -> None:
    names = [f"{number}.jpg" for number in range(3000)]
    parts = [{name for name in names if in_shard(name, index, 7)} for index in range(7)]
    assert sum(map(len, parts)) == 3000
    assert set.union(*parts) == set(names)
    assert all(350 < len(part) < 510 for part in parts)


def test_the_model_of_large_data_sets_is_what_the_document_says() -> None:
    text = (Path(__file__).parents[2] / "docs" / "data-sets.md").read_text()
    for data, cores in ((PHOTOGRAPHS, 64), (SLIDES, 1024)):
        for name, value in table(data, cores):
            assert f"| {name} | " in text
            assert value in text, (name, value)
    assert simulate(100_000, 1, spread=0.0) == pytest.approx(1)
    assert simulate(UNIT_IMAGES * 3, 2, spread=0.0) == pytest.approx(4 / 3)
    assert simulate(1_000_000, 16, losses_per_core_hour=5.0) > simulate(1_000_000, 16)
