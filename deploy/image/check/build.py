"""Builds of the Dockerfile's targets by buildah, on a base image made by debootstrap."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.image.check.report import CheckFailed, check, run

ROOT = Path(__file__).parents[3]
BASE = "localhost/superpixel-base"
# python:3.11-slim-bookworm has the same: an interpreter, its headers, venv, certificates.
BASE_PACKAGES = ("python3", "python3-venv", "libpython3-dev", "ca-certificates")
# Files by which this machine may configure its access to registries; the build gets the same ones.
REGISTRIES = ("/etc/pip.conf", "/etc/ssl/certs", "/etc/apt/sources.list.d", "/etc/apt/apt.conf.d")


@dataclass(frozen=True)
class Image:
    """A built image.

    Attributes:
        name: the target of the Dockerfile.
        root: where its file system is mounted.
        config: its configuration, in Docker's format.
    """

    name: str
    root: Path
    config: dict[str, Any]


class Store:
    """Images and containers of buildah, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._command: tuple[str, ...] = (
            "buildah",
            "--root",
            str(folder / "root"),
            "--runroot",
            str(folder / "run"),
        )
        for driver in ("overlay", "vfs"):
            command = (*self._command, "--storage-driver", driver)
            if subprocess.run((*command, "info"), capture_output=True).returncode == 0:  # noqa: S603
                self._command = command
                return
        raise CheckFailed("buildah can store images neither as overlay nor as vfs")

    def buildah(self, *arguments: str | Path) -> str:
        """Run a buildah command and return its standard output."""
        return run(*self._command, *arguments).strip()

    def add_base(self, root: Path) -> None:
        """Make the base image from the file system at `root`."""
        container = self.buildah("from", "scratch")
        # buildah's own copy would make root the owner of everything.
        run("cp", "--archive", f"{root}/.", self.buildah("mount", container))
        self.buildah("umount", container)
        self.buildah("commit", "--quiet", "--format", "docker", "--timestamp", "0", "--rm", container, BASE)

    def build(self, target: str, context: Path, log: Path) -> Image:
        """Build a target of the Dockerfile in `context`, and mount the image.

        Raises:
            CheckFailed: the build failed.
        """
        # Format docker, because the OCI format has no health checks.
        options = ["--isolation", "chroot", "--network", "host", "--format", "docker", "--layers"]
        options += ["--timestamp", "0", "--build-arg", f"BASE={BASE}"]
        for path in REGISTRIES:
            if Path(path).exists():
                options += ["--volume", f"{path}:{path}:ro"]
        command = (*self._command, "build", *options, "--target", target, "--tag", target, str(context))
        with log.open("w") as file:
            done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT)  # noqa: S603
        if done.returncode != 0:
            sys.stderr.write("".join(log.read_text().splitlines(keepends=True)[-40:]))
            raise CheckFailed(f"the build of target {target} failed: {log}")
        described = json.loads(self.buildah("inspect", "--type", "image", target))["Docker"]["config"]
        root = Path(self.buildah("mount", self.buildah("from", "--pull-never", target)))
        return Image(target, root, described)

    def remove(self) -> None:
        """Remove all images and containers, and the folder."""
        self.buildah("umount", "--all")
        self.buildah("rm", "--all")
        self.buildah("rmi", "--all", "--force")
        shutil.rmtree(self._folder)


def make_base(root: Path, log: Path) -> None:
    """Install a fresh Debian at `root`, which replaces the base image.

    Raises:
        CheckFailed: debootstrap failed.
    """
    packages = "--include=" + ",".join(BASE_PACKAGES)
    command = ("debootstrap", "--variant=minbase", packages, "bookworm", root)
    with log.open("w") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT)  # noqa: S603
    check(done.returncode == 0, f"debootstrap failed: {log}")
    run("chroot", root, "apt-get", "clean")


def other_context(folder: Path) -> Path:
    """Copy the sources to `folder`, with other times and with the permissions of another umask."""
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, names):
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy)
        copy.chmod(0o600 | (ROOT / name).stat().st_mode & 0o100)
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o700)
    return folder
