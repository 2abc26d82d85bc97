"""The engine in WebAssembly: the bits of the C++ engine, in Node and in Chromium. `make wasm` builds it."""

import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.frontend import engine_cases
from tests.frontend.conftest import ENGINE, FRONTEND, engine_missing
from tests.page.annotator import running_chromium

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def engine() -> None:
    """Fail rather than skip: `make test-slow` and `make test-wasm` build the module first."""
    assert (missing := engine_missing()) is None, missing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("engine")
    engine_cases.write(made)
    return made


def test_engine_gives_the_bits_of_the_cpp_engine_in_node(folder: Path) -> None:
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "test/engine/engine.test.js"],
        cwd=FRONTEND,
        env={**os.environ, "SUPERPIXEL_ENGINE_CASES": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    counts = dict(re.findall(r"^# (tests|pass|fail|skipped|todo) (\d+)$", done.stdout, re.MULTILINE))
    assert int(counts["pass"]) == int(counts["tests"]) > 60, counts


POLICY = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'"
WORKER_POLICY = POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")

COMPARE = """async () => {
  const { encode, segment } = await import('/src/engine/index.js');
  const { decode } = await import('/src/index.js');
  const bytesOf = async (name) => new Uint8Array(await (await fetch(`/cases/${name}`)).arrayBuffer());
  const cases = await (await fetch('/cases/cases.json')).json();
  const wrong = [];
  for (const [number, one] of cases.entries()) {
    const { name, width, height, guidance, ...options } = one;
    for (const kind of ['edges', 'prior', 'importance']) {
      if (!guidance?.[kind]) continue;
      const bytes = await bytesOf(`${number}.${kind}`);
      guidance[kind].data = kind === 'prior' ? new Int32Array(bytes.buffer) : bytes;
    }
    const data = await bytesOf(`${number}.pixels`);
    const { bytes } = await encode({ data, width, height }, { ...options, guidance });
    const expected = await bytesOf(`${number}.spx`);
    const isSame = bytes.length === expected.length && bytes.every((byte, i) => byte === expected[i]);
    if (!isSame) wrong.push(name);
  }
  const imageData = new ImageData(new Uint8ClampedArray(4 * 40 * 30).fill(200), 40, 30);
  const stages = [];
  const map = await segment(imageData, { onProgress: ({ stage }) => stages.push(stage) });
  const abort = new AbortController();
  const ended = segment(imageData, { signal: abort.signal }).catch((error) => error.message);
  abort.abort(new Error('enough'));
  return { cases: cases.length, wrong, width: map.width, stages: stages.length, ended: await ended };
}"""


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    """A server of sources and cases, which does not know the media type of WebAssembly."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            first, _, rest = self.path.lstrip("/").partition("/")
            roots = {"src": FRONTEND / "src", "cases": folder}
            file = roots[first] / rest if first in roots else None
            found = file is not None and file.is_file()
            self.send_response(200 if found or self.path == "/" else 404)
            suffix = file.suffix if file else ".html"
            kinds = {".js": "text/javascript", ".html": "text/html", ".json": "application/json"}
            self.send_header("Content-Type", kinds.get(suffix, "application/octet-stream"))
            is_worker = self.path == "/src/engine/worker.js"
            self.send_header("Content-Security-Policy", WORKER_POLICY if is_worker else POLICY)
            self.end_headers()
            if found and file is not None:
                self.wfile.write(file.read_bytes())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_engine_gives_the_bits_of_the_cpp_engine_in_chromium(address: str) -> None:
    with running_chromium() as browser:
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(address)
        result: dict[str, Any] = page.evaluate(COMPARE)
    assert result.pop("cases") > 30
    assert result == {"wrong": [], "width": 40, "stages": 6, "ended": "enough"}
    assert [text for text in complaints if "favicon" not in text and "404" not in text] == []


def test_built_package_contains_the_engine(tmp_path: Path) -> None:
    # In a copy: another test builds dist/ too.
    copy = tmp_path / "frontend"
    shutil.copytree(FRONTEND, copy, ignore=shutil.ignore_patterns("node_modules", "dist"))
    shutil.copy(FRONTEND.parent / "LICENSE", tmp_path)
    (copy / "node_modules").symlink_to(FRONTEND / "node_modules")
    subprocess.run(["node", "build.js"], cwd=copy, check=True, capture_output=True)
    pack = ["npm", "pack", "--json", "--pack-destination", tmp_path]
    packed = subprocess.run(pack, cwd=copy / "dist", check=True, capture_output=True, text=True)
    (found,) = json.loads(packed.stdout)
    paths = {file["path"]: file["size"] for file in found["files"]}
    assert paths["src/engine/superpixel.wasm"] == ENGINE.stat().st_size
    assert {"src/engine/worker.js", "src/engine/node.js", "src/engine/index.d.ts"} <= paths.keys()
    app = tmp_path / "app"
    app.mkdir()
    (app / "use.mjs").write_text(
        "import { segment } from 'superpixel-map/engine';\n"
        "const data = new Uint8Array(3 * 50 * 40).map((_, i) => (i * i) >> 7);\n"
        "const map = await segment({ data, width: 50, height: 40 });\n"
        "console.log(map.cut(7).count);\n"
    )
    install = ["npm", "install", "--offline", "--no-audit", "--no-fund", tmp_path / found["filename"]]
    subprocess.run(install, cwd=app, check=True, capture_output=True)
    used = subprocess.run(["node", "use.mjs"], cwd=app, capture_output=True, text=True)
    assert (used.returncode, used.stdout) == (0, "7\n"), used.stderr


OUT_OF_MEMORY = """
import { segment } from 'superpixel-map/engine';
const image = (side) => {
  const data = new Uint8Array(side * side).map((_, i) => (i * i) >> 9);
  return { data, width: side, height: side };
};
for (const worker of [true, false]) {
  const error = await segment(image(1500), { worker }).catch((error) => error);
  console.log(error.code, /memory/.test(error.message));
  console.log((await segment(image(99), { worker })).width);
}
"""


def test_an_image_without_memory_is_an_error_and_the_next_one_works() -> None:
    # 40 MiB for WebAssembly in place of 4 GB.
    flags = ["--wasm-max-mem-pages=640", "--input-type=module"]
    done = subprocess.run(
        ["node", *flags, "--eval", OUT_OF_MEMORY], cwd=FRONTEND, capture_output=True, text=True
    )
    assert done.stdout.split() == ["IMAGE_TOO_LARGE", "true", "99"] * 2, done.stderr
