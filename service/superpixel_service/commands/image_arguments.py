"""Arguments that `segment`, `bulk` and other commands share, and what their values mean."""

import argparse
from pathlib import Path
from typing import Any

from superpixel_kernels.guidance import (
    DEFAULT_EDGE_WEIGHT,
    DEFAULT_PRIOR_WEIGHT,
    MAX_EDGE_WEIGHT,
    MAX_PRIOR_WEIGHT,
)
from superpixel_kernels.params import DEFAULT_COMPACTNESS, MAX_COMPACTNESS
from superpixel_service.commands import argument_types as types
from superpixel_service.commands.guidance_files import GuidanceFiles
from superpixel_service.commands.label_maps import Parameters
from superpixel_service.commands.target import Target
from superpixel_service.targets import MAX_TARGETS

MAPS = ("edges", "prior", "importance")
"""The maps of guidance."""

_DEFAULT_COUNTS = (100, 400, 1600)


def add_targets(command: argparse.ArgumentParser, text: str) -> None:
    """Add --counts, --areas and --clamp."""
    command.add_argument(
        "--counts",
        type=types.positive,
        nargs="+",
        action=types.Targets,
        default=(),
        metavar="COUNT",
        help=text,
    )
    command.add_argument(
        "--areas",
        type=types.area,
        nargs="+",
        action=types.Targets,
        default=(),
        metavar="PIXELS",
        help="average sizes of the superpixels, in pixels, which suit images of any size",
    )
    command.add_argument(
        "--clamp",
        action="store_true",
        help="reduce counts above the image's number of pixels to it, instead of rejecting the image",
    )


def add_reading(command: argparse.ArgumentParser) -> None:
    """Add how image files are read."""
    command.add_argument(
        "--compactness",
        type=types.compactness,
        default=DEFAULT_COMPACTNESS,
        metavar="K",
        help=f"shape against colour, 0 to {MAX_COMPACTNESS:g}: larger is squarer "
        f"(default {DEFAULT_COMPACTNESS:g})",
    )
    command.add_argument(
        "--region",
        type=types.coordinate,
        nargs=4,
        metavar=("X", "Y", "WIDTH", "HEIGHT"),
        help="segment only this part of the upright image, in pixels",
    )
    command.add_argument(
        "--sample-range",
        type=types.coordinate,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="values of 16-bit samples that become 0 and 255 (default: without the darkest and brightest "
        "thousandth)",
    )
    command.add_argument(
        "--first-frame",
        action="store_true",
        help="segment the first frame of an animation (default: animations are rejected)",
    )
    command.add_argument(
        "--no-orientation",
        dest="orientation",
        action="store_false",
        help="ignore the EXIF orientation (default: apply it, as browsers do)",
    )


def add_guidance(command: argparse.ArgumentParser, metavar: str, where: str) -> None:
    """Add the maps of guidance. `where` says how a folder holds them."""
    command.add_argument(
        "--edges",
        metavar=metavar,
        help=f"PNG of 8-bit gray: how strong a border is at each pixel, which superpixels follow{where}",
    )
    command.add_argument(
        "--edge-weight",
        type=types.edge_weight,
        metavar="N",
        help=f"with --edges: 0 to {MAX_EDGE_WEIGHT} (default {DEFAULT_EDGE_WEIGHT})",
    )
    command.add_argument(
        "--prior",
        metavar=metavar,
        help="labels or masks of another model, which superpixels follow: PNG (gray, palette indexes, or RGB "
        f"as R + 256 G + 65,536 B), .spx label map, or JSON of COCO run-length masks{where}",
    )
    command.add_argument(
        "--prior-mode",
        choices=("soft", "hard"),
        help="with --prior: soft prefers its borders, hard never crosses them (default soft)",
    )
    command.add_argument(
        "--prior-weight",
        type=types.prior_weight,
        metavar="N",
        help=f"with --prior, mode soft: 0 to {MAX_PRIOR_WEIGHT} (default {DEFAULT_PRIOR_WEIGHT})",
    )
    command.add_argument(
        "--prior-count",
        type=types.positive,
        metavar="COUNT",
        help="with --prior, an .spx label map: its level with COUNT superpixels (default: the finest)",
    )
    command.add_argument(
        "--importance",
        metavar=metavar,
        help="PNG of 8-bit gray: superpixels are (32 + value) / 32 times as dense there" + where,
    )


def add_mask(command: argparse.ArgumentParser) -> None:
    """Add the mask of a single image."""
    command.add_argument(
        "--mask",
        type=Path,
        metavar="FILE",
        help="gray PNG of the size of the upright image: pixels that are 0 belong to no superpixel",
    )


def add_server(command: argparse.ArgumentParser, text: str) -> None:
    """Add the server to call, and how to connect to it."""
    command.add_argument(
        "--server", type=types.target, metavar="HOST:PORT", help=f"{text}; also unix:PATH or dns:///NAME:PORT"
    )
    command.add_argument(
        "--tls", action="store_true", help="reach the server over TLS; --ca and --cert imply it"
    )
    command.add_argument(
        "--ca", type=Path, metavar="FILE", help="PEM file of authorities to trust (default: gRPC's own)"
    )
    command.add_argument(
        "--cert", type=Path, metavar="FILE", help="PEM file of your certificate, if the server requires one"
    )
    command.add_argument("--key", type=Path, metavar="FILE", help="PEM file of its key")
    command.add_argument(
        "--token-file", type=Path, metavar="FILE", help="file with your token, if the server requires one"
    )


def add_pace(command: argparse.ArgumentParser, wait: str) -> None:
    """Add --jobs and --retry-for of a command for many images. `wait` begins the help of --retry-for."""
    command.add_argument(
        "--jobs",
        type=types.positive,
        default=0,
        metavar="N",
        help="images in work at the same time (default: one per core; with a server, 8)",
    )
    command.add_argument(
        "--retry-for",
        type=types.patience,
        default=30.0,
        metavar="SECONDS",
        help=f"{wait} that stopped answering (default 30; 0: end at once)",
    )


def parameters(top: argparse.ArgumentParser, given: dict[str, Any], command: str) -> Parameters:
    """The parameters that the arguments of `segment` or `bulk` name; removes them from `given`."""
    names = (
        "counts",
        "areas",
        "compactness",
        "region",
        "sample_range",
        "first_frame",
        "orientation",
        "clamp",
    )
    named = {name: given.pop(name) for name in names}
    targets = len(named["counts"]) + len(named["areas"])
    if targets > MAX_TARGETS:
        top.error(f"--counts and --areas: together at most {MAX_TARGETS}, got {targets}")
    for name in ("region", "sample_range"):
        if named[name] is not None:
            named[name] = tuple(named[name])
    guidance = _guidance(top, given)
    mask = given.pop("mask", None)
    hierarchy = command == "segment" or given.pop("hierarchy") or not targets
    if command == "segment" and not targets:
        named |= {"counts": _DEFAULT_COUNTS, "clamp": True}
    return Parameters(**named, hierarchy=hierarchy, guidance=guidance, mask=mask)


def _guidance(top: argparse.ArgumentParser, given: dict[str, Any]) -> GuidanceFiles | None:
    """The guidance that the arguments name; removes them from `given`."""
    maps = {name: given.pop(name) for name in MAPS}
    needs = {"edge_weight": "edges", "prior_mode": "prior", "prior_weight": "prior", "prior_count": "prior"}
    values = {name: given.pop(name) for name in needs}
    for name, needed in needs.items():
        if values[name] is not None and maps[needed] is None:
            top.error(f"--{name.replace('_', '-')} needs --{needed}")
    if all(path is None for path in maps.values()):
        return None
    edge_weight, prior_weight = values["edge_weight"], values["prior_weight"]
    return GuidanceFiles(
        **{name: None if path is None else Path(path) for name, path in maps.items()},
        edge_weight=DEFAULT_EDGE_WEIGHT if edge_weight is None else edge_weight,
        prior_mode=values["prior_mode"] or "soft",
        prior_weight=DEFAULT_PRIOR_WEIGHT if prior_weight is None else prior_weight,
        prior_count=values["prior_count"] or 0,
    )


def target(top: argparse.ArgumentParser, given: dict[str, Any]) -> Target | None:
    """The server that the arguments name; removes its arguments from `given`."""
    address = given.pop("server")
    how = {name: given.pop(name) for name in ("tls", "ca", "cert", "key", "token_file")}
    if (how["cert"] is None) != (how["key"] is None):
        top.error("--cert and --key go together: give both or none")
    if address is None:
        if any(how.values()):
            top.error("--tls, --ca, --cert, --key and --token-file are for a --server")
        return None
    how["tls"] = bool(how["tls"] or how["ca"] or how["cert"])
    return Target(address, **how)
