"""The program of `tests.service.held`."""

import os
import sys
from pathlib import Path

import superpixel_kernels as kernels
from superpixel_service.cli import main
from tests.service.held import RELEASE, holding

release = os.environ.get(RELEASE)
kernels.segment = holding(lambda: release is not None and Path(release).exists())  # type: ignore[assignment]
sys.exit(main())
