"""What one would write in an afternoon: gRPC, scikit-image's SLIC, a PNG of labels. The peer of a benchmark.

One worker, nothing bounded, nothing cached: `python -m benchmarks.plain_server` says its address and serves
until its standard input ends.
"""

import io
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
from PIL import Image
from skimage.segmentation import slic  # type: ignore[import-not-found]

METHOD = "/plain.Superpixels/Segment"
COUNT = struct.Struct("<I")
UNBOUNDED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def segment(message: bytes, _: grpc.ServicerContext) -> bytes:
    """A count in four bytes and an image file: a PNG of 16-bit labels."""
    (count,) = COUNT.unpack_from(message)
    image = np.asarray(Image.open(io.BytesIO(message[COUNT.size :])).convert("RGB"))
    labels = slic(image, n_segments=count, compactness=10, start_label=0)
    out = io.BytesIO()
    Image.fromarray(labels.astype(np.uint16)).save(out, "PNG")
    return out.getvalue()


def main() -> None:
    """Serve."""
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
