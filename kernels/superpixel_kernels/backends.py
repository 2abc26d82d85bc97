"""The one place that chooses between engines."""

from typing import Literal

from superpixel_kernels.errors import BackendUnavailable, InvalidParameter

Backend = Literal["auto", "cpu", "cuda"]


def available_backends() -> tuple[str, ...]:
    """The backends that can run here, the fastest first."""
    return ("cpu",)


def choose_backend(wanted: Backend) -> str:
    """The backend to use for `wanted`; `auto` is the fastest one there is.

    Raises:
        InvalidParameter: no such backend.
        BackendUnavailable: it cannot run here.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise InvalidParameter("backend", f"must be 'auto', 'cpu' or 'cuda', got {wanted!r}")
    if wanted == "auto":
        return available_backends()[0]
    if wanted not in available_backends():
        raise BackendUnavailable(f"backend {wanted!r}: this version of the package has no CUDA engine")
    return wanted
