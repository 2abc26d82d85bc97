"""A gRPC service that turns photographs into nested superpixels.

`superpixel_service.client` calls a server; `segment_file` does the same work in this process.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from superpixel_service.in_process import segment_file

__all__ = ["segment_file"]

try:
    __version__ = version("superpixel-service")
except PackageNotFoundError:
    __version__ = version("superpixel-client")  # the same files without the server


def __getattr__(name: str) -> object:
    if name == "segment_file":  # loaded on demand: a client needs no engine
        try:
            from superpixel_service.in_process import segment_file
        except ModuleNotFoundError as error:
            raise ImportError(
                f"segment_file needs superpixel-service; {error.name} is not installed"
            ) from error

        return segment_file
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
