"""The demo, as `make demo` runs it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from superpixel_kernels import codec, segment

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "photos" / "astronaut.jpg"


def test_demo_draws_three_sizes_and_writes_the_label_map(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--out", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "exit status 0" in run.stdout

    label_map = codec.decode((tmp_path / "astronaut.spx").read_bytes())
    photo = np.asarray(Image.open(PHOTO))
    hierarchy = segment(photo)
    lines = []
    for count in (100, 400, 1600):
        assert np.array_equal(label_map.labels_at(count), hierarchy.cut(count))
        picture = np.asarray(Image.open(tmp_path / f"astronaut-{count}.png")).astype(int)
        assert picture.shape == (1024, 1024, 3)
        enlarged = np.asarray(Image.fromarray(photo).resize((1024, 1024), Image.Resampling.LANCZOS)).astype(
            int
        )
        lines.append(np.mean(np.abs(picture - enlarged).max(axis=2) > 30))
    # Finer sizes only add lines.
    assert 0.01 < lines[0] < lines[1] < lines[2] < 0.6
