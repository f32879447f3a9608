"""Read-only answers: tables as views and tests see them."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast, runtime_checkable
from urllib.parse import unquote

from streams.data import Record
from streams.namespace import Namespace
from streams.projection import Projection
from streams.query.compiled_filters import compiled
from streams.query.filters import Filter, filters_of

R = TypeVar("R", bound=Record)


@runtime_checkable
class FindsRows(Protocol):
    """Rows that are found faster than by looking at each."""

    def find(self, conditions: Sequence[Filter]) -> Mapping[str, Record]: ...


class Table(Mapping[str, R]):
    """The rows of one namespace or projection by key, read-only: a mapping, so all that reads a dict reads a table.

    `table[key]` is the row or raises KeyError, and `table.get(key)` is the row or None. Iterating gives keys in no order that
    means anything: sort where it matters.

        for key, row in table.items(): ...
        total = sum(row.balance for row in table.values())

    Args:
        rows: The rows by key.
        row_type: The class of the rows; None: it is that of the first one.

    """

    def __init__(self, rows: Mapping[str, R], row_type: type[R] | None = None) -> None:
        self._rows, self._row_type = rows, row_type

    def where(self, **conditions: object) -> dict[str, R]:
        """The rows of which all conditions hold, by key: `table.where(customer="c7", total__gte=5)`.

        A name alone is equality, with None for no value. Behind `__` stands an operator: `ne`, `in`, `notin` and `isnull` for
        every field of one value; `lt`, `lte`, `gt` and `gte` for numbers, times and texts; `startswith` and `contains` for
        texts; `has` for arrays of single values. `_key` is the key, and `**{"address.city": "Graz"}` a field inside a part.
        Where a server has declared an index, it is used; otherwise every row is looked at.

        Args:
            conditions: Values by the names of fields, with operators; of the field's type, for `in` and `notin` a list of such.

        Raises:
            InvalidQuery: The rows have no such field, the field has no such operator, or the value is of another type.

        """
        row_type = self._row_type or next((type(row) for row in self._rows.values()), None)
        if row_type is None:
            return {}
        asked = filters_of(row_type, conditions)
        if isinstance(self._rows, FindsRows):
            return cast("dict[str, R]", self._rows.find(asked))
        holds = compiled(asked)
        return {key: row for key, row in self._rows.items() if holds(key, row)}

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
        return Table(cast("Mapping[str, R]", self._rows.get(source.name, {})), source.row_type)


@dataclass(frozen=True)
class View:
    """A question across keys: a function of the tables, computed when somebody asks `GET /views/<path>`.

    Args:
        path: Such as `orders-of/{customer}`. A name in braces stands for one part of the path.
        answer: A pure function, called with the Tables and, by keyword, a text for each name in braces. It returns what JSON
            can hold, rows included. A number arrives as a text too: convert it. Where it has no answer, such as for a name
            that there is not, it raises Rejected: who asks gets a 404 with the reason.

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
