"""Coverage-guided fuzzing of all code that reads untrusted bytes: requests, selections, label maps.

`python -m tests.service.fuzz_coverage FOLDER -max_total_time=60`: libFuzzer by way of Atheris, whose flags
these are, finds its way from sound images and messages to the branches behind them. FOLDER keeps what it
found. What comes back must be pixels of the size that was accepted, or a refusal in our words; an input that
takes ten seconds or a gigabyte ends the run, too. The image library is watched only from outside.
"""

import json
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["superpixel_service", "superpixel_kernels.codec"]):
    from superpixel_kernels import codec
    from superpixel_service.config import Settings
    from superpixel_service.errors import ServiceError, to_message
    from superpixel_service.images.decode import decode, open_image
    from superpixel_service.images.pixels import ignore_library_warnings
    from superpixel_service.model import Lane, accept
    from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
    from superpixel_service.transport import convert
    from tests.frontend import selection_cases

import numpy as np
from google.protobuf.message import DecodeError

from tests.kernels import fuzz_codec
from tests.service.fuzz_service import FILES
from tests.service.harness import request
from tests.service.images import raw, scene
from tests.service.test_refusals import LEAKS

SETTINGS = Settings(max_image_pixels=1 << 16, max_image_bytes=1 << 16)
LIMITS = ("-max_len=8192", "-timeout=100", "-rss_limit_mb=1024")

AS_IMAGE, AS_MESSAGE, AS_SELECTION, AS_LABEL_MAP = b"\0", b"\1", b"\2", b"\3"
"""First byte of an input: what the others are."""


def one(data: bytes) -> None:
    """Do what the server or a client does with a stranger's bytes, up to the engine."""
    if data[:1] == AS_SELECTION:
        read_selection(data[1:])
    elif data[:1] == AS_LABEL_MAP:
        read_label_map(data[1:])
    else:
        read_request(data)


def read_selection(text: bytes) -> None:
    """Read a selection; the result must follow the rules, or the selection is rejected."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return
    selection_cases.check(data)


def read_label_map(data: bytes) -> None:
    """Read a label map; what comes back must be in range."""
    try:
        label_map = codec.decode(data, max_pixels=SETTINGS.max_image_pixels)
    except codec.InvalidLabelMap:
        return
    assert label_map.labels.size <= SETTINGS.max_image_pixels
    assert label_map.labels.min() == 0
    assert label_map.labels.max() == label_map.count - 1


def read_request(data: bytes) -> None:
    """Read a request as far as its pixels."""
    try:
        message = (
            pb.SegmentRequest.FromString(data[1:])
            if data[:1] == AS_MESSAGE
            else request(data[1:], 1, first_frame_only=True)
        )
    except DecodeError:
        return
    try:
        order = convert.read_segment_request(message, Lane.INTERACTIVE)
        task = accept(order, open_image(order, SETTINGS))
        pixels, _ = decode(task.image, task.region)
    except ServiceError as error:
        assert not LEAKS.search(to_message(error).message), error  # noqa: PT017
        return
    assert task.image.width * task.image.height <= SETTINGS.max_image_pixels
    size = task.region or task.image
    assert pixels.dtype == np.uint8
    assert pixels.shape[:2] == (size.height, size.width)


def seeds() -> list[bytes]:
    """Inputs to begin with."""
    pixels = raw(scene(8, 6))
    messages = [
        request(pixels, 5, compactness=7.0, target_areas=[9.0], include_hierarchy=True),
        request(pixels, 5, region_of_interest=pb.Rectangle(x=1, y=1, width=4, height=3), priority=2),
        *(request(file, 5, label_encoding=2, include_regions=True) for file in FILES),
    ]
    return [
        *(AS_IMAGE + file for file in FILES),
        *(AS_MESSAGE + each.SerializeToString() for each in messages),
        *(
            AS_SELECTION + json.dumps(each).encode()
            for each in (selection_cases.WHOLE, selection_cases.PAINTED)
        ),
        *(AS_LABEL_MAP + each for each in fuzz_codec.samples()),
    ]


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (folder / f"seed-{number}").write_bytes(seed)
    ignore_library_warnings()
    atheris.Setup(
        [sys.argv[0], *LIMITS, f"-artifact_prefix={folder}/found-", str(folder), *sys.argv[2:]], one
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
