"""These tests need the plugin: `python -m tests.kernels.cupy_sim` runs them."""

import os

collect_ignore_glob = [] if "SUPERPIXEL_TEST_CUPY_SIM" in os.environ else ["test_*.py"]
