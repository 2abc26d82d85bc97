"""`superpixel serve` on a GPU that is simulated on the CPU: this machine may have none.

Once the file that LOST_DEVICE names is there, the device fails for good, as after a fault in a kernel.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from superpixel_kernels import CudaWorkspace, backends
from superpixel_kernels.errors import DeviceLost
from superpixel_service.cli import main
from tests.kernels.cuda_sim import SimDevice
from tests.kernels.devices import TUNING

LOST = Path(os.environ["LOST_DEVICE"])


class Device(SimDevice):
    def __init__(self, index: int) -> None:
        super().__init__(seed=index)

    @contextmanager
    def active(self) -> Iterator[None]:
        if LOST.exists():
            raise DeviceLost("the GPU failed: cudaErrorIllegalAddress")
        yield

    def used_bytes(self) -> int:
        if LOST.exists():
            raise DeviceLost("the GPU failed: cudaErrorIllegalAddress")
        return super().used_bytes()


defaults = CudaWorkspace.__init__.__kwdefaults__
assert defaults is not None
defaults.update(open_device=Device, tuning=TUNING)
backends.why_no_cuda = lambda _device=0: None  # type: ignore[assignment]
sys.exit(main())
