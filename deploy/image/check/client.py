"""A client of a running image: the server's labels must be equal to those of this process.

    python -m deploy.image.check.client ADDRESS [CA]

With the authority's certificate in the file CA it calls over TLS, otherwise in plaintext.
"""

import sys

import numpy as np
from deploy.image.check.build import ROOT
from deploy.image.check.report import CheckFailed, check
from PIL import Image

from superpixel_kernels import SegmentParams
from superpixel_kernels import segment as segment_here
from superpixel_service.client import Client, tls_credentials

_PHOTO = ROOT / "examples" / "photos" / "astronaut.jpg"


def segment(address: str, authority: str | None = None) -> None:
    """Have a photograph segmented by the server at `address`.

    Raises:
        CheckFailed: the labels differ from those of the engine in this process.
    """
    credentials = None if authority is None else tls_credentials(authority)
    with Client(address, credentials=credentials, timeout=60) as client:
        there = client.segment(_PHOTO, counts=400).labels
    here = segment_here(np.asarray(Image.open(_PHOTO).convert("RGB")), SegmentParams()).cut(400)
    check(there.shape == here.shape and bool((there == here).all()), "other labels than in this process")
    check(int(there.max()) == 399, "not 400 superpixels")


if __name__ == "__main__":
    try:
        segment(*sys.argv[1:])
    except CheckFailed as error:
        sys.exit(str(error))
