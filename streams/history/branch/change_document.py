"""A change as a JSON document: what `POST /what-if` takes, and what the options of `retold what-if` are put together to.

{"insert": [{"type": "user.signup", "time": "2026-03-01T10:00:00Z", "data": {…}, "id": …, "after": …, "source": …}],
 "remove": ["signup-7"], "replace": {"user-3:12": {…}}, "answers": {"payment.charge": {"type": "payment.charged", "data": {…}}},
 "views": ["orders-of/c7"]}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from streams.app import App
from streams.data import EventData
from streams.engine.readable import named
from streams.errors import UNREADABLE_JSON, InvalidEvent, did_you_mean
from streams.event import Event
from streams.eventfiles import numbers
from streams.eventfiles.convert import Converter
from streams.history.branch.branch_calls import Answers
from streams.history.branch.change import Change, InsertedEvent
from streams.history.recorded_event import RecordedEvent

LARGEST = 1024 * 1024
"""Bytes of a document."""
MOST = 1_000
"""Events that one change may name."""
Find = Callable[[str], RecordedEvent]
"""The event that a text names; raises NoSuchEvent."""


class InsertedDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event to put in."""

    type: str
    data: dict[str, Any]
    time: str | None = None
    id: str | None = None
    after: str | None = None
    source: str = ""


class AnswerDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a gateway would answer; the key is that of each request."""

    type: str
    data: dict[str, Any] = {}


class ChangeDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change that names events as people do."""

    insert: list[InsertedDocument] = []
    remove: list[str] = []
    replace: dict[str, dict[str, Any]] = {}
    answers: dict[str, AnswerDocument] = {}
    views: list[str] = []


def decode_document(text: bytes) -> ChangeDocument:
    """Raises InvalidEvent for what is no such document."""
    try:
        found = msgspec.json.decode(text, type=ChangeDocument)
    except UNREADABLE_JSON as error:
        raise InvalidEvent(
            f"this is no change: {error}. A JSON object with insert, remove, replace and answers was expected, as "
            "docs/http.md describes"
        ) from error
    return bounded(found)


def bounded(found: ChangeDocument) -> ChangeDocument:
    """Raises InvalidEvent for one that names too many events."""
    if (count := len(found.insert) + len(found.remove) + len(found.replace)) > MOST:
        raise InvalidEvent(f"the change names {count} events; at most {MOST} are taken")
    return found


def change_of(app: App, document: ChangeDocument, find: Find) -> Change:
    """Raises InvalidEvent naming the field that is wrong, NoSuchEvent and whatever `find` raises."""
    replaced = {}
    for name, values in document.replace.items():
        was = find(name)
        if was.exact_name in replaced:
            raise InvalidEvent(f"{named(name)} is replaced twice, by {was.name} or its id", "replace")
        replaced[was.exact_name] = _convert(type(was.event.data), values)
    inserted = [_inserted(app, it, find) for it in document.insert]
    return Change(inserted, frozenset(find(name).exact_name for name in document.remove), replaced)


def _inserted(app: App, it: InsertedDocument, find: Find) -> InsertedEvent:
    data = _convert(_class(app, it.type), it.data)
    after = None if it.after is None else find(it.after)
    if it.time is not None:
        time = _time(it.time)
    elif after is not None:
        time = after.event.time
    else:
        raise InvalidEvent(
            f"{it.type} is to be put in without a time: say when it happened, or after which event", "time"
        )
    return InsertedEvent(data, time, it.id, None if after is None else after.exact_name, it.source)


def _time(text: str) -> datetime:
    try:
        return numbers.time(text)
    except ValueError:
        raise InvalidEvent(
            f"the time of what is to be put in is {named(text)!r}; a time with a zone, such as 2026-01-31T12:00:00Z, was expected",
            "time",
        ) from None


def answers_of(app: App, document: ChangeDocument) -> Answers | None:
    """What gateways answer, by the type of the request. Raises InvalidEvent for an answer that a gateway does not declare."""
    if not document.answers:
        return None
    gateways = {gateway.data.event_type: gateway for gateway in app.gateways}
    answers = dict[str, tuple[type[EventData], Mapping[str, Any]]]()
    for request, answer in document.answers.items():
        gateway = gateways.get(request)
        if gateway is None:
            known = ", ".join(gateways) or "no event"
            near = did_you_mean(request, gateways)
            raise InvalidEvent(f"{named(request)} has no gateway{near}; gateways answer {known}", "answers")
        declared = {it.event_type: it for it in gateway.answers}
        if answer.type not in declared:
            raise InvalidEvent(
                f"the gateway of {request} does not answer {named(answer.type)}; it declares {', '.join(declared)}",
                "answers",
            )
        if (field := declared[answer.type].key_field) in answer.data:
            raise InvalidEvent(f"{answer.type}: an answer has the key of its request, so {field!r} is not given", "answers")
        answers[request] = declared[answer.type], answer.data

    def answer_for(request: Event[Any]) -> EventData | None:
        found = answers.get(request.data.event_type)
        if found is None:
            return None
        cls, values = found
        return _convert(cls, {cls.key_field: request.key, **values})

    return answer_for


def _class(app: App, event_type: str) -> type[EventData]:
    types = app.event_types()
    if event_type not in types:
        known = ", ".join(sorted(types)) or "none"
        near = did_you_mean(event_type, types)
        raise InvalidEvent(f"{app.name} handles no event {named(event_type)!r}{near}; it handles {known}", "type")
    return types[event_type]


def _convert(cls: type[EventData], values: Mapping[str, Any]) -> EventData:
    try:
        return Converter(cls, texts=False, noun="field")(values)
    except InvalidEvent as error:
        raise InvalidEvent(f"{cls.event_type}: {error}", error.field) from error
