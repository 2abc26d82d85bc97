"""The checks on a GPU: `check.sh` runs them, `kit` packs what they need without a package registry."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "build" / "gpu-kit"

MARK = "simulated | "
"""Before each line that a rehearsal prints, so that nobody takes a figure of it for a GPU's."""

SKIPPED = 77
"""Exit status of a step that cannot run on this machine; its last line of output says why."""
