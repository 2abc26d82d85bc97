"""`superpixel bulk` through a server: the same maps, and servers that die or come back."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest

from superpixel_service.client import Segmentation, Unavailable
from superpixel_service.commands import remote
from superpixel_service.commands.label_maps import ImageRejected, ImageResult, Parameters
from superpixel_service.commands.output import CommandFailed
from superpixel_service.commands.target import Target
from superpixel_service.contract import StageSeconds
from tests.service import data_sets
from tests.service.bulk_folders import (
    MANY,
    assert_goes_on,
    fill,
    fill_with_many,
    label_maps,
    printed,
)
from tests.service.command import called, messages, started, superpixel
from tests.service.harness import OWN_HOST, PATIENCE_SECONDS, RunningServer, running_server
from tests.service.images import encoded, scene


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    fill_with_many(folder)
    return folder


def test_a_server_makes_the_same_label_maps(tmp_path: Path, server: RunningServer) -> None:
    folder = tmp_path / "in"
    fill(folder, {f"{index}.png": scene(seed=index) for index in range(12)})
    (folder / "bad.png").write_text("no picture")
    (folder / "gone.png").symlink_to("nowhere")
    runs = {}
    for name, flags in (("here", ()), ("there", ("--server", server.listen, "--jobs", "3"))):
        out = tmp_path / name
        runs[name] = superpixel(
            *("bulk", folder, "--out", out, "--counts", 9, 30, "--compactness", 30, *flags)
        )
        assert runs[name].returncode == 1
        assert sorted(printed(runs[name].stdout, out)) == sorted(label_maps(out))
    assert sorted(messages(runs["here"])) == sorted(messages(runs["there"]))
    assert messages(runs["there"])[-1] == "12 made, 0 already there, 2 failed"
    assert f"{folder / 'gone.png'}: no such file or directory" in messages(runs["there"])
    for path in (tmp_path / "here").glob("*.spx"):
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes()


def test_a_server_makes_the_same_data_set(
    tmp_path: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    files = data_sets.fill(tmp_path / "in", [f"{index}.png" for index in range(9)])
    (tmp_path / "in" / "bad.png").write_text("no picture")
    (tmp_path / "in" / "small.png").write_bytes(encoded(scene(7, 5)))
    fill(tmp_path / "edges", {f"{index}.png": scene(60, 40)[:, :, 0] for index in range(9)})
    fill(tmp_path / "edges", {"small.png": scene(7, 5)[:, :, 0], "bad.png": scene(7, 5)[:, :, 0]})
    flags = ("--format", "shards", "--images-per-shard", 4, "--counts", 100, "--clamp")
    arguments = ("bulk", tmp_path / "in", *flags, "--edges", tmp_path / "edges")
    here = called(capsys, *arguments, "--out", tmp_path / "here")
    there = called(capsys, *arguments, "--out", tmp_path / "there", "--server", server.listen, "--jobs", 3)
    assert (there.returncode, messages(there)) == (1, messages(here))
    assert messages(there)[-1] == "10 made, 0 already there, 1 failed"
    assert len(files) == 9
    assert data_sets.label_maps(tmp_path / "there") == data_sets.label_maps(tmp_path / "here")
    names = ("key", "sha256", "bytes", "width", "height", "counts", "base_count", "notices", "error")
    assert [[row[name] for name in names] for row in data_sets.rows(tmp_path / "there")] == [
        [row[name] for name in names] for row in data_sets.rows(tmp_path / "here")
    ]
    # This process continues what the server began.
    (tmp_path / "in" / "bad.png").write_bytes(files["1.png"])
    fill(tmp_path / "edges", {"bad.png": scene(60, 40)[:, :, 0]})
    again = called(capsys, *arguments, "--out", tmp_path / "there")
    assert messages(again) == ["1 made, 10 already there, 0 failed"]


@pytest.mark.slow
def test_a_data_set_whose_server_dies_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data_sets.fill(tmp_path / "in", [f"{index:03}.png" for index in range(60)])
    flags = ("--format", "shards", "--images-per-shard", 2, "--counts", 9, "--retry-for", 0)
    arguments = ("bulk", tmp_path / "in", "--out", tmp_path / "out", *flags)
    with running_server() as mortal:
        run = started(*arguments, "--server", mortal.listen, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert run.stdout is not None
        for _ in range(3):
            assert run.stdout.readline()
        mortal.signal(signal.SIGKILL)
        _, said = run.communicate(timeout=500)
        assert run.returncode == 1
        assert said.splitlines()[-1] == f"superpixel: {mortal.listen}: no server answers there"
    done = len(data_sets.label_maps(tmp_path / "out"))
    assert 6 <= done < 60
    again = called(capsys, *arguments)
    assert messages(again) == [f"{60 - done} made, {done} already there, 0 failed"]
    for name, spx in data_sets.label_maps(tmp_path / "out").items():
        data = (tmp_path / "in" / name).read_bytes()
        assert spx == data_sets.expected(data, counts=9, include_hierarchy=False)


def test_when_the_server_dies_the_run_says_so_and_goes_on_anywhere(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running_server(f"--listen={OWN_HOST}:0") as server:
        run = started(
            *("bulk", many, "--out", out, "--server", server.listen, "--jobs", 1, "--retry-for", 0),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert run.stdout is not None
        first = run.stdout.readline()
        server.signal(signal.SIGKILL)
        rest, said = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 1
    before = label_maps(out)
    assert sorted(printed(first + rest, out)) == sorted(before)
    tally, stopped, why = said.splitlines()
    assert tally == f"superpixel: {len(before)} made, 0 already there, 0 failed"
    assert stopped.endswith(f"stopped with {MANY - len(before)} left; run the same command again to continue")
    assert why == f"superpixel: {server.listen}: no server answers there"
    assert json.loads((out / "superpixel-bulk.json").read_text())["counts"] == []
    assert_goes_on(many, out, before)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_server_that_comes_back_is_waited_for(number: signal.Signals, many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running_server(f"--listen={OWN_HOST}:0") as server:
        address = server.listen
        run = started(
            *("bulk", many, "--out", out, "--server", address, "--jobs", 4),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert run.stdout is not None
        first = run.stdout.readline()
        server.signal(number)
        server.exit_code()
    time.sleep(8)  # longer than the client's own tries
    assert run.poll() is None
    with running_server(f"--listen={address}"):
        rest, said = run.communicate(timeout=PATIENCE_SECONDS)
    assert (run.returncode, said) == (0, f"superpixel: {MANY} made, 0 already there, 0 failed\n")
    assert len(printed(first + rest, out)) == len(label_maps(out)) == MANY


@pytest.mark.slow
def test_the_wait_for_a_server_ends(many: Path, tmp_path: Path) -> None:
    with running_server(f"--listen={OWN_HOST}:0") as server:
        run = started(
            *("bulk", many, "--out", tmp_path, "--server", server.listen, "--jobs", 1, "--retry-for", 4),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert run.stdout is not None
        run.stdout.readline()
        server.signal(signal.SIGKILL)
        begin = time.monotonic()
        _, said = run.communicate(timeout=PATIENCE_SECONDS)
    assert time.monotonic() - begin > 4
    assert run.returncode == 1
    assert said.splitlines()[-1] == f"superpixel: {server.listen}: no server answers there"


def test_an_image_that_ends_each_server_for_long_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stream with b.png ends without an answer, and the server answers again afterwards."""
    client = OneImageEndsStreams(tmp_path / "b.png")
    monkeypatch.setattr(remote, "connect", lambda *_, **__: client)
    segmenter = remote.RemoteSegmenter(Parameters((), 10.0, hierarchy=True), Target("x:1"), 2, 30.0)
    assert segmenter.algorithm_version() == 1
    images = [tmp_path / f"{name}.png" for name in "abcd"]
    results = dict(segmenter.segment_many(images))
    assert set(results) == set(images)
    assert [type(results[image]) for image in images] == [
        ImageResult,
        ImageRejected,
        ImageResult,
        ImageResult,
    ]
    assert str(results[images[1]]) == (
        f"{images[1]}: each time it was sent, the connection to the server was lost"
    )
    client.version = 2
    segmenter = remote.RemoteSegmenter(Parameters((), 10.0, hierarchy=True), Target("x:1"), 2, 30.0)
    with pytest.raises(CommandFailed, match="now has version 2 of the algorithm, and had 0"):
        list(segmenter.segment_many(images))


class OneImageEndsStreams:
    """Stands for a client: one image of each stream ends it, as does a server that dies and comes back."""

    def __init__(self, deadly: Path) -> None:
        self.deadly = deadly
        self.version = 1

    def server_info(self, **_: object) -> SimpleNamespace:
        return SimpleNamespace(algorithm_version=self.version)

    def segment_many(
        self, images: Iterator[tuple[Path, Path]], max_inflight: int, **_: object
    ) -> Iterator[tuple[Path, Segmentation]]:
        sent, in_flight = [], 1  # a stream sends its first image alone
        for image, _path in images:
            sent.append(image)
            if image == self.deadly:
                raise Unavailable(grpc.StatusCode.UNAVAILABLE, "as the test says")
            if len(sent) >= in_flight:
                in_flight = max_inflight
                yield sent.pop(0), SEGMENTATION
        for image in sent:
            yield image, SEGMENTATION


SEGMENTATION = Segmentation(b"", 1, 1, 1, (1,), 1, (), StageSeconds(), "cpu", 1, "")
