"""The arguments of the `superpixel` command. Their names are the parameter names of each command's `run`."""

import argparse
from pathlib import Path
from typing import Any

from superpixel_service import __version__
from superpixel_service.commands import argument_types as types
from superpixel_service.commands import (
    bulk_arguments,
    http_arguments,
    large_arguments,
    migrate_arguments,
    train_smart_arguments,
)
from superpixel_service.commands.image_arguments import (
    add_guidance,
    add_mask,
    add_reading,
    add_server,
    add_targets,
)
from superpixel_service.config import ENVIRONMENT_PREFIX, Settings, flag
from superpixel_service.contract import IMAGE_FILE

_SHELLS = ("bash", "zsh")
_SCOPES = ("segment", "stream", "info", "stores")


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
    http_arguments.add_http(
        commands.add_parser("http", help="serve the HTTP API", description=http_arguments.DESCRIPTION)
    )
    _add_segment(commands)
    bulk_arguments.add_bulk(
        commands.add_parser(
            "bulk", help="segment every image of a folder or data set", description=bulk_arguments.DESCRIPTION
        )
    )
    migrate_arguments.add_migrate(
        commands.add_parser(
            "migrate",
            help="move label maps and selections to new superpixels, pixel for pixel",
            description=migrate_arguments.DESCRIPTION,
        )
    )
    train_smart_arguments.add_train_smart(
        commands.add_parser(
            "train-smart",
            help="train the scorer of smart select on finished images",
            description=train_smart_arguments.DESCRIPTION,
        )
    )
    large_arguments.add_large(
        commands.add_parser(
            "large",
            help="segment an image that may be larger than memory, into a store",
            description=large_arguments.DESCRIPTION,
        )
    )
    large_arguments.add_export(
        commands.add_parser(
            "large-export",
            prog="superpixel large export",
            help="export superpixels of a store; also as `large export`",
            description=large_arguments.EXPORT_DESCRIPTION,
        )
    )
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
    add_server(app, "the gRPC server to call (default: one is started for the page)")
    app.add_argument(
        "--store",
        default="",
        metavar="STORE",
        help="annotate this store of a large image (`superpixel large`), without a gRPC server",
    )
    app.add_argument(
        "--selection",
        type=Path,
        metavar="FILE",
        help="file that keeps the work on the store (default STORE.selection.json)",
    )
    app.add_argument(
        "--static",
        type=Path,
        metavar="DIR",
        help="serve nothing: write the page to DIR as plain files, for any web server. Superpixels are then "
        "made in the browser",
    )


def _add_segment(commands: "_Commands[argparse.ArgumentParser]") -> None:
    segment = commands.add_parser(
        "segment",
        help="segment one photograph and draw the result",
        description="Write per count the photograph with the superpixels drawn on it, and a mask whose "
        "values are the labels; also one .spx label map with every count up to the largest. Print a table.",
    )
    segment.add_argument("photo", type=Path, metavar="PHOTO", help=IMAGE_FILE)
    add_targets(
        segment, "numbers of superpixels (default 100 400 1600, or for a tiny photo its number of pixels)"
    )
    segment.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write to; created if missing"
    )
    add_reading(segment)
    add_guidance(segment, "FILE", "")
    add_mask(segment)
    add_server(segment, "a server to have it done by (default: this process does it)")


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
        description="Print version, engines and limits: of this installation, or of a server. With --store: "
        "size, superpixels, levels and place of a store of the server.",
    )
    add_server(info, "ask this server (default: describe this installation)")
    info.add_argument("--store", default="", metavar="NAME", help="describe this store of the server")
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
        help="a right: segment (Segment), stream (SegmentStream), info (GetServerInfo), "
        "stores (StoreService); may be repeated",
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


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print one JSON object, for programs")
