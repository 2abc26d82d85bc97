"""Pin the base image of the Dockerfile to the digest that its tag has in the registry now.

    python -m deploy.image.pin

Asks the registry through docker, skopeo or crane, the first that knows, and rewrites the line `ARG BASE=` of
the Dockerfile. If none of them gives a digest, the Dockerfile stays as it is and the exit status is 1.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"
BASE_LINE = re.compile(r"^ARG BASE=(?P<tag>[^@\s]+)(?:@(?P<digest>\S+))?$", re.MULTILINE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SECONDS = 120


def _commands(tag: str) -> dict[str, Sequence[str]]:
    """The arguments that ask for a tag's digest, by program; of all its platforms together."""
    return {
        "docker": ("buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", tag),
        "skopeo": ("inspect", "--format", "{{.Digest}}", f"docker://{tag}"),
        "crane": ("digest", tag),
    }


def digest_of(tag: str) -> str:
    """The digest of a tag, from the registry.

    Raises:
        LookupError: no program is installed, or none could tell.
    """
    reasons = []
    for program, arguments in _commands(tag).items():
        path = shutil.which(program)
        if path is None:
            reasons.append(f"{program} is not installed")
            continue
        try:
            done = subprocess.run(  # noqa: S603
                (path, *arguments), capture_output=True, text=True, check=False, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired:
            reasons.append(f"{program} got no answer in time")
            continue
        found = done.stdout.strip().strip("'\"")
        if done.returncode == 0 and _DIGEST.fullmatch(found):
            return found
        reasons.append(f"{program} failed with status {done.returncode}")
    raise LookupError("; ".join(reasons))


def pin(dockerfile: Path) -> str:
    """Write the digest into the Dockerfile; returns the pinned name.

    Raises:
        LookupError: the digest is not known, or the Dockerfile has no line `ARG BASE=`.
    """
    text = dockerfile.read_text("utf-8")
    line = BASE_LINE.search(text)
    if line is None:
        raise LookupError(f"{dockerfile.name} has no line ARG BASE=")
    pinned = f"{line['tag']}@{digest_of(line['tag'])}"
    dockerfile.write_text(text[: line.start()] + f"ARG BASE={pinned}" + text[line.end() :], "utf-8")
    return pinned


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.image.pin",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dockerfile", type=Path, default=DOCKERFILE, help="another Dockerfile")
    options = parser.parse_args(arguments)
    try:
        sys.stdout.write(f"{pin(options.dockerfile)}\n")
    except LookupError as error:
        sys.stderr.write(f"the base image stays as it is, because its digest is not known: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
