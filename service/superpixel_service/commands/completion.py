"""`superpixel completion`: print a script with which a shell completes the command."""

import argparse

import shtab

from superpixel_service.commands.output import EXIT_OK, write
from superpixel_service.commands.parser import parser

_PATHS = {
    "photo": shtab.FILE,
    "file": shtab.FILE,
    "source": shtab.FILE,
    "report": shtab.FILE,
    "out": shtab.DIRECTORY,
    "config": shtab.FILE,
    "ca": shtab.FILE,
    "cert": shtab.FILE,
    "key": shtab.FILE,
    "token_file": shtab.FILE,
}
"""The kind of path that completes each argument, by the argument's name in the parser."""


def run(*, shell: str) -> int:
    """Print the script."""
    top = parser()
    for command in _commands(top):
        for action in command._actions:  # noqa: SLF001 (argparse has no public access to its arguments)
            if action.dest in _PATHS:
                action.complete = _PATHS[action.dest]  # type: ignore[attr-defined]
    write(shtab.complete(top, shell))
    return EXIT_OK


def _commands(top: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        command
        for action in top._actions  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
        for command in action.choices.values()
    ]
