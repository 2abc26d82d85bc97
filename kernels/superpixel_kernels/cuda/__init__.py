"""The CUDA engine: kernels for every stage (`*.cu`), and beside each file what launches it (`*.py`)."""

from superpixel_kernels.cuda.cupy_device import why_unavailable
from superpixel_kernels.cuda.engine import CudaWorkspace
from superpixel_kernels.cuda.workspace import Tuning, bytes_needed

__all__ = ["CudaWorkspace", "Tuning", "bytes_needed", "why_unavailable"]
