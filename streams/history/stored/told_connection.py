"""A connection whose errors are sentences, for a program that has no other answer to them."""

from __future__ import annotations

import sqlite3
from typing import Any, Self

from streams.errors import HistoryError


class ToldCursor(sqlite3.Cursor):
    """Raises HistoryError."""

    def execute(self, *arguments: Any) -> Self:
        try:
            super().execute(*arguments)
        except sqlite3.Error as error:
            raise _told(error) from error
        return self

    def fetchall(self) -> list[Any]:
        try:
            return super().fetchall()
        except sqlite3.Error as error:
            raise _told(error) from error

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except sqlite3.Error as error:
            raise _told(error) from error


class ToldConnection(sqlite3.Connection):
    """Raises HistoryError where a Connection raises sqlite3.Error."""

    def execute(self, *arguments: Any) -> ToldCursor:
        try:
            return self.cursor(ToldCursor).execute(*arguments)
        except sqlite3.Error as error:  # also of the connection: it is closed
            raise _told(error) from error


def _told(error: sqlite3.Error) -> HistoryError:
    if isinstance(error, sqlite3.ProgrammingError):
        why = "it is closed" if "closed" in str(error) else "another thread has opened it, and it is used by one alone"
        return HistoryError(f"this history cannot be asked: {why}. Ask within its `with` block, and open one for each thread")
    return HistoryError(f"the file of this history cannot be read: {error}. `retold history --export` writes another one")
