"""A gRPC service that turns photographs into nested superpixels.

`superpixel_service.client` calls a server; `segment_file` does the same work in this process.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from superpixel_service.in_process import segment_file

__all__ = ["segment_file"]

__version__ = version("superpixel-service")


def __getattr__(name: str) -> object:
    if name == "segment_file":  # loaded on demand: a client needs no engine
        from superpixel_service.in_process import segment_file

        return segment_file
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
