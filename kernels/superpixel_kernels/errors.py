"""The errors that this package raises.

```
KernelError
├── InvalidImage        ValueError: shape, dtype or size of the image
├── InvalidParameter    ValueError: a parameter outside its range; `.parameter` names it
├── InvalidLabelMap     ValueError: malformed label-map bytes, or labels that cannot be encoded
├── BackendUnavailable  RuntimeError: the requested backend cannot run here
├── OutOfMemory         MemoryError: too little device memory for this image now; a smaller one may fit
│   └── AboveDeviceLimit         this image needs more than the cap on the device memory for one image
├── DeviceLost          RuntimeError: the device failed; this process cannot use it any more
├── SourceError         OSError: the source of a tiled run failed, or is not what it said
├── StoreError          OSError: the store of a tiled run failed, is damaged, or belongs to another run
├── WorkerLost          RuntimeError: the worker of a tile ended at each attempt, or there is no worker
└── Cancelled           the caller cancelled the call; there is no result
```
"""


class KernelError(Exception):
    """Base class of all errors that this package raises on purpose."""


class InvalidImage(KernelError, ValueError):
    """The image's shape, dtype or size is not accepted."""


class InvalidParameter(KernelError, ValueError):
    """A parameter is outside its range.

    Attributes:
        parameter: name of the parameter, as in the function's signature.
    """

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(f"{parameter}: {message}")
        self.parameter = parameter


class InvalidLabelMap(KernelError, ValueError):
    """The bytes are not a well-formed label map, or the labels cannot be encoded as one."""


class BackendUnavailable(KernelError, RuntimeError):
    """The requested backend cannot run on this machine; the message names what is missing."""


class OutOfMemory(KernelError, MemoryError):
    """The image needs more memory than the device has free, or than the cap; another may fit."""


class AboveDeviceLimit(OutOfMemory):
    """The image needs more device memory than the cap, so it will never fit.

    Attributes:
        needed_bytes: what it needs.
        limit_bytes: the cap.
    """

    def __init__(self, needed_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"the image needs {needed_bytes} bytes of device memory, and the cap is {limit_bytes}"
        )
        self.needed_bytes = needed_bytes
        self.limit_bytes = limit_bytes


class DeviceLost(KernelError, RuntimeError):
    """The device failed, and not only for this call: this process cannot use it any more."""


class SourceError(KernelError, OSError):
    """The source of a tiled run cannot be read, or gave something else than its shape and dtype say."""


class StoreError(KernelError, OSError):
    """The store of a tiled run cannot be read or written, is damaged, or belongs to another run."""


class WorkerLost(KernelError, RuntimeError):
    """The worker of a tile ended at each attempt to compute it, or there is no worker."""


class Cancelled(KernelError):
    """The caller cancelled the call; there is no result."""
