"""A client of a running image: the server's labels must be equal to those of this process.

    python -m deploy.image.check.client ADDRESS [--ca FILE] [--store NAME]

With --ca it calls over TLS, otherwise in plaintext. With --store it opens a store of the photograph and sends
nothing.
"""

import argparse
import sys

import numpy as np
from deploy.image.check.build import ROOT
from deploy.image.check.report import CheckFailed, check
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import SegmentParams
from superpixel_kernels import segment as segment_here
from superpixel_service.client import Client, tls_credentials

PHOTO = ROOT / "examples" / "photos" / "astronaut.jpg"
COUNT = 400


def check_labels(there: NDArray[np.integer]) -> None:
    """Check labels of `PHOTO` with `COUNT` superpixels.

    Raises:
        CheckFailed: they differ from those of the engine in this process.
    """
    here = segment_here(np.asarray(Image.open(PHOTO).convert("RGB")), SegmentParams()).cut(COUNT)
    check(there.shape == here.shape and bool((there == here).all()), "other labels than in this process")
    check(int(there.max()) == COUNT - 1, f"not {COUNT} superpixels")


def segment(address: str, authority: str | None) -> None:
    """Have the photograph segmented by the server at `address`.

    Raises:
        CheckFailed: the labels differ from those of the engine in this process.
    """
    credentials = None if authority is None else tls_credentials(authority)
    with Client(address, credentials=credentials, timeout=60) as client:
        check_labels(client.segment(PHOTO, counts=COUNT).labels)


def open_store(address: str, name: str) -> None:
    """Read the whole of a store of the photograph from the server at `address`.

    Raises:
        CheckFailed: the labels differ from those of the engine in this process.
    """
    with Client(address, timeout=60) as client:
        store = client.store(name)
        check_labels(client.store_window(name, (0, 0, store.width, store.height), count=COUNT).labels)


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--ca")
    parser.add_argument("--store")
    options = parser.parse_args()
    try:
        if options.store is None:
            segment(options.address, options.ca)
        else:
            open_store(options.address, options.store)
    except CheckFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
