"""A page of rows as SQL: filtered by equality of fields, sorted, and continued behind the last row of the page before."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streams.server.readmodel.row_columns import COMPARED, RowColumn, quoted

LIMIT = 50


@dataclass(frozen=True)
class RowQuery:
    """A query for rows. `sort` is a field, empty for the key; `after` is the value in it and the key of the last row before."""

    equal: Mapping[str, Any]
    sort: str = ""
    falling: bool = False
    limit: int = LIMIT
    after: tuple[Any, str] | None = None

    @property
    def order(self) -> str:
        return f"{'-' if self.falling else ''}{self.sort or '_key'}"

    def sql(self, table: str, columns: Sequence[RowColumn]) -> tuple[str, list[Any]]:
        """Gives key, version, body and the value that is sorted by, of one row more than the page has."""
        by_name = {column.field: column for column in columns}
        sort = by_name[self.sort].name if self.sort else "null"
        conditions, values = ["body is not null"], list[Any]()
        for name, value in self.equal.items():
            _add_equal(by_name[name], value, conditions, values)
        if self.after is not None:
            self._add_after(by_name.get(self.sort), conditions, values)
        direction = " desc" if self.falling else ""
        order = f"key{direction}" if not self.sort else f"{sort} is null, {sort}{direction}, key{direction}"
        text = f"select key, version, body, {sort} from {table} where {' and '.join(conditions)} order by {order} limit ?"
        return text, [*values, self.limit + 1]

    def _add_after(self, column: RowColumn | None, conditions: list[str], values: list[Any]) -> None:
        value, key = self.after or (None, "")
        beyond = "<" if self.falling else ">"
        if column is None:
            conditions.append(f"key {beyond} ?")
            values.append(key)
        elif value is None:
            conditions.append(f"({column.name} is null and key {beyond} ?)")
            values.append(key)
        else:
            name, kept = column.name, column.bind(value)
            conditions.append(f"({name} {beyond} ? or ({name} = ? and key {beyond} ?) or {name} is null)")
            values += [kept, kept, key]


def _add_equal(column: RowColumn, value: Any, conditions: list[str], values: list[Any]) -> None:
    if value is None:
        conditions.append(f"{column.name} is null")
        return
    conditions.append(f"{column.name} = ?")
    values.append(column.bind(value))
    if isinstance(value, str | bytes) and len(value) >= COMPARED:  # the column has its beginning alone
        conditions.append("json_extract(cast(body as text), ?) = ?")
        values += [f"$.{quoted(column.field)}", value if isinstance(value, str) else b64encode(value).decode()]
