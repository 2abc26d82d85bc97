"""Make everything that a release publishes, in one folder: `make release`.

    python -m tools.release --dist dist

Needs `make wheels` and `make materials` before it. Adds the npm tarball and SHA256SUMS.
"""

import argparse
import hashlib
import shutil
from pathlib import Path

from tools.release import ROOT, run
from tools.release.materials import DISTRIBUTIONS


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="the folder (default: dist)")
    dist = parser.parse_args().dist
    for name in DISTRIBUTIONS:
        if not list(dist.glob(f"{name.replace('-', '_')}-*.whl")):
            raise SystemExit(f"release: {dist} has no wheel of {name}: run `make wheels`")
    npm_tarball(dist)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in published(dist)]
    (dist / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    print(*sums, sep="\n")
    return 0


def npm_tarball(dist: Path) -> None:
    """Build the npm package, and pack it."""
    frontend = ROOT / "frontend"
    npm = shutil.which("npm") or "npm"
    run([npm, "run", "--silent", "build"], cwd=frontend)
    run([npm, "pack", "--silent", f"--pack-destination={dist.resolve()}", "./dist"], cwd=frontend)


def published(dist: Path) -> list[Path]:
    """What is published, in the order of names."""
    return sorted(path for pattern in ("*.whl", "*.tgz", "*.cdx.json") for path in dist.glob(pattern))


if __name__ == "__main__":
    raise SystemExit(main())
