"""`superpixel bulk`: a folder of images, done once each whatever happens on the way."""

import fcntl
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from superpixel_kernels import SegmentParams, segment
from superpixel_service.commands.output import part_of
from superpixel_service.errors import Draining
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.bulk_folders import (
    MANY,
    assert_goes_on,
    fill,
    fill_with_many,
    label_maps,
    printed,
    same_files,
)
from tests.service.command import COMMAND, messages, ran, started, superpixel
from tests.service.harness import RunningServer
from tests.service.images import encoded, made_from, scene
from tests.service.scripted import Scripted, ScriptedStream, answered, serving

OTHER_SUFFIXES = (
    "other suffixes than .jpg, .jpeg, .jpe, .jfif, .pjpeg, .pjp, .png, .webp, .tif, .tiff, .gif, .bmp, "
    ".dib, .avif"
)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    fill_with_many(folder)
    return folder


def test_every_image_of_the_folder_gets_its_label_map(tmp_path: Path) -> None:
    images = {
        "a.png": scene(seed=1),
        "a.PNG": scene(seed=2),
        "b c/d.jpeg": scene(seed=3),
        "b c/deep/e.png": scene(seed=4),
        os.fsdecode(b"not text \xff.png"): scene(seed=5),
    }
    folder, out = tmp_path / "in", tmp_path / "out"
    fill(folder, {**images, ".hidden.png": scene(), ".thumbs/f.png": scene()})
    (folder / "notes.txt").write_text("not an image")
    run = superpixel("bulk", folder, "--out", out)
    assert run.returncode == 0
    assert sorted(printed(run.stdout, out)) == sorted(f"{name}.spx" for name in images)
    assert messages(run) == [
        f"left out: 1 file has {OTHER_SUFFIXES} (1 .txt)",
        "5 made, 0 already there, 0 failed",
    ]
    for name in images.keys() - {"b c/d.jpeg"}:
        hierarchy = segment(images[name])
        provenance = made_from((folder / name).read_bytes(), *images[name].shape[1::-1])
        expected = hierarchy.encode(hierarchy.base_count, include_hierarchy=True, provenance=provenance)
        assert (out / f"{name}.spx").read_bytes() == expected


def test_counts_keep_just_those_levels_unless_the_hierarchy_is_asked_for(tmp_path: Path) -> None:
    fill(tmp_path / "in", {"a.png": scene()})
    hierarchy = segment(scene(), SegmentParams(20.0))
    flags = ("--counts", 7, 50, 20, "--compactness", 20)
    provenance = made_from((tmp_path / "in" / "a.png").read_bytes(), *scene().shape[1::-1], compactness=20.0)
    for extra, expected in (
        ((), hierarchy.encode(50, levels=[20, 7], provenance=provenance)),
        (("--hierarchy",), hierarchy.encode(50, include_hierarchy=True, provenance=provenance)),
    ):
        out = tmp_path / f"out{len(extra)}"
        assert ran("bulk", tmp_path / "in", "--out", out, *flags, *extra).returncode == 0
        assert (out / "a.png.spx").read_bytes() == expected


def test_a_bad_file_is_told_at_the_end_and_the_others_are_done(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    fill(folder, {name: scene() for name in ("a.png", "c.png")})
    (folder / "b.png").write_bytes(encoded(scene())[:3000])
    run = ran("bulk", folder, "--out", out)
    assert run.returncode == 1
    assert sorted(printed(run.stdout, out)) == ["a.png.spx", "c.png.spx"]
    failed, tally = messages(run)
    assert failed.startswith(f"{folder / 'b.png'}: must be a complete, undamaged image")
    assert tally == "2 made, 0 already there, 1 failed"
    before = label_maps(out)

    again = ran("bulk", folder, "--out", out)
    assert (again.returncode, again.stdout) == (1, "")
    assert messages(again) == [failed, "0 made, 2 already there, 1 failed"]

    fill(folder, {"b.png": scene()})
    mended = ran("bulk", folder, "--out", out)
    assert (mended.returncode, printed(mended.stdout, out)) == (0, ["b.png.spx"])
    assert same_files(before, label_maps(out))


def test_names_and_places_that_one_image_cannot_have_do_not_stop_the_others(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    longest, too_long = "x" * 247 + ".png", "y" * 251 + ".png"  # a name has at most 255 bytes, with .spx
    fill(folder, {name: scene() for name in ("a.png", "b.png", "c/d.png", "z.png", longest, too_long)})
    (out / "a.png.spx" / "taken").mkdir(parents=True)
    (out / "c").write_text("not a folder")
    run = ran("bulk", folder, "--out", out)
    assert (run.returncode, sorted(printed(run.stdout, out))) == (
        1,
        ["b.png.spx", f"{longest}.spx", "z.png.spx"],
    )
    *failed, tally = messages(run)
    assert sorted(failed) == [
        f"{out / 'a.png.spx'}: is a directory",
        f"{out / 'c'}: file exists",
        f"{out / too_long}.spx: file name too long",
    ]
    assert tally == "3 made, 0 already there, 3 failed"
    assert not list(out.glob(".*"))


def test_what_is_no_file_or_larger_than_any_image_holds_nothing_up(
    tmp_path: Path, server: RunningServer
) -> None:
    folder = tmp_path / "in"
    fill(folder, {"a.png": scene()})
    os.mkfifo(folder / "pipe.png")  # whoever opens it to read waits for a writer
    (folder / "gone.png").symlink_to(folder / "nothing")
    with (folder / "endless.png").open("wb") as endless:
        endless.truncate(1 << 40)
    for place, flags in (("here", ()), ("there", ("--server", server.listen))):
        out = tmp_path / place
        run = ran("bulk", folder, "--out", out, *flags)
        assert (run.returncode, printed(run.stdout, out)) == (1, ["a.png.spx"]), run.stderr
        left_out, *failed, tally = messages(run)
        assert left_out == f"left out: {folder / 'pipe.png'}: not a regular file"
        assert tally == "1 made, 0 already there, 2 failed"
        large, gone = sorted(failed)
        assert large.startswith(f"{folder / 'endless.png'}: ")
        assert "too large" in large
        assert gone == f"{folder / 'gone.png'}: no such file or directory"


def test_of_an_image_that_ends_servers_the_run_says_so_and_goes_on(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    fill(folder, {f"{name}.png": scene(seed=seed) for seed, name in enumerate("abc")})
    deadly = (folder / "b.png").read_bytes()

    def dies_of_b(stream: ScriptedStream) -> Iterator[pb.SegmentStreamResponse]:
        for message in stream.messages:
            if message.request.encoded_image == deadly:
                stream.refuse(Draining())
            yield answered(message)

    with serving(Scripted(streams=[dies_of_b] * 99)) as server:
        run = ran("bulk", folder, "--out", out, "--server", server.address, "--jobs", 1)
    assert (run.returncode, sorted(printed(run.stdout, out))) == (1, ["a.png.spx", "c.png.spx"])
    failed, tally = messages(run)
    assert failed == f"{folder / 'b.png'}: sent 6 times; the connection to the server was lost each time"
    assert tally == "2 made, 0 already there, 1 failed"


def test_a_killed_run_goes_on_where_it_was(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = started("bulk", many, "--out", out, "--jobs", 2, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert run.stdout is not None
    with run.stdout:
        seen = [run.stdout.readline() for _ in range(5)]
        run.send_signal(signal.SIGKILL)
        assert run.wait(30) == -signal.SIGKILL
    before = label_maps(out)
    assert {*printed("".join(seen), out)} <= before.keys()
    assert len(before) < MANY
    part_of(out / "039.png.spx").write_bytes(b"SPXL")  # as if it had been writing
    assert_goes_on(many, out, before)


@pytest.mark.parametrize(
    ("number", "on_server"),
    [
        (signal.SIGINT, False),
        pytest.param(signal.SIGTERM, False, marks=pytest.mark.slow),
        (signal.SIGTERM, True),
    ],
)
def test_a_signal_ends_the_run_between_images(
    number: signal.Signals, on_server: bool, many: Path, tmp_path: Path, server: RunningServer
) -> None:
    out = tmp_path / "out"
    flags = ("--server", server.listen) if on_server else ()
    run = started(
        "bulk", many, "--out", out, "--jobs", 1, *flags, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert run.stdout is not None
    first = run.stdout.readline()
    run.send_signal(number)
    rest, said = run.communicate(timeout=500)
    assert run.returncode == 128 + number
    before = label_maps(out)
    assert sorted(printed(first + rest, out)) == sorted(before)
    assert 1 <= len(before) < MANY
    assert said.splitlines() == [
        f"superpixel: {len(before)} made, 0 already there, 0 failed",
        f"superpixel: stopped with {MANY - len(before)} left; run the same command again to continue",
    ]
    assert_goes_on(many, out, before)


def test_what_is_damaged_or_made_of_another_image_is_done_again(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    fill(folder, {name: scene() for name in ("a.png", "b.png", "c.png", "d.png")})
    assert ran("bulk", folder, "--out", out).returncode == 0
    whole = (out / "a.png.spx").read_bytes()
    (out / "a.png.spx").write_bytes(whole[:-12])
    (out / "b.png.spx").write_bytes(b"")
    later = time.time_ns() + 10**9
    os.utime(folder / "c.png", ns=(later, later))
    run = ran("bulk", folder, "--out", out)
    assert (run.returncode, sorted(printed(run.stdout, out))) == (0, [f"{name}.png.spx" for name in "abc"])
    assert (out / "a.png.spx").read_bytes() == whole


def test_other_parameters_are_refused_and_change_nothing(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    fill(folder, {"a.png": scene()})
    assert ran("bulk", folder, "--out", out, "--counts", 9).returncode == 0
    before = label_maps(out)
    run = ran("bulk", folder, "--out", out, "--counts", 9, "--compactness", 5)
    assert (run.returncode, run.stdout) == (2, "")
    (line,) = messages(run)
    assert line == (
        f"{out}: holds label maps made with other parameters (compactness 10.0 there, 5.0 now); "
        "choose another --out"
    )
    assert same_files(before, label_maps(out))
    (out / "superpixel-bulk.json").write_text("{")
    run = ran("bulk", folder, "--out", out, "--counts", 9)
    assert (run.returncode, run.stdout) == (1, "")
    assert "superpixel-bulk.json: damaged" in run.stderr
    (out / "superpixel-bulk.json").write_text("[]")
    run = ran("bulk", tmp_path / "in", "--out", out)
    assert run.returncode == 1
    assert "superpixel-bulk.json: damaged" in run.stderr


def test_a_run_that_cannot_write_says_so_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    fill(tmp_path / "in", {name: scene() for name in ("a.png", "b.png", "c.png")})
    out = tmp_path / "out"
    # No file may be larger than one kilobyte: to a program that is like a full disk.
    command = f"ulimit -f 1; {' '.join(COMMAND)} bulk {tmp_path / 'in'} --out {out} --jobs 1"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert messages(run) == [
        "0 made, 0 already there, 0 failed",
        "stopped with 3 left; run the same command again to continue",
        f"{out / 'a.png.spx'}: file too large",
    ]
    assert [path.name for path in out.iterdir()] == ["superpixel-bulk.json"]


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    fill(tmp_path / "in", {"a.png": scene()})
    out = tmp_path / "out"
    out.mkdir()
    descriptor = os.open(out, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    run = ran("bulk", tmp_path / "in", "--out", out)
    os.close(descriptor)
    assert (run.returncode, messages(run)) == (1, [f"{out}: another run is writing there"])
    assert not list(out.iterdir())


def test_folders_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, text in ((tmp_path / "none", "no such folder"), (tmp_path / "file", "not a folder")):
        run = ran("bulk", path, "--out", tmp_path / "out")
        assert (run.returncode, messages(run)) == (2, [f"{path}: {text}"])
    (tmp_path / "empty").mkdir()
    run = ran("bulk", tmp_path / "empty", "--out", tmp_path / "out")
    assert (run.returncode, run.stdout) == (0, "")
    assert messages(run) == ["0 made, 0 already there, 0 failed"]


def test_progress_is_drawn_on_a_terminal(tmp_path: Path) -> None:
    fill(tmp_path / "in", {f"{index}.png": scene() for index in range(3)})
    ours, theirs = pty.openpty()
    run = started("bulk", tmp_path / "in", "--out", tmp_path / "out", stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        drawn = read_terminal(terminal)
    assert run.communicate(timeout=500)[0].count("\n") == 3  # the pipe has its lines all the same
    assert re.search(r"\r\[-{24}\] 0 of 3", drawn)
    assert re.search(r"\r\[#{24}\] 3 of 3  [\d.]+ images/s", drawn)
    # The line is erased before anything else is said.
    assert drawn.endswith("\r\x1b[Ksuperpixel: 3 made, 0 already there, 0 failed\r\n")


def read_terminal(terminal: IO[bytes]) -> str:
    data = b""
    while True:
        try:
            part = terminal.read(4096)
        except OSError:  # how Linux says that the other side has hung up
            return data.decode()
        if not part:
            return data.decode()
        data += part
