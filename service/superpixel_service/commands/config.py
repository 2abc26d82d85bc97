"""`superpixel config`: the settings that `serve` would run with, and where each comes from."""

from collections.abc import Mapping
from pathlib import Path

from superpixel_service.commands.output import EXIT_OK, EXIT_USAGE, CommandFailed, write_json, write_table
from superpixel_service.config import ENVIRONMENT_PREFIX, Loaded, Origin, WrongSettings, flag, load


def run(*, json: bool, config: Path | None, **given: str) -> int:
    """Print the effective settings.

    Args:
        json: as one JSON object.
        config: the settings' file.
        given: the settings named on the command line.
    """
    loaded = read_settings(given, config)
    values = loaded.settings.model_dump(mode="json")
    if json:
        write_json({name: {"value": values[name], "origin": loaded.origins[name]} for name in values})
    else:
        write_table((name, _as_written(values[name]), _for_people(name, loaded)) for name in values)
    return EXIT_OK


def read_settings(given: Mapping[str, str], config: Path | None) -> Loaded:
    """The settings by command line, environment, file and defaults.

    Raises:
        CommandFailed: some are wrong; one line for each.
    """
    try:
        return load(given, config)
    except WrongSettings as error:
        raise CommandFailed(*error.lines, status=EXIT_USAGE) from None


def _as_written(value: object) -> str:
    """As it would be written on a command line."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _for_people(name: str, loaded: Loaded) -> str:
    origin = loaded.origins[name]
    names = {
        Origin.FLAG: f" {flag(name)}",
        Origin.ENVIRONMENT: f" {ENVIRONMENT_PREFIX}{name.upper()}",
        Origin.FILE: f" {loaded.file}",
    }
    return origin + names.get(origin, "")
