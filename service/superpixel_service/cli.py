"""The `superpixel` command: it parses the arguments, runs the command, and turns errors into exit statuses.

Exit status: 0 success; 1 failure (the last line on standard error says why); 2 wrong arguments; above 128 a
signal ended the command.
"""

import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence

from superpixel_service.commands.bulk_arguments import data_set_options
from superpixel_service.commands.image_arguments import parameters, target
from superpixel_service.commands.output import EXIT_FAILED, CommandFailed, reason, say
from superpixel_service.commands.parser import parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    _open_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names are bytes and need not be text; they are written unchanged.
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has closed it. The status is the shell's for this signal.
        _forget_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        _forget_output()
        say(reason(error))
        return EXIT_FAILED


def _run(arguments: Sequence[str] | None) -> int:
    arguments_parser = parser()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:2] == ["large", "export"]:
        words[:2] = ["large-export"]  # `large` takes any name of an image; argparse has no such subcommands
    given = vars(arguments_parser.parse_args(words))
    if "server" in given:
        given["server"] = target(arguments_parser, given)
    if given["command"] == "bulk":
        given["data_set"] = data_set_options(arguments_parser, given)
    if "counts" in given:
        given["parameters"] = parameters(arguments_parser, given, given["command"])
    # Only the command that runs is loaded: a health check must not load what a server needs.
    name = given.pop("command").replace("-", "_")
    command = importlib.import_module(f"superpixel_service.commands.{name}")
    try:
        status: int = command.run(**given)
    except CommandFailed as failure:
        say(*failure.lines)
        return failure.status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except MemoryError:
        say("there is not enough memory")
        return EXIT_FAILED
    return status


def _open_closed() -> None:
    """Open /dev/null for each standard stream that the parent process closed.

    Otherwise the next file or socket gets its number, and receives the messages meant for the stream.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, errors="replace"))


def _forget_output() -> None:
    """Discard all buffered output, so that flushing it at exit cannot fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
