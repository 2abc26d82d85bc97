"""`python -m tests.kernels.cuda_sim IMAGE`: the CUDA pipeline on an image, beside the C++ engine."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from superpixel_kernels.cpu import _engine
from superpixel_kernels.pixels import as_pixels
from tests.kernels.cuda_sim.compare import first_difference
from tests.kernels.cuda_sim.device import MODES, SimDevice, SimError

Trace = Callable[[SimDevice, Any, float], Mapping[str, Any]]


def main(arguments: Sequence[str], trace: Trace | None = None) -> int:
    """Prints `equal`, or what differs first or what a kernel did wrong; 0 if equal, else 1.

    Args:
        arguments: of the command line.
        trace: what to run; the CUDA pipeline if None.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.kernels.cuda_sim", description=__doc__)
    parser.add_argument("image", type=Path, help="an image file; small: 60x40 takes seconds")
    parser.add_argument("--seed", type=int, default=0, help="of the order of threads (default: 0)")
    parser.add_argument("--mode", choices=MODES, default="plain", help="default: plain")
    parser.add_argument("--compactness", type=float, default=10.0, help="default: 10")
    parser.add_argument("--resident", type=int, default=3, help="blocks on the device at a time (default: 3)")
    options = parser.parse_args(arguments)
    if trace is None:
        from tests.kernels.devices import trace_on

        trace = trace_on
    with Image.open(options.image) as image:
        pixels = as_pixels(np.asarray(image.convert("RGB")))
    expected = _engine.trace(pixels, options.compactness, _engine.Workspace(threads=1))
    device = SimDevice(options.seed, options.mode, resident=options.resident, seconds=600)
    try:
        difference = first_difference(trace(device, pixels, options.compactness), expected)
    except SimError as error:
        difference = str(error)
    finally:
        device.close()
    print(difference or "equal")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
