"""Read-only answers: tables as views and tests see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast
from urllib.parse import unquote

from streams.data import Record
from streams.namespace import Namespace
from streams.projection import Projection

R = TypeVar("R", bound=Record)


class Table(Generic[R]):
    """The rows of one namespace or projection, by key."""

    def __init__(self, rows: Mapping[str, R]) -> None:
        self._rows = rows

    def get(self, key: str) -> R | None:
        return self._rows.get(key)

    def where(self, **equal: object) -> dict[str, R]:
        """The rows whose fields equal the values given."""
        return {key: row for key, row in self._rows.items() if all(getattr(row, n) == v for n, v in equal.items())}

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class Tables:
    """All tables by name: the memory image."""

    def __init__(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        self._rows = rows

    def of(self, source: Namespace[R] | Projection[R]) -> Table[R]:
        return Table(cast("Mapping[str, R]", self._rows.get(source.name, {})))


@dataclass(frozen=True)
class View:
    """`path` may hold names in braces (`orders-of/{customer}`); `answer(tables, **names)` computes the answer."""

    path: str
    answer: Callable[..., object]

    def match(self, path: str) -> dict[str, str] | None:
        """The names that `path` gives, percent-decoded, so that one may hold a slash; None if it is no path of this view."""
        wanted, given = self.path.strip("/").split("/"), [unquote(part) for part in path.strip("/").split("/")]
        pairs = list(zip(wanted, given, strict=False))
        if len(wanted) != len(given) or not all(part == value or part.startswith("{") for part, value in pairs):
            return None
        return {part[1:-1]: value for part, value in pairs if part.startswith("{")}
