"""The arguments of `superpixel bulk`."""

import argparse
import re
from typing import Any

from superpixel_service.commands import argument_types as types
from superpixel_service.commands.data_set_options import DataSetOptions
from superpixel_service.commands.image_arguments import (
    MAPS,
    add_guidance,
    add_pace,
    add_reading,
    add_server,
    add_targets,
)
from superpixel_service.commands.ray_arguments import add_ray
from superpixel_service.datasets.names import SUFFIXES

DESCRIPTION = (
    f"Write DIR/a/b.jpg.spx for every FOLDER/a/b.jpg (and {', '.join(SUFFIXES[1:])}) and print "
    "its name. A run may be stopped (Ctrl-C, SIGTERM) or killed: the same command "
    "continues it, and tries failed images again. The end of the output names what was left out, and "
    "images that cannot be segmented; with such images the exit status is 1. For data sets, FOLDER can also "
    "be s3://BUCKET/NAME (or gs://, az:// and others), a pattern ('photos/**/*.jpg'), a list of addresses "
    "(.txt; - is standard input), a Parquet file of addresses, or WebDataset shards ('data-{000..123}.tar'). "
    "Then DIR gets a manifest. It needs the extra `bulk`."
)


def add_bulk(bulk: argparse.ArgumentParser) -> None:
    """Add the arguments to the command's parser."""
    bulk.add_argument(
        "source",
        metavar="FOLDER",
        help="folder of images, subfolders included; or what else names a data set (above)",
    )
    bulk.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder to write to, or s3://BUCKET/NAME; created if missing",
    )
    add_targets(bulk, "numbers of superpixels to keep (default: every number up to the image's base count)")
    bulk.add_argument(
        "--hierarchy",
        action="store_true",
        help="with --counts or --areas: also keep every number up to the largest",
    )
    add_reading(bulk)
    add_guidance(
        bulk,
        "DIR|FILE",
        "; a folder holds DIR/a/b.jpg.png or DIR/a/b.png for FOLDER/a/b.jpg, a file counts for every image",
    )
    bulk.add_argument(
        "--checksum",
        action="store_true",
        help="compare images with their label maps by content too, not by size and date alone; reads every "
        "image",
    )
    add_server(bulk, "a server to have it done by (default: this process does it)")
    add_pace(bulk, "how long to wait for a server, or for a bucket,")
    bulk.add_argument(
        "--report", metavar="FILE", help="write numbers and errors of this run to FILE, as one JSON object"
    )
    bulk.add_argument(
        "--failed-ok",
        action="store_true",
        help="exit with status 0 even if some images cannot be segmented",
    )
    _add_data_set(bulk.add_argument_group("data sets"))


def _add_data_set(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--format",
        choices=("files", "shards"),
        default="files",
        help="files: an .spx file per image (default); shards: tar files of many, DIR/shards/*.tar",
    )
    group.add_argument(
        "--images-per-shard",
        type=types.positive,
        default=0,
        metavar="N",
        help="most label maps of a tar file (default 2048)",
    )
    group.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="local: this process (default); ray: a Ray cluster; it needs the extra `ray`",
    )
    add_ray(group)
    group.add_argument(
        "--actor-gpus",
        type=types.gpus,
        default=0.0,
        metavar="X",
        help="with --engine ray: GPUs per actor, also a part of one (default 0); the actors use CUDA then",
    )
    group.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="do only the images of shard I of N, I from 0 to N-1; N such runs, at the same time, do all",
    )
    group.add_argument(
        "--column", default="", metavar="NAME", help="Parquet: the column with the images' addresses"
    )
    for name in MAPS:
        group.add_argument(
            f"--{name}-column",
            metavar="NAME",
            help=f"Parquet: the column with the addresses of the maps of --{name}; tar: their suffix in a "
            "sample",
        )


def data_set_options(top: argparse.ArgumentParser, given: dict[str, Any]) -> DataSetOptions:
    """The flags of data sets; removes them from `given`."""
    maps = {name: given[name] for name in MAPS if given[name] is not None}
    columns = {name: given.pop(f"{name}_column") for name in MAPS}
    columns = {name: column for name, column in columns.items() if column is not None}
    for name in columns.keys() & maps.keys():
        top.error(f"--{name} and --{name}-column: give one of them")
    given |= columns  # the flags that belong to a map, such as --edge-weight, ask whether there is one
    engine = given.pop("engine")
    ray_address = given.pop("ray_address")
    actor_cpus, actor_gpus = given.pop("actor_cpus"), given.pop("actor_gpus")
    if engine != "ray" and (ray_address is not None or actor_cpus != 1 or actor_gpus):
        top.error("--ray-address, --actor-cpus and --actor-gpus need --engine ray")
    return DataSetOptions(
        engine=engine,
        ray_address=ray_address,
        actor_cpus=actor_cpus,
        actor_gpus=actor_gpus,
        shards=given.pop("format") == "shards",
        shard=given.pop("shard"),
        images_per_shard=given.pop("images_per_shard"),
        column=given.pop("column"),
        map_columns=columns,
        maps=maps,
    )


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,7})/(\d{1,7})", text, re.ASCII)
    if not match or not int(match[1]) < int(match[2]):
        raise argparse.ArgumentTypeError(f"must be I/N with I from 0 to N-1, as in 0/8; got {text!r}")
    return int(match[1]), int(match[2])
