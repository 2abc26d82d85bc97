"""`make audit`: what it says of the reports of pip-audit and npm."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tools import audit
from tools.audit import Report, read_npm_audit, read_pip_audit, summary

ROOT = Path(__file__).parents[2]
SOUND = {"name": "numpy", "version": "2.3.5", "vulns": []}
OWN = {"name": "superpixel-service", "skip_reason": "Dependency not found: superpixel-service (0.1.0)"}
MISSING = {"name": "pillow", "skip_reason": "Dependency not found: pillow (13.0.0)"}
PROBLEM = {"id": "CVE-2026-0001", "fix_versions": ["13.0.1"], "aliases": [], "description": "x"}
VULNERABLE = {"name": "pillow", "version": "13.0.0", "vulns": [PROBLEM, {**PROBLEM, "fix_versions": []}]}


def pip_report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def npm_report(total: int = 9, **problems: dict[str, Any]) -> str:
    counts = {"dependencies": {"total": total}, "vulnerabilities": {"total": len(problems)}}
    return json.dumps({"auditReportVersion": 2, "vulnerabilities": problems, "metadata": counts})


def test_reports_of_pip_audit() -> None:
    assert read_pip_audit(pip_report(SOUND, OWN)) == Report(1)
    assert read_pip_audit(pip_report(VULNERABLE, SOUND)) == Report(
        2,
        [
            "pillow 13.0.0: CVE-2026-0001, fixed in 13.0.1",
            "pillow 13.0.0: CVE-2026-0001, fixed in no version",
        ],
    )


@pytest.mark.parametrize("output", ["", "Traceback", "[]", "{}", "null"])
def test_without_a_report_nothing_is_known(output: str) -> None:
    for read in (read_pip_audit, read_npm_audit):
        assert read(output) == Report(unknown="the vulnerability database cannot be reached")


def test_packages_that_the_database_does_not_know_are_not_sound() -> None:
    """pip-audit itself says "No known vulnerabilities found" here."""
    assert read_pip_audit(pip_report(MISSING, SOUND, OWN)).unknown.endswith("no answer for 1 of 2 packages")
    assert read_pip_audit(pip_report(MISSING)).unknown.endswith("no answer for 1 of 1 packages")
    assert read_pip_audit(pip_report(OWN)).unknown == "no packages were found"


def test_reports_of_npm() -> None:
    assert read_npm_audit(npm_report()) == Report(9)
    assert read_npm_audit(npm_report(total=0)).unknown == "no packages were found"
    problem = {"severity": "high", "range": "<4.0.1", "via": []}
    assert read_npm_audit(npm_report(prettier=problem)) == Report(9, ["prettier <4.0.1: high"])
    refused = {"message": "405 Method Not Allowed", "statusCode": 405, "error": {"summary": ""}}
    assert read_npm_audit(json.dumps(refused)).unknown


@pytest.mark.parametrize(
    ("reports", "status", "last"),
    [
        ([Report(5), Report(9)], 0, "b: 9 packages, no known vulnerability"),
        ([Report(5), Report(unknown="why")], 3, "audit: NOT DONE for 1 of 2 sets of packages, see above"),
        ([Report(5, ["x 1: CVE-1"]), Report(9)], 1, "b: 9 packages, no known vulnerability"),
        (
            [Report(5, ["x 1: CVE-1"], "why"), Report(9)],
            1,
            "audit: NOT DONE for 1 of 2 sets of packages, see above",
        ),
    ],
)
def test_the_exit_status(reports: list[Report], status: int, last: str) -> None:
    lines, found = summary(dict(zip("ab", reports, strict=True)))
    assert (found, lines[-1]) == (status, last)
    assert any("NOT AUDITED (why)" in line for line in lines) == (status == 3)


def test_the_next_database_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def output(command: tuple[str, ...], _folder: Path = ROOT) -> str:
        asked.append(command[command.index("--vulnerability-service") + 1])
        return pip_report(MISSING) if asked[-1] == "pypi" else pip_report(SOUND)

    monkeypatch.setattr(audit, "_output", output)
    assert audit._python(Path("pip-audit"), "--path", "x") == Report(1)
    assert asked == ["pypi", "osv"]


def test_every_lock_is_audited() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    files = tracked.splitlines()
    assert {f for f in files if f.startswith("deploy/image/") and f.endswith(".txt")} == set(
        audit.PYTHON_LOCKS
    )
    assert {f for f in files if f.endswith("package-lock.json")} == {
        f"{folder}/package-lock.json" for folder in audit.NODE_FOLDERS
    }


def test_a_program_that_fails_or_is_not_there(tmp_path: Path) -> None:
    silent = tmp_path / "pip-audit"
    silent.write_text("#!/bin/sh\necho 'No known vulnerabilities found'\n")
    silent.chmod(0o700)
    assert audit._python(silent, "--path", "x").unknown == "the vulnerability database cannot be reached"
