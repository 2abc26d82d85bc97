"""The arguments of `superpixel train-smart`."""

import argparse
from pathlib import Path

from superpixel_service.commands import argument_types as types

DESCRIPTION = (
    "Train the scorer of smart select on images whose objects are known, in minutes on two cores, and print "
    "its score on images that were held out: the last tenth in the order of names."
)


def add_train_smart(train: argparse.ArgumentParser) -> None:
    """Add the arguments to the command's parser."""
    train.add_argument("images", type=Path, metavar="IMAGES", help="folder of images, subfolders included")
    train.add_argument(
        "masks",
        type=Path,
        metavar="MASKS",
        help="folder of masks: MASKS/a/b.png or MASKS/a/b.jpg.png for IMAGES/a/b.jpg; PNG with one channel, "
        "0 for no object, and in 8 bits 255 for unlabelled",
    )
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    train.add_argument(
        "--objects",
        choices=("pieces", "values"),
        default="pieces",
        help="what one object is: pieces, each connected piece of equal value (for masks of classes); or "
        "values, all pixels of one value (for masks of instances) (default pieces)",
    )
    train.add_argument(
        "--limit",
        type=types.positive,
        default=1000,
        metavar="N",
        help="train on at most this many objects, chosen at random (default 1000)",
    )
    train.add_argument(
        "--seed",
        type=types.positive,
        default=1,
        metavar="N",
        help="the same seed and files give the same weights on the same machine (default 1)",
    )
    train.add_argument(
        "--jobs",
        type=types.positive,
        default=0,
        metavar="N",
        help="processes to use (default: one per core)",
    )
    train.add_argument(
        "--about",
        default="",
        metavar="TEXT",
        help="what the images are, and under which terms: kept in the file",
    )
