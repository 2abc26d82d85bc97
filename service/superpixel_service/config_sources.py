"""Where the settings come from: flags, the environment, a TOML file, defaults."""

import difflib
import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from superpixel_service.config import ENVIRONMENT_PREFIX, Settings, flag

FILE_VARIABLE = "SUPERPIXEL_CONFIG"
"""Names the TOML file if no flag does."""


class Origin(StrEnum):
    """The source of a setting's value."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


class WrongSettings(Exception):
    """The settings are wrong.

    Attributes:
        lines: one per error.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and the source of each.

    Attributes:
        file: the TOML file that was read, if any.
    """

    settings: Settings
    origins: Mapping[str, Origin]
    file: Path | None


def load(flags: Mapping[str, str], file: Path | None = None) -> Loaded:
    """The settings from flags, environment, file and defaults; the first that has a value counts.

    Args:
        flags: values given on the command line, by the settings' names.
        file: the TOML file; None: the one that `SUPERPIXEL_CONFIG` names, if any.

    Raises:
        WrongSettings: a setting or the file is wrong.
    """
    if file is None and os.environ.get(FILE_VARIABLE):
        file = Path(os.environ[FILE_VARIABLE])
    layers = {
        Origin.FILE: {} if file is None else _read_file(file),
        Origin.ENVIRONMENT: EnvSettingsSource(Settings)(),
        Origin.FLAG: flags,
    }
    origins = dict.fromkeys(Settings.model_fields, Origin.DEFAULT)
    values: dict[str, object] = {}
    for origin, layer in layers.items():
        values |= layer
        origins |= dict.fromkeys(layer, origin)
    try:
        return Loaded(Settings(**values), origins, file)  # type: ignore[arg-type]
    except ValidationError as error:
        from_file = {name for name, origin in origins.items() if origin is Origin.FILE}
        raise WrongSettings(*explain(error, from_file, file)) from None


def _read_file(path: Path) -> dict[str, object]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise WrongSettings(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except UnicodeDecodeError:
        raise WrongSettings(f"{path}: must be TOML, in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise WrongSettings(f"{path}: must be TOML: {error}") from None
    problems = [_problem(path, name, value) for name, value in values.items()]
    lines = [problem for problem in problems if problem is not None]
    if lines:
        raise WrongSettings(*lines)
    return values


def _problem(path: Path, name: str, value: object) -> str | None:
    field = Settings.model_fields.get(name)
    if field is None:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), Settings.model_fields, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        return f"{path}: there is no setting {name!r}{meant}"
    if isinstance(value, bool) and field.annotation is not bool:  # Python would accept it as 0 or 1
        return f"{name} in {path}: must not be true or false"
    return None


def explain(error: ValidationError, from_file: Collection[str] = (), file: Path | None = None) -> list[str]:
    """One line per wrong setting: its names, and what would be right.

    Args:
        error: the validation error.
        from_file: names of the settings whose values come from `file`.
        file: the settings' file.
    """
    lines = []
    for problem in error.errors(include_url=False):
        text = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if not problem["loc"]:
            lines.append(text)
            continue
        name = str(problem["loc"][0])
        names = (
            f"{name} in {file}" if name in from_file else f"{flag(name)} ({ENVIRONMENT_PREFIX}{name.upper()})"
        )
        lines.append(f"{names}: {text}; got {problem['input']!r}")
    return lines
