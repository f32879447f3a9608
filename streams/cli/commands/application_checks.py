"""What `retold check` reports, and what keeps a worker from starting."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from streams.app import App
from streams.checks import check
from streams.cli.output.screen import displayed
from streams.config import BY_NAME, Config
from streams.errors import ConfigError, DefinitionError, InvalidSchema, StreamsError
from streams.load import application, events_file
from streams.schemas.files import expected_name, read_all
from streams.schemas.generate import verify


@dataclass(frozen=True, order=True)
class Finding:
    """One breach; `law` is the name of the error that it would be at run time, empty for schemas."""

    file: str
    line: int
    law: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


def has_schemas(config: Config) -> bool:
    """Whether there is a folder of schemas. Code may be deployed without one, since its classes bring their schemas.

    Raises ConfigError if a folder is named and does not exist: a slip, which would leave its schemas unchecked.
    """
    if config.schemas.is_dir():
        return True
    if config.schemas == config.project / BY_NAME["schemas"].default:
        return False
    raise ConfigError(
        f"RETOLD_SCHEMAS, or schemas in [tool.retold], is {str(config.schemas)!r}; the path of an existing folder was "
        "expected. Correct it, or remove it where the application runs without schema files."
    )


def of_schemas(config: Config) -> list[Finding]:
    """What is wrong with the schema files, the lock and the generated classes."""
    breaches = verify(config.schemas, events_file(config))
    return [Finding(displayed(breach.file), breach.line, "", breach.message) for breach in breaches]


def of_application(config: Config, app: App) -> list[Finding]:
    """What is wrong with the application. Without schema files it stands alone, as a deployed one does."""
    names = None
    if has_schemas(config):
        files, breaches = read_all(config.schemas)
        names = _names_by_path(config.schemas, [breach.file for breach in breaches])
        names |= {file.name: str(file.path) for file in files}
    return [Finding(displayed(b.file), b.line, b.law, b.message) for b in check(app, names)]


def _names_by_path(folder: Path, unreadable: Iterable[Path]) -> dict[str, str]:
    """The names of schemas whose files are there and cannot be read: they are not missing too."""
    found: dict[str, str] = {}
    for path in unreadable:
        with contextlib.suppress(InvalidSchema, ValueError):
            found[expected_name(path.relative_to(folder))] = str(path)
    return found


def lawful(config: Config) -> App:
    """The application, if nothing was found. Raises DefinitionError with one line for each breach.

    Raises ConfigError for a folder of schemas that is named and does not exist.
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
        raise DefinitionError(f"{lines}\nThe worker does not start; `retold check` reports the same.")
    return app
