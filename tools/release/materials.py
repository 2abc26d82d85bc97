"""Bills of materials (CycloneDX) and the licences of what a wheel brings with it.

    python -m tools.release.materials --dist dist

Each wheel for this interpreter is installed into a fresh environment, with the extras that are named. What is
then installed is listed in dist/NAME.cdx.json, with the code of others inside the wheel. Each licence must be
one of `ALLOWED`.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tools.release import ROOT, environment_of, project, run

DISTRIBUTIONS = {"superpixel-service": "[web,otel]", "superpixel-client": ""}
"""Distributions, and the extras to install. CUDA's packages are NVIDIA's, and users choose them."""

ALLOWED = frozenset(
    {
        "0BSD",
        "3-Clause BSD License",
        "Apache Software License",
        "Apache-2.0",
        "BSD License",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "HPND",
        "ISC",
        "ISC License (ISCL)",
        "MIT",
        "MIT License",
        "MIT-CMU",
        "PSF-2.0",
        "Python Software Foundation License",
        "Zlib",
    }
)
"""Permissive licences: SPDX's names, and the older names of classifiers."""

REVIEWED: Mapping[str, str] = {
    "shtab": "MPL-2.0",  # covers its own files only, and they are used unchanged
}
"""Other licences that are allowed for one package, with the reason beside each."""

_BUNDLED = re.compile(r"^((?:@[\w.-]+/)?[\w.-]+) (\d+\.\d+\.\d+)$", re.MULTILINE)
"""The headings of frontend/page/third_party/LICENSE, which frontend/vendor.js writes: name and version."""

_OWN = ("superpixel-service", "superpixel-client", "pip", "setuptools")


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dist", type=Path, default=ROOT / "dist", help="folder of the wheels (default: dist)"
    )
    dist = parser.parse_args().dist
    wrong = []
    for name, extras in DISTRIBUTIONS.items():
        with tempfile.TemporaryDirectory() as temporary:
            python = installed(name, extras, dist, Path(temporary) / "environment")
            target = dist / f"{name}.cdx.json"
            bill = bill_of(python)
            inside = bundled(has_page=name == "superpixel-service")
            bill["components"] += inside
            target.write_text(json.dumps(bill, indent=2) + "\n")
            print(target)
            licences = {each["name"]: each["licenses"][0]["expression"] for each in inside}
            wrong += refused(licences_of(python) | licences)
    frontend = dist / "superpixel-map.cdx.json"
    frontend.write_text(json.dumps(npm_bill(), indent=2) + "\n")
    print(frontend)
    for line in wrong:
        print(f"release: {line}", file=sys.stderr)
    return 1 if wrong else 0


def installed(name: str, extras: str, dist: Path, folder: Path) -> Path:
    """Install a distribution from `dist` into a fresh environment; return its interpreter."""
    python = environment_of(folder, sys.executable)
    version = project()["project"]["version"]
    wanted = f"{name}{extras}=={version}"
    run(
        [
            python,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--quiet",
            "install",
            f"--find-links={dist}",
            wanted,
        ]
    )
    return python


def bill_of(python: Path) -> dict[str, Any]:
    """The bill of materials of an environment."""
    text = run(
        [
            "cyclonedx-py",
            "environment",
            "--output-reproducible",
            "--spec-version=1.6",
            f"--pyproject={ROOT / 'pyproject.toml'}",
            python,
        ]
    )
    bill: dict[str, Any] = json.loads(text)
    return bill


def bundled(*, has_page: bool) -> list[dict[str, Any]]:
    """The components whose code is inside a wheel: the codec's zlib, and what the annotation page bundles."""
    header = (ROOT / "third_party/zlib/zlib.h").read_text("utf-8")
    version = re.findall(r'^#define ZLIB_VERSION "(.+)"', header, re.MULTILINE)[0]
    found = [_component("zlib", version, "Zlib", f"pkg:generic/zlib@{version}")]
    if has_page:
        lock = json.loads((ROOT / "frontend/package-lock.json").read_text("utf-8"))["packages"]
        text = (ROOT / "frontend/page/third_party/LICENSE").read_text("utf-8")
        for name, version in _BUNDLED.findall(text):
            licence = lock[f"node_modules/{name}"]["license"]
            found.append(_component(name, version, licence, f"pkg:npm/{name.replace('@', '%40')}@{version}"))
    return found


def _component(name: str, version: str, licence: str, purl: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "licenses": [{"expression": licence}],
        "purl": purl,
    }


def npm_bill() -> dict[str, Any]:
    """The bill of materials of the npm package, which has no dependencies at run time."""
    npm = shutil.which("npm") or "npm"
    text = run(
        [npm, "sbom", "--omit=dev", "--sbom-format=cyclonedx", "--package-lock-only"], cwd=ROOT / "frontend"
    )
    bill: dict[str, Any] = json.loads(text)
    return bill


def licences_of(python: Path) -> dict[str, str]:
    """The licence of each package of an environment, by its name."""
    listed = json.loads(run(["pip-licenses", f"--python={python}", "--from=mixed", "--format=json"]))
    return {each["Name"].lower(): each["License"] for each in listed if each["Name"].lower() not in _OWN}


def refused(licences: Mapping[str, str]) -> list[str]:
    """A line for each package whose licence is not allowed."""
    lines = []
    for name, licence in sorted(licences.items()):
        unknown = [part for part in parts_of(licence) if part not in {*ALLOWED, REVIEWED.get(name)}]
        if unknown:
            lines.append(f"{name}: the licence {', '.join(unknown)} is not allowed")
    return lines


def parts_of(licence: str) -> Iterable[str]:
    """The licences in an expression of SPDX, or in a list of classifiers."""
    return [part.strip(" ()") for part in re.split(r"\bAND\b|\bOR\b|;", licence)]


if __name__ == "__main__":
    raise SystemExit(main())
