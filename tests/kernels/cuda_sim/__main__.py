"""`python -m tests.kernels.cuda_sim IMAGE`: the CUDA pipeline on an image, beside the C++ engine."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels.cpu import _engine
from superpixel_kernels.pixels import as_pixels
from tests.kernels.cuda_sim.compare import first_difference
from tests.kernels.cuda_sim.device import MODES, SimDevice, SimError

Trace = Callable[[Any, float, SimDevice], Mapping[str, Any]]


def cuda_trace(pixels: NDArray[np.uint8], compactness: float, device: SimDevice) -> Mapping[str, Any]:
    """The CUDA pipeline's stages, with the small blocks of the tests."""
    from superpixel_kernels.cuda.pipeline import Pipeline
    from superpixel_kernels.cuda.trace import trace
    from tests.kernels.devices import TUNING

    return trace(pixels, compactness, Pipeline(device, tuning=TUNING))


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
    with Image.open(options.image) as image:
        pixels = as_pixels(np.asarray(image.convert("RGB")))
    expected = _engine.trace(pixels, options.compactness, _engine.Workspace(threads=1))
    device = SimDevice(options.seed, options.mode, resident=options.resident, seconds=600)
    try:
        difference = first_difference((trace or cuda_trace)(pixels, options.compactness, device), expected)
    except SimError as error:
        difference = str(error)
    finally:
        device.close()
    print(difference or "equal")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
