"""What the `superpixel` command does, one module a command, each with `run(**arguments) -> exit status`."""

import os
import sys

# Read as gRPC is loaded, which is after this. What it logs by itself is for programmers, and standard error
# is where commands talk to people; a server's is its log.
if sys.argv[1:2] != ["serve"]:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
