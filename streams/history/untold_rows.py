"""The rows of a past that cannot be told, and what that means for the table that they are missing in.

An event of theirs was erased or is not kept, or the code has changed its mind: its handler now rejects, or fails at, what was
accepted. The rule, on the command line, over HTTP and in Python: a row that is asked for alone is refused. A list of rows has the
others, and names those that are missing, with why. A view that reads a whole table is refused, since it would not see that rows are
missing. A projection is folded from events and not from rows: only an event that is gone is missing there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from streams.data import namespace_of
from streams.engine.readable import named
from streams.errors import BeforeHistory, CodeChanged, HistoryError
from streams.history.past import Past, erased_row, refuse_erased
from streams.history.recorded_event import Place
from streams.projection import Projection

NAMED = 5
"""Rows whose keys are in an error."""


class UntoldRows(Mapping[str, str]):
    """By key, why a row of one namespace cannot be told.

    Those of which an event was erased, or is not kept, are known at once, and the others are added by who folds them.
    """

    def __init__(
        self,
        past: Past,
        namespace: str,
        goes_on: Callable[[Place], bool] = lambda _: False,
        keys: Iterable[str] | None = None,
    ) -> None:
        """`goes_on`: whether a row is told all the same, since it is kept from behind what is gone.

        `keys`: of these alone it is looked whether something is gone; None: of all.
        """
        self._namespace = namespace
        gone = past.erased_keys(namespace) if keys is None else keys
        found = {key: erased_row(past, (namespace, key)) for key in gone if not goes_on((namespace, key))}
        self._errors: dict[str, BeforeHistory | CodeChanged] = {key: it for key, it in found.items() if it is not None}

    def add(self, key: str, error: BeforeHistory | CodeChanged) -> None:
        """A row that the code cannot fold, or of which it is not known up to which event."""
        self._errors[key] = error

    def discard(self, key: str) -> None:
        """A row that is told again."""
        self._errors.pop(key, None)

    def refuse(self) -> None:
        """Raises the first row's error if there is any: what is made of the others would be wrong."""
        if not self._errors:
            return
        keys, count = [*self], len(self)
        some = "one of its rows" if count == 1 else f"{count:,} of its rows"
        shown = ", ".join(repr(named(key)) for key in keys[:NAMED]) + (f" and {count - NAMED:,} more" if count > NAMED else "")
        text = (
            f"the table {self._namespace} is needed whole, and {some} cannot be told ({shown}; `retold get {self._namespace}` as "
            "of this time tells the others, and why each of these is missing). The first: "
        )
        error = self._errors[keys[0]]
        raise BeforeHistory(text + str(error)) if isinstance(error, BeforeHistory) else CodeChanged(text + error.why)

    @property
    def by_code(self) -> int:
        """How many of them another version of the code can tell."""
        return sum(isinstance(it, CodeChanged) for it in self._errors.values())

    def __getitem__(self, key: str) -> str:
        error = self._errors[key]
        return error.why if isinstance(error, CodeChanged) else str(error)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._errors))

    def __len__(self) -> int:
        return len(self._errors)

    def __contains__(self, key: object) -> bool:
        return key in self._errors


def refuse_erased_of(past: Past, projection: Projection[Any]) -> None:
    """Raises BeforeHistory if an event was erased that a projection may have folded: its type is not known any more."""
    for namespace in sorted({namespace_of(it.event_type) for it in projection.folds_by}):
        for key in past.erased_keys(namespace):
            try:
                refuse_erased(past, (namespace, key))
            except BeforeHistory as error:
                raise BeforeHistory(f"the projection {projection.name} cannot be told: {error}") from error


def refuse_corrected(log: Past, projection: Projection[Any]) -> None:
    """Raises HistoryError if a log was corrected: steps have set rows, and what had happened instead is not in it."""
    for it in log.steps():
        raise HistoryError(
            f"the projection {projection.name} cannot be told: {it.name} is a step of the correction {it.event.data.correction}, "
            "and what that makes of the events that it folds cannot be told"
        )
