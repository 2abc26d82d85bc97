"""Look up known vulnerabilities of all locked and installed packages.

    python -m tools.audit --pip-audit .venv-audit/bin/pip-audit

pip-audit looks up the locks of the images and the packages beside this Python, npm the locks of the Node
packages. Exit status 0: all packages were looked up, and none has a known vulnerability. 1: some have one.
3: packages could not be looked up, so nothing is known about them. (pip-audit alone says "No known
vulnerabilities found", with status 0, if its database has no answer for any package.)
"""

import argparse
import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PYTHON_LOCKS = tuple(f"deploy/image/{name}.txt" for name in ("build", "cpu", "cuda", "bulk"))
NODE_FOLDERS = ("examples/node", "frontend")
SERVICES = ("pypi", "osv")
"""Databases of pip-audit: the next one is asked if one has no answer."""

OWN = {"superpixel-service"}
"""This project's own package, which no database has."""

EXIT_SOUND, EXIT_VULNERABLE, EXIT_UNKNOWN = 0, 1, 3
_UNREACHABLE = "the vulnerability database cannot be reached"
_SECONDS = 600


@dataclass
class Report:
    """What is known about a set of packages.

    Attributes:
        checked: how many packages were looked up.
        vulnerable: one line for each known vulnerability.
        unknown: why packages were not looked up; empty: all were.
    """

    checked: int = 0
    vulnerable: list[str] = field(default_factory=list)
    unknown: str = ""


def read_pip_audit(output: str) -> Report:
    """Read the JSON that pip-audit prints; without a database it prints none."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Report(unknown=_UNREACHABLE)
    packages = [package for package in packages if package["name"] not in OWN]
    known = [package for package in packages if "skip_reason" not in package]
    lines = []
    for package in known:
        for problem in package["vulns"]:
            fixed = ", ".join(problem["fix_versions"]) or "no version"
            lines.append(f"{package['name']} {package['version']}: {problem['id']}, fixed in {fixed}")
    missing = len(packages) - len(known)
    if missing:
        unknown = f"the vulnerability database has no answer for {missing} of {len(packages)} packages"
        return Report(len(known), lines, unknown)
    return Report(len(known), lines, "" if packages else "no packages were found")


def read_npm_audit(output: str) -> Report:
    """Read the JSON that `npm audit` prints; without a database it has no report."""
    try:
        found: dict[str, Any] = json.loads(output)
        problems: dict[str, Any] = found["vulnerabilities"]
        checked = int(found["metadata"]["dependencies"]["total"])
    except (ValueError, KeyError, TypeError):
        return Report(unknown=_UNREACHABLE)
    lines = [f"{name} {problem['range']}: {problem['severity']}" for name, problem in problems.items()]
    return Report(checked, lines, "" if checked else "no packages were found")


def _output(command: Sequence[str | Path], folder: Path = ROOT) -> str:
    """What the program prints; nothing if it takes too long."""
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout


def _python(pip_audit: Path, *packages: str) -> Report:
    report = Report(unknown=_UNREACHABLE)
    for service in SERVICES:
        options = ("--format", "json", "--progress-spinner", "off", "--vulnerability-service", service)
        found = read_pip_audit(_output((pip_audit, *options, *packages)))
        if found.checked >= report.checked:
            report = found
        if not found.unknown:
            break
    return report


def _node(folder: str) -> Report:
    npm = shutil.which("npm")
    if npm is None:
        return Report(unknown="npm is not installed")
    return read_npm_audit(_output((npm, "audit", "--json", "--package-lock-only"), ROOT / folder))


def audit(pip_audit: Path) -> dict[str, Report]:
    """Look up all packages; a report for each set of them."""
    locked = ("--disable-pip", "--require-hashes", "--requirement")
    reports = {lock: _python(pip_audit, *locked, lock) for lock in PYTHON_LOCKS}
    reports["the development environment"] = _python(pip_audit, "--path", sysconfig.get_path("purelib"))
    return reports | {f"{folder}/package-lock.json": _node(folder) for folder in NODE_FOLDERS}


def summary(reports: dict[str, Report]) -> tuple[list[str], int]:
    """The lines to print, and the exit status."""
    lines = []
    for name, report in reports.items():
        reason = f" ({report.unknown})" if report.unknown else ""
        if report.vulnerable:
            lines.append(f"{name}: {len(report.vulnerable)} known vulnerabilities{reason}")
            lines += [f"  {line}" for line in report.vulnerable]
        elif report.unknown:
            lines.append(f"{name}: NOT AUDITED{reason}")
        else:
            lines.append(f"{name}: {report.checked} packages, no known vulnerability")
    missing = sum(bool(report.unknown) for report in reports.values())
    if missing:
        lines.append(f"audit: NOT DONE for {missing} of {len(reports)} sets of packages, see above")
    if any(report.vulnerable for report in reports.values()):
        return lines, EXIT_VULNERABLE
    return lines, EXIT_UNKNOWN if missing else EXIT_SOUND


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.audit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pip-audit", type=Path, required=True, help="the program pip-audit")
    pip_audit: Path = parser.parse_args().pip_audit.absolute()
    if not pip_audit.exists():
        parser.error(f"--pip-audit: there is no {pip_audit}")
    lines, status = summary(audit(pip_audit))
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
