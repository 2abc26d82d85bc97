"""Write a Berkeley Segmentation Data Set folder as images and masks, for `superpixel train-smart`.

Each person's segmentation of a photograph becomes a pair: images/NAME-1.jpg (a link) and masks/NAME-1.png.
"""

import argparse
from pathlib import Path

from PIL import Image

from benchmarks.data import add_data_arguments, photographs


def main() -> None:
    """Write the folders."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bsds_masks", description=__doc__)
    add_data_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder; created if missing")
    parser.add_argument(
        "--people", type=int, default=2, help="use the first N people per photograph (default: %(default)s)"
    )
    options = parser.parse_args()
    for name in ("images", "masks"):
        (options.out / name).mkdir(parents=True, exist_ok=True)
    for photo in photographs(options.data):
        for number, truth in enumerate(photo.truths[: options.people], start=1):
            link = options.out / "images" / f"{photo.name}-{number}.jpg"
            link.unlink(missing_ok=True)
            link.symlink_to((photo.folder / "images" / f"{photo.name}.jpg").resolve())
            # 0 is no object in a mask, and every pixel here belongs to one.
            Image.fromarray((truth + 1).astype("uint16")).save(
                options.out / "masks" / f"{photo.name}-{number}.png"
            )


if __name__ == "__main__":
    main()
