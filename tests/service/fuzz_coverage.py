"""Fuzzing of all that reads a caller's bytes, guided by coverage: message, header and decoder in one process.

`python -m tests.service.fuzz_coverage FOLDER -max_total_time=60`: libFuzzer by way of Atheris, whose flags
these are, finds its way from sound images and messages to the branches behind them. FOLDER keeps what it
found. What comes back must be pixels of the size that was accepted, or a refusal in our words; an input that
takes ten seconds or a gigabyte ends the run, too. The image library is watched only from outside.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["superpixel_service"]):
    from superpixel_service.config import Settings
    from superpixel_service.errors import ServiceError, to_message
    from superpixel_service.images.decode import decode, ignore_library_warnings, open_image
    from superpixel_service.model import Lane, accept
    from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
    from superpixel_service.transport import convert

import numpy as np
from google.protobuf.message import DecodeError

from tests.service.fuzz_service import FILES
from tests.service.harness import request
from tests.service.images import raw, scene
from tests.service.test_refusals import LEAKS

SETTINGS = Settings(max_image_pixels=1 << 16, max_image_bytes=1 << 16)
LIMITS = ("-max_len=8192", "-timeout=10", "-rss_limit_mb=1024")

AS_IMAGE, AS_MESSAGE = b"\0", b"\1"
"""First byte of an input: what the others are."""


def one(data: bytes) -> None:
    """Do what the server does with a caller's bytes, up to the engine."""
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
