"""`superpixel config`: the settings that `serve` would run with, and where each comes from."""

from collections.abc import Mapping

from pydantic import ValidationError

from superpixel_service.commands.output import EXIT_OK, EXIT_USAGE, CommandFailed, write_json, write_table
from superpixel_service.config import ENVIRONMENT_PREFIX, Settings, explain, flag


def run(*, json: bool, **given: str) -> int:
    """Print the effective settings.

    Args:
        json: as one JSON object.
        given: the settings named on the command line.
    """
    settings = read_settings(given)
    origins = {name: _origin(name, given, settings) for name in Settings.model_fields}
    values = settings.model_dump(mode="json")
    if json:
        write_json({name: {"value": values[name], "origin": origins[name]} for name in origins})
    else:
        # Values as they would be written on a command line, so without separators.
        write_table((name, str(values[name]), _for_people(name, origins[name])) for name in origins)
    return EXIT_OK


def read_settings(given: Mapping[str, str]) -> Settings:
    """The settings by command line, environment and defaults.

    Raises:
        CommandFailed: some are wrong; one line for each.
    """
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise CommandFailed(*explain(error), status=EXIT_USAGE) from None


def _origin(name: str, given: Mapping[str, str], settings: Settings) -> str:
    if name in given:
        return "flag"
    return "environment" if name in settings.model_fields_set else "default"


def _for_people(name: str, origin: str) -> str:
    names = {"flag": f" {flag(name)}", "environment": f" {ENVIRONMENT_PREFIX}{name.upper()}"}
    return origin + names.get(origin, "")
