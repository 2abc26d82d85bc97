"""Build the images of the Dockerfile without Docker, and run them as a cluster would.

    python -m deploy.image.check --out build/image

Needs root on Debian. debootstrap makes a fresh Debian that replaces the base image. buildah builds each
target twice, in separate stores, the second time from a copy of the sources with other times and
permissions; both builds must be equal. Then each image runs with its own entry point, as its own user without
privileges, in its own namespaces, with a file system that is read-only except for /tmp. Its health check must
succeed, and a client outside has a photograph segmented, in plaintext and over TLS. A store is written and
opened there, and the HTTP API answers curl. The image for data sets segments a folder, without and with Ray.
"""

import argparse
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from deploy.image.check.behaviour import check_behaviour
from deploy.image.check.build import ROOT, Image, Store, make_base, other_context
from deploy.image.check.bulk import check_bulk
from deploy.image.check.contents import check_contents
from deploy.image.check.report import CheckFailed, check, say
from deploy.image.check.trees import Tree, differences, digest, tree

_TARGETS = ("cpu", "cuda", "bulk")
_PACKAGES = {
    "buildah": "buildah",
    "curl": "curl",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
"""Programs that the checks start, and the Debian packages that have them."""


def check_images(out: Path, targets: Sequence[str] = _TARGETS) -> None:
    """Run the checks of these targets; `out` is emptied and then gets the logs.

    Raises:
        CheckFailed: a check failed.
    """
    check(os.getuid() == 0, "needs root: debootstrap, namespaces and mounts")
    missing = sorted({package for tool, package in _PACKAGES.items() if shutil.which(tool) is None})
    check(not missing, f"missing Debian packages: {' '.join(missing)}")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)

    say("debootstrap: a fresh Debian replaces the base image")
    base = out / "base"
    make_base(base, out / "debootstrap.log")
    bare = tree(base)
    with ExitStack() as stores:
        contents: list[dict[str, Tree]] = []
        wheels: list[Path] = []
        for number, context in enumerate((ROOT, other_context(out / "context")), start=1):
            store = Store(out / f"store{number}")
            stores.callback(store.remove)
            store.add_base(base)
            images: dict[str, Image] = {}
            for target in (*targets, "wheel"):
                images[target] = store.build(target, context, out / f"build{number}-{target}.log")
                say(f"build {number}: {target}")
            contents.append({target: tree(images[target].root) for target in targets})
            wheels += images["wheel"].root.glob("wheels/*.whl")
            if number == 1:
                for target in targets:
                    check_contents(images[target], contents[0][target], bare)
                    if target == "bulk":
                        check_bulk(images[target], out / "bulk.log")
                    else:
                        check_behaviour(images[target], out)
        _check_equal_builds(targets, wheels, contents)
    shutil.rmtree(base)
    shutil.rmtree(out / "context")
    say("all checks passed")


def _check_equal_builds(
    targets: Sequence[str], wheels: Sequence[Path], contents: Sequence[dict[str, Tree]]
) -> None:
    one, other = wheels
    check(one.name == other.name, "the two builds give wheels of different names")
    check(one.read_bytes() == other.read_bytes(), "the two builds of the wheel differ")
    say(f"two builds, the same wheel: {one.name}, SHA-256 {hashlib.sha256(one.read_bytes()).hexdigest()}")
    for target in targets:
        entries, again = (content[target] for content in contents)
        differ = differences(entries, again)
        check(not differ, f"{target}: two builds differ in {len(differ)} paths: {differ[:20]}")
        say(f"{target}: two builds, the same {len(entries)} files: {digest(entries)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "build" / "image",
        help="folder for logs; needs gigabytes while it runs",
    )
    parser.add_argument("--targets", nargs="+", choices=_TARGETS, default=_TARGETS, help="default: all")
    options = parser.parse_args(arguments)
    try:
        check_images(options.out.resolve(), options.targets)
    except CheckFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
