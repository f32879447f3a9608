"""What a view is given of the past: all tables of one cut, each read as the view asks for it."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Any, Protocol, Self, TypeVar

from streams.app import App
from streams.engine.readable import readable, shortened
from streams.engine.records import REASON_LIMIT, Entry
from streams.errors import HistoryError
from streams.outcome import Rejected
from streams.view import Tables, View

T = TypeVar("T")


class TablesOfPast(Protocol):
    """Tables and projections by name. All may raise HistoryError."""

    app: App

    def entry(self, name: str, key: str) -> Entry:
        """One row and its version."""

    def whole(self, name: str) -> Mapping[str, Any]:
        """All rows, or a HistoryError if one of them cannot be told."""


class AskedTables:
    """What was asked for. `of` has the keys by table or projection; None: all of it."""

    def __init__(self) -> None:
        self.of: dict[str, set[str] | None] = {}

    def table(self, name: str) -> Self:
        self.of[name] = None
        return self

    def row(self, name: str, key: str) -> Self:
        keys = self.of.setdefault(name, set())
        if keys is not None:
            keys.add(key)
        return self


def view_of_past(store: TablesOfPast, view: View, names: Mapping[str, str], asked: AskedTables | None = None) -> object:
    """A view's answer; `asked` gets what it has read.

    Raises what the view raises; and the HistoryError of what it asked for and cannot be told, even if the view caught it.
    """
    tables = _PastTables(store, AskedTables() if asked is None else asked)
    found: object = None
    try:
        found = view.answer(Tables(tables), **names)
    except KeyboardInterrupt:
        raise
    except BaseException:
        if tables.refused is None:
            raise
    if tables.refused is not None:
        raise tables.refused
    return found


def no_answer(path: str, rejected: Rejected) -> str:
    """The sentence for who asks a view that has rejected the question."""
    return f"the view {path} has no answer: {readable(shortened(str(rejected.reason), REASON_LIMIT))}"


class _PastTables(Mapping[str, Mapping[str, Any]]):
    """`refused` is why something that was asked for cannot be told."""

    def __init__(self, store: TablesOfPast, asked: AskedTables) -> None:
        self.store, self.asked = store, asked
        self._names = [*(it.name for it in store.app.namespaces), *(it.name for it in store.app.projections)]
        self.refused: HistoryError | None = None

    def ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except HistoryError as error:
            self.refused = self.refused or error
            raise

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        if name not in self._names:
            raise KeyError(name)
        return _PastTable(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _PastTable(Mapping[str, Any]):
    """A row of a namespace that is asked for is folded alone; a loop makes the table."""

    def __init__(self, tables: _PastTables, name: str) -> None:
        self._tables, self._name = tables, name

    def _whole(self) -> Mapping[str, Any]:
        self._tables.asked.table(self._name)
        return self._tables.store.whole(self._name)

    def __getitem__(self, key: str) -> Any:
        self._tables.asked.row(self._name, key)
        row, _ = self._tables.ask(lambda: self._tables.store.entry(self._name, key))
        if row is None:
            raise KeyError(key)
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables.ask(self._whole))

    def __len__(self) -> int:
        return len(self._tables.ask(self._whole))

    def items(self) -> ItemsView[str, Any]:
        return self._tables.ask(self._whole).items()

    def values(self) -> ValuesView[Any]:
        return self._tables.ask(self._whole).values()
