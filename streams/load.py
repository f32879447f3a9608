"""Loads what a setting or an option names: `module:function` of the project."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streams.app import App
from streams.config import Config
from streams.errors import ConfigError, StreamsError

NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def application(config: Config) -> App:
    """The application that `app` in [tool.retold] or RETOLD_APP names.

    Raises ConfigError if none is named, if it is not found or is no App, and whatever DefinitionError its code raises.
    """
    name = _named(config)
    factory = function(config, name, "RETOLD_APP, or app in [tool.retold],")
    app = _within(config, name, factory)
    if not isinstance(app, App):
        raise ConfigError(f"{name} gave a {type(app).__name__}; a streams.App was expected.")
    return app


def _named(config: Config) -> str:
    """The `module:function` of the application. There is no default: in a wrong folder a command would use another application."""
    if config.app is not None:
        return config.app
    file = config.project / "pyproject.toml"
    if file.is_file():
        missing = f'[tool.retold] app = "PACKAGE:app" is missing in {file}. Write it, go to your project'
    else:
        missing = f"there is no pyproject.toml in {config.project} or above. Go to your project"
    raise ConfigError(f"no application is named: {missing}, or begin with `retold new shop`.")


def function(config: Config, name: str, where: str) -> Callable[..., Any]:
    """The function of a `module:function`. `where` names the setting or option for messages. Raises ConfigError."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{where} is {name!r}; module:function was expected, such as processors.publish:from_row.")
    module_name, _, attribute = name.partition(":")
    folder = str(config.project)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = _within(config, name, lambda: _module(module_name, where, config.project))
    found = getattr(module, attribute, None)
    if found is None:
        raise ConfigError(f"{where} is {name!r}, and {_file_of(module)} has no {attribute!r}: correct the name.")
    if not callable(found):
        raise ConfigError(f"{where} is {name!r}, which is a {type(found).__name__}; a function was expected.")
    result: Callable[..., Any] = found
    return result


def _module(name: str, where: str, project: Path) -> object:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise ConfigError(
                f"{where} names the module {name!r}, and there is none below {project}. "
                "Go to the project's folder, or correct the name."
            ) from error
        raise


def _within(config: Config, name: str, call: Callable[[], Any]) -> Any:
    """The result of the project's code; an error in it is reported with its file and line."""
    try:
        return call()
    except StreamsError:
        raise
    except SyntaxError as error:
        where = f"{error.filename}:{error.lineno}: " if error.filename else ""  # none for a text with null bytes
        raise ConfigError(f"{where}{error.msg}; so {name} cannot be loaded.") from error
    except KeyboardInterrupt:  # Ctrl-C
        raise
    except BaseException as error:  # also SystemExit, which would end the command as if all were well
        where = _last_line(error, config.project)
        raise ConfigError(f"{where}{type(error).__name__}: {error}; so {name} cannot be loaded.") from error


def _last_line(error: BaseException, project: Path) -> str:
    """`file:line: ` of the innermost line that belongs to the project."""
    others = (Path(__file__).parent, Path(sys.prefix))
    theirs = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if (file := Path(frame.filename)).is_relative_to(project) and not any(file.is_relative_to(it) for it in others)
    ]
    return f"{theirs[-1].filename}:{theirs[-1].lineno}: " if theirs else ""


def _file_of(module: object) -> str:
    return getattr(module, "__file__", None) or repr(module)


def events_file(config: Config) -> Path:
    """The file of the generated classes: `events.py` beside the application's module.

    Found without importing it, because the application cannot be imported before the classes are there.
    Raises ConfigError if no application is named.
    """
    parts = _named(config).partition(":")[0].split(".")
    package = config.project.joinpath(*parts)
    return (package if package.is_dir() else package.parent) / "events.py"
