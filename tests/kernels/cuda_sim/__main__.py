"""`python -m tests.kernels.cuda_sim IMAGE`: compare the simulated CUDA pipeline with the C++ engine."""

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
from tests.kernels.cuda_sim.device import MODES, SimDevice
from tests.kernels.cuda_sim.errors import SimError

Trace = Callable[[Any, float, SimDevice], Mapping[str, Any]]


def cuda_trace(pixels: NDArray[np.uint8], compactness: float, device: SimDevice) -> Mapping[str, Any]:
    """The stages of the CUDA pipeline, with the small blocks of the tests."""
    from superpixel_kernels.cuda.pipeline import Pipeline
    from superpixel_kernels.cuda.trace import trace
    from tests.kernels.devices import TUNING

    return trace(pixels, compactness, Pipeline(device, tuning=TUNING))


def main(arguments: Sequence[str], trace: Trace | None = None) -> int:
    """Print `equal`, or the first difference, or a kernel's fault. Returns 0 if equal, else 1.

    Args:
        arguments: arguments of the command line.
        trace: the function to compare with the C++ engine; None: the CUDA pipeline.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.kernels.cuda_sim", description=__doc__)
    parser.add_argument("image", type=Path, help="an image file; a small one, because 60x40 takes seconds")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order of threads (default: 0)")
    parser.add_argument("--mode", choices=MODES, default="plain", help="default: plain")
    parser.add_argument("--compactness", type=float, default=10.0, help="default: 10")
    parser.add_argument("--resident", type=int, default=3, help="number of resident blocks (default: 3)")
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
