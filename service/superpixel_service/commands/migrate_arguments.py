"""The arguments of `superpixel migrate`."""

import argparse
from pathlib import Path

from superpixel_kernels.params import MAX_COMPACTNESS
from superpixel_service.commands import argument_types as types
from superpixel_service.commands.image_arguments import add_pace, add_server

DESCRIPTION = (
    "Segment the images of a folder of .spx label maps again, with this algorithm version "
    "and maybe another compactness or other counts, and move the selections (JSON) of each map to its "
    "new map: every pixel keeps its class and object. The originals stay as they are. A run may be "
    "stopped or killed: the same command continues it, and tries failed maps again."
)


def add_migrate(migrate: argparse.ArgumentParser) -> None:
    """Add the arguments to the command's parser."""
    migrate.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="folder of label maps, as `bulk` writes them, and of selections: a/b.jpg.json, a/b.json, or "
        "with .selection before .json, for a/b.jpg.spx",
    )
    migrate.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the images: a/b.jpg for a/b.jpg.spx",
    )
    migrate.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="another folder to write to; created if missing",
    )
    migrate.add_argument(
        "--compactness",
        dest="new_compactness",
        type=types.compactness,
        metavar="K",
        help=f"shape against colour, 0 to {MAX_COMPACTNESS:g} (default: as each map says)",
    )
    migrate.add_argument(
        "--counts",
        dest="new_counts",
        type=types.positive,
        nargs="+",
        default=(),
        metavar="COUNT",
        help="numbers of superpixels, with every number up to the largest (default: every number up to the "
        "image's base count, or for a map of some levels the same levels)",
    )
    add_server(migrate, "a server to have it done by (default: this process does it)")
    add_pace(migrate, "with --server: how long to wait for a server")
    migrate.add_argument("--json", action="store_true", help="print one JSON object, for programs")
