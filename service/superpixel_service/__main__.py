"""The `superpixel` command, also as `python -m superpixel_service`."""

import os

# gRPC's native part writes lines of its own on standard error, as at every failed handshake, unless it is
# told before it is loaded. What matters of them is in our messages and log.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from superpixel_service.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
