"""The flags of the commands that work on a Ray cluster."""

import argparse

from superpixel_service.commands import argument_types as types


def add_ray(group: "argparse._ArgumentGroup") -> None:
    """Add the flags of `--engine ray`."""
    group.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="with --engine ray: HOST:PORT, ray://HOST:PORT or auto (default: RAY_ADDRESS, or a new cluster "
        "on this machine)",
    )
    group.add_argument(
        "--actor-cpus",
        type=types.positive,
        default=1,
        metavar="N",
        help="with --engine ray: cores per actor (default 1)",
    )
