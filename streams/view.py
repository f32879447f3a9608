"""Read-only answers: tables as views and tests see them."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import unquote

from streams.data import Record
from streams.namespace import Namespace
from streams.projection import Projection

R = TypeVar("R", bound=Record)


class Table(Mapping[str, R]):
    """The rows of one namespace or projection by key, read-only: a mapping, so all that reads a dict reads a table.

    `table[key]` is the row or raises KeyError, and `table.get(key)` is the row or None. Iterating gives keys in no order that
    means anything: sort where it matters.

        for key, row in table.items(): ...
        total = sum(row.balance for row in table.values())

    Args:
        rows: The rows by key.

    """

    def __init__(self, rows: Mapping[str, R]) -> None:
        self._rows = rows

    def where(self, **equal: object) -> dict[str, R]:
        """The rows whose fields equal the values given, by key: `table.where(customer="c7")`. It looks at every row.

        Args:
            equal: Values by the names of fields.

        Raises:
            AttributeError: The rows have no such field.

        """
        return {key: row for key, row in self._rows.items() if all(getattr(row, n) == v for n, v in equal.items())}

    def __getitem__(self, key: str) -> R:
        return self._rows[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def items(self) -> ItemsView[str, R]:
        """Keys and rows: of a server's table they are read in one pass."""
        return self._rows.items()

    def values(self) -> ValuesView[R]:
        """The rows, as `items` has them."""
        return self._rows.values()

    def __repr__(self) -> str:
        return f"<Table: {len(self)} row{'' if len(self) == 1 else 's'}>"


class Tables:
    """All tables of an application: what a view is given. No table changes while the view looks, and all are of one moment.

    On a server a table is read row by row as the view asks for it: `table[key]` is one look-up, a loop reads them all.

    Args:
        rows: By the name of a namespace or projection, its rows by key.

    """

    def __init__(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        self._rows = rows

    def of(self, source: Namespace[R] | Projection[R]) -> Table[R]:
        """The table of a namespace or projection; an empty one if it is none of this application.

        Args:
            source: The namespace or projection itself, so that the type checker knows the class of the rows.

        """
        return Table(cast("Mapping[str, R]", self._rows.get(source.name, {})))


@dataclass(frozen=True)
class View:
    """A question across keys: a function of the tables, computed when somebody asks `GET /views/<path>`.

    Args:
        path: Such as `orders-of/{customer}`. A name in braces stands for one part of the path.
        answer: A pure function, called with the Tables and, by keyword, a text for each name in braces. It returns what JSON
            can hold, rows included. A number arrives as a text too: convert it.

    """

    path: str
    answer: Callable[..., object]

    def match(self, path: str) -> dict[str, str] | None:
        """The values of the names in braces in a path, percent-decoded, so that one may contain a slash.

        Args:
            path: A path as it stands in an address, without `/views/`.

        Returns:
            A text for each name; None if it is no path of this view.

        """
        wanted, given = self.path.strip("/").split("/"), [unquote(part) for part in path.strip("/").split("/")]
        pairs = list(zip(wanted, given, strict=False))
        if len(wanted) != len(given) or not all(part == value or part.startswith("{") for part, value in pairs):
            return None
        return {part[1:-1]: value for part, value in pairs if part.startswith("{")}
