"""The tables that a view reads: complete ones only, all of one moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from streams.query.filters import Filter
from streams.server.http.problems import RETRY_AFTER, Problem
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.store_moment import PermittedTable, StoreMoment
from streams.server.readmodel.unbuilt_tables import unbuilt_tables

NOT_BUILT: Final = "rows-not-built"


class TableSnapshot(Mapping[str, Mapping[str, Any]]):
    """All tables by name, read row by row as the view asks for them. `only` has conditions on the rows that are there.

    `refused` is the reason if a table was not complete. The view's answer is dropped then, even if the view caught the error.
    """

    def __init__(self, model: ReadModel, moment: StoreMoment, only: Mapping[str, Sequence[Filter]]) -> None:
        self._model, self._moment, self._only = model, moment, only
        self._found: dict[str, Mapping[str, Any]] = {}
        self.asked = set[str]()
        """The names of tables that were asked for."""
        self.refused: Problem | None = None

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        """A table. Raises a problem if it is not complete."""
        if name not in self._found:
            self.asked.add(name)
            try:
                self._found[name] = self._take(name)
            except Problem as problem:
                self.refused = problem
                raise
        return self._found[name]

    def _take(self, name: str) -> Mapping[str, Any]:
        model = self._model
        if name in model.reshaped and name not in model.missing:
            done = model.rebuilding.get(name, 0)
            raise Problem(
                503, f"the rows of {name} are made again for their present schema, {done} % are done", headers=RETRY_AFTER
            )
        if (projected := model.projected.get(name)) is not None:
            check(model, name)
            return self._permitted(projected, name)
        refuse_rows(model, name)
        table = model.tables[name]
        count, some = self._moment.unreadable(table, 1)
        if count:
            [(key, reason)] = some
            raise Problem(
                503, f"{count} rows of {name} do not read here, the first is {key!r:.200}: {reason}", headers=RETRY_AFTER
            )
        return self._permitted(table, name)

    def _permitted(self, table: str, name: str) -> Mapping[str, Any]:
        rows, conditions = self._moment.table(table, self._model.decoders[name]), self._only.get(name)
        return rows if conditions is None else PermittedTable(rows, conditions)

    def __iter__(self) -> Iterator[str]:
        return iter([*self._model.tables, *self._model.projected])

    def __len__(self) -> int:
        return len(self._model.tables) + len(self._model.projected)


def check(model: ReadModel, name: str) -> None:
    """Raises a problem for a projection: 500 if its fold raised, until that is corrected; 503 if a log is stuck, or it is new."""
    refuse_new(model, name)
    if name in model.stopped:
        raise Problem(500, stands_still(name))
    stuck = [why for partition, why in model.stuck.items() if partition[0] in model.folded_by[name]]
    if stuck:
        raise Problem(503, f"the projection {name} lacks events: {stuck[0]}", headers=RETRY_AFTER)


def stands_still(name: str) -> str:
    """Of a stopped one, for whoever may read it. What its code raised is not told: data of others may be in it."""
    return f"the projection {name} stands still, since its code failed at an event: /-/status tells an administrator how"


def refuse_new(model: ReadModel, name: str) -> None:
    """Raises a 503 problem for a namespace or a projection of which nothing is here yet."""
    if name in model.missing:
        done = model.rebuilding.get(name, 0)
        what = f"the projection {name} is new, and folded" if name in model.projected else f"the namespace {name} is new, and read"
        raise Problem(503, f"{what} from all logs: {done} % are done", headers=RETRY_AFTER)


def refuse_rows(model: ReadModel, name: str) -> None:
    """The same of a namespace's rows, and for those of a generation that is not there: without them its table would seem empty.

    To be called again once rows are read: they may have taken the place of those of another generation meanwhile.
    """
    refuse_new(model, name)
    unbuilt = model.unbuilt if name not in model.reshaped else unbuilt_tables(model.readers, model.app)
    if (why := unbuilt.get(name)) is not None:
        raise Problem(503, why, kind=NOT_BUILT, headers=RETRY_AFTER)
