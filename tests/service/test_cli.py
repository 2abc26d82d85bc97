"""The short commands: what they print, what they write, and how they fail."""

import json
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from superpixel_service import __version__, cli
from superpixel_service.commands.output import save
from superpixel_service.config import Settings
from superpixel_service.resources import find_resources
from tests.service.command import COMMAND, called, messages, started, superpixel
from tests.service.harness import RunningServer
from tests.service.images import encoded, scene

ROOT = Path(__file__).parents[2]


def unused_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


# ---- the command as a whole --------------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    run = called(capsys, "--version")
    assert (run.returncode, run.stdout, run.stderr) == (0, f"superpixel {__version__}\n", "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_outputs_are_no_error_and_are_not_confused_with_other_files(
    tmp_path: Path, closed: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(encoded(scene()))
    (folder / "b.png").write_bytes(b"not an image")
    for arguments, status in (
        ("info", 0),
        (f"bulk {folder} --out {tmp_path / 'out'}", 1),
        ("inspect none", 1),
    ):
        command = f"{shlex.join(COMMAND)} {arguments} {closed}"
        run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        assert run.returncode == status, run.stderr
        assert "Traceback" not in run.stderr
        assert "superpixel: " not in run.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.png.spx",
        "superpixel-bulk-images.jsonl",
        "superpixel-bulk.json",
    ]


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
    commands = (
        *("serve", "config", "app", "segment", "bulk", "train-smart"),
        *("inspect", "info", "health", "completion"),
    )
    run = called(capsys, "--help")
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
def test_wrong_usage_is_reported(arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert text in said.err
    assert said.out == ""


def test_the_command_ends_quietly_when_its_reader_closes_the_pipe() -> None:
    run = started("config", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    run.stdout.close()
    assert run.communicate(timeout=500)[1] == ""
    assert run.returncode == 128 + signal.SIGPIPE


def test_head_of_a_pipe_gets_its_line() -> None:
    pipe = f"set -o pipefail; {' '.join(COMMAND)} completion bash | head -1"
    run = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True)
    assert run.stdout.startswith("#")
    assert run.stderr == ""


def test_output_that_cannot_be_written_is_reported() -> None:
    with Path("/dev/full").open("w") as full:
        run = started("info", stdout=full, stderr=subprocess.PIPE)
        said = run.communicate(timeout=500)[1]
    assert (run.returncode, said) == (1, "superpixel: standard output: no space left on device\n")


# ---- info, health, config ----------------------------------------------------------------------------------


def test_info_of_the_installation_and_of_a_server(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    here = json.loads(called(capsys, "info", "--json").stdout)
    there = json.loads(called(capsys, "info", "--json", "--server", server.listen).stdout)
    assert here["version"] == there["version"] == __version__
    assert here["algorithm_version"] == there["algorithm_version"]
    assert "plain" in here["instruction_sets"]
    assert there["max_image_bytes"] == 3_000_000
    assert "cpu" in there["backends"]
    run = called(capsys, "info", "--server", server.listen)
    assert run.stdout.splitlines()[0].split() == ["version", __version__]


def test_a_missing_server_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    address = unused_address()
    run = called(capsys, "info", "--server", address)
    assert (run.returncode, run.stdout) == (1, "")
    assert messages(run) == [f"{address}: no server answers there"]


def test_health_of_a_server_that_serves(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([server.health], [server.listen, "--service", "superpixel.v1.SuperpixelService"]):
        run = called(capsys, "health", *arguments)
        assert (run.returncode, run.stdout, run.stderr) == (0, "SERVING\n", "")
    run = called(capsys, "health", server.health, "--service", "other")
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


def test_health_of_a_server_that_does_not(resting: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = called(capsys, "health", resting)
    assert (run.returncode, run.stdout, run.stderr) == (1, "NOT_SERVING\n", "")


def test_health_of_a_missing_and_of_a_silent_server(capsys: pytest.CaptureFixture[str]) -> None:
    nobody = unused_address()
    run = called(capsys, "health", nobody)
    assert (run.returncode, messages(run)) == (1, [f"{nobody}: no server answers there"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = f"127.0.0.1:{listener.getsockname()[1]}"
        run = called(capsys, "health", silent, "--timeout", 0.3)
    assert (run.returncode, messages(run)) == (1, [f"{silent}: no answer within 0.3 seconds"])


def test_config_reports_values_and_their_origins(capsys: pytest.CaptureFixture[str]) -> None:
    run = called(
        capsys, "config", "--json", "--workers", 3, SUPERPIXEL_WORKERS="2", SUPERPIXEL_LOG_LEVEL="debug"
    )
    assert (run.returncode, run.stderr) == (0, "")
    config = json.loads(run.stdout)
    assert list(config) == list(Settings.model_fields)
    assert config["workers"] == {"value": 3, "origin": "flag"}
    assert config["log_level"] == {"value": "debug", "origin": "environment"}
    assert config["grace_seconds"] == {"value": 25.0, "origin": "default"}
    run = superpixel("config", "--workers", 3, SUPERPIXEL_LOG_LEVEL="debug")
    found = find_resources()
    assert messages(run) == [
        f"found {found.cores} cores (limited by: {found.cores_from}) and {found.memory_bytes:,} bytes of "
        f"memory (limited by: {found.memory_from}); at its limits the server needs "
        f"{Settings(workers=3).needed_bytes:,} bytes"
    ]
    lines = run.stdout.splitlines()
    assert ["workers", "3", "flag", "--workers"] in map(str.split, lines)
    assert ["log_level", "debug", "environment", "SUPERPIXEL_LOG_LEVEL"] in map(str.split, lines)
    memory = Settings().max_inflight_memory_bytes
    assert ["max_inflight_memory_bytes", str(memory), "default"] in map(str.split, lines)


def test_config_reports_values_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "superpixel.toml"
    path.write_text("workers = 3\nallow_plaintext = true\n")
    lines = called(capsys, "config", "--config", path).stdout.splitlines()
    assert ["workers", "3", "file", str(path)] in map(str.split, lines)
    assert ["allow_plaintext", "true", "file", str(path)] in map(str.split, lines)
    assert ["token_file", "none", "default"] in map(str.split, lines)
    told = json.loads(called(capsys, "config", "--json", SUPERPIXEL_CONFIG=str(path)).stdout)
    assert told["workers"] == {"value": 3, "origin": "file"}
    path.write_text("worker = 3\n")
    said = [called(capsys, command, "--config", path) for command in ("config", "serve")]
    assert [run.returncode for run in said] == [2, 2]
    assert said[0].stderr == said[1].stderr
    assert messages(said[0]) == [f"{path}: there is no setting 'worker'; did you mean workers?"]


def test_config_rejects_the_same_settings_as_serve(capsys: pytest.CaptureFixture[str]) -> None:
    said = [called(capsys, command, "--workers=two", "--listen=x") for command in ("config", "serve")]
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
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert {word.strip() for word in run.stdout.split()} == expected, run.stderr


def test_zsh_gets_a_script_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    run = called(capsys, "completion", "zsh")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("#compdef superpixel")


@pytest.mark.parametrize("name", ["dns:///{}", "ipv4:{}"])
def test_a_server_may_be_named_as_grpc_names_it(name: str, server: RunningServer, tmp_path: Path) -> None:
    target = name.format(server.listen)
    assert superpixel("info", "--server", target).returncode == 0
    assert superpixel("health", name.format(server.health)).stdout == "SERVING\n"
    (tmp_path / "a.png").write_bytes(encoded(scene()))
    flags = ("--counts", 9, "--out", tmp_path, "--server", target)
    assert superpixel("segment", tmp_path / "a.png", *flags).returncode == 0


def test_a_server_may_listen_at_a_socket_file(tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'socket'}"
    server = grpc.server(ThreadPoolExecutor(2))
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    for name in ("", "superpixel.v1.SuperpixelService"):
        health.set(name, health_pb2.HealthCheckResponse.SERVING)
    server.add_insecure_port(address)
    server.start()
    try:
        assert superpixel("health", address).stdout == "SERVING\n"
        run = superpixel("info", "--server", address)
        assert messages(run) == [f"{address}: this server does not offer the method"]
    finally:
        server.stop(None).wait()
    for wrong in ("unix:", "dns:///", "http://host:1", "host"):
        run = superpixel("info", "--server", wrong)
        assert run.returncode == 2, wrong
        assert "argument --server: must" in run.stderr
