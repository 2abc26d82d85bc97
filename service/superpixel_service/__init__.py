"""A gRPC service that turns photographs into nested superpixels."""

from importlib.metadata import version

__version__ = version("superpixel-service")
