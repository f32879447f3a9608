"""What has become of the rows that a query finds, from change to change: the source of a stream."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from typing import Final, NamedTuple

from streams.data import Record
from streams.query.compiled_filters import compiled
from streams.query.filters import Filter
from streams.query.query import Query
from streams.query.row_fields import EQUAL, KEY
from streams.server.http.changed_rows import ChangedRow, ChangedRows, TableChanges, continues_from
from streams.server.http.problems import Problem
from streams.server.http.row_forms import shown_row
from streams.server.http.shared_stream import Batch, Begin, First
from streams.server.http.stream_text import SharedEvent, StreamEvent
from streams.server.readmodel.change_log import ChangeEnd, place_text
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.row_json import to_json
from streams.server.readmodel.store_moment import StoreMoment

MOST: Final = 100_000
"""Keys that a stream knows to be in its query. With more, whoever sees all rows is told of each that is not in it, too."""
AT_ONCE: Final = 500
"""Rows that are read, and told, at a time to who begins."""
FAR: Final = 1_000
"""Changes that are not told yet: with more of them, nobody is let in before some are."""
LARGE: Final = 1024 * 1024
"""Bytes that are told at once, about, while the rows of a former schema are told."""
MOST_UNREADABLE: Final = 100
"""Rows that cannot be read here, of which a client is told by name when it begins."""
ANEW: Final = "anew"
"""The place of who sees some rows alone: a number would tell how many others there are."""


@dataclass(frozen=True)
class AskedRows:
    """`query` has the filters of the address and, if `restricted`, those of the principal. `key`: of this row alone.

    `refuse` raises a problem while the rows of a moment are not to be told, or those of none, which are not looked for in columns;
    `timely` for what is looked for too long in its block.
    """

    name: str
    table: str
    row_type: type[Record]
    query: Query
    key: str | None
    versioned: bool
    restricted: bool
    refuse: Callable[[StoreMoment | None], None]
    timely: Callable[[StoreMoment], AbstractContextManager[None]]

    @property
    def conditions(self) -> Sequence[Filter]:
        own = () if self.key is None else (Filter(KEY, EQUAL, self.key),)
        return (*own, *self.query.filters)


class ToldRow(NamedTuple):
    """What is told of a row that has changed at `tick`, if anything is. `stays`: it is in the query, as far as is known."""

    key: str
    tick: int
    event: StreamEvent | None
    stays: bool


class WatchedRows:
    """`put` tells a row that is in the query, `gone` the key of one that is not any more, `unreadable` one that does not read here.

    Nobody knows whether such a row is in the query, so each client is told, but for who sees some rows alone: nobody knows whose it
    is.
    """

    def __init__(self, model: ReadModel, asked: AskedRows, changes: TableChanges) -> None:
        self._model, self._asked, self._changes = model, asked, changes
        self._holds = compiled(asked.query.filters)
        self._form = tuple(asked.query.select or ()), asked.query.select is None, asked.restricted
        self._end: ChangeEnd | None = None
        self._members: set[str] | None = None
        """The keys of rows that are in the query; None: nobody knows, since there are no conditions, or too many rows."""

    def is_behind(self) -> bool:
        told = None if self._end is None else self._end.place
        if self._model.waits is not None:  # the file is read anew
            return False
        is_refused = self._asked.name in self._model.stopped or self._asked.name in self._model.unbuilt
        return is_refused or self._model.changes.get(self._asked.table) != told

    def is_far_behind(self) -> bool:
        place = self._model.changes.get(self._asked.table)
        if self._model.waits is not None or self._end is None or place is None:
            return False
        generation, _, tick = place.partition(".")
        return generation == self._end.generation and int(tick) - self._end.tick > FAR

    def advance(self) -> Batch:
        asked, before = self._asked, self._end
        if before is not None and asked.name not in self._model.reshaped:  # rows of a former schema do not decode
            asked.refuse(None)
            piece = self._changes.behind(before)
            if piece is not None:
                return self._tell(piece)
        with self._model.moment() as moment:
            return self._advance(moment, LARGE)

    def _tell(self, piece: ChangedRows) -> Batch:
        """What others who watch the table have made of these rows is told as it is."""
        if self._asked.key is not None:
            piece = piece.only(self._asked.key)
        puts, others = piece.told(("put", self._form)), piece.told(("other", self._form))
        members, events, came, left = self._members, list[StreamEvent](), list[str](), list[str]()
        for row, is_in in self._chosen(piece):
            key = row.key
            if is_in:
                told, event = puts, puts.get(key)
                came.append(key)
            elif row.problem is not None and not self._asked.restricted:
                told, event = others, others.get(key)
                came.append(key)
            elif members is None or key in members:
                told, event = others, others.get(key)
                left.append(key)
            else:
                continue
            if event is None:
                event = told[key] = SharedEvent(*self._event(row, piece.end, is_in=is_in))
            events.append(event)
        self._remember(came, left)
        self._end = piece.end
        return Batch(events, self._place(piece.end))

    def _chosen(self, piece: ChangedRows) -> Iterable[tuple[ChangedRow, bool]]:
        """With whether it is in the query."""
        if not self._asked.query.filters:
            return ((row, row.body is not None) for row in piece.rows)
        holds = self._holds
        pairs = zip(piece.rows, piece.records, strict=True)
        return ((row, record is not None and holds(row.key, record)) for row, record in pairs)

    def _event(self, row: ChangedRow, end: ChangeEnd, *, is_in: bool) -> StreamEvent:
        place = self._place(end, row.tick)
        if is_in and row.body is not None:
            return self._put(row.key, row.version, row.body, place)
        if row.problem is not None and not self._asked.restricted:
            return _unreadable_row(row.key, row.problem, place)
        return StreamEvent("gone", to_json({"key": row.key}), place)

    def _remember(self, came: Iterable[str], left: Iterable[str]) -> None:
        """Raises a 422 problem if more rows are in the query than are known, and others must not be told of."""
        if self._members is None:
            return
        self._members.update(came)
        self._members.difference_update(left)
        if len(self._members) > MOST:
            if self._asked.restricted:
                raise _too_many()
            self._members = None

    def _advance(self, moment: StoreMoment, most: float = inf) -> Batch:
        """By what the database finds: to the end of the moment, or until about so many bytes are told."""
        asked, before, end = self._asked, self._end, moment.change_end(self._asked.table)
        asked.refuse(moment)
        if before is None or not continues_from(end, before):
            self._members = self._found(moment)
            self._end = end
            return Batch((), self._place(end), reset=before is not None)
        changed = {} if end.tick == before.tick else moment.changed_keys(asked.table, before.tick, asked.key)
        told, size = list[ToldRow](), 0
        for it in self._told(moment, changed, self._members, end):
            told.append(it)
            size += 0 if it.event is None else len(it.event.data)
            if size >= most:
                end = end._replace(tick=it.tick)
                break
        self._remember([it.key for it in told if it.stays], [it.key for it in told if not it.stays])
        self._end = end
        return Batch([it.event for it in told if it.event is not None], self._place(end))

    def join(self, begin: Begin, held: ExitStack) -> tuple[Batch, First]:
        moment = held.enter_context(self._model.moment())
        batch = self._advance(moment)
        assert self._end is not None, "advanced to this moment"
        pieces = self._first(moment, self._end, begin)
        held.callback(pieces.close)
        if begin.how == "now":  # nothing of this moment is told
            found = [*pieces]
            held.close()
            return batch, First(iter(found))
        return batch, First(pieces)

    def _first(self, moment: StoreMoment, end: ChangeEnd, begin: Begin) -> Generator[Sequence[StreamEvent]]:
        """`end` is that of the moment: when this is read, the stream may have gone on."""
        tick = None if self._asked.restricted else tick_of(begin.place, end)
        if begin.how == "now":
            yield [StreamEvent("", b"", self._place(end))]
        elif begin.how == "place" and tick is not None:
            changed = moment.changed_keys(self._asked.table, tick, self._asked.key)
            told = (it.event for it in self._told(moment, changed, None, end))
            while some := [event for event in islice(told, AT_ONCE) if event is not None]:
                yield some
            yield [StreamEvent("", b"", self._place(end))]
        else:
            yield from self._snapshot(moment, self._place(end), reset=begin.how != "snapshot")

    def _snapshot(self, moment: StoreMoment, place: str, *, reset: bool) -> Iterator[Sequence[StreamEvent]]:
        """A client that comes back in the midst of it begins anew: before its end there is no place to go on from."""
        asked, columns = self._asked, self._model.columns[self._asked.name]
        if reset:
            yield [StreamEvent("reset", b"{}")]
        count, query = 0, replace(asked.query, filters=tuple(asked.conditions))
        found = moment.rows_of(asked.table, columns).all_rows(query)
        with asked.timely(moment):  # before the first row all may have to be looked through
            rows = next(found, ())
        while rows:
            yield [self._put(key, version, body) for key, version, body in rows]
            count += len(rows)
            rows = next(found, ())
        lacking, some = _unreadable(asked, moment, MOST_UNREADABLE)
        told = {"rows": count, "unreadable": lacking} if lacking else {"rows": count}
        yield [*(_unreadable_row(key, why) for key, why in some), StreamEvent("ready", to_json(told), place)]

    def _told(
        self, moment: StoreMoment, changed: Mapping[str, int], members: Set[str] | None, end: ChangeEnd
    ) -> Iterator[ToldRow]:
        """By the last change of each key. Without `members` each one that is not in the query is gone."""
        asked = self._asked
        pairs = [*changed.items()]
        for at in range(0, len(pairs), AT_ONCE):
            some = pairs[at : at + AT_ONCE]
            rows = moment.rows_among(asked.table, asked.row_type, [key for key, _ in some], asked.query.filters)
            missing = [] if asked.restricted else [key for key, _ in some if key not in rows]
            unreadable = moment.unreadable_among(asked.table, missing) if missing else {}
            for key, tick in some:
                place, event = self._place(end, tick), None
                if key in rows:
                    event = self._put(key, *rows[key], place)
                elif key in unreadable:
                    event = _unreadable_row(key, unreadable[key], place)
                elif members is None or key in members:
                    event = StreamEvent("gone", to_json({"key": key}), place)
                yield ToldRow(key, tick, event, key in rows or key in unreadable)

    def _put(self, key: str, version: int, body: bytes, place: str = "") -> StreamEvent:
        shown = shown_row(key, version, body, self._asked.query.select, versioned=self._asked.versioned)
        return StreamEvent("put", to_json(shown), place)

    def _place(self, end: ChangeEnd, tick: int | None = None) -> str:
        """Of a change up to this end, or of the end."""
        return ANEW if self._asked.restricted else place_text(end.generation, end.tick if tick is None else tick)

    def _found(self, moment: StoreMoment) -> set[str] | None:
        """The keys that are in the query; None: it is not known. Raises a 422 problem if others must not be told of."""
        asked = self._asked
        if not asked.query.filters:
            return None
        with asked.timely(moment):
            found = {*moment.some_keys(asked.table, asked.row_type, asked.conditions, MOST + 1)}
        found.update(key for key, _ in _unreadable(asked, moment, MOST + 1)[1])
        if len(found) <= MOST:
            return found
        if asked.restricted:
            raise _too_many()
        return None


def _too_many() -> Problem:
    return Problem(422, f"the stream is of more than {MOST} rows; ask for fewer, with filters")


def _unreadable(asked: AskedRows, moment: StoreMoment, most: int) -> tuple[int, Sequence[tuple[str, str]]]:
    """How many rows cannot be read here, and some of them with the reason; none for who sees some rows alone."""
    if asked.restricted:
        return 0, ()
    if asked.key is None:
        return moment.unreadable(asked.table, most)
    found = moment.unreadable_among(asked.table, [asked.key])
    return len(found), [*found.items()]


def _unreadable_row(key: str, why: str, place: str = "") -> StreamEvent:
    return StreamEvent("unreadable", to_json({"key": key, "problem": why}), place)


def tick_of(place: str, end: ChangeEnd) -> int | None:
    """The tick of a place; None: the changes after it are not known here."""
    generation, _, text = place.partition(".")
    tick = int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else -1
    return tick if generation == end.generation and end.dropped <= tick <= end.tick else None
