"""What can go wrong in the engine.

```
KernelError
├── InvalidImage        ValueError: shape, dtype or size of the image
├── InvalidParameter    ValueError: a parameter outside its range; `.parameter` names it
├── InvalidLabelMap     ValueError: malformed label-map bytes, or labels that cannot be encoded
├── BackendUnavailable  RuntimeError: the backend asked for cannot run here
├── OutOfMemory         MemoryError: no room for this image on the device now; a smaller one works
├── DeviceLost          RuntimeError: the device failed; nothing will run on it in this process any more
└── Cancelled           the caller's token was cancelled; nothing was produced
```
"""


class KernelError(Exception):
    """Base of all errors this package raises on purpose."""


class InvalidImage(KernelError, ValueError):
    """The image's shape, dtype or size is not accepted."""


class InvalidParameter(KernelError, ValueError):
    """A parameter is outside its range.

    Attributes:
        parameter: the parameter's name, as in the function's signature.
    """

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(f"{parameter}: {message}")
        self.parameter = parameter


class InvalidLabelMap(KernelError, ValueError):
    """Bytes that are not a well-formed label map, or labels that no label map can hold."""


class BackendUnavailable(KernelError, RuntimeError):
    """The backend asked for cannot run on this machine; the message names what is missing."""


class OutOfMemory(KernelError, MemoryError):
    """The device, or the cap set for it, has no room for this image now; the next one may fit."""


class DeviceLost(KernelError, RuntimeError):
    """The device failed in a way that outlasts the call: this process cannot use it any more."""


class Cancelled(KernelError):
    """The caller's cancellation token was set; the work was stopped and nothing was produced."""
