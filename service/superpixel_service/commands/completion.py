"""`superpixel completion`: a script that a shell sources to complete the command."""

import argparse

import shtab

from superpixel_service.commands.output import EXIT_OK, write
from superpixel_service.commands.parser import parser

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
"""What completes each argument, by its name in the parser."""


def run(*, shell: str) -> int:
    """Print the script."""
    whole = parser()
    for command in _commands(whole):
        for action in command._actions:  # noqa: SLF001 (argparse has no public way to its arguments)
            if action.dest in _PATHS:
                action.complete = _PATHS[action.dest]  # type: ignore[attr-defined]
    write(shtab.complete(whole, shell))
    return EXIT_OK


def _commands(whole: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        command
        for action in whole._actions  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction)  # noqa: SLF001
        for command in action.choices.values()
    ]
