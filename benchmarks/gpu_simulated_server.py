"""The `superpixel` command with the simulated device as its GPU; only for rehearsals of `benchmarks.gpu`."""

from benchmarks.gpu_devices import opener
from superpixel_kernels import CudaWorkspace, cuda


def simulate_the_gpu() -> None:
    """Make the backend cuda available in this process."""
    cuda.why_unavailable = _nothing_is_missing
    defaults = CudaWorkspace.__init__.__kwdefaults__
    if defaults is None:
        raise AssertionError("CudaWorkspace has an argument `open_device` with a default")
    defaults["open_device"] = opener(simulate=True)


def _nothing_is_missing(index: int = 0) -> str | None:
    del index
    return None


if __name__ == "__main__":
    simulate_the_gpu()
    from superpixel_service.cli import main

    raise SystemExit(main())
