"""What is in a recorded past, to look at: events, rows, views and stories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple, TypeVar, cast, overload

from streams.data import Record
from streams.errors import DefinitionError, NoSuchEvent
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.put_in_event import PutInEvent, put_in_event
from streams.history.cut_past import CutPast
from streams.history.event_lookup import Find
from streams.history.history_table import HistoryTable
from streams.history.past import Past
from streams.history.past_tables import PastTables
from streams.history.recorded_event import RecordedEvent
from streams.history.story.event_corrections import EventCorrections
from streams.history.story.named_event import nothing_happened
from streams.history.story.story import DEPTH, DEPTH_OF_ROW, LAST, KeyStory, Story, Storyteller
from streams.history.story.waiting import NothingWaits, Waiting
from streams.history.unread_event import is_folded
from streams.history.when.condition import Condition, FunctionCondition
from streams.history.when.predicate import Predicate
from streams.history.when.when import Turn, Turns, events_told
from streams.namespace import Namespace
from streams.projection import Projection
from streams.view import Table

R = TypeVar("R", bound=Record)


class HistorySource(NamedTuple):
    """What all histories that are made of one have from it.

    `find` looks up an event by name. Nothing that was recorded until `frontier` (µs) can change any more; None: nothing at all
    can. `close` lets its file go. `corrected` has the corrections so far, if there is any.
    """

    find: Find
    frontier: int | None = None
    close: Callable[[], None] = lambda: None
    corrected: CorrectedLog | None = None


class HistoryContents:
    """The part of a History that tells what was."""

    _is_imagined = False
    """Whether it is a branch, or the past as of a time."""

    def __init__(
        self, past: Past, handlers: ApplicationHandlers, source: HistorySource, waiting: Waiting | None = None
    ) -> None:
        self.app = handlers.app
        self._past, self._handlers, self._source = past, handlers, source
        self._waiting = waiting or NothingWaits()

    def __len__(self) -> int:
        return len(self._past)

    def events(self) -> Iterator[RecordedEvent]:
        """All events that were handled, in the order of the past."""
        return self._past.events()

    def event(self, name: str) -> RecordedEvent:
        """One event.

        Args:
            name: Its id, its position in the log (`user-3:7`), or its `reference`.

        Raises:
            NoSuchEvent: There is none, or several have this id.

        """
        return self._source.find(self._past, name)

    @cached_property
    def _tables(self) -> PastTables:
        return PastTables(self._past, self._handlers)

    @overload
    def table(self, source: Namespace[R]) -> HistoryTable[R]: ...

    @overload
    def table(self, source: Projection[R]) -> Table[R]: ...

    def table(self, source: Namespace[R] | Projection[R]) -> Table[R]:
        """The rows of a namespace or projection: `history.table(order)["o1"].status`.

        Of a namespace one row is folded alone; all are folded together, once. Its `untold` has the rows that cannot be told.

        Args:
            source: The namespace or projection itself; the table is empty if it is none of this application.

        Raises:
            BeforeHistory: A projection may have folded an event that was erased.
            DefinitionError: A name was given.

        """
        if isinstance(source, str):
            raise DefinitionError(f"the table of {source!r} was asked for by its name; its namespace or projection was expected")
        if source.name in {space.name for space in self.app.namespaces}:
            return HistoryTable(self._tables.table(source.name), source.row_type)
        known = source.name in {projection.name for projection in self.app.projections}
        return Table(cast("Mapping[str, R]", self._tables.of(source.name) if known else {}), source.row_type)

    def held_back(
        self, source: Namespace[Any] | Projection[Any] | None = None, key: str | None = None
    ) -> list[RecordedEvent]:
        """Of a past as of a time: the events that had happened by then and are not in it, since each depends on a later one.

        Each counts from its `high` on. Empty if this is no past as of a time.

        Args:
            source: Those that would change the rows of this namespace, or this projection; None: all.
            key: Of a namespace, those of this row alone.

        Returns:
            The events in the order of their times.

        Raises:
            DefinitionError: The application does not have this namespace.

        """
        past = self._past
        if not isinstance(past, CutPast):
            return []
        events: Iterable[RecordedEvent] = past.whole.events()
        if isinstance(source, Projection):
            events = (it for it in events if it.accepted and is_folded(source, it))
        elif source is not None:
            name = self._space(source).name
            events = past.whole.namespace_events(name) if key is None else past.whole.key_events((name, key))
        return sorted(filter(past.is_held_back, events), key=lambda it: (it.event.time, it.order))

    def view(self, path: str) -> Any:
        """A view's answer: `history.view("orders-of/c7")`.

        Args:
            path: The view's path, with values in place of the names in braces.

        Raises:
            DefinitionError: There is no such view. The message names those that there are.
            HistoryError: It reads a row that cannot be told, or loops over a table of which one cannot.

        """
        return self._tables.view(path)

    def story(self, name: str, *, depth: int = DEPTH) -> Story:
        """What led to an event, from its root on, and what followed, with what each step made of its row.

        An event that a correction has taken out has the story that it had before that.

        Args:
            name: The event, as for `event`; also one that is in no log, since a correction put it in, by its id.
            depth: How many levels of consequences are told.

        Raises:
            NoSuchEvent: As for `event`.

        """
        try:
            return self._storyteller.of_event(self.event(name), depth)
        except NoSuchEvent:
            if self._is_imagined or (corrected := self._source.corrected) is None:
                raise
            found = put_in_event(corrected, self._past, self._handlers, name) or self._in_log(corrected.log, name)
            return self._teller(found.past).of_event(found.event, depth)

    def _in_log(self, log: Past, name: str) -> PutInEvent:
        """An event that a correction has taken out. Raises NoSuchEvent."""
        return PutInEvent(log, self._source.find(log, name))

    def row_story(
        self, namespace: Namespace[Any] | str, key: str, *, depth: int = DEPTH_OF_ROW, last: int = LAST
    ) -> KeyStory:
        """What happened to a row, and what waits for it.

        Args:
            namespace: The row's namespace, or its name.
            key: The row's key.
            depth: How many levels of consequences are told of each event.
            last: How many events are told; `earlier` counts the others.

        Raises:
            NoSuchEvent: Nothing ever happened to it.
            BeforeHistory: All of its events were erased, or are not kept.
            DefinitionError: The application does not have this namespace.

        """
        place = self._space(namespace).name, key
        found = self._storyteller.of_key(place, depth, last)
        if found is None:
            raise nothing_happened(self._past, place)
        return found

    @cached_property
    def _storyteller(self) -> Storyteller:
        return self._teller(self._past)

    def _teller(self, past: Past) -> Storyteller:
        corrected = self._source.corrected
        corrections = () if corrected is None else corrected.corrections
        return Storyteller(past, self._handlers, self._waiting, EventCorrections(corrections, self._handlers.codec))

    @staticmethod
    def _asked(space: Namespace[Any], condition: str | Callable[[Any], bool]) -> Condition:
        return Predicate(condition, space.row_type) if isinstance(condition, str) else FunctionCondition(condition)

    def _space(self, namespace: Namespace[Any] | str) -> Namespace[Any]:
        return self.app.namespace(namespace if isinstance(namespace, str) else namespace.name)

    def when(
        self, namespace: Namespace[R] | str, key: str, condition: str | Callable[[R], bool]
    ) -> list[Turn]:
        """After which events a condition began to hold of a row, and ceased to. Empty if it never held.

        A row that this code cannot tell is told again from a correction's step on, which sets it. What held of it in between is not
        known: the turn at such a step, if there is one, may have come earlier. `retold when` says from where to where that is.

        Args:
            namespace: The row's namespace, or its name.
            key: The row's key.
            condition: A text, as `retold when` takes it (`"status == 'paid'"`), or a function of the row. Where there is no row
                it does not hold, but for a text that asks for `row is None`.

        Raises:
            InvalidEvent: The text is no condition. The message says what is understood.
            HistoryError: The condition cannot be asked of one of the rows (the message names the event), or one of the row's events
                was erased.
            DefinitionError: The application does not have this namespace.

        """
        space = self._space(namespace)
        return list(Turns(self._asked(space, condition), self._handlers).take(events_told(self._past, (space.name, key))))
