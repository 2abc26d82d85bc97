"""What happens between stages: times, cancellation, observation."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cpu._engine import CancelToken
from superpixel_kernels.cuda.stage import Stage
from superpixel_kernels.cuda.workspace import STAMPS

Observer = Callable[[str, Stage], None]
"""Called after each stage, while its results are in the workspace."""


class Clock:
    """What happens between stages: the device writes the time, and the call can be stopped or paused.

    Args:
        stage: what the stages run on.
        cancel: stops or pauses the call.
        observe: called after each stage.
        done: names of the stages that are done already.

    Attributes:
        names: names of the stages that are done.
    """

    def __init__(
        self,
        stage: Stage,
        cancel: CancelToken | None,
        observe: Observer | None = None,
        done: Sequence[str] = (),
    ) -> None:
        self._stage = stage
        self._cancel = cancel
        self._observe = observe
        self.names = list(done)

    @property
    def observed(self) -> bool:
        """Whether there is an observer."""
        return self._observe is not None

    def start(self) -> None:
        """Call before the first stage."""
        self._stamp()

    def begin_step(self) -> None:
        """Call before each stage is launched.

        Raises:
            Cancelled: the call was cancelled.
        """
        if self._cancel is not None:
            self._cancel.begin_step()

    def done(self, name: str) -> None:
        """Call after stage `name` was launched."""
        self.names.append(name)
        self._stamp()
        if self._observe is not None:
            self._observe(name, self._stage)

    def _stamp(self) -> None:
        stage, index = self._stage, len(self.names)
        args = stage.arguments(
            "clock_stamp", index, make=lambda: [stage.workspace["counters"][STAMPS:], np.uint32(index)]
        )
        stage.device.launch("clock_stamp", 1, 1, args)

    def seconds(self, stamps: NDArray[np.uint32]) -> dict[str, float]:
        """Seconds of each stage, from the times that the device wrote: two words each."""
        times = stamps.view(np.uint64).astype(np.int64)
        seconds: dict[str, float] = {}
        for index, name in enumerate(self.names):
            seconds[name] = seconds.get(name, 0.0) + float(times[index + 1] - times[index]) / 1e9
        return seconds
