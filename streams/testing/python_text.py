"""Values as Python source, with the imports that it needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any
from uuid import UUID

import msgspec

from streams.errors import ConfigError

OWN = ("datetime", "decimal", "typing", "uuid")
"""Modules of Python's own."""


def quoted(text: str) -> str:
    """A text in double quotes, where Python writes it in single ones, unless there are some in it."""
    plain = repr(text)
    return f'"{plain[1:-1]}"' if plain[0] == "'" and '"' not in plain and "\\'" not in plain else plain


class PythonText:
    """`of` gives a value's text; `imports` are the lines for all that it was asked for."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = defaultdict(set)

    def use(self, module: str, name: str) -> str:
        """A name of a module, to be imported. Raises ConfigError if another module's has the same name."""
        if any(name in names for other, names in self._names.items() if other != module):
            raise ConfigError(f"the test would import two classes of the name {name}, one of them from {module}")
        self._names[module].add(name)
        return name

    def imports(self) -> Iterator[str]:
        """Python's own first; then the others, in the order of their names."""
        own = [name for name in self._names if name in OWN]
        others = sorted(self._names.keys() - set(own))
        for group in (sorted(own), others):
            yield from (f"from {module} import {', '.join(sorted(self._names[module]))}" for module in group)
            if group:
                yield ""

    def of(self, value: Any) -> str:
        match value:
            case msgspec.Struct():
                return self._struct(value)
            case Mapping():
                return "{" + ", ".join(f"{self.of(key)}: {self.of(each)}" for key, each in value.items()) + "}"
            case tuple():
                inside = ", ".join(map(self.of, value))
                return f"({inside},)" if len(value) == 1 else f"({inside})"
            case list():
                return f"[{', '.join(map(self.of, value))}]"
            case datetime():
                return self._datetime(value)
            case timedelta():
                return self._timedelta(value)
        return self._plain(value)

    def _plain(self, value: Any) -> str:
        match value:
            case date():
                return f"{self.use('datetime', 'date')}({value.year}, {value.month}, {value.day})"
            case Decimal():
                return f"{self.use('decimal', 'Decimal')}({str(value)!r})"
            case UUID():
                return f"{self.use('uuid', 'UUID')}({str(value)!r})"
            case str():
                return quoted(value)
            case float() if not isfinite(value):
                return f"float({str(value)!r})"
        return repr(value)

    def _struct(self, value: msgspec.Struct) -> str:
        cls = type(value)
        defaults = {field.name: field for field in msgspec.structs.fields(cls)}
        given = [
            f"{name}={self.of(getattr(value, name))}"
            for name in value.__struct_fields__
            if defaults[name].required or getattr(value, name) != defaults[name].default
        ]
        return f"{self.use(cls.__module__, cls.__qualname__)}({', '.join(given)})"

    def _datetime(self, value: datetime) -> str:
        at = value.astimezone(UTC)
        parts = [at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond]
        while len(parts) > 3 and parts[-1] == 0:
            parts.pop()
        return f"{self.use('datetime', 'datetime')}({', '.join(map(str, parts))}, tzinfo={self.use('datetime', 'UTC')})"

    def _timedelta(self, value: timedelta) -> str:
        parts = {"days": value.days, "seconds": value.seconds, "microseconds": value.microseconds}
        given = [f"{name}={number}" for name, number in parts.items() if number]
        return f"{self.use('datetime', 'timedelta')}({', '.join(given) or '0'})"
