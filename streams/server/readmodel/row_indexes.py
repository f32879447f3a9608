"""The declared indexes of a file: made when all was read once, and fitted to what is declared when it is opened again."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any

from streams.app import App
from streams.namespace import Namespace
from streams.projection import Projection
from streams.query.declared_indexes import TableIndex, index_text
from streams.server.readmodel.row_columns import column_name, marked, quoted
from streams.server.readmodel.store_schema import projection_table, row_table

PREFIX = "by "
"""Of the names of declared indexes: `by order: status,-placed`."""


def index_statements(of: Namespace[Any] | Projection[Any]) -> Mapping[str, str]:
    """By the name of each declared index, what makes it."""
    table = row_table(of.name) if isinstance(of, Namespace) else projection_table(of.name)
    names = {f"{PREFIX}{of.name}: {marked(index_text(index))}": index for index in of.indexes}
    return {name: f"create index if not exists {quoted(name)} on {table}({_columns(index)})" for name, index in names.items()}


def _columns(index: TableIndex) -> str:
    parts = [(column_name(part.field.name), part.falling) for part in index]
    return ", ".join(f"{name} desc" if falling else name for name, falling in [*parts, ("key", index[-1].falling)])


def all_index_statements(app: App, without: Collection[str] = ()) -> Mapping[str, str]:
    """Those of all tables, but of some `without` which are made again for another schema."""
    tables: list[Namespace[Any] | Projection[Any]] = [*app.namespaces, *app.projections]
    return {name: text for of in tables if of.name not in without for name, text in index_statements(of).items()}


def make_indexes(db: sqlite3.Connection, of: Namespace[Any] | Projection[Any]) -> None:
    """Those of a table that was put in the place of another one. Raises sqlite3.Error."""
    for statement in index_statements(of).values():
        db.execute(statement)


def fit_indexes(db: sqlite3.Connection, app: App, reshaped: Collection[str]) -> list[str]:
    """Drop those that are not declared any more; returns what makes those that are missing. Raises sqlite3.Error."""
    there = {name for (name,) in db.execute("select name from sqlite_master where type = 'index'") if name.startswith(PREFIX)}
    wanted, kept = all_index_statements(app), all_index_statements(app, reshaped)
    for name in there - wanted.keys():
        db.execute(f"drop index {quoted(name)}")
    return [text for name, text in kept.items() if name not in there]
