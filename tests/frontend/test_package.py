"""The npm package: its own tests under Node, its size, and the lock file."""

import gzip
import json
import re
import subprocess
from pathlib import Path

from tests.frontend.conftest import FRONTEND, node


def test_under_nodes_test_runner(fixtures: Path) -> None:
    files = sorted(path.relative_to(FRONTEND) for path in (FRONTEND / "test").glob("*.test.js"))
    done = node(fixtures, "--test", "--test-reporter=tap", *files)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    counts = dict(re.findall(r"^# (tests|pass|fail|skipped|todo) (\d+)$", done.stdout, re.MULTILINE))
    assert int(counts["pass"]) == int(counts["tests"]) > 45, counts


def test_the_published_package(fixtures: Path, tmp_path: Path) -> None:
    built = node(fixtures, "build.js")
    assert built.returncode == 0, built.stdout + built.stderr
    dist = FRONTEND / "dist"
    code = b"".join(path.read_bytes() for path in sorted((dist / "src").glob("*.js")))
    # Code only, unminified: its comments are in the types.
    assert len(gzip.compress(code)) <= 20_000
    package = json.loads((dist / "package.json").read_text())
    assert not {"dependencies", "devDependencies", "scripts"} & package.keys()

    # Away from the sources it reads a map, and TypeScript finds its types.
    modules = tmp_path / "node_modules"
    modules.mkdir()
    (modules / "superpixel-map").symlink_to(dist)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "use.ts").write_text(
        "import { decode, Selection, type LabelMap } from 'superpixel-map';\n"
        "const map: LabelMap = await decode(new Uint8Array(0), { worker: true });\n"
        "const area: number = map.cut(5).area(1);\n"
        "// @ts-expect-error: an area is a number\n"
        "const wrong: string = map.cut(5).area(1);\n"
        "export { area, wrong, Selection };\n"
    )
    options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom"]
    checked = subprocess.run(
        ["node", FRONTEND / "node_modules" / "typescript" / "bin" / "tsc", *options, "use.ts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout
    (tmp_path / "use.js").write_text(
        "import { decode } from 'superpixel-map';\n"
        "import { readFileSync } from 'node:fs';\n"
        "const map = await decode(readFileSync(process.argv[2]));\n"
        "console.log(map.width, map.height, map.cut(7).count);\n"
    )
    used = subprocess.run(
        ["node", "--preserve-symlinks", "use.js", fixtures / "maps" / "photo.spx"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (used.returncode, used.stdout) == (0, "512 512 7\n"), used.stderr


def test_the_lock_file_names_no_place_to_fetch_from() -> None:
    assert '"resolved"' not in (FRONTEND / "package-lock.json").read_text()
