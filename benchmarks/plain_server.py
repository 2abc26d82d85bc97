"""A minimal gRPC server around scikit-image's SLIC that returns a PNG of labels, for comparison.

One worker, no limits, no cache. `python -m benchmarks.plain_server` prints its address and serves until its
standard input ends.
"""

import importlib
import io
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
from PIL import Image

from benchmarks.peers import skimage_slic

METHOD = "/plain.Superpixels/Segment"
COUNT = struct.Struct("<I")
UNBOUNDED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def segment(message: bytes, _: grpc.ServicerContext) -> bytes:
    """Return a PNG of 16-bit labels. The message is the count in four bytes, then an image file."""
    (count,) = COUNT.unpack_from(message)
    image = np.asarray(Image.open(io.BytesIO(message[COUNT.size :])).convert("RGB"))
    labels = skimage_slic(image, count)
    out = io.BytesIO()
    Image.fromarray(labels.astype(np.uint16)).save(out, "PNG")
    return out.getvalue()


def main() -> None:
    """Serve until standard input ends."""
    importlib.import_module("skimage.segmentation")  # now, not during the first call
    server = grpc.server(ThreadPoolExecutor(1), options=UNBOUNDED)
    _, service, method = METHOD.split("/")
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        method: grpc.unary_unary_rpc_method_handler(segment, None, None)
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"127.0.0.1:{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main()
