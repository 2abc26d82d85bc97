"""`superpixel completion`: a shell's completion of the command, as a script to be sourced."""

import argparse

import shtab

from superpixel_service import cli
from superpixel_service.commands.output import EXIT_OK, write

_PATHS = {
    "photo": shtab.FILE,
    "file": shtab.FILE,
    "folder": shtab.DIRECTORY,
    "out": shtab.DIRECTORY,
    "config": shtab.FILE,
    "ca": shtab.FILE,
    "cert": shtab.FILE,
    "key": shtab.FILE,
    "token_file": shtab.FILE,
}
"""What to complete arguments with, by their names in the parser."""


def run(*, shell: str) -> int:
    """Print the script."""
    parser = cli.parser()
    for command in _commands(parser):
        for action in command._actions:  # noqa: SLF001 (argparse has no public way to its arguments)
            if action.dest in _PATHS:
                action.complete = _PATHS[action.dest]  # type: ignore[attr-defined]
    write(shtab.complete(parser, shell))
    return EXIT_OK


def _commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        command
        for action in parser._actions  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
        for command in action.choices.values()
    ]
