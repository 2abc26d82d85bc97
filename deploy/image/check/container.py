"""Running an image in its own namespaces, as `docker run --read-only --tmpfs /tmp` would."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.image.check.build import ROOT, Image
from deploy.image.check.report import check

_HEALTHY_SECONDS = 120


@dataclass(frozen=True)
class Container:
    """A running image; the server is process 1 of the container's namespaces.

    Attributes:
        launcher: the process that made the namespaces.
        process: the server's process id on this machine.
        log: the server's standard output and error.
    """

    image: Image
    launcher: "subprocess.Popen[str]"
    process: int
    log: Path

    def inside(self, *command: str, root: bool = False) -> "subprocess.CompletedProcess[str]":
        """Run a command of the image next to the server, as the image's user or as root."""
        enter = ("nsenter", "--target", str(self.process), "--mount", "--net", "--pid", "--root")
        become = () if root else _unprivileged(self.image)
        whole = (*enter, "env", "-i", *self.image.config["Env"], *become, *command)
        return subprocess.run(whole, capture_output=True, text=True)  # noqa: S603

    def outside(self, *command: str) -> "subprocess.CompletedProcess[bytes]":
        """Run a program of this machine, with its files, in the container's network."""
        enter = ("nsenter", "--target", str(self.process), "--net")
        return subprocess.run((*enter, *command), cwd=ROOT, capture_output=True)  # noqa: S603

    def call(self, *arguments: str) -> None:
        """Run `client.py` of this machine, in the container's network."""
        done = self.outside(sys.executable, "-m", "deploy.image.check.client", *arguments)
        check(done.returncode == 0, f"{self.image.name}: a client failed: {done.stderr.decode()[-2000:]}")

    def wait_until_healthy(self) -> float:
        """Wait until the image's own health check succeeds; return the seconds that it took."""
        begin = time.monotonic()
        kind, *command = self.image.config["Healthcheck"]["Test"]
        check(kind == "CMD", f"{self.image.name}: the health check uses a shell")
        while self.inside(*command).stdout.strip() != "SERVING":
            ended = self.launcher.poll()
            late = time.monotonic() - begin > _HEALTHY_SECONDS
            check(
                ended is None and not late, f"{self.image.name}: not healthy: {self.log.read_text()[-2000:]}"
            )
            time.sleep(0.3)
        return time.monotonic() - begin

    def stop(self) -> int:
        """Send the image's stop signal and return the server's exit status."""
        os.kill(self.process, signal.Signals[self.image.config["StopSignal"]])
        return self.launcher.wait(60)


def _unprivileged(image: Image) -> tuple[str, ...]:
    """The prefix that runs a command as the image's user, without any capability."""
    user, group = image.config["User"].split(":")
    ids = ("--reuid", user, "--regid", group, "--clear-groups")
    return ("setpriv", *ids, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--")


@contextmanager
def running(
    image: Image,
    log: Path,
    *arguments: str,
    secrets: Path | None = None,
    entry_point: Sequence[str] | None = None,
) -> Iterator[Container]:
    """Start an image; kill it at the end if it still runs.

    Args:
        image: the image to start.
        log: file for standard output and error.
        arguments: of the entry point.
        secrets: folder to mount at /etc/superpixel; None: none.
        entry_point: replaces the image's own.
    """
    root = image.root
    steps = ["ip link set lo up", f"mount --bind {root} {root}"]
    if secrets is not None:
        (root / "etc/superpixel").mkdir(exist_ok=True)
        steps += [f"mount --bind -o ro {secrets} {root}/etc/superpixel"]
    steps += [
        f"mount -o remount,bind,ro {root}",
        f"mount -t proc proc {root}/proc",
        f"mount -t tmpfs -o size=64m,mode=1777,nosuid,nodev tmpfs {root}/tmp",  # noqa: S108
        f"mount -t tmpfs -o size=64m,mode=1777,nosuid,nodev tmpfs {root}/dev/shm",  # noqa: S108
        'exec "$@"',
    ]
    program = ["chroot", str(root), "env", "-i", *image.config["Env"], *_unprivileged(image)]
    program += [*(image.config["Entrypoint"] if entry_point is None else entry_point), *arguments]
    spaces = ("unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child")
    with log.open("w") as file:
        launcher = subprocess.Popen(  # noqa: S603
            (*spaces, "sh", "-euc", "; ".join(steps), "sh", *program), stdout=file, stderr=file, text=True
        )
    try:
        children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
        while not (found := children.read_text().split()):
            check(launcher.poll() is None, f"{image.name}: no namespaces: {log.read_text()}")
            time.sleep(0.01)
        yield Container(image, launcher, int(found[0]), log)
    finally:
        if launcher.poll() is None:
            launcher.kill()
            launcher.wait()
