"""`superpixel bulk` of data sets: where images come from, and what the manifest says about them."""

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from superpixel_service import client
from tests.service.command import called, messages
from tests.service.data_sets import (
    HEIGHT,
    WIDTH,
    expected,
    failures,
    fill,
    image,
    label_maps,
    rows,
    write_parquet,
    write_tar,
)
from tests.service.images import encoded

NAMES = ["a.png", "b c.png", "d/e.png"]
SHARDS = ("--format", "shards")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    return called(capsys, "bulk", *arguments)


def test_the_manifest_says_what_each_label_map_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = fill(tmp_path / "in", NAMES)
    (tmp_path / "in" / "notes.md").write_text("no image")
    (tmp_path / "in" / ".hidden.png").write_bytes(image())
    result = run(capsys, tmp_path / "in", "--out", tmp_path / "out", *SHARDS, "--counts", 9, 20)
    assert result.returncode == 0
    assert messages(result)[-1] == "3 made, 0 already there, 0 failed"
    (shard,) = result.stdout.splitlines()
    assert label_maps(tmp_path / "out") == {
        name: expected(data, counts=(9, 20), include_hierarchy=False) for name, data in images.items()
    }
    for row in rows(tmp_path / "out"):
        data = images[row["key"]]
        assert row["address"] == str(tmp_path / "in" / row["key"])
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert (row["bytes"], row["width"], row["height"]) == (len(data), WIDTH, HEIGHT)
        assert (row["counts"], row["error"], row["notices"]) == ([20, 9], None, [])
        assert row["seconds"] > 0
        assert row["base_count"] > 20
        assert str(tmp_path / "out" / row["file"]) == shard


def test_sources_of_every_kind_give_the_same_label_maps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    images = fill(folder, NAMES)
    maps = {name: expected(data) for name, data in images.items()}
    (folder / "relative.txt").write_text("\n".join([*NAMES, "", "a.png"]) + "\n")
    absolute = [str(folder / name) for name in NAMES]
    (folder / "absolute.txt").write_text("\r\n".join(absolute))
    write_parquet(folder / "names.parquet", address=NAMES, other=["", "", ""])
    write_parquet(folder / "urls.parquet", place=[f"file://{path}" for path in absolute], split=["t"] * 3)
    write_tar(folder / "part-00.tar", {"a.png": images["a.png"], "a.txt": b"a caption"})
    write_tar(folder / "part-01.tar", {name: images[name] for name in NAMES[1:]})
    monkeypatch.chdir(tmp_path)
    by_tar = {"part-00/a.png": "a.png", "part-01/b c.png": "b c.png", "part-01/d/e.png": "d/e.png"}
    with_folder = {f"{str(folder)[1:]}/{name}": name for name in NAMES}
    same = {name: name for name in NAMES}
    for number, (source, flags, names) in enumerate(
        [
            (f"file://{folder}", (), same),
            ("in", SHARDS, same),
            ("in/**/*.png", (), same),
            (f"{folder}/*/*.png", (), {"d/e.png": "d/e.png"}),
            ("in/relative.txt", (), same),
            (folder / "absolute.txt", SHARDS, with_folder),
            (folder / "names.parquet", (), same),
            (folder / "urls.parquet", ("--column", "place"), with_folder),
            (folder / "part-{00..01}.tar", SHARDS, by_tar),
            (folder / "part-*.tar", (), by_tar),
            (folder / "part-01.tar", (), {key: name for key, name in by_tar.items() if "01" in key}),
        ]
    ):
        out = tmp_path / f"out{number}"
        result = run(capsys, source, "--out", out, *flags)
        assert result.returncode == 0, (source, result.stderr)
        assert label_maps(out) == {key: maps[name] for key, name in names.items()}, source
        assert failures(out) == {}
        again = run(capsys, source, "--out", out, *flags)
        assert messages(again)[-1] == f"0 made, {len(names)} already there, 0 failed", source
    assert (
        "left out: 1 addresses that occur more than once"
        in run(capsys, "in/relative.txt", "--out", tmp_path / "out").stderr
    )


def test_a_list_can_come_from_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, NAMES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(NAMES).encode())))
    assert run(capsys, "-", "--out", "out", *SHARDS).returncode == 0
    assert sorted(label_maps(tmp_path / "out")) == NAMES


def test_addresses_in_the_manifest_can_be_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import fsspec

    images = fill(tmp_path / "in", NAMES)
    write_tar(tmp_path / "all.tar", images)
    assert run(capsys, tmp_path / "all.tar", "--out", tmp_path / "out").returncode == 0
    for row in rows(tmp_path / "out"):
        with fsspec.open(row["address"], "rb") as file:
            assert file.read() == images[row["key"].removeprefix("all/")]


def test_guidance_comes_by_folder_by_column_or_by_suffix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    images = fill(folder, NAMES)
    edges = {name: encoded(np.full((HEIGHT, WIDTH), 40 * n, np.uint8)) for n, name in enumerate(NAMES, 1)}
    prior = {
        name: encoded((np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) // (300 * n)).astype(np.uint8))
        for n, name in enumerate(NAMES, 1)
    }
    for kind, maps in (("edges", edges), ("prior", prior)):
        for name, data in maps.items():
            path = tmp_path / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    write_parquet(
        tmp_path / "all.parquet",
        image=[f"in/{name}" for name in NAMES],
        border=[f"edges/{name}.png" for name in NAMES],
        masks=[str(tmp_path / "prior" / f"{name}.png") for name in NAMES],
    )
    tar = {}
    for number, name in enumerate(NAMES):
        tar |= {f"{number}.png": images[name], f"{number}.e.png": edges[name], f"{number}.p.png": prior[name]}
    write_tar(tmp_path / "all.tar", tar)
    flags = ("--counts", 20, "--edge-weight", 5, "--prior-mode", "hard")
    want = {
        name: expected(
            images[name],
            counts=20,
            include_hierarchy=False,
            guidance=client.Guidance(
                edges=edges[name], prior=prior[name], edge_weight=5, prior_mode="hard", prior_weight=64
            ),
        )
        for name in NAMES
    }
    plain = expected(images[NAMES[0]], counts=20, include_hierarchy=False)
    assert plain != want[NAMES[0]]
    for out, source, given in (
        ("folder", folder, ("--edges", tmp_path / "edges", "--prior", f"file://{tmp_path}/prior")),
        ("column", tmp_path / "all.parquet", ("--edges-column", "border", "--prior-column", "masks")),
        ("suffix", tmp_path / "all.tar", ("--edges-column", "e.png", "--prior-column", ".p.png")),
    ):
        result = run(capsys, source, "--out", tmp_path / out, *SHARDS, *flags, *given)
        assert result.returncode == 0, result.stderr
        assert list(label_maps(tmp_path / out).values()) == [want[name] for name in NAMES]
    result = run(capsys, folder, "--out", tmp_path / "folder", *SHARDS, "--counts", 20)
    assert result.returncode == 2
    assert "made with other parameters (guidance" in result.stderr


def test_an_image_without_its_map_of_guidance_fails_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "in", NAMES)
    gray = encoded(np.zeros((HEIGHT, WIDTH), np.uint8))
    (tmp_path / "edges").mkdir()
    (tmp_path / "edges" / "a.png").write_bytes(gray)
    (tmp_path / "edges" / "b c.png").write_bytes(b"no image")
    write_parquet(
        tmp_path / "all.parquet", url=[f"in/{name}" for name in NAMES], map=["edges/a.png", None, "none.png"]
    )
    for source, flags in (
        (tmp_path / "in", ("--edges", tmp_path / "edges", *SHARDS)),
        (tmp_path / "all.parquet", ("--edges-column", "map", "--column", "url")),
    ):
        out = tmp_path / flags[0][2:]
        assert run(capsys, source, "--out", out, *flags).returncode == 1
        assert len(label_maps(out)) == 1
        errors = failures(out)
        assert len(errors) == 2
        assert all(error.startswith("guidance.edges") for error in errors.values()), errors


def test_bad_images_are_entries_of_the_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    images = fill(folder, ["good.png", "x/same.png"])
    (folder / "cut.png").write_bytes(images["good.png"][:300])
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.png").mkdir()
    lines = ["good.png", "cut.png", "empty.png", "gone.png", "folder.png", "../out.png", "x/same.png"]
    lines += [
        "x//same.png",
        f"{'y' * 300}.png",
    ]  # another address with the same name; a name that is too long
    (folder / "list.txt").write_text("\n".join(lines))
    result = run(capsys, folder / "list.txt", "--out", tmp_path / "out", *SHARDS)
    assert result.returncode == 1
    assert sorted(label_maps(tmp_path / "out")) == ["good.png", "x/same.png"]
    errors = failures(tmp_path / "out")
    assert len(errors) == len(lines) - 2
    assert errors["cut.png"].startswith("must be a complete, undamaged image")
    assert errors["empty.png"].startswith("must ")
    assert errors["gone.png"] == "no such file or directory"
    assert errors["folder.png"] == "is a directory"
    assert errors[str(folder / "../out.png")] == "its name leads out of the target"
    same = folder / "x" / "same.png"
    assert errors[f"{folder}/x//same.png"] == f"its name x/same.png is that of {same}"
    assert errors[f"{'y' * 300}.png"] == "file name too long"
    said = messages(result)
    for row in rows(tmp_path / "out"):
        if row["error"] is not None:
            assert f"{row['address']}: {row['error']}" in said
    assert said[-1] == "2 made, 0 already there, 7 failed"


def test_columns_and_files_that_cannot_be_read_end_the_run_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "in", NAMES)
    write_parquet(tmp_path / "two.parquet", first=["a"], second=["b"], number=[1])
    write_parquet(tmp_path / "none.parquet", number=[1])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no, it is not PAR1")
    for source, flags, status, text in (
        (
            "two.parquet",
            (),
            2,
            "name the column of the addresses by --column; columns of strings: first, second",
        ),
        ("two.parquet", ("--column", "third"), 2, "the column third does not exist"),
        ("two.parquet", ("--column", "number"), 2, "the column number is not of strings"),
        ("none.parquet", (), 2, "it has no column of strings"),
        ("bad.parquet", (), 1, "not a Parquet file"),
        ("gone.parquet", (), 1, "no such file or directory"),
        ("gone.txt", (), 1, "no such file or directory"),
        ("*.tar", (), 2, "no file matches"),
        ("a.tar.gz", (), 2, "compressed; only uncompressed tar files can be read"),
        ("in", ("--column", "x", *SHARDS), 2, "only Parquet files and tar shards have columns"),
        ("in", ("--edges", tmp_path / "gone", *SHARDS), 2, "no such file or folder"),
        ("in", (*SHARDS, "--server", "127.0.0.1:1"), 1, "127.0.0.1:1: no server answers there"),
        (
            "in",
            (*SHARDS, "--engine", "ray", "--server", "127.0.0.1:1"),
            2,
            "--server cannot be combined with --engine ray",
        ),
        ("in", (*SHARDS, "--checksum"), 2, "--checksum needs a local folder"),
    ):
        result = run(capsys, tmp_path / source, "--out", tmp_path / "out", *flags)
        (line,) = messages(result)
        assert (result.returncode, text in line) == (status, True), (source, line)
        assert not (tmp_path / "out" / "manifest").exists()
    result = run(capsys, "nosuch://bucket/x", "--out", tmp_path / "out")
    assert (result.returncode, len(messages(result))) == (2, 1)
    assert "nosuch" in result.stderr


def test_a_damaged_tar_file_gives_what_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = fill(tmp_path / "in", NAMES)
    write_tar(tmp_path / "x.tar", images)
    data = (tmp_path / "x.tar").read_bytes()
    with tarfile.open(tmp_path / "x.tar") as tar:
        last = tar.getmembers()[-1]
    (tmp_path / "x.tar").write_bytes(data[: last.offset_data + 50])
    (tmp_path / "y.tar").write_bytes(b"no tar file" * 100)
    result = run(capsys, tmp_path / "*.tar", "--out", tmp_path / "out")
    assert result.returncode == 1
    assert sorted(label_maps(tmp_path / "out")) == [f"x/{name}" for name in NAMES[:2]]
    problems = [line for line in messages(result) if ".tar: " in line]
    assert len(problems) == 2
    assert "x.tar: " in problems[0]
    assert "y.tar: damaged, or not an uncompressed tar file" in problems[1]


def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "in", NAMES)
    for missing in ("fsspec", "pyarrow"):
        with monkeypatch.context() as patch:
            for module in [
                each for each in sys.modules if each.startswith(("superpixel_service.data", "pyarrow"))
            ]:
                patch.delitem(sys.modules, module)
            patch.delitem(sys.modules, "superpixel_service.commands.bulk_data_set", raising=False)
            patch.setitem(sys.modules, missing, None)
            result = run(capsys, tmp_path / "in", "--out", tmp_path / "out", *SHARDS)
            (line,) = messages(result)
            assert (result.returncode, "pip install 'superpixel-service[bulk]'" in line) == (1, True), line
    # A plain folder needs neither.
    assert run(capsys, tmp_path / "in", "--out", tmp_path / "plain").returncode == 0
