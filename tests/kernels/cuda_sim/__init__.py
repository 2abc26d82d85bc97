"""CUDA simulated on the CPU: unmodified .cu files under CUDA's rules, in a seeded random order of threads."""

from tests.kernels.cuda_sim.arrays import SimArray
from tests.kernels.cuda_sim.device import SimDevice
from tests.kernels.cuda_sim.errors import BadLaunch, KernelFault, SimError

__all__ = ["BadLaunch", "KernelFault", "SimArray", "SimDevice", "SimError"]
