"""The CUDA engine: the kernels of each stage in a `.cu` file, its launcher in the `.py` file of that name."""

from superpixel_kernels.cuda.cupy_device import why_unavailable
from superpixel_kernels.cuda.engine import CudaWorkspace, DeviceSegmentation
from superpixel_kernels.cuda.workspace import Tuning, bytes_needed

__all__ = ["CudaWorkspace", "DeviceSegmentation", "Tuning", "bytes_needed", "why_unavailable"]
