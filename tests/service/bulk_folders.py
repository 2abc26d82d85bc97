"""Folders of images, and what `superpixel bulk` makes of them."""

import os
from pathlib import Path

from superpixel_kernels import codec
from tests.service.command import messages, ran
from tests.service.images import Pixels, encoded, scene

MANY = 40
RECORDS = ["superpixel-bulk-images.jsonl", "superpixel-bulk.json"]


def fill(folder: Path, images: dict[str, Pixels]) -> None:
    for name, pixels in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(pixels, "JPEG" if path.suffix.lower() in {".jpg", ".jpeg"} else "PNG"))


def fill_with_many(folder: Path) -> None:
    """`MANY` images that take one worker about two seconds in all."""
    image = encoded(scene(600, 400))
    for index in range(MANY):
        (folder / f"{index:03}.png").write_bytes(image)


def label_maps(out: Path) -> dict[str, os.stat_result]:
    """What is finished in a folder: every file that bears a label map's name must be one."""
    found = {}
    for path in out.rglob("*.spx"):
        codec.decode(path.read_bytes())
        found[str(path.relative_to(out))] = path.stat()
    return found


def printed(text: str, out: Path) -> list[str]:
    return [str(Path(line).relative_to(out)) for line in text.splitlines()]


def same_files(before: dict[str, os.stat_result], now: dict[str, os.stat_result]) -> bool:
    return all(
        (now[name].st_ino, now[name].st_mtime_ns) == (old.st_ino, old.st_mtime_ns)
        for name, old in before.items()
    )


def assert_goes_on(folder: Path, out: Path, before: dict[str, os.stat_result], *flags: str) -> None:
    """The same command does the rest, all of it and nothing else."""
    run = ran("bulk", folder, "--out", out, *flags)
    assert run.returncode == 0, run.stderr
    now = label_maps(out)
    assert len(now) == MANY
    assert same_files(before, now)
    assert sorted(printed(run.stdout, out)) == sorted(now.keys() - before.keys())
    assert messages(run) == [f"{MANY - len(before)} made, {len(before)} already there, 0 failed"]
    assert sorted(path.name for path in out.iterdir() if path.suffix != ".spx") == RECORDS
