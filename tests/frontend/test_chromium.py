"""The package in Chromium, under a strict Content-Security-Policy."""

import http.server
import json
import queue
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.frontend.conftest import FRONTEND

PAGE = b'<!doctype html><meta charset="utf-8"><script type="module" src="/browser.js"></script>'


def serving(fixtures: Path, results: queue.Queue[Any]) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            roots = {"src": FRONTEND / "src", "fixtures": fixtures}
            first, *rest = self.path.strip("/").split("/")
            file = roots[first].joinpath(*rest) if first in roots else Path(__file__).parent / first
            found = file.is_file()
            self.send_response(200 if found or self.path == "/" else 404)
            kind = {".js": "text/javascript", "": "text/html"}.get(file.suffix, "application/octet-stream")
            self.send_header("Content-Type", kind)
            self.send_header(
                "Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'"
            )
            self.end_headers()
            self.wfile.write(PAGE if self.path == "/" else file.read_bytes() if found else b"")

        def do_POST(self) -> None:
            results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def test_in_chromium(fixtures: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    assert chromium is not None, "chromium is missing: run `make system-packages`"
    results: queue.Queue[Any] = queue.Queue()
    with serving(fixtures, results) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
        browser = subprocess.Popen(
            [chromium, *options, f"http://127.0.0.1:{server.server_port}/"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            result = results.get(timeout=500)
        finally:
            browser.terminate()
            browser.wait(timeout=500)
            server.shutdown()
    assert result.pop("read") > 200
    assert result.pop("rejected") > 2000
    assert result == {
        "wrong": [],
        "sameInWorker": True,
        "workerError": "TRUNCATED",
        "pathDiffers": 0,
        "pngDiffers": 0,
    }
