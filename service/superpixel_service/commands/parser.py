"""The arguments of the `superpixel` command. Their names are the parameter names of each command's `run`."""

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
from superpixel_service import __version__
from superpixel_service.commands import argument_types as types
from superpixel_service.commands.guidance_files import GuidanceFiles
from superpixel_service.commands.label_maps import Parameters
from superpixel_service.commands.target import Target
from superpixel_service.config import ENVIRONMENT_PREFIX, Settings, flag
from superpixel_service.model import MAX_TARGETS

_SHELLS = ("bash", "zsh")
_DEFAULT_COUNTS = (100, 400, 1600)
_SCOPES = ("segment", "stream", "info")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    top = argparse.ArgumentParser(
        prog="superpixel",
        description="Nested superpixels for annotation platforms.",
        epilog="Exit status: 0 success; 1 failure, and the last line on standard error says why; "
        "2 wrong arguments.",
    )
    top.add_argument("--version", action="version", version=f"superpixel {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_config(commands)
    _add_app(commands)
    _add_segment(commands)
    _add_bulk(commands)
    _add_train_smart(commands)
    _add_inspect(commands)
    _add_info(commands)
    _add_health(commands)
    _add_token(commands)
    _add_completion(commands)
    return top


_Commands = argparse._SubParsersAction  # noqa: SLF001 (what add_subparsers gives has no public name)


def _add_serve(commands: "_Commands[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="run the gRPC server",
        description="Run the gRPC server until SIGTERM, SIGINT or SIGHUP; a second SIGTERM or SIGINT ends it "
        "at once. Each flag can also be set in the environment, --max-image-bytes as "
        f"{ENVIRONMENT_PREFIX}MAX_IMAGE_BYTES, "
        "or in a TOML file, as max_image_bytes.",
    )
    _add_settings(serve)


def _add_config(commands: "_Commands[argparse.ArgumentParser]") -> None:
    config = commands.add_parser(
        "config",
        help="print the settings that `serve` would use",
        description="Print the value of every setting of the server and its source: a flag (every flag of "
        "`superpixel serve` is accepted), the environment, a file, or the default.",
    )
    _add_json(config)
    _add_settings(config)


def _add_app(commands: "_Commands[argparse.ArgumentParser]") -> None:
    app = commands.add_parser(
        "app",
        help="serve the annotation page",
        description="Serve a web page for annotating images, until SIGINT or SIGTERM. The page loads nothing "
        "from other hosts, and sends images to the gRPC server. It needs the extra `web`.",
    )
    app.add_argument(
        "--listen",
        type=types.address,
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help="address of the page; it asks for no password (default 127.0.0.1:8080)",
    )
    app.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another host name of the page (localhost, IP addresses, this machine's name need no flag)",
    )
    _add_server(app, "the gRPC server to call (default: one is started for the page)")


def _add_segment(commands: "_Commands[argparse.ArgumentParser]") -> None:
    segment = commands.add_parser(
        "segment",
        help="segment one photograph and draw the result",
        description="Write per count the photograph with the superpixels drawn on it, and a mask whose "
        "values are the labels; also one .spx label map with every count up to the largest. Print a table.",
    )
    segment.add_argument("photo", type=Path, metavar="PHOTO", help="JPEG, PNG or WebP file")
    _add_targets(
        segment, "numbers of superpixels (default 100 400 1600, or for a tiny photo its number of pixels)"
    )
    segment.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write to; created if missing"
    )
    _add_reading(segment)
    _add_guidance(segment, "FILE", "")
    _add_server(segment, "a server to have it done by (default: this process does it)")


def _add_bulk(commands: "_Commands[argparse.ArgumentParser]") -> None:
    bulk = commands.add_parser(
        "bulk",
        help="segment every image of a folder",
        description="Write DIR/a/b.jpg.spx for every FOLDER/a/b.jpg (and .jpeg, .jpe, .jfif, .pjpeg, .pjp, "
        ".png, .webp) and print its name. A run may be stopped (Ctrl-C, SIGTERM) or killed: the same command "
        "continues it, and tries failed images again. The end of the output names what was left out, and "
        "images that cannot be segmented; with such images the exit status is 1.",
    )
    bulk.add_argument("folder", type=Path, metavar="FOLDER", help="folder of images, subfolders included")
    bulk.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write to; created if missing"
    )
    _add_targets(bulk, "numbers of superpixels to keep (default: every number up to the image's base count)")
    bulk.add_argument(
        "--hierarchy",
        action="store_true",
        help="with --counts or --areas: also keep every number up to the largest",
    )
    _add_reading(bulk)
    _add_guidance(
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
    _add_server(bulk, "a server to have it done by (default: this process does it)")
    bulk.add_argument(
        "--jobs",
        type=types.positive,
        default=0,
        metavar="N",
        help="images in work at the same time (default: one per core; with a server, 8)",
    )
    bulk.add_argument(
        "--retry-for",
        type=types.patience,
        default=30.0,
        metavar="SECONDS",
        help="with --server: how long to wait for a server that stopped answering (default 30; 0: end at "
        "once)",
    )


def _add_train_smart(commands: "_Commands[argparse.ArgumentParser]") -> None:
    train = commands.add_parser(
        "train-smart",
        help="train the scorer of smart select on finished images",
        description="Train the scorer of smart select on images whose objects are known, in minutes on two "
        "cores, and print its score on images that were held out: the last tenth in the order of names.",
    )
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


def _add_inspect(commands: "_Commands[argparse.ArgumentParser]") -> None:
    inspect = commands.add_parser(
        "inspect",
        help="check an .spx label map and print its contents",
        description="Check an .spx label map from end to end and print its header, levels and sections.",
    )
    inspect.add_argument("file", type=Path, metavar="FILE", help=".spx file")
    _add_json(inspect)


def _add_info(commands: "_Commands[argparse.ArgumentParser]") -> None:
    info = commands.add_parser(
        "info",
        help="print what this installation or a server can do",
        description="Print version, engines and limits: of this installation, or of a server.",
    )
    _add_server(info, "ask this server (default: describe this installation)")
    _add_json(info)


def _add_health(commands: "_Commands[argparse.ArgumentParser]") -> None:
    health = commands.add_parser(
        "health",
        help="ask a server whether it accepts work",
        description="Ask by grpc.health.v1 and print the answer. Exit status 0 for SERVING, 1 for anything "
        "else: made for the health checks of containers.",
    )
    health.add_argument(
        "address", type=types.target, metavar="HOST:PORT", help="the server's --health-listen"
    )
    health.add_argument("--service", default="", metavar="NAME", help="one service (default: the server)")
    health.add_argument(
        "--timeout",
        type=types.seconds,
        default=2.0,
        metavar="SECONDS",
        help="how long to wait for the answer (default 2)",
    )


def _add_token(commands: "_Commands[argparse.ArgumentParser]") -> None:
    token = commands.add_parser(
        "token",
        help="create a token for callers of a server",
        description="Create a token. Standard output gets the line that admits it: add this line to the "
        "server's --token-file, which holds only the SHA-256 of each token. Standard error gets the token "
        "itself, this once.",
    )
    actions = token.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("new", help="create one", description=token.description)
    new.add_argument("name", metavar="NAME", help="the owner; the server's log shows it with each call")
    new.add_argument(
        "--scope",
        choices=_SCOPES,
        action="append",
        required=True,
        help="a right: segment (Segment), stream (SegmentStream), info (GetServerInfo); may be repeated",
    )


def _add_completion(commands: "_Commands[argparse.ArgumentParser]") -> None:
    completion = commands.add_parser(
        "completion",
        help="print a shell's completion of this command",
        description='Print a script that completes this command. For bash: eval "$(superpixel completion '
        'bash)" in ~/.bashrc; for zsh: superpixel completion zsh > a folder of $fpath, as _superpixel.',
    )
    completion.add_argument("shell", choices=_SHELLS)


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file of settings, by their names with _ (default: the one that SUPERPIXEL_CONFIG names); "
        "flags and the environment go before it",
    )
    for name, setting in Settings.model_fields.items():
        yes_or_no: dict[str, Any] = {"nargs": "?", "const": "true"} if setting.annotation is bool else {}
        default = "none" if setting.default is None else str(setting.default).lower()
        command.add_argument(
            flag(name),
            dest=name,
            default=argparse.SUPPRESS,  # not given: the environment or the default counts
            metavar="VALUE",
            help=f"{setting.description} (default {default})",
            **yes_or_no,
        )


def _add_targets(command: argparse.ArgumentParser, text: str) -> None:
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


def _add_reading(command: argparse.ArgumentParser) -> None:
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


def _add_guidance(command: argparse.ArgumentParser, metavar: str, where: str) -> None:
    command.add_argument(
        "--edges",
        type=Path,
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
        type=Path,
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
        type=Path,
        metavar=metavar,
        help="PNG of 8-bit gray: superpixels are (32 + value) / 32 times as dense there" + where,
    )


def _add_server(command: argparse.ArgumentParser, text: str) -> None:
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


def parameters(top: argparse.ArgumentParser, given: dict[str, Any], command: str) -> Parameters:
    """The parameters that the arguments of `segment` or `bulk` name; removes them from `given`."""
    names = ("counts", "areas", "compactness", "region", "first_frame", "orientation", "clamp")
    named = {name: given.pop(name) for name in names}
    targets = len(named["counts"]) + len(named["areas"])
    if targets > MAX_TARGETS:
        top.error(f"--counts and --areas: together at most {MAX_TARGETS}, got {targets}")
    if named["region"] is not None:
        named["region"] = tuple(named["region"])
    guidance = _guidance(top, given)
    hierarchy = command == "segment" or given.pop("hierarchy") or not targets
    if command == "segment" and not targets:
        named |= {"counts": _DEFAULT_COUNTS, "clamp": True}
    return Parameters(**named, hierarchy=hierarchy, guidance=guidance)


def _guidance(top: argparse.ArgumentParser, given: dict[str, Any]) -> GuidanceFiles | None:
    """The guidance that the arguments name; removes them from `given`."""
    maps = {name: given.pop(name) for name in ("edges", "prior", "importance")}
    needs = {"edge_weight": "edges", "prior_mode": "prior", "prior_weight": "prior", "prior_count": "prior"}
    values = {name: given.pop(name) for name in needs}
    for name, needed in needs.items():
        if values[name] is not None and maps[needed] is None:
            top.error(f"--{name.replace('_', '-')} needs --{needed}")
    if all(path is None for path in maps.values()):
        return None
    edge_weight, prior_weight = values["edge_weight"], values["prior_weight"]
    return GuidanceFiles(
        **maps,
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


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON object, for programs")
