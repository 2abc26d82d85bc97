"""`superpixel config`: print the settings that `serve` would use, and the source of each."""

from collections.abc import Mapping
from pathlib import Path

from superpixel_service.commands.output import (
    EXIT_OK,
    EXIT_USAGE,
    CommandFailed,
    say,
    write_json,
    write_table,
)
from superpixel_service.config import ENVIRONMENT_PREFIX, flag
from superpixel_service.config_sources import Loaded, Origin, WrongSettings, load
from superpixel_service.resources import find_resources


def run(*, json: bool, config: Path | None, **flags: str) -> int:
    """Print the effective settings. For people also the cores and the memory found, on standard error.

    Args:
        json: print one JSON object.
        config: the TOML file of settings.
        flags: the settings named on the command line.
    """
    loaded = read_settings(flags, config)
    values = loaded.settings.model_dump(mode="json")
    if json:
        write_json({name: {"value": values[name], "origin": loaded.origins[name]} for name in values})
    else:
        found = find_resources()
        say(
            f"found {found.cores} cores (limited by: {found.cores_from}) and {found.memory_bytes:,} bytes of "
            f"memory (limited by: {found.memory_from}); at its limits the server needs "
            f"{loaded.settings.needed_bytes:,} bytes"
        )
        write_table((name, _as_flag_value(values[name]), _source(name, loaded)) for name in values)
    return EXIT_OK


def read_settings(flags: Mapping[str, str], config: Path | None) -> Loaded:
    """Load the settings from command line, environment, file and defaults.

    Raises:
        CommandFailed: some settings are wrong; there is one line per wrong setting.
    """
    try:
        return load(flags, config)
    except WrongSettings as error:
        raise CommandFailed(*error.lines, status=EXIT_USAGE) from None


def _as_flag_value(value: object) -> str:
    """The value as written on a command line."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _source(name: str, loaded: Loaded) -> str:
    """The origin of a setting, with the name of the flag, variable or file."""
    origin = loaded.origins[name]
    names = {
        Origin.FLAG: f" {flag(name)}",
        Origin.ENVIRONMENT: f" {ENVIRONMENT_PREFIX}{name.upper()}",
        Origin.FILE: f" {loaded.file}",
    }
    return origin + names.get(origin, "")
