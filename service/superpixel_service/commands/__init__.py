"""The commands of `superpixel`: one module per command, each with `run(**arguments) -> exit status`."""

import os
import sys

# Keeps gRPC's own log lines, which are for programmers, out of the messages of a command; the standard error
# of `serve` is a log. gRPC reads the variable when it is loaded, which is later.
if sys.argv[1:2] != ["serve"]:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
