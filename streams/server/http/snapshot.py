"""The tables that a view reads: complete ones only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streams.server.http.problems import RETRY_AFTER, Problem
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.tables import ProjectionRows


class TableSnapshot(Mapping[str, Mapping[str, Any]]):
    """All tables by name, each copied at its first use. To be used in a thread, since a copy may block.

    `refused` is the reason if a table was not complete. The view's answer is dropped then, even if the view caught the error.
    """

    def __init__(self, model: ReadModel) -> None:
        self._model = model
        self._found: dict[str, Mapping[str, Any]] = {}
        self.refused: Problem | None = None

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        """A table. Raises a problem if it is not complete."""
        if name not in self._found:
            try:
                self._found[name] = self._take(name)
            except Problem as problem:
                self.refused = problem
                raise
        return self._found[name]

    def _take(self, name: str) -> Mapping[str, Any]:
        model = self._model
        projected = model.projections.get(name)
        if projected is not None:
            copy, _ = model.copy(projected, lambda: None)
            check(model, projected)
            return copy.rows
        copy, _ = model.copy(model.tables[name], lambda: None)
        if copy.unreadable:
            key, reason = next(iter(copy.unreadable.items()))
            raise Problem(
                503, f"{len(copy.unreadable)} rows of {name} do not read here, the first is {key!r:.200}: {reason}",
                headers=RETRY_AFTER,
            )  # fmt: skip
        return copy.rows

    def __iter__(self) -> Iterator[str]:
        return iter([*self._model.tables, *self._model.projections])

    def __len__(self) -> int:
        return len(self._model.tables) + len(self._model.projections)


def check(model: ReadModel, projected: ProjectionRows) -> None:
    """Raises a problem: 500 if a fold raised, until it is corrected; 503 if a log is stuck, until its schema arrives."""
    if projected.fault is not None:
        raise Problem(500, projected.fault)
    stuck = [why for partition, why in model.stuck.items() if partition[0] in projected.namespaces]
    if stuck:
        name = projected.projection.name
        raise Problem(503, f"the projection {name} lacks events: {stuck[0]}", headers=RETRY_AFTER)
