"""`superpixel bulk` of data sets: runs that are stopped, killed, repeated or divided lose nothing."""

import fcntl
import json
import os
import signal
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from superpixel_kernels import ALGORITHM_VERSION
from superpixel_service.datasets.errors import DataSetFailed
from superpixel_service.datasets.items import Item, Place
from superpixel_service.datasets.storage import Storage
from superpixel_service.datasets.target import Target
from superpixel_service.datasets.worker import Outcome
from tests.service.command import COMMAND, called, messages, started, superpixel
from tests.service.data_sets import expected, failures, fill, image, label_maps, rows, write_parquet
from tests.service.images import encoded, scene

SHARDS = ("--format", "shards")
SMALL = (*SHARDS, "--images-per-shard", 3)


def test_a_second_run_does_what_is_missing_new_failed_or_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    images = fill(folder, [f"{number}.png" for number in range(7)])
    for number in (1, 4, 5):
        (folder / f"{number}.png").write_bytes(b"broken")
    arguments = ("bulk", folder, "--out", out, *SMALL)
    assert called(capsys, *arguments).returncode == 1
    assert called(capsys, *arguments, "--failed-ok").returncode == 0
    assert sorted(failures(out)) == ["1.png", "4.png", "5.png"]
    assert len(list((out / "shards").iterdir())) == 3

    (folder / "4.png").write_bytes(images["4.png"])  # mended
    images["7.png"] = image(70)  # new
    (folder / "7.png").write_bytes(images["7.png"])
    images["0.png"] = image(71)  # changed
    (folder / "0.png").write_bytes(images["0.png"])
    (folder / "6.png").unlink()  # gone
    result = called(capsys, *arguments)
    assert result.returncode == 1
    assert messages(result)[-2:] == [
        "3 made, 2 already there, 2 failed",
        f"the manifest has 1 images that are not in {folder}",
    ]
    assert label_maps(out) == {
        name: expected(data) for name, data in images.items() if name not in ("1.png", "5.png")
    }  # the map of 6.png stays
    assert sorted(failures(out)) == ["1.png", "5.png"]


def test_a_finished_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    fill(folder, [f"{number}.png" for number in range(5)])
    assert called(capsys, "bulk", folder, "--out", out, *SMALL).returncode == 0
    files = [*out.rglob("*.parquet"), *out.rglob("*.tar"), out / "superpixel-bulk.json"]
    assert len(files) == 5
    before = {path: path.stat().st_mtime_ns for path in files}
    result = called(capsys, "bulk", folder, "--out", out, *SMALL)
    assert (result.returncode, result.stdout) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert len([*out.rglob("*.parquet"), *out.rglob("*.tar")]) == 4


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_run_that_is_ended_goes_on(how: signal.Signals, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    data = encoded(scene(400, 300))
    for number in range(30):
        (folder / f"{number:02}.png").write_bytes(data)
    run = started(
        *("bulk", folder, "--out", out, "--jobs", 1, *SMALL), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert run.stdout is not None
    first = run.stdout.readline()
    run.send_signal(how)
    rest, said = run.communicate(timeout=500)
    assert run.returncode == (-how if how == signal.SIGKILL else 128 + how)
    before = label_maps(out)
    assert len(before) >= 3 * len((first + rest).splitlines()) - (how == signal.SIGTERM) * 2
    assert len(before) < 30
    if how == signal.SIGTERM:
        assert f"stopped with {30 - len(before)} left" in said
    # As if it had been killed between the tar file and its rows.
    (out / "shards" / "0123456789abcdef-01234567.tar").write_bytes(b"half")
    again = superpixel("bulk", folder, "--out", out, *SMALL)
    assert again.returncode == 0, again.stderr
    assert messages(again) == [f"{30 - len(before)} made, {len(before)} already there, 0 failed"]
    after = label_maps(out)
    assert after == {f"{number:02}.png": expected(data) for number in range(30)}
    named = {row["file"] for row in rows(out)}
    assert {f"shards/{path.name}" for path in (out / "shards").iterdir()} == named


def test_shards_of_the_source_divide_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    images = fill(folder, [f"{number}.png" for number in range(12)])
    seen = 0
    for index in range(3):
        report = tmp_path / f"report-{index}.json"
        result = called(
            capsys, "bulk", folder, "--out", out, *SHARDS, "--shard", f"{index}/3", "--report", report
        )
        assert result.returncode == 0
        facts = json.loads(report.read_text())
        assert (facts["images"], facts["made"], facts["shard"]) == (facts["made"], facts["made"], [index, 3])
        assert 0 < facts["made"] < 12
        seen += facts["made"]
        assert len(label_maps(out)) == seen
    assert label_maps(out) == {name: expected(data) for name, data in images.items()}
    assert messages(called(capsys, "bulk", folder, "--out", out, *SHARDS))[-1] == (
        "0 made, 12 already there, 0 failed"
    )
    for wrong in ("3/3", "1", "a/b", "0/0"):
        result = called(capsys, "bulk", folder, "--out", out, "--shard", wrong)
        assert result.returncode == 2
        assert f"must be I/N with I from 0 to N-1, as in 0/8; got {wrong!r}" in result.stderr


def test_the_report_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    images = fill(folder, ["a.png", "b.png"])
    (folder / "c.png").write_bytes(b"broken")
    report = tmp_path / "report.json"
    assert called(capsys, "bulk", folder, "--out", out, *SHARDS, "--report", report).returncode == 1
    facts = json.loads(report.read_text())
    numbers = ("images", "made", "already_there", "failed", "left")
    assert [facts[name] for name in numbers] == [3, 2, 0, 1, 0]
    assert facts["bytes_read"] == sum(map(len, images.values()))
    assert facts["bytes_written"] == sum(map(len, label_maps(out).values()))
    assert facts["pixels"] == 2 * 60 * 40
    assert facts["failures"] == [f"{folder / 'c.png'}: {failures(out)['c.png']}"]
    assert facts["parameters"]["algorithm_version"] == ALGORITHM_VERSION
    plain = tmp_path / "plain.json"
    assert called(capsys, "bulk", folder, "--out", tmp_path / "o", "--report", plain).returncode == 1
    facts = json.loads(plain.read_text())
    numbers = ("images", "made", "already_there", "failed", "left")
    assert [facts[name] for name in numbers] == [3, 2, 0, 1, 0]


def test_a_target_made_in_another_way_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    fill(folder, ["a.png", "b.png"])
    assert called(capsys, "bulk", folder, "--out", out, *SHARDS, "--counts", 9).returncode == 0
    before = {path: path.read_bytes() for path in out.rglob("*.parquet")}

    def refused(*flags: object, status: int = 2) -> str:
        result = called(capsys, "bulk", folder, "--out", out, *flags)
        assert result.returncode == status
        (line,) = messages(result)
        return line

    assert refused(*SHARDS, "--counts", 8) == (
        f"{out}: holds label maps made with other parameters (counts [9] there, [8] now); "
        "choose another --out"
    )
    assert "(format shards there, files now)" in refused("--counts", 9, "--shard", "0/1")
    assert "format shards there, None now" in refused("--counts", 9)  # as a plain folder

    record = out / "superpixel-bulk.json"
    whole = record.read_text()
    record.write_text(whole.replace('"algorithm_version": 1', '"algorithm_version": 0'))
    assert "(algorithm_version 0 there, 1 now)" in refused(*SHARDS, "--counts", 9)
    record.write_text(whole.replace('"manifest": 1', '"manifest": 2'))
    assert "(manifest 2 there, 1 now)" in refused(*SHARDS, "--counts", 9)
    record.write_text("{")
    assert "superpixel-bulk.json: damaged" in refused(*SHARDS, "--counts", 9, status=1)

    # The record is gone, or two runs with different parameters began at the same moment.
    record.unlink()
    assert "(counts [9] there, [8] now)" in refused(*SHARDS, "--counts", 8)
    assert {path: path.read_bytes() for path in out.rglob("*.parquet")} == before

    record.write_text(whole)
    (part,) = before
    part.write_bytes(before[part][:100])
    assert f"{part}: damaged, or not part of a manifest" in refused(*SHARDS, "--counts", 9, status=1)
    write_parquet(part, key=["a"])
    assert f"{part}: damaged, or not part of a manifest" in refused(*SHARDS, "--counts", 9, status=1)

    plain = tmp_path / "plain"
    assert called(capsys, "bulk", folder, "--out", plain).returncode == 0
    result = called(capsys, "bulk", folder, "--out", plain, *SHARDS)
    assert result.returncode == 2
    assert "holds label maps of a plain folder, without a manifest" in result.stderr


def test_a_target_that_cannot_be_written_ends_the_run_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for seed in range(6):
        (folder / f"{seed}.png").write_bytes(encoded(scene(400, 300, seed)))
    (tmp_path / "file").write_text("")
    for place, text in ((tmp_path / "file", "not a"), (tmp_path / "file" / "out", "not a directory")):
        result = called(capsys, "bulk", folder, "--out", place, *SHARDS)
        (line,) = messages(result)
        assert result.returncode in (1, 2)
        assert text in line or "file exists" in line
    result = called(capsys, "bulk", folder, "--out", "/proc/none", *SHARDS)  # no rights, even for root
    assert (result.returncode, len(messages(result))) == (1, 1)
    assert "/proc/none: " in result.stderr
    # A full disk: no file may be larger. The first tar files fit, and what is committed stays.
    assert called(capsys, "bulk", folder, "--out", out, *SMALL[:3], 1, "--shard", "0/2").returncode == 0
    before = label_maps(out)
    assert before
    command = f"ulimit -f 4; {' '.join(COMMAND)} bulk {folder} --out {out} --format shards --jobs 1"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    *_, last = messages(run)
    assert last.endswith("file too large")
    assert label_maps(out) == before
    assert not list(out.rglob("*.part"))
    assert called(capsys, "bulk", folder, "--out", out, *SHARDS).returncode == 0
    assert len(label_maps(out)) == 6


def test_files_with_names_that_cannot_be_had_fail_alone(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    long = "y" * 250 + ".png"  # with .spx, too long
    odd = os.fsdecode(b"not text \xff.png")
    images = fill(folder, ["a.png", "b.png", long, odd])
    (out / "b.png.spx" / "taken").mkdir(parents=True)
    result = superpixel("bulk", folder, "--out", out, "--shard", "0/1")
    assert result.returncode == 1
    assert sorted(row["key"] for row in rows(out)) == sorted(["a.png", "b.png", long, "not text \\udcff.png"])
    assert sorted(failures(out)) == ["b.png", long]
    assert (out / "a.png.spx").read_bytes() == expected(images["a.png"])
    assert (out / f"{odd}.spx").read_bytes() == expected(images[odd])
    again = superpixel("bulk", folder, "--out", out, "--shard", "0/1")
    assert messages(again)[-1] == "0 made, 2 already there, 2 failed"


def test_two_runs_do_not_write_to_one_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "in", ["a.png"])
    out = tmp_path / "out"
    out.mkdir()
    with (out / ".superpixel-bulk.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = called(capsys, "bulk", tmp_path / "in", "--out", out, *SHARDS)
        assert (result.returncode, messages(result)) == (1, [f"{out}: another run is writing there"])
        # Shards of the source run at the same time.
        assert (
            called(capsys, "bulk", tmp_path / "in", "--out", out, *SHARDS, "--shard", "0/1").returncode == 0
        )


def test_every_part_names_its_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "in", ["a.png"])
    assert (
        called(capsys, "bulk", tmp_path / "in", "--out", tmp_path / "out", *SHARDS, "--areas", 64).returncode
        == 0
    )
    (part,) = (tmp_path / "out" / "manifest").iterdir()
    record = json.loads(pq.read_schema(part).metadata[b"superpixel.parameters"])
    assert record == json.loads((tmp_path / "out" / "superpixel-bulk.json").read_text())
    assert record["areas"] == [64]


def test_a_run_that_another_one_replaced_commits_nothing_more(tmp_path: Path) -> None:
    storage = Storage()
    old = Target(str(tmp_path), storage, shards=True, record={})
    old.begin(None)
    Target(str(tmp_path), storage, shards=True, record={}).begin(None)
    outcome = Outcome(Item("a", "a", Place("a")), spx=b"SPXL")
    with pytest.raises(DataSetFailed, match="another run has begun to write there"):
        old.commit("0123456789abcdef", [outcome])
    assert rows(tmp_path) == []


def test_an_image_with_two_rows_gets_rid_of_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    images = fill(folder, ["a.png", "b.png"])
    assert called(capsys, "bulk", folder, "--out", out, *SHARDS).returncode == 0
    (part,) = (out / "manifest").iterdir()
    table = pq.read_table(part)
    pq.write_table(table.slice(0, 1), part.with_name("ffffffffffffffff.parquet"))
    result = called(capsys, "bulk", folder, "--out", out, *SHARDS)
    assert messages(result) == ["0 made, 2 already there, 0 failed"]
    assert label_maps(out) == {name: expected(data) for name, data in images.items()}
