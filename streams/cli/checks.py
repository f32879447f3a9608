"""What `retold check` finds, and what a worker must not start with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from streams.app import App
from streams.cli import exits
from streams.cli.screen import json_line, plural, say, talk
from streams.config import BY_NAME, Config, load
from streams.errors import ConfigError, DefinitionError, StreamsError
from streams.laws import check, cycles
from streams.load import application, events_file
from streams.schemas.files import read_all
from streams.schemas.generate import verify


@dataclass(frozen=True, order=True)
class Found:
    """One breach; `law` is the name of the error that it would be at run time, empty for schemas."""

    file: str
    line: int
    law: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


def report(as_json: bool) -> int:
    """Tell every breach; gives the exit code."""
    config = load()
    has_schemas(config)
    found = of_schemas(config)
    try:
        app = application(config)
    except StreamsError as error:
        if not found:
            raise
        _tell(found, as_json)
        talk(f"Besides, the application does not load: {error}")
        return exits.NO
    found += of_application(config, app)
    _tell(found, as_json)
    for way in cycles(app):
        talk(f"For information, a cycle: {' → '.join([*way, way[0]])}. See that it ends.")
    if found:
        talk(f"{plural(len(found), 'breach', 'breaches')} of the laws in {app.name}.")
        return exits.NO
    talk(f"{app.name} keeps the laws: {plural(len(app.event_types()), 'event')}, each with its one handler.")
    return exits.OK


def _tell(found: list[Found], as_json: bool) -> None:
    for breach in found:
        if as_json:
            json_line({"file": breach.file, "line": breach.line, "law": breach.law or None, "message": breach.message})
        else:
            say(str(breach))


def has_schemas(config: Config) -> bool:
    """Whether there is a folder of schemas. Code may be deployed without one, since its classes bring their schemas.

    Raises ConfigError if a folder was named and is not there: that is a slip, which would leave its schemas unchecked.
    """
    if config.schemas.is_dir():
        return True
    if config.schemas == config.project / BY_NAME["schemas"].default:
        return False
    raise ConfigError(
        f"RETOLD_SCHEMAS, or schemas in [tool.retold], is {str(config.schemas)!r}; the path of a folder that is there was "
        "expected. Correct it, or remove it where the application runs without schema files."
    )


def of_schemas(config: Config) -> list[Found]:
    """What is wrong with the schema files, the lock and the generated classes."""
    breaches = verify(config.schemas, events_file(config))
    return [Found(shown(breach.file), breach.line, "", breach.message) for breach in breaches]


def of_application(config: Config, app: App) -> list[Found]:
    """What is wrong with the application. Without schema files it stands alone, as a deployed one does."""
    names = None
    if has_schemas(config):
        files, _ = read_all(config.schemas)
        names = {file.name: str(file.path) for file in files}
    return [Found(shown(b.file), b.line, b.law, b.message) for b in check(app, names)]


def lawful(config: Config) -> App:
    """The application, once nothing was found. Raises DefinitionError with one line for each breach.

    Raises ConfigError for a folder of schemas that was named and is not there.
    """
    found = of_schemas(config) if has_schemas(config) else []
    try:
        app = application(config)
    except StreamsError as error:
        if found:
            raise DefinitionError("\n".join(map(str, found))) from error
        raise
    if found := [*found, *of_application(config, app)]:
        lines = "\n".join(map(str, found))
        raise DefinitionError(f"{lines}\nThe worker does not start: `retold check` shows these too.")
    return app


def shown(file: str | Path) -> str:
    """A path as a person would type it from here."""
    relative = os.path.relpath(file)
    return str(file) if relative.startswith("..") else relative
