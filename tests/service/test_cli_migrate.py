"""`superpixel migrate`: label maps and selections move to new superpixels, pixel for pixel."""

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from superpixel_kernels import ALGORITHM_VERSION, codec
from superpixel_service.client.exports import Annotation, fingerprint
from tests.service.bulk_folders import fill
from tests.service.command import messages, ran, started, superpixel
from tests.service.harness import PATIENCE_SECONDS
from tests.service.images import scene

CLASSES = [{"name": "cat", "color": "#e6194b"}, {"name": "dog", "color": "#3cb44b"}]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in `in`, label maps and a selection of each in `old`."""
    root = tmp_path_factory.mktemp("migrate")
    fill(root / "in", {"a.png": scene(seed=1), "b/c.png": scene(seed=2)})
    assert ran("bulk", root / "in", "--out", root / "old", "--compactness", 5).returncode == 0
    rng = np.random.default_rng(1)
    for name in ("a.png.json", "b/c.selection.json"):
        path = root / "old" / name
        label_map = codec.decode(map_of(path).read_bytes())
        path.write_text(json.dumps(selection(label_map, rng)))
    return root


def map_of(path: Path) -> Path:
    return path.with_name({"a.png.json": "a.png.spx"}.get(path.name, "c.png.spx"))


def selection(label_map: codec.LabelMap, rng: np.random.Generator) -> dict[str, Any]:
    """Every region has a class or none, and some pixels are painted."""
    pixels = np.where(rng.random(label_map.labels.size) < 0.02, rng.integers(1, 4, label_map.labels.size), 0)
    return {
        "format": "superpixel-selection",
        "version": 1,
        "width": label_map.width,
        "height": label_map.height,
        "count": label_map.count,
        "map": fingerprint(label_map.labels),
        "classes": CLASSES,
        "regions": runs(rng.integers(0, 3, label_map.count)),
        "pixels": runs(pixels),
    }


def runs(values: NDArray[np.int64]) -> list[int]:
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    lengths = np.diff(starts, append=values.size)
    return [int(one) for pair in zip(values[starts], lengths, strict=True) for one in pair]


def pixels(path: Path) -> NDArray[np.uint8]:
    label_map = codec.decode(map_of(path).read_bytes())
    return Annotation.of_selection(label_map, json.loads(path.read_text())).mask


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_pixel_keeps_its_class_and_the_originals_stay(made: Path, tmp_path: Path) -> None:
    before = contents(made)
    command = (
        "migrate",
        made / "old",
        "--images",
        made / "in",
        "--out",
        tmp_path / "new",
        "--compactness",
        40,
    )
    run = superpixel(*command)
    assert messages(run) == ["2 made, 0 already there, 0 failed"]
    assert run.returncode == 0
    assert sorted(run.stdout.splitlines()) == [
        str(tmp_path / "new" / name) for name in ("a.png.spx", "b/c.png.spx")
    ]
    assert contents(made) == before
    for name in ("a.png.json", "b/c.selection.json"):
        old, new = pixels(made / "old" / name), pixels(tmp_path / "new" / name)
        assert np.array_equal(old, new)
        assert {0, 1, 2} == set(np.unique(new).tolist())
    assert ran("bulk", made / "in", "--out", tmp_path / "bulk", "--compactness", 40).returncode == 0
    for name in ("a.png.spx", "b/c.png.spx"):
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "bulk" / name).read_bytes()

    # The same command again has nothing to do; what is missing is done again, and nothing else.
    after = contents(tmp_path / "new")
    assert messages(ran(*command)) == ["0 made, 2 already there, 0 failed"]
    (tmp_path / "new" / "b" / "c.selection.json").unlink()
    run = ran(*command, "--json")
    assert json.loads(run.stdout) == {
        "algorithm_version": ALGORITHM_VERSION,
        "made": [str(tmp_path / "new" / "b" / "c.png.spx")],
        "already_there": 1,
        "failed": [],
        "left": 0,
    }
    record = tmp_path / "new" / "superpixel-migrate.jsonl"
    assert {**contents(tmp_path / "new"), record: b""} == {**after, record: b""}


def test_results_that_were_changed_are_not_overwritten(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    command = ("migrate", made / "old", "--images", made / "in", "--out", out)
    out.mkdir()
    (out / "a.png.spx").write_bytes(b"mine")
    run = ran(*command)
    assert run.returncode == 1
    assert messages(run) == [
        f"{made / 'old' / 'a.png.spx'}: {out / 'a.png.spx'}: exists already; it is not overwritten",
        "1 made, 0 already there, 1 failed",
    ]
    assert (out / "a.png.spx").read_bytes() == b"mine"
    # Work on a result is kept when the command runs with other parameters; an unchanged result is replaced.
    (out / "a.png.spx").unlink()
    assert ran(*command).returncode == 0
    edited = out / "a.png.json"
    edited.write_text(edited.read_text() + "\n")
    old = (out / "b" / "c.png.spx").read_bytes()
    run = ran(*command, "--counts", 50)
    assert messages(run)[0].endswith(f"{edited}: was changed since it was written; it is not overwritten")
    assert (out / "b" / "c.png.spx").read_bytes() != old
    assert codec.decode((out / "b" / "c.png.spx").read_bytes()).count == 50
    assert np.array_equal(
        pixels(out / "b" / "c.selection.json"), pixels(made / "old" / "b" / "c.selection.json")
    )


def test_what_cannot_be_migrated_is_named_and_the_rest_is_done(made: Path, tmp_path: Path) -> None:
    old, images = tmp_path / "old", tmp_path / "in"
    shutil.copytree(made / "old", old)
    shutil.copytree(made / "in", images)
    for name in ("lost.png.spx", "other.png.spx", "broken.png.spx"):
        shutil.copy(old / "a.png.spx", old / name)
    (old / "broken.png.spx").write_bytes(b"SPXL")
    shutil.copy(images / "a.png", images / "broken.png")
    shutil.copy(images / "b" / "c.png", images / "other.png")
    shutil.copy(old / "a.png.json", old / "alone.json")
    (old / "settings.json").write_text("{}")
    data = json.loads((old / "b" / "c.selection.json").read_text())
    (old / "b" / "c.selection.json").write_text(json.dumps({**data, "map": "00000000"}))
    run = ran("migrate", old, "--images", images, "--out", tmp_path / "new")
    assert run.returncode == 1
    assert messages(run) == [
        f"{old / 'alone.json'}: there is no label map of its name, alone.spx",
        f"{old / 'broken.png.spx'}: not a valid label map: header: 4 bytes, it takes 20",
        f"{old / 'lost.png.spx'}: {images / 'lost.png'}: no such file or directory",
        f"{old / 'other.png.spx'}: was made from another image than {images / 'other.png'}",
        f"{old / 'b' / 'c.png.spx'}: c.selection.json: selection: was made on another map",
        "1 made, 0 already there, 4 failed",
    ]
    assert not (tmp_path / "new" / "b").exists()


def test_the_output_must_be_another_folder(made: Path) -> None:
    for out in (made / "old", made / "old" / "new", made):
        run = ran("migrate", made / "old", "--images", made / "in", "--out", out)
        assert run.returncode == 2
        assert "must be another folder" in messages(run)[0]
    run = ran("migrate", made / "none", "--images", made / "in", "--out", made / "new")
    assert (run.returncode, messages(run)) == (2, [f"{made / 'none'}: no such folder"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_is_continued(tmp_path: Path, number: signal.Signals) -> None:
    names = [f"{index:02}.png" for index in range(24)]
    fill(tmp_path / "in", {name: scene(300, 200, seed=index) for index, name in enumerate(names)})
    assert ran("bulk", tmp_path / "in", "--out", tmp_path / "old").returncode == 0
    rng = np.random.default_rng(3)
    for name in names:
        label_map = codec.decode((tmp_path / "old" / f"{name}.spx").read_bytes())
        (tmp_path / "old" / f"{name}.json").write_text(json.dumps(selection(label_map, rng)))
    out = tmp_path / "new"
    command = ("migrate", tmp_path / "old", "--images", tmp_path / "in", "--out", out, "--compactness", 60)
    process = started(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    first = process.stdout.readline().strip()
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode in (-number, 128 + number)
    assert Path(first).exists()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.spx")}
    assert 0 < len(before) < len(names)
    run = ran(*command)
    assert run.returncode == 0, run.stderr
    assert messages(run)[-1].endswith(", 0 failed")
    assert len(list(out.rglob("*.spx"))) == len(names)
    assert Path(first).stat().st_mtime_ns == before[Path(first)]
    for name in names:
        maps = [codec.decode((folder / f"{name}.spx").read_bytes()) for folder in (tmp_path / "old", out)]
        old, new = (
            Annotation.of_selection(label_map, json.loads((folder / f"{name}.json").read_text())).mask
            for label_map, folder in zip(maps, (tmp_path / "old", out), strict=True)
        )
        assert np.array_equal(old, new)
