"""`superpixel train-smart`: training on finished work, and errors of its files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import codec, segment
from superpixel_service.client.smart import Scorer, SmartSelect
from superpixel_service.commands import train_smart
from superpixel_service.commands.training_set import find_pairs, read_pair
from tests.service.command import called, messages

SIDE = 96


def finished(folder: Path, number: int = 10, depth: type = np.uint8) -> tuple[Path, Path]:
    """Images of disks and bars on a noisy ground, and their masks: two disks of class 1, a bar of class 2."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for name in ("images/set", "masks/set"):
        (folder / name).mkdir(parents=True)
    for index in range(number):
        mask = np.zeros((SIDE, SIDE), depth)
        mask[:, 40:52] = 2
        mask[(rows - 25) ** 2 + (columns - 20) ** 2 < rng.integers(90, 200)] = 1
        mask[(rows - 65) ** 2 + (columns - 75) ** 2 < rng.integers(90, 200)] = 1
        mask[:4] = 255
        colors = rng.integers(0, 256, (256, 3))
        image = np.clip(colors[mask.astype(int) % 256] + rng.normal(0, 12, (SIDE, SIDE, 3)), 0, 255)
        Image.fromarray(image.astype(np.uint8)).save(folder / "images" / "set" / f"{index}.png")
        name = f"{index}.png" if index % 2 else f"{index}.png.png"
        Image.fromarray(mask).save(folder / "masks" / "set" / name)
    return folder / "images", folder / "masks"


def test_it_trains_a_scorer_that_selects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_smart, "ROUNDS", 1)
    monkeypatch.setattr(train_smart, "ProcessPoolExecutor", InProcess)
    images, masks = finished(tmp_path)
    out = tmp_path / "weights.json"
    run = called(
        capsys, "train-smart", images, masks, "--out", out, "--limit", 24, "--jobs", 2, "--about", "disks"
    )
    assert (run.returncode, run.stdout.splitlines()[-1].split(":")[0]) == (0, str(out))
    assert "held out: 3 objects" in run.stdout
    said = messages(run)
    assert [line.split(":")[0] for line in said if line.startswith("round")] == [
        f"round {number} of 2" for number in (1, 2)
    ]
    data = json.loads(out.read_bytes())
    about = data["about"]
    assert (about["source"], about["images"], about["objects"], about["seed"]) == ("disks", 10, 24, 1)
    assert about["held_out"]["objects"] == 3

    # A click on a disk takes about the disk.
    with Image.open(images / "set" / "9.png") as file:
        image = np.asarray(file)
    hierarchy = segment(image)
    count = SIDE * SIDE // 64
    source = codec.decode(hierarchy.encode(hierarchy.base_count, include_hierarchy=True))
    smart = SmartSelect(source, count, image, weights=data)
    taken = np.isin(source.labels_at(count), smart.click(20, 25))
    with Image.open(masks / "set" / "9.png") as file:
        disk = np.asarray(file) == 1
    disk[:, SIDE // 2 :] = False
    assert np.count_nonzero(taken & disk) / np.count_nonzero(taken | disk) > 0.6


@pytest.mark.slow
def test_the_same_seed_gives_the_same_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, masks = finished(tmp_path)
    files = []
    for jobs, seed in ((1, 1), (2, 1), (2, 2)):
        out = tmp_path / f"{jobs}-{seed}.json"
        arguments = ("--limit", 24, "--jobs", jobs, "--seed", seed)
        run = called(capsys, "train-smart", images, masks, "--out", out, *arguments)
        assert run.returncode == 0
        files.append(out.read_bytes())
    assert files[0] == files[1] != files[2]


def test_objects_are_pieces_or_values(tmp_path: Path) -> None:
    images, masks = finished(tmp_path, 1, np.uint16)
    (pair,), notes = find_pairs(images, masks)
    assert notes == []
    truth = np.asarray(Image.open(pair.mask))
    by_piece, by_value = (read_pair(pair, kind) for kind in ("pieces", "values"))
    # In 16 bits 255 is a value as any other.
    assert [target.area for target in by_value.targets] == [
        np.count_nonzero(truth == value) for value in (1, 2, 255)
    ]
    assert len(by_piece.targets) == 4
    disks = [target.area for target in by_piece.targets[:2]]
    assert abs(sum(disks) - by_value.targets[0].area) < 40
    for target in by_piece.targets:
        assert 0 <= target.inside.min() <= target.inside.max() <= 1


def test_in_8_bits_255_is_unlabelled(tmp_path: Path) -> None:
    images, masks = finished(tmp_path, 1)
    (pair,), _ = find_pairs(images, masks)
    assert len(read_pair(pair, "values").targets) == 2


def mask_of(folder: Path, kind: str, shape: tuple[int, int]) -> None:
    Image.new(kind, shape).save(folder / "masks" / "set" / "1.png")


def keep(folder: Path, number: int) -> None:
    for path in sorted((folder / "masks" / "set").iterdir())[number:]:
        path.unlink()


def clear(folder: Path) -> None:
    for path in (folder / "masks" / "set").iterdir():
        Image.new("L", (SIDE, SIDE)).save(path)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda at: (at / "masks/set/1.png").write_bytes(b"no"), "cannot be read as a PNG file"),
        (
            lambda at: mask_of(at, "RGB", (SIDE, SIDE)),
            "must have one channel, gray or palette indexes, not RGB",
        ),
        (lambda at: mask_of(at, "L", (SIDE, 5)), f"must be {SIDE}x{SIDE} as its image is, got {SIDE}x5"),
        (lambda at: (at / "images/set/1.png").write_bytes(b"no"), "1.png: "),
        (lambda at: keep(at, 0), "the mask of a/b.jpg is a/b.png or a/b.jpg.png"),
        (lambda at: (at / "masks").rename(at / "gone"), "no such folder"),
        (lambda at: keep(at, 2), "must have at least 4 images with a mask, has 2"),
        (clear, "must have at least 20 objects"),
    ],
)
def test_wrong_files_are_named(
    break_it: Callable[[Path], object],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, masks = finished(tmp_path, 5)
    break_it(tmp_path)
    monkeypatch.setattr(train_smart, "ProcessPoolExecutor", InProcess)
    run = called(capsys, "train-smart", images, masks, "--out", tmp_path / "weights.json", "--jobs", 1)
    assert run.returncode != 0
    assert message in messages(run)[-1]
    assert not (tmp_path / "weights.json").exists()


class InProcess:
    """Instead of processes, which take seconds to start."""

    def __init__(self, *_: object, **__: object) -> None:
        self.map = map

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_weights_are_rounded_so_that_the_file_gives_them_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_smart, "ROUNDS", 0)
    monkeypatch.setattr(train_smart, "ProcessPoolExecutor", InProcess)
    images, masks = finished(tmp_path)
    found: list[Scorer] = []
    fit = train_smart.fit
    monkeypatch.setattr(train_smart, "fit", lambda *given: found.append(fit(*given)) or found[-1])
    out = tmp_path / "weights.json"
    assert called(capsys, "train-smart", images, masks, "--out", out).returncode == 0
    read = Scorer.of(json.loads(out.read_bytes()))
    for (weights, biases), (mine, my_biases) in zip(read.layers, found[-1].layers, strict=True):
        assert np.array_equal(weights, mine)
        assert np.array_equal(biases, my_biases)
