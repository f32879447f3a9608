"""`retold new`: a new application from the files in `template/`, its classes generated."""

from __future__ import annotations

import keyword
import re
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.output.screen import say, talk
from streams.config import current_folder
from streams.errors import ConfigError
from streams.schemas.generate import generate

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
TAKEN = frozenset({"retold", "streams", "tests", "schemas"})
"""Names that would hide a package or a folder which the application needs."""


def new(
    name: Annotated[str, typer.Argument(help="Name of the application, its folder and its package.", metavar="NAME")],
) -> None:
    """Create a new application that runs and passes its own test.

    Example: [bold]retold new shop[/]
    """
    folder = write(name, current_folder())
    talk(f"{folder.name}/ is written. Next:")
    say(f"  cd {folder.name}")
    say("  retold check                                  # does it keep the laws?")
    say("  python -m pytest                              # its test, without a broker")
    say("  retold run                                    # a broker, a worker and a server, until Ctrl-C")
    say("  retold publish item.receive item=tea count=3  # in another terminal")
    say("  retold get item tea")


def write(name: str, below: Path) -> Path:
    """The new folder. Raises ConfigError for a name that cannot be one, and if the folder exists."""
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name in TAKEN or name in sys.stdlib_module_names:
        raise ConfigError(
            f"{name!r} cannot be the name of an application: lower-case letters, digits and _ were expected, starting with a "
            f"letter, and neither a Python keyword, a standard module, nor one of {', '.join(sorted(TAKEN))}."
        )
    folder = below / name
    try:
        folder.mkdir()
        _copy(files("streams.cli").joinpath("template"), folder, name)
        generate(folder, Path("schemas"), Path(name) / "events.py")
    except FileExistsError as error:
        raise ConfigError(f"{folder} already exists: choose another name, or move it away.") from error
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}.") from error
    return folder


def _copy(source: Traversable, to: Path, name: str) -> None:
    """PACKAGE and {{name}} become the name. A file's `.txt` keeps tools from reading it as what it becomes."""
    for entry in source.iterdir():
        target = to / entry.name.removesuffix(".txt").replace("PACKAGE", name)
        if entry.is_dir():
            target.mkdir()
            _copy(entry, target, name)
        else:
            target.write_text(entry.read_text(encoding="utf-8").replace("{{name}}", name), encoding="utf-8")
