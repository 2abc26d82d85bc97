"""A file is about one subject: no source file is much longer than 400 lines."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 430
SOURCES = {".py", ".cpp", ".h", ".cu", ".cuh", ".js", ".mjs", ".css", ".html", ".proto", ".sh"}
# One file, so that a code generator in any language takes one; most of its lines are comments.
CONTRACT, CONTRACT_LIMIT = "protos/superpixel/v1/superpixel.proto", 680
NOT_WRITTEN_HERE = ("service/superpixel_service/pb/", "third_party/", "frontend/page/third_party/")


def test_no_source_file_is_much_longer_than_400_lines() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    files = [name for name in tracked.stdout.split("\0") if Path(name).suffix in SOURCES]
    assert len(files) > 200
    written = [name for name in files if not name.startswith(NOT_WRITTEN_HERE) and (ROOT / name).exists()]
    lengths = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in written}
    assert lengths.pop(CONTRACT) <= CONTRACT_LIMIT
    assert {name: length for name, length in lengths.items() if length > LIMIT} == {}
