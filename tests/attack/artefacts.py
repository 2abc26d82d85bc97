"""Attacks on programs that read label maps and selections of strangers, in Python and in JavaScript."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.attack.target import Facts, Target
from tests.frontend import selection_cases
from tests.kernels.codec_tools import END, END_ROW, header, label_payload, section
from tests.service.harness import MEBIBYTE

FRONTEND = Path(__file__).parents[2] / "frontend"
SIZES = ((1, 2**28), (2**28, 1), (2**14, 2**14))

_PYTHON = """
import json, sys
from benchmarks.peak_memory import peak_bytes, restart_peak
from superpixel_kernels import codec
from superpixel_service.client.exports import Annotation
from superpixel_kernels.errors import InvalidParameter
import numpy as np
before = restart_peak()
data = sys.stdin.buffer.read()
try:
    if sys.argv[1] == "map":
        codec.decode(data)
    else:
        given = json.loads(data)
        labels = np.array(given["labels"], np.int32)
        Annotation.of_selection(codec.LabelMap(labels, given["count"], True, 1), given["selection"])
    said = "read"
except (codec.InvalidLabelMap, InvalidParameter):
    said = "refused"
print(json.dumps([said, peak_bytes() - before]))
"""

_NODE = """
import { decode, Selection, SuperpixelMapError } from 'superpixel-map';
import { readFileSync, writeFileSync } from 'node:fs';
const data = readFileSync(0);
const peak = () => 1024 * /VmHWM:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1];
writeFileSync('/proc/self/clear_refs', '5');
const before = peak();
let said = 'read';
try {
  if (process.argv[1] === 'map') await decode(new Uint8Array(data));
  else {
    const given = JSON.parse(data.toString());
    Selection.restore(await decode(Uint8Array.from(given.spx)), given.selection);
  }
} catch (error) {
  if (!(error instanceof SuperpixelMapError)) throw error;
  said = 'refused';
}
console.log(JSON.stringify([said, peak() - before]));
"""


def _read(kind: str, data: bytes) -> dict[str, tuple[str, int]]:
    """Read the data in both languages; what each said, and how many bytes of memory it took."""
    programs = {
        "Python": [sys.executable, "-c", _PYTHON, kind],
        "Node": ["node", "--input-type=module", "-e", _NODE, kind],
    }
    found = {}
    for name, program in programs.items():
        done = subprocess.run(
            program,
            input=data,
            capture_output=True,
            check=False,
            cwd=FRONTEND if name == "Node" else None,
        )
        if done.returncode:
            found[name] = (f"ended with status {done.returncode}", 0)
        else:
            said, taken = json.loads(done.stdout)
            found[name] = (said, taken)
    return found


def _read_all(target: Target, kind: str, files: list[bytes]) -> Facts:
    outcomes: Counter[str] = Counter()
    most = 0
    target.begin()
    for file in files:
        for language, (said, memory) in _read(kind, file).items():
            outcomes[f"{language} {said}"] += 1
            most = max(most, memory)
    return {"outcomes": outcomes, "most_mebibytes": round(most / MEBIBYTE)}


def huge_label_maps(target: Target) -> Facts:
    """Label maps of about a hundred bytes that state 2^28 pixels."""
    files = []
    for width, height in SIZES:
        payload = label_payload((1, 0, width - 1), *[END_ROW] * min(height, 16))
        files.append(header(width, height, 1) + section(b"LABL", payload) + END)
    return _read_all(target, "map", files)


def wrapping_selections(target: Target) -> Facts:
    """Selections whose run lengths wrap to the right sum in 32, 53, 64 or 65 bits."""
    from superpixel_kernels import codec

    label_map = selection_cases.MAP
    common = {
        "labels": label_map.labels.tolist(),
        "count": label_map.count,
        "spx": list(codec.encode(label_map.labels)),
    }
    files = [
        json.dumps({**common, "selection": {**selection_cases.PAINTED, "pixels": runs}}).encode()
        for bits in (32, 53, 64, 65)
        for runs in [selection_cases.wrapping(selection_cases.SIZE, bits=bits)]
    ]
    return _read_all(target, "selection", files)
