"""The digest of the Dockerfile's base image, and the program that pins it."""

import subprocess
from pathlib import Path

import pytest
from deploy.image import pin
from deploy.image.pin import BASE_LINE, main

from tests.deploy.conftest import ROOT

DIGEST = "sha256:" + "0123456789abcdef" * 4
LINES = "# ARG BASE=x\nARG BASE=python:3.11-slim-bookworm\nFROM ${BASE} AS wheel\n"


def test_the_base_image_has_a_digest() -> None:
    (line,) = BASE_LINE.finditer((ROOT / "Dockerfile").read_text())
    assert line["tag"] == "python:3.11-slim-bookworm"
    assert pin._DIGEST.fullmatch(line["digest"] or ""), "run `make image-base`"


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    path = tmp_path / "Dockerfile"
    path.write_text(LINES)
    return path


def tool(folder: Path, name: str, *lines: str) -> None:
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o700)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("docker", "buildx imagetools inspect --format {{.Manifest.Digest}} python:3.11-slim-bookworm"),
        ("skopeo", "inspect --format {{.Digest}} docker://python:3.11-slim-bookworm"),
        ("crane", "digest python:3.11-slim-bookworm"),
    ],
)
def test_the_digest_comes_from_the_registry(
    name: str, wanted: str, dockerfile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tool(tmp_path, name, f'[ "$*" = "{wanted}" ] && echo {DIGEST}')
    assert main(["--dockerfile", str(dockerfile)]) == 0
    pinned = LINES.replace("slim-bookworm\n", f"slim-bookworm@{DIGEST}\n")
    assert dockerfile.read_text() == pinned
    assert main(["--dockerfile", str(dockerfile)]) == 0  # again: a newer digest would replace it
    assert dockerfile.read_text() == pinned


def test_the_next_tool_is_asked(dockerfile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tool(tmp_path, "docker", "exit 1")
    tool(tmp_path, "crane", f"echo {DIGEST}")
    assert main(["--dockerfile", str(dockerfile)]) == 0
    assert DIGEST in dockerfile.read_text()


@pytest.mark.parametrize("says", ["exit 1", "echo latest", f"echo {DIGEST}; exit 1", f"echo {DIGEST[:-1]}"])
def test_without_a_digest_nothing_is_written(
    says: str,
    dockerfile: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tool(tmp_path, "skopeo", says)
    assert main(["--dockerfile", str(dockerfile)]) == 1
    assert dockerfile.read_text() == LINES
    said = capsys.readouterr().err
    assert said.startswith(
        "the base image stays as it is, because its digest is not known: docker is not installed; "
    )
    assert "skopeo failed with status " in said


def test_make_runs_it() -> None:
    make = subprocess.run(
        ["make", "--dry-run", "image-base"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert "-m deploy.image.pin" in make.stdout
