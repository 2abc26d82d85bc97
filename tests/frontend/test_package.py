"""The npm package: its tests under Node, its size, its installation, and the lock file."""

import gzip
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from tests.frontend.conftest import FRONTEND, node

USE = """
import { decode } from 'superpixel-map';
import { readFileSync } from 'node:fs';
const map = await decode(readFileSync(process.env.MAP));
console.log(map.width, map.height, map.cut(7).count);
"""


def files_of(entry: Path) -> set[Path]:
    """The files of an entry of the package, with all that it imports."""
    found: set[Path] = set()
    todo = [entry.resolve()]
    while todo:
        file = todo.pop()
        if file in found:
            continue
        found.add(file)
        text = file.read_text()
        names = re.findall(r"(?:from|import|new URL\()\s*'(\.[^']*\.js)'", text)
        todo += [(file.parent / name).resolve() for name in names]
    return found


# Writes the address of each file that is loaded, and an empty line before it asks for `simplify`.
LOADED = """
import { appendFileSync } from 'node:fs';
import { register } from 'node:module';
const hook = `import { appendFileSync } from 'node:fs';
export const load = (url, context, next) => {
  appendFileSync('loaded', url + '\\\\n');
  return next(url, context);
};`;
register('data:text/javascript,' + encodeURIComponent(hook));
const exports = await import(process.env.ENTRY);
const classes = [{ name: 'a', color: '#000000' }];
const annotation = { width: 1, height: 1, mask: Uint8Array.of(1), classes };
for (const make of [exports.toCOCO, exports.toGeoJSON, exports.toSVG, exports.toYOLO]) make(annotation);
appendFileSync('loaded', '\\n');
await exports.loadSimplify();
exports.toSVG(annotation, { simplify: 1 });
"""


def loaded_by(entry: Path, folder: Path) -> tuple[set[Path], set[Path]]:
    """The files that exports load, and those that they load more for `simplify`."""
    command = ["node", "--input-type=module", "--eval", LOADED]
    environment = {**os.environ, "ENTRY": entry.as_uri()}
    subprocess.run(command, cwd=folder, env=environment, check=True)
    parts = (folder / "loaded").read_text().split("\n\n")
    first, more = (
        {Path(urlsplit(url).path) for url in part.split() if url.startswith("file:")} for part in parts
    )
    return first, more


def zipped(*entries: Path, without: tuple[Path, ...] = ()) -> int:
    """Bytes of entries with all that they import, after gzip; `without` are entries that are there anyway."""
    known = set().union(*map(files_of, without)) if without else set()
    return bytes_of(set().union(*map(files_of, entries)) - known)


def bytes_of(files: set[Path]) -> int:
    return len(gzip.compress(b"".join(file.read_bytes() for file in sorted(files))))


def test_tests_pass_under_node(fixtures: Path) -> None:
    files = sorted(path.relative_to(FRONTEND) for path in (FRONTEND / "test").glob("*.test.js"))
    done = node(fixtures, "--test", "--test-reporter=tap", *files)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    counts = dict(re.findall(r"^# (tests|pass|fail|skipped|todo) (\d+)$", done.stdout, re.MULTILINE))
    assert int(counts["pass"]) == int(counts["tests"]) > 45, counts


def test_built_package_works_and_is_small(fixtures: Path, tmp_path: Path) -> None:
    built = node(fixtures, "build.js")
    assert built.returncode == 0, built.stdout + built.stderr
    dist = FRONTEND / "dist"
    # Code without comments, not minified.
    assert zipped(dist / "src" / "index.js") <= 22_000
    topology = dist / "src" / "topology" / "index.js"
    assert zipped(topology) <= 8_000
    # What exports load, and what they load for `simplify`.
    first, more = loaded_by(exports := dist / "src" / "exports" / "index.js", tmp_path)
    assert first == files_of(exports)
    assert bytes_of(first) <= 10_000
    assert first | more == first | files_of(topology)
    assert {topology, topology.with_name("simplify.js")} <= more
    core, png = dist / "src" / "index.js", dist / "src" / "png" / "index.js"
    assert zipped(png) <= 4_000
    assert zipped(dist / "src" / "imports" / "index.js", without=(core, png)) <= 10_000
    assert zipped(dist / "src" / "dataset" / "index.js", without=(core, exports)) <= 4_000
    assert zipped(dist / "src" / "smart" / "index.js") <= 10_000
    assert zipped(dist / "src" / "engine" / "index.js", without=(core,)) <= 6_000
    assert (dist / "src" / "smart" / "weights.json").is_file()
    package = json.loads((dist / "package.json").read_text())
    assert not {"dependencies", "devDependencies", "scripts"} & package.keys()

    # In a folder of its own it reads a map, and TypeScript finds its types.
    modules = tmp_path / "node_modules"
    modules.mkdir()
    (modules / "superpixel-map").symlink_to(dist)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "use.ts").write_text(
        "import { decode, Selection, type LabelMap } from 'superpixel-map';\n"
        "import { importAnnotation, readAnnotation } from 'superpixel-map/imports';\n"
        "const map: LabelMap = await decode(new Uint8Array(0), { worker: true });\n"
        "const area: number = map.cut(5).area(1);\n"
        "// @ts-expect-error: an area is a number\n"
        "const wrong: string = map.cut(5).area(1);\n"
        "const selection = new Selection(map, [{ name: 'x', color: '#000000' }]);\n"
        "selection.fromMask(map.cut(5), new Uint8Array(5), selection.classes, { threshold: 0.5 });\n"
        "selection.paintMask([true, false]);\n"
        "importAnnotation(selection, await readAnnotation('[]'), { level: map.cut(5) });\n"
        "// @ts-expect-error: a threshold is a number\n"
        "selection.fromMask(map.cut(5), [0, 1], undefined, { threshold: '0.5' });\n"
        "import { SmartSelect } from 'superpixel-map/smart';\n"
        "const smart = new SmartSelect(map, map.cut(5), { weights: null });\n"
        "const found: Int32Array = smart.click(1, 2, { positive: false, grow: 1 });\n"
        "selection.smart(smart, 1, 2, 1, { grow: 0 });\n"
        "// @ts-expect-error: grow is a number\n"
        "smart.regrow('1');\n"
        "import { encode, segment, type Encoded } from 'superpixel-map/engine';\n"
        "const image = { data: new Uint8Array(3), width: 1, height: 1 };\n"
        "const made: LabelMap = await segment(image, { compactness: 10, guidance: { prior: image } });\n"
        "const onProgress = ({ share }: { share: number }) => share.toFixed();\n"
        "const encoded: Encoded = await encode(image, { area: 64, onProgress });\n"
        "// @ts-expect-error: an area is a number\n"
        "await encode(image, { area: '64' });\n"
        "export { area, wrong, found, made, encoded };\n"
    )
    options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom"]
    checked = subprocess.run(
        ["node", FRONTEND / "node_modules" / "typescript" / "bin" / "tsc", *options, "use.ts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
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
    )
    assert (used.returncode, used.stdout) == (0, "512 512 7\n"), used.stderr


def test_install_commands_of_the_readme_work(fixtures: Path, tmp_path: Path) -> None:
    install = (FRONTEND / "README.md").read_text().split("## Install")[1].split("\n## ")[0]
    linked, build, built = re.findall(r"^```sh\n(.*?)^```$", install, re.MULTILINE | re.DOTALL)
    checkout, app = tmp_path / "superpixel-service", tmp_path / "app"
    leave_out = shutil.ignore_patterns("node_modules", "dist")
    shutil.copytree(FRONTEND, checkout / "frontend", ignore=leave_out)
    shutil.copy(FRONTEND.parent / "LICENSE", checkout)
    # `make frontend-install` ran the same npm ci.
    (checkout / "frontend" / "node_modules").symlink_to(FRONTEND / "node_modules")
    assert build.splitlines()[0] == "npm ci"
    app.mkdir()
    (app / "use.mjs").write_text(USE)
    for command, folder in [
        (linked, app),
        ("node use.mjs", app),
        (build.removeprefix("npm ci\n"), checkout / "frontend"),
        (built, app),
        ("node use.mjs", app),
        ("test -f node_modules/superpixel-map/src/index.d.ts", app),
    ]:
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=folder,
            env={**os.environ, "npm_config_offline": "true", "MAP": str(fixtures / "maps" / "photo.spx")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert "use.mjs" not in command or done.stdout == "512 512 7\n"


def test_lock_file_contains_no_addresses() -> None:
    assert '"resolved"' not in (FRONTEND / "package-lock.json").read_text()


def test_the_pages_copy_of_geotiff_is_what_its_package_makes(tmp_path: Path) -> None:
    subprocess.run(["node", FRONTEND / "vendor.js", tmp_path], check=True)
    kept = FRONTEND / "page" / "third_party"
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in kept.iterdir()}
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (kept / file.name).read_bytes(), f"{file.name}: run frontend/vendor.js"
