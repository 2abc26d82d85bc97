"""Reference pages generated from the Python sources: settings, commands, and public names of the packages."""

import argparse
import inspect
import os
from collections.abc import Iterator
from unittest import mock

import superpixel_kernels
from superpixel_service.commands.parser import parser
from superpixel_service.config import ENVIRONMENT_PREFIX, Settings, flag

FOLDER = "docs/reference"

PACKAGES = {
    "client": ("The Python client", "superpixel_service.client"),
    "in-process": ("Without a server", "superpixel_service.in_process"),
    "interactive": ("Objects by points and boxes", "superpixel_service.interactive"),
    "exports": ("Exports in Python", "superpixel_service.client.exports"),
    "selection": ("Selections in Python", "superpixel_service.client.selection"),
    "engine": ("The engine in Python", "superpixel_kernels"),
    "errors": ("The engine's errors", "superpixel_kernels.errors"),
    "codec": ("Label maps in Python", "superpixel_kernels.codec"),
}
"""Per page: its title, and the module whose public names it lists."""


def pages() -> dict[str, str]:
    """The pages, as {path: text}."""
    texts = {
        "settings": _settings(),
        "commands": _commands(),
        **{name: f"# {title}\n\n`{module}`\n\n::: {module}\n" for name, (title, module) in PACKAGES.items()},
    }
    texts["engine"] += "\n".join(("", "## From C++", "", *_native(), ""))
    return {f"{FOLDER}/{name}.md": text for name, text in texts.items()}


def _native() -> Iterator[str]:
    """The docstrings of the compiled module, which mkdocstrings cannot read."""
    compiled = superpixel_kernels.Workspace.__module__
    for name in superpixel_kernels.__all__:
        thing = getattr(superpixel_kernels, name)
        if getattr(thing, "__module__", "") != compiled:
            continue
        module = superpixel_kernels.__name__
        yield from (f"### {name} {{ #{module}.{name} }}", "", f"`{module}.{name}`", "")
        if not inspect.isclass(thing):
            yield from (*_described(name, thing), "")
            continue
        yield from (inspect.getdoc(thing) or "", "")
        members = {"": thing.__init__} | {key: it for key, it in vars(thing).items() if key[0] != "_"}
        for member, described in members.items():
            yield from _described(f"{name}.{member}".rstrip("."), described)
        yield ""


def _described(name: str, thing: object) -> Iterator[str]:
    """A list entry: the signature of a function or the name of a property, then the docstring."""
    signature, _, text = (thing.__doc__ or "").partition("\n\n")
    if "(" not in signature.partition(" ")[0]:  # a property has no signature
        signature, text = "", signature
    shown = signature.replace("__init__(", f"{name}(").replace("(self, ", "(").replace("(self)", "()")
    yield f"- `{shown or name.rpartition('.')[2]}`  " + (f"\n    {' '.join(text.split())}" if text else "")


def _settings() -> str:
    return "\n".join(
        (
            "# Settings of the server",
            "",
            "Each setting is a flag of `superpixel serve`, an environment variable and a key in a TOML file; "
            "[which one wins](../service.md#configuration). `superpixel config` prints the values.",
            "",
            "| in TOML, flag, variable | default | |",
            "|---|---|---|",
            *_rows(),
            "",
        )
    )


def _rows() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        bounds = {type(bound).__name__: bound for bound in field.metadata}
        parts = [
            *(f"at least {_number(name, bounds[kind].ge)}" for kind in ("Ge",) if kind in bounds),
            *(f"above {_number(name, bounds[kind].gt)}" for kind in ("Gt",) if kind in bounds),
            *(f"at most {_number(name, bounds[kind].le)}" for kind in ("Le",) if kind in bounds),
        ]
        bounded = f" ({', '.join(parts)})" if parts else ""
        default = "" if field.default is None else _number(name, field.default)
        names = "<br>".join(f"`{it}`" for it in (name, flag(name), f"{ENVIRONMENT_PREFIX}{name.upper()}"))
        yield f"| {names} | {default} | {field.description}{bounded} |"


def _number(name: str, value: object) -> str:
    """A value with units and separators."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"`{str(value).lower() if isinstance(value, bool) else value}`"
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if name.endswith("_bytes") and value and value % size == 0:
            return f"{value // size:g} {unit}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"


def _commands() -> str:
    # A fixed width and no colours, whatever the terminal is.
    with mock.patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"}):
        sections = list(_help(parser()))
    return "\n".join(
        (
            "# All commands",
            "",
            "The output of `--help`. [The command line](../command-line.md) has what all commands share.",
            *sections,
        )
    )


def _help(command: argparse.ArgumentParser, depth: int = 1) -> Iterator[str]:
    if depth > 1:
        yield from ("", f"{'#' * depth} {command.prog}")
    yield from ("", "```text", command.format_help().rstrip(), "```")
    for action in command._actions:  # noqa: SLF001  # argparse has no public name for its commands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for each in action.choices.values():
                yield from _help(each, depth + 1)
