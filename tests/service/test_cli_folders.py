"""`superpixel bulk` and folders as they come: links, unreadable parts, changed and deleted images."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from superpixel_kernels import codec, segment
from superpixel_service.commands import local
from superpixel_service.commands.image_files import find_images
from superpixel_service.contract import IMAGE_FILE, IMAGE_SUFFIXES, ImageFormat
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.command import called, messages
from tests.service.images import encoded, scene

DAY_NS = 86_400 * 10**9


def write(path: Path, *, seed: int = 0, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(scene(*size, seed)))


def names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in find_images(folder).images]


def bulk(capsys: pytest.CaptureFixture[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """In this process; its handlers of signals are put back by the fixture below."""
    return called(capsys, "bulk", *arguments)


@pytest.fixture(autouse=True)
def _signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("superpixel_service.commands.stop_signals.signal.signal", lambda *_: None)


def made(run: subprocess.CompletedProcess[str], out: Path) -> list[str]:
    return sorted(str(Path(line).relative_to(out)) for line in run.stdout.splitlines())


# ---- what is found ----------------------------------------------------------------------------------------


def test_every_suffix_of_a_format_that_the_server_reads_is_taken(tmp_path: Path) -> None:
    taken = ["a.jpg", "b.JPEG", "c.jpe", "d.jfif", "e.pjpeg", "f.pjp", "g.png", "h.webp"]
    taken += ["i.gif", "j.tif", "k.TIFF", "l.bmp", "m.dib", "n.avif"]
    for name in [*taken, "o.heic", "p.svg", "q", "r.HEIC", ".hidden.png"]:
        (tmp_path / name).write_bytes(b"")
    found = find_images(tmp_path)
    assert [path.name for path in found.images] == taken
    (line,) = found.left_out
    assert line.startswith("4 files have other suffixes than ")
    assert line.endswith("(2 .heic, 1 without one, 1 .svg)")


def test_a_format_of_the_contract_has_suffixes_a_name_and_a_reader() -> None:
    pictures = {"TIFF", "GIF", "BMP", "AVIF", "JPEG", "PNG", "WEBP"}
    assert {each.name for each in IMAGE_SUFFIXES} == pictures == {each.name for each in ImageFormat} - {"RAW"}
    numbered = {value.name.removeprefix("IMAGE_FORMAT_") for value in pb.ImageFormat.DESCRIPTOR.values}
    assert numbered == {*pictures, "UNSPECIFIED"}
    assert {name.upper() for name in re.findall(r"[A-Za-z]{3,}", IMAGE_FILE)} - {"FILE"} == pictures


def test_linked_folders_are_searched_once(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    write(folder / "z" / "real.png")
    write(elsewhere / "far.png")
    write(elsewhere / "deep" / "farther.png")
    (folder / "a").symlink_to(folder / "z")  # comes first in the alphabet, and yet the real path counts
    (folder / "link").symlink_to(elsewhere)
    (folder / "link2").symlink_to(elsewhere)
    (elsewhere / "circle").symlink_to(elsewhere)
    (folder / "up").symlink_to(tmp_path)
    (elsewhere / "back").symlink_to(folder / "z")
    assert names(folder) == ["link/deep/farther.png", "link/far.png", "z/real.png"]
    left_out = find_images(folder).left_out
    searched = "a link to a folder that was searched under another path"
    assert sorted(left_out) == [
        f"{folder / 'a'}: {searched}",
        f"{folder / 'link' / 'back'}: {searched}",
        f"{folder / 'link' / 'circle'}: {searched}",
        f"{folder / 'link2'}: {searched}",
        f"{folder / 'up'}: a link to a folder that contains {folder}",
    ]


def test_a_folder_that_is_itself_a_link_is_searched(tmp_path: Path) -> None:
    write(tmp_path / "real" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert names(tmp_path / "link") == ["a.png"]


def test_links_within_a_linked_tree_lead_to_each_folder_once(tmp_path: Path) -> None:
    folder, tree = tmp_path / "in", tmp_path / "tree"
    write(tree / "b" / "c" / "x.png")
    folder.mkdir()
    (folder / "1").symlink_to(tree / "b" / "c")
    (folder / "2").symlink_to(tree)
    assert names(folder) == ["1/x.png"]


def test_unreadable_subfolders_are_told_and_the_rest_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "lost+found/b.png", "z.png"):
        write(folder / name)
    deny(monkeypatch, folder / "lost+found")
    run = bulk(capsys, folder, "--out", out)
    assert (run.returncode, made(run, out)) == (0, ["a.png.spx", "z.png.spx"])
    assert messages(run)[0] == f"left out: {folder / 'lost+found'}: permission denied"

    write(folder / "private" / "c.png")
    write(out / "private" / "c.png.spx")  # the map of an image that cannot be seen now
    deny(monkeypatch, folder / "lost+found", folder / "private")
    run = bulk(capsys, folder, "--out", out)
    assert (run.returncode, run.stdout) == (1, "")
    assert messages(run)[1:] == [
        f"{folder / 'private'}: permission denied",
        "0 made, 2 already there, 0 failed",
    ]


def deny(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """As file permissions do for everyone but root, who runs these tests in containers."""
    scandir = os.scandir

    def refusing(path: str) -> object:
        if Path(path) in folders:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", refusing)


# ---- images that change -----------------------------------------------------------------------------------


def test_an_image_replaced_by_an_older_one_is_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder / "a.png")
    assert bulk(capsys, folder, "--out", out).returncode == 0
    write(folder / "a.png", size=(50, 20))
    long_ago = time.time_ns() - 100 * DAY_NS
    os.utime(folder / "a.png", ns=(long_ago, long_ago))
    run = bulk(capsys, folder, "--out", out)
    assert made(run, out) == ["a.png.spx"]
    assert codec.decode((out / "a.png.spx").read_bytes()).labels.shape == (20, 50)
    assert bulk(capsys, folder, "--out", out).stdout == ""


def test_an_image_from_the_future_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder / "a.png")
    future = time.time_ns() + 100 * DAY_NS
    os.utime(folder / "a.png", ns=(future, future))
    assert made(bulk(capsys, folder, "--out", out), out) == ["a.png.spx"]
    assert messages(bulk(capsys, folder, "--out", out)) == ["0 made, 1 already there, 0 failed"]


def test_checksums_see_through_dates_and_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    image = folder / "a.bmp.jpg"
    first, second = (saved_jpeg(shade) for shade in (80, 90))
    assert len(first) == len(second)
    image.write_bytes(first)
    date = image.stat().st_mtime_ns
    assert made(bulk(capsys, folder, "--out", out, "--checksum"), out) == ["a.bmp.jpg.spx"]

    os.utime(image, ns=(date + DAY_NS, date + DAY_NS))  # another date, the same content
    assert bulk(capsys, folder, "--out", out, "--checksum").stdout == ""
    assert bulk(capsys, folder, "--out", out).stdout == ""  # the new date was recorded

    image.write_bytes(second)  # the same size and date, another content
    os.utime(image, ns=(date + DAY_NS, date + DAY_NS))
    assert bulk(capsys, folder, "--out", out).stdout == ""
    assert made(bulk(capsys, folder, "--out", out, "--checksum"), out) == ["a.bmp.jpg.spx"]


def saved_jpeg(shade: int) -> bytes:
    """Photographs of equal size in bytes: a comment fills them up."""
    data = encoded(scene(40, 30, shade), "JPEG")
    comment = b"x" * (4000 - len(data))
    return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


def test_maps_without_an_image_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "b/c.png", "d.png"):
        write(folder / name)
    assert bulk(capsys, folder, "--out", out).returncode == 0
    (folder / "b" / "c.png").unlink()
    run = bulk(capsys, folder, "--out", out)
    assert run.returncode == 0
    assert messages(run) == [
        f"1 label map has no image in {folder}: {out / 'b' / 'c.png.spx'}",
        "0 made, 2 already there, 0 failed",
    ]
    assert (out / "b" / "c.png.spx").exists()


# ---- folders of earlier versions and of killed runs --------------------------------------------------------


def test_a_folder_of_an_older_version_is_continued(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has no sizes and dates: a map that is not older than its image counts, and is recorded now."""
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "b.png"):
        write(folder / name)
    write(folder / "c.png")
    hierarchy = segment(scene(40, 30, 0))
    out.mkdir()
    for name in ("a.png", "b.png"):
        data = hierarchy.encode(hierarchy.base_count, include_hierarchy=True)
        (out / f"{name}.spx").write_bytes(data)
    later = time.time_ns() + DAY_NS
    os.utime(folder / "b.png", ns=(later, later))
    record = {"counts": [], "compactness": 10.0, "hierarchy": True, "algorithm_version": 1}
    (out / "superpixel-bulk.json").write_text(json.dumps(record))
    run = bulk(capsys, folder, "--out", out)
    assert (run.returncode, made(run, out)) == (0, ["b.png.spx", "c.png.spx"])
    assert bulk(capsys, folder, "--out", out).stdout == ""
    os.utime(folder / "a.png", ns=(1, 1))  # now its date is known
    assert made(bulk(capsys, folder, "--out", out), out) == ["a.png.spx"]


@pytest.mark.parametrize("torn", [b'{"image": "a.p', b"\xff\x00", b"[]", b"null\n{}\n3"])
def test_a_torn_record_of_images_costs_no_more_than_its_line(
    torn: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder / "a.png")
    assert bulk(capsys, folder, "--out", out).returncode == 0
    with (out / "superpixel-bulk-images.jsonl").open("ab") as file:
        file.write(torn)
    write(folder / "b.png")
    future = time.time_ns() + DAY_NS
    os.utime(folder / "b.png", ns=(future, future))
    assert made(bulk(capsys, folder, "--out", out), out) == ["b.png.spx"]
    assert bulk(capsys, folder, "--out", out).stdout == ""


def test_an_image_that_changes_while_it_is_read_is_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder / "a.png")
    read = local.read_image_file

    def changed_after(path: Path) -> bytes:
        data = read(path)
        os.utime(path, ns=(1, 1))
        return data

    monkeypatch.setattr(local, "read_image_file", changed_after)
    assert made(bulk(capsys, folder, "--out", out), out) == ["a.png.spx"]
    monkeypatch.undo()
    assert made(bulk(capsys, folder, "--out", out), out) == ["a.png.spx"]
