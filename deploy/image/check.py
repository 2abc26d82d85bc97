"""Builds the images as the Dockerfile says, and runs them as a cluster would, where there is no Docker.

    python deploy/image/check.py --out build/image

As root on Debian. A fresh Debian is made by debootstrap and stands in for the base image. Buildah builds each
target twice, in stores of their own, the second time from a copy of the sources with other times and
permissions: the two must be equal. Then each image is started with its own entry point, as its own user
without privileges, in namespaces of its own, its file system read-only but for /tmp; its own health check
is asked, and a client outside has a photograph segmented, in plaintext and over TLS.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "photos" / "astronaut.jpg"
BASE = "localhost/superpixel-base"
# What python:3.11-slim-bookworm has: an interpreter, its headers, venv, certificates.
BASE_PACKAGES = ("python3", "python3-venv", "libpython3-dev", "ca-certificates")
TARGETS = ("cpu", "cuda")
ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
NEEDED = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
# How this machine reaches its registries: where it is told so by these files, the build is told alike.
REGISTRIES = ("/etc/pip.conf", "/etc/ssl/certs", "/etc/apt/sources.list.d", "/etc/apt/apt.conf.d")
ACCOUNTS = {
    f"etc/{name}{suffix}" for name in ("passwd", "group", "shadow", "gshadow") for suffix in ("", "-")
}
# Empty files where the build's mounts were.
MOUNTED = {path[1:] for path in REGISTRIES} | {"etc/hosts", "etc/resolv.conf"}
BUILD_TOOLS = {
    "gcc",
    "g++",
    "cc",
    "c++",
    "cc1",
    "cc1plus",
    "ld",
    "as",
    "make",
    "ninja",
    "cmake",
    "clang",
    "nvcc",
}
HEALTHY_SECONDS = 120

# In the image, as its user: every kernel, and what CuPy's own kernels include, compiled with what is there.
# CuPy's own call wants a device; ADDED is what it adds to the options. NVRTC 12 needs the first for lambdas.
COMPILE = """
import sys
import cupy
from cupy._core.core import assemble_cupy_compiler_options
from superpixel_kernels.cuda.source import OPTIONS, files, source

ADDED = "--device-as-default-execution-space", "-ftz=true"
own = "#include <cuda_fp16.h>\\n#include <cupy/complex.cuh>\\n#include <cupy/carray.cuh>\\n"
own += 'extern "C" __global__ void own(CArray<complex<float>, 1, true> a, __half* b)'
own += "{ a[0] = __half2float(b[0]); }"
texts = {file: (source(file), OPTIONS) for file in files()}
texts["cupy"] = own, assemble_cupy_compiler_options(())
for name, (text, options) in texts.items():
    for architecture in sys.argv[1:]:
        program = cupy.cuda.nvrtc.createProgram(text, name, [], [])
        try:
            cupy.cuda.nvrtc.compileProgram(program, [*options, *ADDED, f"-arch=sm_{architecture}"])
        except cupy.cuda.nvrtc.NVRTCError:
            sys.exit(f"{name}, sm_{architecture}: " + cupy.cuda.nvrtc.getProgramLog(program))
        assert len(cupy.cuda.nvrtc.getCUBIN(program)) > 1000
print(len(texts), "sources")
"""


class CheckFailed(Exception):
    """Something is not as it should be."""


def check(holds: object, otherwise: str) -> None:
    """Raises `CheckFailed` unless it holds."""
    if not holds:
        raise CheckFailed(otherwise)


def run(*command: str | Path, **options: Any) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, **options)  # noqa: S603
    check(done.returncode == 0, f"exit status {done.returncode}: {' '.join(map(str, command))}")
    return str(done.stdout)


def say(text: str) -> None:
    """A line of progress."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


# ---- trees -----------------------------------------------------------------------------------------------


def tree(root: Path) -> dict[str, tuple[Any, ...]]:
    """Everything below `root` by its path: kind and permissions, owner, and what it holds; no times."""
    found: dict[str, tuple[Any, ...]] = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder) / name
            state = path.lstat()
            content: object = None
            if stat.S_ISLNK(state.st_mode):
                content = str(path.readlink())
            elif stat.S_ISREG(state.st_mode):
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            elif stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode):
                content = state.st_rdev
            found[str(path.relative_to(root))] = (state.st_mode, state.st_uid, state.st_gid, content)
    return found


def digest(entries: dict[str, tuple[Any, ...]]) -> str:
    """One hash of a tree."""
    return hashlib.sha256(json.dumps(sorted(entries.items())).encode()).hexdigest()


def differences(one: dict[str, tuple[Any, ...]], other: dict[str, tuple[Any, ...]]) -> list[str]:
    """Paths that are not alike in both."""
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


# ---- building --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Image:
    """A built image, mounted, and its configuration as Docker knows it."""

    name: str
    root: Path
    config: dict[str, Any]


class Store:
    """Images and containers in a folder of their own."""

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
        """Standard output of a buildah command."""
        return run(*self._command, *arguments).strip()

    def add_base(self, root: Path) -> None:
        """Make an image of a file system."""
        container = self.buildah("from", "scratch")
        # buildah's own copy would make root the owner of everything.
        run("cp", "--archive", f"{root}/.", self.buildah("mount", container))
        self.buildah("umount", container)
        self.buildah("commit", "--quiet", "--format", "docker", "--timestamp", "0", "--rm", container, BASE)

    def build(self, target: str, context: Path, log: Path) -> Image:
        """Build a target of the Dockerfile, and mount what comes of it."""
        # "docker": the other format has no health checks.
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
            raise CheckFailed(f"the target {target} is not built: {log}")
        described = json.loads(self.buildah("inspect", "--type", "image", target))["Docker"]["config"]
        root = Path(self.buildah("mount", self.buildah("from", "--pull-never", target)))
        return Image(target, root, described)

    def remove(self) -> None:
        """Everything in it."""
        self.buildah("umount", "--all")
        self.buildah("rm", "--all")
        self.buildah("rmi", "--all", "--force")
        shutil.rmtree(self._folder)


def other_context(folder: Path) -> Path:
    """The sources as someone else has them: other times, and permissions of another umask."""
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


# ---- what is in an image ---------------------------------------------------------------------------------


def look_at(image: Image, entries: dict[str, tuple[Any, ...]], base: dict[str, tuple[Any, ...]]) -> None:
    """What an image is made of: slim, nobody's to write, and told apart."""
    added = [path for path in differences(entries, base) if not path.startswith("opt/")]
    allowed = ACCOUNTS | MOUNTED
    check(set(added) <= allowed, f"{image.name}: differs from its base in {sorted(set(added) - allowed)}")
    check(
        {path.split("/")[1] for path in entries if path.startswith("opt/")} == {"superpixel"}, "more in /opt"
    )
    programs = {
        path
        for path, (mode, *_) in entries.items()
        if not stat.S_ISDIR(mode) and (mode & 0o111 or "bin/" in path)
    }
    tools = sorted(path for path in programs if Path(path).name in BUILD_TOOLS)
    check(not tools, f"{image.name}: has {tools}")
    packages = "opt/superpixel/lib/python3.11/site-packages"
    check(f"{packages}/pip" not in entries, f"{image.name}: has pip")
    check((f"{packages}/cupy" in entries) is (image.name == "cuda"), f"{image.name}: CuPy")
    for path, (mode, user, _, _) in entries.items():
        if path.startswith("opt/"):
            writable = mode & 0o022 and not stat.S_ISLNK(mode)
            check(user == 0 and not writable, f"{image.name}: {path} may be written")
    for path in entries:
        source = path.startswith(f"{packages}/superpixel_service/") and path.endswith(".py")
        folder, _, name = path.rpartition("/")
        compiled = f"{folder}/__pycache__/{name[:-3]}.cpython-311.pyc"
        check(not source or compiled in entries, f"{image.name}: {path} is not compiled")
    config = image.config
    check(config["User"] == "10001:10001", f"{image.name}: user {config['User']}")
    check(config["StopSignal"] == "SIGTERM", f"{image.name}: stop signal")
    check(set(config["ExposedPorts"]) == {"50051/tcp", "50052/tcp", "9090/tcp"}, f"{image.name}: ports")
    check(config["Labels"]["org.opencontainers.image.base.name"] == BASE, f"{image.name}: labels")
    size = sum((image.root / path).lstat().st_size for path in entries if path.startswith("opt/"))
    say(f"{image.name}: {size / 1e6:.0f} MB above its base")


# ---- running ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Container:
    """An image that runs, as process 1 of its own namespaces."""

    image: Image
    launcher: "subprocess.Popen[str]"
    process: int
    log: Path

    def inside(self, *command: str, root: bool = False) -> "subprocess.CompletedProcess[str]":
        """Run a command of the image beside the server, as its user."""
        enter = ("nsenter", "--target", str(self.process), "--mount", "--net", "--pid", "--root")
        become = () if root else unprivileged(self.image)
        whole = (*enter, "env", "-i", *self.image.config["Env"], *become, *command)
        return subprocess.run(whole, capture_output=True, text=True)  # noqa: S603

    def call(self, *arguments: str) -> None:
        """A client with this machine's own package and files, in the container's network alone."""
        enter = ("nsenter", "--target", str(self.process), "--net", sys.executable, __file__, "--client")
        done = subprocess.run((*enter, *arguments), capture_output=True, text=True)  # noqa: S603
        check(done.returncode == 0, f"{self.image.name}: a client could not: {done.stderr[-2000:]}")

    def wait_until_healthy(self) -> float:
        """Seconds until the image's own health check is content."""
        begin = time.monotonic()
        kind, *command = self.image.config["Healthcheck"]["Test"]
        check(kind == "CMD", "a health check by a shell")
        while self.inside(*command).stdout.strip() != "SERVING":
            ended = self.launcher.poll()
            late = time.monotonic() - begin > HEALTHY_SECONDS
            check(
                ended is None and not late, f"{self.image.name}: not healthy: {self.log.read_text()[-2000:]}"
            )
            time.sleep(0.3)
        return time.monotonic() - begin

    def stop(self) -> int:
        """Send the image's stop signal; the exit status."""
        os.kill(self.process, signal.Signals[self.image.config["StopSignal"]])
        return self.launcher.wait(60)


def unprivileged(image: Image) -> tuple[str, ...]:
    """What makes a command the image's user, with no way to more."""
    user, group = image.config["User"].split(":")
    ids = ("--reuid", user, "--regid", group, "--clear-groups")
    return ("setpriv", *ids, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--")


@contextmanager
def running(image: Image, log: Path, *arguments: str, secrets: Path | None = None) -> Iterator[Container]:
    """Start an image as `docker run --read-only --tmpfs /tmp` would, with a network of its own."""
    root = image.root
    steps = ["ip link set lo up", f"mount --bind {root} {root}"]
    if secrets is not None:
        (root / "etc/superpixel").mkdir(exist_ok=True)
        steps += [f"mount --bind -o ro {secrets} {root}/etc/superpixel"]
    steps += [
        f"mount -o remount,bind,ro {root}",
        f"mount -t proc proc {root}/proc",
        f"mount -t tmpfs -o size=64m,mode=1777,nosuid,nodev tmpfs {root}/tmp",  # noqa: S108
        'exec "$@"',
    ]
    program = ["chroot", str(root), "env", "-i", *image.config["Env"], *unprivileged(image)]
    program += [*image.config["Entrypoint"], *arguments]
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


def try_out(image: Image, out: Path) -> None:
    """Everything that is asked of an image that runs."""
    log = out / f"{image.name}.log"
    with running(image, log, "--allow-plaintext", "--log-format", "json") as container:
        seconds = container.wait_until_healthy()
        status = Path(f"/proc/{container.process}/status").read_text().split("\n")
        facts = dict(line.split(":\t", 1) for line in status if ":\t" in line)
        check(facts["Uid"].split() == ["10001"] * 4, f"{image.name}: runs as {facts['Uid']}")
        check(facts["NSpid"].split()[-1] == "1", f"{image.name}: the server is not process 1")
        check(not int(facts["CapEff"], 16) | int(facts["CapBnd"], 16), f"{image.name}: has capabilities")
        for folder in ("/opt/superpixel", "/etc", "/var/tmp"):  # noqa: S108
            told = container.inside("touch", f"{folder}/x", root=True).stderr
            check("Read-only file system" in told, f"{image.name}: {folder} can be written")
        check(container.inside("touch", "/tmp/x").returncode == 0, "/tmp cannot be written")  # noqa: S108
        container.call("127.0.0.1:50051")
        if image.name == "cuda":
            say("cuda: compiling every kernel in the image")
            compiled = container.inside("python", "-W", "ignore", "-c", COMPILE, *ARCHITECTURES)
            check(compiled.returncode == 0, f"cuda: kernels are not compiled: {compiled.stderr[-2000:]}")
            say(f"cuda: {compiled.stdout.strip()}, each for sm_{', sm_'.join(ARCHITECTURES)}")
            check(
                "no usable NVIDIA driver or GPU" in log.read_text(),
                "cuda: the log does not say what is missing",
            )
        check(container.stop() == 0, f"{image.name}: does not end well: {log.read_text()[-2000:]}")
        say(f"{image.name}: healthy after {seconds:.1f} s; segmented; ended by {image.config['StopSignal']}")

    secrets = out / "secrets"
    certificates(secrets)
    log = out / f"{image.name}-tls.log"
    files = ("--tls-cert-file", "/etc/superpixel/tls.crt", "--tls-key-file", "/etc/superpixel/tls.key")
    with running(image, log, *files, secrets=secrets) as container:
        container.wait_until_healthy()
        container.call("localhost:50051", str(secrets / "ca.crt"))
        check(container.stop() == 0, f"{image.name}: does not end well over TLS")
    say(f"{image.name}: the same over TLS")

    log = out / f"{image.name}-refused.log"
    with running(image, log) as container:
        check(container.launcher.wait(60) != 0, f"{image.name}: starts in plaintext unasked")
        check("plaintext" in log.read_text(), f"{image.name}: does not say why it refuses: {log.read_text()}")
    if image.name == "cuda":
        with running(image, log, "--allow-plaintext", "--backend", "cuda") as container:
            check(container.launcher.wait(60) != 0, "cuda: starts without the GPU that it was told to use")
            check("no usable NVIDIA driver or GPU" in log.read_text(), f"cuda: {log.read_text()}")
        say("cuda: told to use a GPU, it does not start, and says what is missing")


def certificates(folder: Path) -> None:
    """A server's certificate, and the authority's, as files that its user may read."""
    folder.mkdir(exist_ok=True)
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(folder / "ca.crt"))
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "tls.crt"))
    issued.private_key_pem.write_to_path(str(folder / "tls.key"))
    for file in folder.iterdir():
        file.chmod(0o644)


def segment(address: str, authority: str | None) -> None:
    """As a client: the server's labels are this process's own."""
    import numpy as np
    from PIL import Image as Pictures

    from superpixel_kernels import SegmentParams
    from superpixel_kernels import segment as segment_here
    from superpixel_service.client import Client, tls_credentials

    credentials = None if authority is None else tls_credentials(authority)
    with Client(address, credentials=credentials, timeout=60) as client:
        there = client.segment(PHOTO, counts=400).labels
    here = segment_here(np.asarray(Pictures.open(PHOTO).convert("RGB")), SegmentParams()).cut(400)
    check(there.shape == here.shape and bool((there == here).all()), "other labels than in this process")
    check(int(there.max()) == 399, "not 400 superpixels")


# ---- in order --------------------------------------------------------------------------------------------


def check_images(out: Path) -> None:
    """All of it.

    Raises:
        CheckFailed: what is not as it should be.
    """
    check(os.getuid() == 0, "needs root: debootstrap, namespaces and mounts")
    missing = sorted({package for tool, package in NEEDED.items() if shutil.which(tool) is None})
    check(not missing, f"missing Debian packages: {' '.join(missing)}")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)

    say("debootstrap: a Debian with its Python, in place of the base image")
    base = out / "base"
    with (out / "debootstrap.log").open("w") as log:
        packages = "--include=" + ",".join(BASE_PACKAGES)
        command = ("debootstrap", "--variant=minbase", packages, "bookworm", base)
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603
    check(done.returncode == 0, f"debootstrap failed: {out / 'debootstrap.log'}")
    run("chroot", base, "apt-get", "clean")

    bare = tree(base)
    with ExitStack() as stores:
        contents: list[dict[str, dict[str, tuple[Any, ...]]]] = []
        wheels: list[Path] = []
        for number, context in enumerate((ROOT, other_context(out / "context")), start=1):
            store = Store(out / f"store{number}")
            stores.callback(store.remove)
            store.add_base(base)
            images = {}
            for target in (*TARGETS, "wheel"):
                images[target] = store.build(target, context, out / f"build{number}-{target}.log")
                say(f"build {number}: {target}")
            contents.append({target: tree(images[target].root) for target in TARGETS})
            wheels += images["wheel"].root.glob("wheels/*.whl")
            if number == 1:
                for target in TARGETS:
                    look_at(images[target], contents[0][target], bare)
                    try_out(images[target], out)
        one, other = wheels
        check(one.name == other.name, "wheels of different names")
        check(one.read_bytes() == other.read_bytes(), "two builds of the wheel differ")
        say(f"two builds, the same wheel: {one.name}, SHA-256 {hashlib.sha256(one.read_bytes()).hexdigest()}")
        for target in TARGETS:
            entries, again = (content[target] for content in contents)
            differ = differences(entries, again)
            check(not differ, f"{target}: two builds differ in {len(differ)} paths: {differ[:20]}")
            say(f"{target}: two builds, the same {len(entries)} files: {digest(entries)}")
    shutil.rmtree(base)
    shutil.rmtree(out / "context")
    say("all as it should be")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "image", help="logs; gigabytes on the way"
    )
    parser.add_argument("--client", nargs="+", metavar=("ADDRESS", "CA"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        if options.client:
            segment(options.client[0], options.client[1] if len(options.client) > 1 else None)
        else:
            check_images(options.out.resolve())
    except CheckFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
