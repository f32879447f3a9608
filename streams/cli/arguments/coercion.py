"""How the values of arguments and options are read. Typer's own way loads Pydantic first, half the time of a short command.

Ours are texts, lists of texts, flags, and what a parser makes of a text; of any other kind, Typer reads it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import typer

from streams.engine.readable import shortened


class ValueReader:
    """In the place of what Typer would make for a parameter; `coerce` is what it asks of it."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ARG002 - Typer gives it
        """Raises BadParameter, to which Typer adds the option's name."""
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        return [self._one(each) for each in value] if many else self._one(value)

    def _one(self, value: Any) -> Any:
        if self._parser is not None:
            return self._parser(value)
        if isinstance(value, str) and not _is_unicode(value):
            raise typer.BadParameter(f"it is {shortened(value, 80)!a}; text in UTF-8 was expected.")
        return value


def _is_unicode(text: str) -> bool:
    """Not with bytes in it that could not be decoded: Python keeps these as halves of surrogate pairs."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def read_without_pydantic(parameters: list[Any]) -> list[Any]:
    """The same parameters, as Typer has made them for a command."""
    for parameter in parameters:
        kind = getattr(parameter, "type_descriptor", None)
        parser = getattr(getattr(kind, "parameter_info", None), "parser", None)
        if parser is not None or getattr(kind, "annotation", None) in (bool, str, list[str]):
            parameter.get_runtime_param = partial(ValueReader, parser)
    return parameters
