"""The documentation site; `python -m tools.docs` builds it (`make docs`)."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
