"""CUDA on the CPU: unmodified .cu files with the semantics of CUDA, in a seeded random order of threads."""

from tests.kernels.cuda_sim.device import BadLaunch, KernelFault, SimArray, SimDevice, SimError

__all__ = ["BadLaunch", "KernelFault", "SimArray", "SimDevice", "SimError"]
