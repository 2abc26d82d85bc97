"""The commands that do one thing and end: what they print, what they write, how they fail."""

import json
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer
from PIL import Image

from superpixel_kernels import SegmentParams, codec, segment
from superpixel_service import __version__, cli
from superpixel_service.commands.output import save
from superpixel_service.config import Settings
from superpixel_service.images import overlay
from tests.service.command import COMMAND, called, messages, started, superpixel
from tests.service.harness import RunningServer
from tests.service.images import encoded, saved, scene

ROOT = Path(__file__).parents[2]
PHOTO = scene()
HEIGHT, WIDTH = PHOTO.shape[:2]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "street.png"
    path.write_bytes(encoded(PHOTO))
    return path


def read(path: Path) -> npt.NDArray[Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def unused_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


# ---- the command as a whole --------------------------------------------------------------------------------


def test_version() -> None:
    run = superpixel("--version")
    assert (run.returncode, run.stdout, run.stderr) == (0, f"superpixel {__version__}\n", "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_outputs_are_no_error_and_not_mistaken_for_others(
    photo: Path, tmp_path: Path, closed: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(photo.read_bytes())
    (folder / "b.png").write_bytes(b"not an image")
    for arguments, status in (
        ("info", 0),
        (f"bulk {folder} --out {tmp_path / 'out'}", 1),
        ("inspect none", 1),
    ):
        command = f"{shlex.join(COMMAND)} {arguments} {closed}"
        run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
        assert run.returncode == status, run.stderr
        assert "Traceback" not in run.stderr
        assert "superpixel: " not in run.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png.spx", "superpixel-bulk.json"]


def test_a_write_that_is_interrupted_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "a.spx", b"data")
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_command_and_each_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    commands = ("serve", "config", "app", "segment", "bulk", "inspect", "info", "health", "completion")
    run = superpixel("--help")
    assert run.returncode == 0
    for command in commands:
        assert re.search(rf"^ +{command}\b", run.stdout, re.MULTILINE)
        with pytest.raises(SystemExit) as ended:
            cli.main([command, "--help"])
        assert ended.value.code == 0
        assert f"superpixel {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "COMMAND"),
        (["paint"], "paint"),
        (["segment", "x.png"], "--out"),
        (["segment", "x.png", "--out", "o", "--counts"], "--counts"),
        (["segment", "x.png", "--out", "o", "--counts", "0"], "at least 1; got '0'"),
        (["segment", "x.png", "--out", "o", "--counts", "1e3"], "got '1e3'"),
        (["bulk", "x", "--out", "o", "--counts", *map(str, range(1, 34))], "at most 32 counts, got 33"),
        (["bulk", "x", "--out", "o", "--jobs", "0"], "--jobs"),
        (["bulk", "x", "--out", "o", "--compactness", "nan"], "from 0 to 100; got 'nan'"),
        (["info", "--server", "localhost"], "must be HOST:PORT"),
        (["health"], "HOST:PORT"),
        (["health", "127.0.0.1:1", "--timeout", "0"], "--timeout"),
        (["completion", "fish"], "fish"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert text in said.err
    assert said.out == ""


def test_a_reader_that_has_seen_enough_ends_the_command_quietly() -> None:
    run = started("config", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    run.stdout.close()
    assert run.communicate(timeout=60)[1] == ""
    assert run.returncode == 128 + signal.SIGPIPE


def test_head_of_a_pipe_gets_its_line() -> None:
    pipe = f"set -o pipefail; {' '.join(COMMAND)} completion bash | head -1"
    run = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, timeout=60)
    assert run.stdout.startswith("#")
    assert run.stderr == ""


def test_output_that_cannot_be_written_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        run = started("info", stdout=full, stderr=subprocess.PIPE)
        said = run.communicate(timeout=60)[1]
    assert (run.returncode, said) == (1, "superpixel: standard output: no space left on device\n")


# ---- segment -----------------------------------------------------------------------------------------------


def test_segment_writes_the_label_map_masks_and_overlays(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er"
    run = superpixel("segment", photo, "--counts", 40, 10, 40, "--out", out)
    assert (run.returncode, run.stderr) == (0, "")
    assert {path.name for path in out.iterdir()} == {
        "street.spx",
        *(f"street-{count}-{kind}.png" for count in (10, 40) for kind in ("mask", "overlay")),
    }
    hierarchy = segment(PHOTO)
    assert (out / "street.spx").read_bytes() == hierarchy.encode(40, include_hierarchy=True)
    for count in (10, 40):
        mask = read(out / f"street-{count}-mask.png")
        assert mask.dtype == np.uint16
        assert np.array_equal(mask, hierarchy.cut(count))
        assert read(out / f"street-{count}-overlay.png").shape == (2 * HEIGHT, 2 * WIDTH, 3)
    header, *rows = (line.split() for line in run.stdout.split("\n\n")[0].splitlines())
    assert header[0] == "superpixels"
    areas = np.bincount(hierarchy.cut(10).ravel())
    assert rows[0] == [
        "10",
        str(areas.min()),
        str(WIDTH * HEIGHT // 10),
        str(areas.max()),
        str(out / "street-10-overlay.png"),
        str(out / "street-10-mask.png"),
    ]
    assert [row[0] for row in rows] == ["10", "40"]


def test_compactness_reaches_the_engine(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called(capsys, "segment", photo, "--counts", 30, "--compactness", 40, "--out", tmp_path)
    expected = segment(PHOTO, SegmentParams(40.0)).encode(30, include_hierarchy=True)
    assert (tmp_path / "street.spx").read_bytes() == expected


def test_a_server_gives_the_same_label_map(photo: Path, tmp_path: Path, server: RunningServer) -> None:
    for name, flags in (("here", ()), ("there", ("--server", server.listen))):
        run = superpixel(
            *("segment", photo, "--counts", 40, 10, "--compactness", 30, "--out", tmp_path / name, *flags)
        )
        assert (run.returncode, run.stderr) == (0, "")
    for path in (tmp_path / "here").iterdir():
        assert path.read_bytes() == (tmp_path / "there" / path.name).read_bytes()


def test_masks_of_many_superpixels_have_room_for_their_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = scene(300, 240)
    (tmp_path / "fine.png").write_bytes(encoded(pixels))
    run = called(capsys, "segment", tmp_path / "fine.png", "--counts", 65537, "--out", tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert np.array_equal(read(tmp_path / "fine-65537-mask.tif"), segment(pixels).cut(65537))


def test_the_picture_is_drawn_as_it_is_segmented(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Turned upright, gray, 16 bits: what is drawn has the size of the map, and notices are passed on."""
    sideways = Image.Exif()
    sideways[0x0112] = 6
    (tmp_path / "turned.jpg").write_bytes(saved(Image.fromarray(PHOTO), "JPEG", exif=sideways))
    deep = np.arange(60 * 80, dtype=np.uint16).reshape(60, 80)
    (tmp_path / "deep.png").write_bytes(encoded(deep))
    assert (
        called(capsys, "segment", tmp_path / "turned.jpg", "--counts", 9, "--out", tmp_path).returncode == 0
    )
    assert read(tmp_path / "turned-9-mask.png").shape == (WIDTH, HEIGHT)
    assert read(tmp_path / "turned-9-overlay.png").shape == (2 * WIDTH, 2 * HEIGHT, 3)
    run = called(capsys, "segment", tmp_path / "deep.png", "--counts", 9, "--out", tmp_path)
    assert run.returncode == 0
    assert messages(run) == [
        f"{tmp_path / 'deep.png'}: 16-bit gray was scaled to 8 bits by its own range of values"
    ]


def test_large_pictures_get_lines_of_whole_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "_SMOOTH_PIXELS", 0)
    labels = segment(PHOTO).cut(12)
    line = overlay.cracks(labels)
    picture = overlay.draw(PHOTO, labels, 1)
    assert (picture[line] == overlay.LINE).all()
    untouched = ~overlay.grow(line, 1)
    assert np.array_equal(picture[untouched], PHOTO[untouched])


def test_photos_that_cannot_be_segmented(
    photo: Path, tmp_path: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:2000])
    (tmp_path / "text.jpg").write_text("no picture")
    wrong = {
        tmp_path / "none.png": "no such file or directory",
        tmp_path: "is a directory",
        tmp_path / "cut.png": "must be a complete, undamaged image",
        tmp_path / "text.jpg": "must be a JPEG, PNG or WebP file",
    }
    for path, text in wrong.items():
        run = called(capsys, "segment", path, "--out", tmp_path / "out")
        assert (run.returncode, run.stdout) == (1, "")
        (line,) = messages(run)
        assert line.startswith(f"{path}: {text}")
    for flags in ((), ("--server", server.listen)):
        run = called(
            capsys, "segment", photo, "--counts", WIDTH * HEIGHT + 1, "--out", tmp_path / "out", *flags
        )
        assert (run.returncode, run.stdout) == (1, "")
        assert messages(run) == [f"{photo}: --counts: must be from 1 to the number of pixels, 10800"]
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    run = called(capsys, "segment", photo, "--out", tmp_path / "taken")
    assert (run.returncode, messages(run)) == (1, [f"{tmp_path / 'taken'}: file exists"])


# ---- inspect -----------------------------------------------------------------------------------------------


def test_inspect_tells_what_a_label_map_holds(tmp_path: Path) -> None:
    hierarchy = segment(PHOTO)
    whole, some = tmp_path / "whole.spx", tmp_path / "some.spx"
    whole.write_bytes(hierarchy.encode(50, include_hierarchy=True))
    some.write_bytes(hierarchy.encode(50, levels=[20, 5]))

    run = superpixel("inspect", whole, "--json")
    assert (run.returncode, run.stderr) == (0, "")
    facts = json.loads(run.stdout)
    areas = np.bincount(hierarchy.cut(50).ravel())
    assert (facts["width"], facts["height"], facts["count"]) == (WIDTH, HEIGHT, 50)
    assert (facts["smallest_region_pixels"], facts["largest_region_pixels"]) == (areas.min(), areas.max())
    assert (facts["tree"], facts["levels"], facts["region_data"]) == (True, [50], False)
    assert [part["section"] for part in facts["sections"]] == ["LABL", "TREE", "hght"]
    stored = sum(part["stored_bytes"] for part in facts["sections"])
    assert facts["bytes"] == whole.stat().st_size == 20 + 12 * 4 + stored

    run = superpixel("inspect", some)
    assert run.returncode == 0
    fields = dict(line.split(maxsplit=1) for line in run.stdout.split("\n\n")[0].splitlines())
    assert fields["levels"] == "50, 20, 5"
    assert "LVLS" in run.stdout


def test_inspect_reads_region_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = segment(PHOTO).cut(12)
    path = tmp_path / "regions.spx"
    path.write_bytes(codec.encode(labels, regions=codec.measure_regions(labels, PHOTO)))
    facts = json.loads(called(capsys, "inspect", path, "--json").stdout)
    assert facts["region_data"] is True
    assert [part["section"] for part in facts["sections"]] == ["LABL", "regn"]


def test_inspect_refuses_what_is_no_sound_label_map(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.spx"
    cut.write_bytes(segment(PHOTO).encode(50)[:-20])
    for path, text in (
        (photo, "does not begin with SPXL"),
        (cut, "LABL"),
        (tmp_path / "no.spx", "no such file"),
    ):
        run = called(capsys, "inspect", path)
        assert (run.returncode, run.stdout) == (1, "")
        (line,) = messages(run)
        assert line.startswith(f"{path}: ")
        assert text in line


# ---- info, health, config ----------------------------------------------------------------------------------


def test_info_of_the_installation_and_of_a_server(server: RunningServer) -> None:
    here = json.loads(superpixel("info", "--json").stdout)
    there = json.loads(superpixel("info", "--json", "--server", server.listen).stdout)
    assert here["version"] == there["version"] == __version__
    assert here["algorithm_version"] == there["algorithm_version"]
    assert "plain" in here["instruction_sets"]
    assert there["max_image_bytes"] == 3_000_000
    assert "cpu" in there["backends"]
    run = superpixel("info", "--server", server.listen)
    assert run.stdout.splitlines()[0].split() == ["version", __version__]


def test_a_server_that_is_not_there_is_told() -> None:
    address = unused_address()
    run = superpixel("info", "--server", address)
    assert (run.returncode, run.stdout) == (1, "")
    assert messages(run) == [f"{address}: no server answers there"]


def test_health_of_a_server_that_serves(server: RunningServer) -> None:
    for arguments in ([server.health], [server.listen, "--service", "superpixel.v1.SuperpixelService"]):
        run = superpixel("health", *arguments)
        assert (run.returncode, run.stdout, run.stderr) == (0, "SERVING\n", "")
    run = superpixel("health", server.health, "--service", "other")
    assert (run.returncode, run.stdout) == (1, "")
    assert messages(run) == [f"{server.health}: this server has no service 'other'"]


@pytest.fixture
def resting() -> Iterator[str]:
    """The address of a server that does not take on work."""
    health = HealthServicer()
    health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    resting = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(health, resting)
    port = resting.add_insecure_port("127.0.0.1:0")
    resting.start()
    yield f"127.0.0.1:{port}"
    resting.stop(None).wait()


def test_health_of_a_server_that_does_not(resting: str) -> None:
    run = superpixel("health", resting)
    assert (run.returncode, run.stdout, run.stderr) == (1, "NOT_SERVING\n", "")


def test_health_of_nothing_and_of_silence() -> None:
    nobody = unused_address()
    run = superpixel("health", nobody)
    assert (run.returncode, messages(run)) == (1, [f"{nobody}: no server answers there"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = f"127.0.0.1:{listener.getsockname()[1]}"
        run = superpixel("health", silent, "--timeout", 0.3)
    assert (run.returncode, messages(run)) == (1, [f"{silent}: no answer within 0.3 seconds"])


def test_config_tells_values_and_origins() -> None:
    run = superpixel("config", "--json", "--workers", 3, SUPERPIXEL_WORKERS="2", SUPERPIXEL_LOG_LEVEL="debug")
    assert (run.returncode, run.stderr) == (0, "")
    config = json.loads(run.stdout)
    assert list(config) == list(Settings.model_fields)
    assert config["workers"] == {"value": 3, "origin": "flag"}
    assert config["log_level"] == {"value": "debug", "origin": "environment"}
    assert config["grace_seconds"] == {"value": 25.0, "origin": "default"}
    lines = superpixel("config", "--workers", 3, SUPERPIXEL_LOG_LEVEL="debug").stdout.splitlines()
    assert ["workers", "3", "flag", "--workers"] in map(str.split, lines)
    assert ["log_level", "debug", "environment", "SUPERPIXEL_LOG_LEVEL"] in map(str.split, lines)


def test_config_tells_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "superpixel.toml"
    path.write_text("workers = 3\nallow_plaintext = true\n")
    lines = superpixel("config", "--config", path).stdout.splitlines()
    assert ["workers", "3", "file", str(path)] in map(str.split, lines)
    assert ["allow_plaintext", "true", "file", str(path)] in map(str.split, lines)
    assert ["token_file", "none", "default"] in map(str.split, lines)
    told = json.loads(superpixel("config", "--json", SUPERPIXEL_CONFIG=str(path)).stdout)
    assert told["workers"] == {"value": 3, "origin": "file"}
    path.write_text("worker = 3\n")
    said = [superpixel(command, "--config", path) for command in ("config", "serve")]
    assert [run.returncode for run in said] == [2, 2]
    assert said[0].stderr == said[1].stderr
    assert messages(said[0]) == [f"{path}: there is no setting 'worker'; did you mean workers?"]


def test_config_refuses_what_serve_refuses() -> None:
    said = [superpixel(command, "--workers=two", "--listen=x") for command in ("config", "serve")]
    assert [run.returncode for run in said] == [2, 2]
    assert len(messages(said[0])) == 2
    assert said[0].stderr == said[1].stderr


# ---- completion --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("s",), {"serve", "segment"}),
        (("bulk", "--h"), {"--help", "--hierarchy"}),
        (("completion", ""), {"bash", "zsh"}),
    ],
)
def test_bash_completes_commands_and_flags(words: tuple[str, ...], expected: set[str]) -> None:
    script = (
        f"source <({' '.join(COMMAND)} completion bash)\n"
        f"COMP_WORDS=(superpixel {' '.join(repr(word) for word in words)})\n"
        f"COMP_CWORD={len(words)}\n"
        "$(complete -p superpixel | sed 's/.*-F \\([^ ]*\\).*/\\1/') superpixel\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert {word.strip() for word in run.stdout.split()} == expected, run.stderr


def test_zsh_gets_a_script_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    run = called(capsys, "completion", "zsh")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("#compdef superpixel")
