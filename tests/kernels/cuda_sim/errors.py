"""Errors of the simulated device."""


class SimError(Exception):
    """Base class of errors of the simulated device."""


class BadLaunch(SimError):
    """The kernel, sizes or arguments of a launch, or a copy, are wrong; nothing has run."""


class KernelFault(SimError):
    """A kernel did something invalid. The device is lost, as after a sticky error of a GPU."""
