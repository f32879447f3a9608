"""The versions of an application that a seeded run deploys, one after the other and beside each other.

The first has a bug, by which some events are parked. The second does the same in another way, without the bug. The third has
rows with one more field, which has a default. Each reads what the others wrote, and decides as they do.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec

from streams import App, Event, Namespace, Outcome
from streams.codec import AvroCodec, codec_of
from streams.data import EventData, Record
from tests.applications import bank, shop, timed
from tests.applications.bank.events import TransferStart
from tests.applications.shop.events import OrderPlace
from tests.applications.timed.events import AlarmTouch
from tests.support.other_code import REFACTORINGS, Change, Handler, with_change

KINDS: Mapping[str, Callable[[], App]] = {"bank": bank.app, "timed": timed.app, "shop": shop.app}
ODD: Mapping[type[EventData], Callable[[Any], bool]] = {
    TransferStart: lambda it: it.amount % 20 == 7,
    AlarmTouch: lambda it: it.number == 8 and it.after > 0,
    OrderPlace: lambda it: len(it.lines) == 2 and it.lines[0] == it.lines[1],
}
"""What the first version's bug is about, some events in a hundred."""


@cache
def codecs(kind: str) -> tuple[AvroCodec, AvroCodec, AvroCodec]:
    """Of the versions; whoever learns a schema needs a copy. Making them takes longer than much of a run."""
    older, newer = codec_of(KINDS[kind]()), codec_of(with_newer_rows(KINDS[kind]()))
    return older, older, newer


class Bug(Exception):
    """Raised by the first version's handlers."""


def versions(kind: str, dice: random.Random) -> list[App]:
    """Of the application `kind`, oldest first; the last is right about all that any of them wrote."""
    good = KINDS[kind]()
    changed, refactoring = good, dice.choice(REFACTORINGS)
    for space in good.namespaces:
        for event in space.handlers:
            changed = with_change(changed, event, refactoring)
    return [_with_bug(good), changed, with_newer_rows(good)]


def _with_bug(app: App) -> App:
    [event] = [it for space in app.namespaces for it in space.handlers if it in ODD]
    return with_change(app, event, _raising(ODD[event]))


def _raising(is_odd: Callable[[Any], bool]) -> Change:
    def change(handler: Handler) -> Handler:
        def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
            if is_odd(event.data):
                raise Bug("the first version cannot do this")
            return handler(row, event)

        return changed

    return change


def with_newer_rows(app: App) -> App:
    """The application whose rows have another field, which the older ones have by default."""
    return replace(app, namespaces=[_with_newer_rows(space) for space in app.namespaces])


def _with_newer_rows(space: Namespace[Any]) -> Namespace[Any]:
    older = space.row_type
    newer = _newer(older)
    made: Namespace[Any] = Namespace(space.name, row=newer)
    for event, handler in space.handlers.items():
        made.handles(event, emits=list(space.emits[event]))(_on(older, newer, handler))
    return made


def _on(older: type[Record], newer: type[Record], handler: Handler) -> Handler:
    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        outcome = handler(None if row is None else _as(older, row), event)
        return outcome if outcome.row is None else Outcome(_as(newer, outcome.row), emit=outcome.emit)

    return changed


def _as(cls: type[Record], row: Record) -> Record:
    return cls(**{name: getattr(row, name) for name in _shared_fields(cls, type(row))})


@cache
def _shared_fields(one: type[Record], other: type[Record]) -> tuple[str, ...]:
    return tuple(name for name in one.__struct_fields__ if name in other.__struct_fields__)


@cache
def _newer(row: type[Record]) -> type[Record]:
    schema = json.loads(row.schemas[-1])
    schema["fields"].append({"name": "note", "type": "string", "default": ""})
    schemas = (*row.schemas, json.dumps(schema))
    made = msgspec.defstruct(
        f"Newer{row.__name__}", [("note", str, "")], bases=(row,), namespace={"schemas": schemas}, frozen=True, kw_only=True
    )
    assert issubclass(made, Record)
    return made
