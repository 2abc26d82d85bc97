"""Runs the `superpixel` command as `python -m superpixel_service`."""

import os

# Without this gRPC writes lines of its own to standard error, such as one per failed handshake. Our messages
# and log report the same events. gRPC reads the variable when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from superpixel_service.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
