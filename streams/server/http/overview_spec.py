"""What the OpenAPI says of overviews and of lists of what is set aside or waits."""

from __future__ import annotations

from typing import Any

from streams.app import App
from streams.server.http import shapes
from streams.server.http.json_schema import Spec
from streams.server.http.stream_spec import with_log

NAMES: Spec = shapes.TEXTS
COUNT = shapes.NUMBER
UNKNOWN_COUNT = shapes.or_null(shapes.NUMBER)
LIMITED = shapes.whole(1, 1_000)

FIGURES = ("rows", "events", "lag", "blocked", "parked", "unanswered", "quarantined", "calls", "timers")

NAMESPACE = shapes.shape(
    name=shapes.TEXT, handles=NAMES, calls_for=NAMES, last=shapes.or_null(shapes.TIME),
    **dict.fromkeys(FIGURES, UNKNOWN_COUNT),
)  # fmt: skip
CHECK = shapes.shape(name=shapes.TEXT, state=shapes.TEXT, detail=shapes.TEXT, do=shapes.TEXT)
OVERVIEW = shapes.shape(
    application=shapes.TEXT,
    version=shapes.TEXT,
    links={"type": "object", "additionalProperties": shapes.TEXT},
    checks={"type": "array", "items": CHECK},
    namespaces={"type": "array", "items": NAMESPACE},
    flow={"type": "object", "additionalProperties": NAMES},
    views=NAMES,
)
OPERATORS = {"type": "object", "additionalProperties": NAMES}
TABLE = {"name": shapes.TEXT, "rows": UNKNOWN_COUNT, "fields": NAMES, "scalar": NAMES, "operators": OPERATORS}
PROJECTION = {**TABLE, "folds": NAMES, "fault": shapes.or_null(shapes.TEXT), "rebuilding": UNKNOWN_COUNT}


def overview(_: App, __: str) -> Spec:
    """For `GET /`."""
    return found(OVERVIEW)


def table_list(_: App, __: str) -> Spec:
    """For `GET /rows`."""
    return found(shapes.shape(tables={"type": "array", "items": shapes.shape(**TABLE)}))


def projection_list(_: App, __: str) -> Spec:
    """For `GET /projections`."""
    return found(shapes.shape(projections={"type": "array", "items": shapes.shape(**PROJECTION)}))


LISTED = shapes.shape(
    **dict.fromkeys(("position", "namespace", "type", "key", "id", "kind"), shapes.TEXT), partition=COUNT, sequence=COUNT,
    offset=UNKNOWN_COUNT, time=shapes.TIME, recorded=shapes.TIME, outcome=shapes.LOGGED_OUTCOME,
    reason=shapes.or_null(shapes.TEXT), by=shapes.or_null(shapes.TEXT),
)  # fmt: skip


def event_list(_: App, __: str) -> Spec:
    """For `GET /events` and `GET /events/NAMESPACE`."""
    parameters = [
        shapes.query("type", "Events of this name, such as order.place."),
        shapes.query("key", "Events of this key."),
        shapes.query("id", "Events of this id."),
        shapes.query("outcome", "accepted, rejected, or corrected: a step of a correction.", shapes.LOGGED_OUTCOME),
        shapes.query("_limit", "Events a page: 50 if nothing is said, 1000 at most.", LIMITED),
        shapes.query("_next", "The `next` of the page before.", shapes.SOME_TEXT),
        shapes.query("_min_position", "Answer once this position is reached, such as user-3:977.", shapes.POSITIONS),
    ]
    events = {"type": "array", "items": LISTED}
    return with_log(found(shapes.true_at(events=events, next=shapes.or_null(shapes.TEXT)), *parameters))


ASIDE = shapes.shape(
    **dict.fromkeys(("position", "namespace", "place", "status", "reason"), shapes.TEXT), partition=COUNT,
    **dict.fromkeys(("type", "key", "id"), shapes.or_null(shapes.TEXT)), since=shapes.TIME,
)  # fmt: skip
ONE_ASIDE = shapes.shape(
    **dict.fromkeys(("position", "namespace", "place", "status", "reason", "first"), shapes.TEXT), partition=COUNT,
    **dict.fromkeys(("type", "key", "detail"), shapes.or_null(shapes.TEXT)), since=shapes.TIME, bytes=COUNT,
    time=shapes.or_null(shapes.TIME), data={"type": ["object", "null"]}, behind=NAMES, behind_count=COUNT, answers=NAMES,
)  # fmt: skip
DECISION = shapes.closed(shapes.shape("why", "type", "data", why=shapes.TEXT, type=shapes.TEXT, data={"type": "object"}))
DECIDED = shapes.shape(
    **dict.fromkeys(("decision", "position", "key", "outcome", "url"), shapes.TEXT), reason=shapes.or_null(shapes.TEXT),
    behind=COUNT, still_parked=UNKNOWN_COUNT,
)  # fmt: skip


def aside_list(_: App, __: str) -> Spec:
    """For `GET /parked`."""
    parameters = [
        shapes.query("namespace", "Events of this namespace."),
        shapes.query("key", "Events of this key."),
        shapes.query("status", "parked, unanswered or quarantined.", shapes.one_of("parked", "unanswered", "quarantined")),
        shapes.query("_limit", "Events a page: 50 if nothing is said, 1000 at most.", LIMITED),
        shapes.query("_next", "The `next` of the page before.", shapes.SOME_TEXT),
    ]
    counts = {"type": "object", "additionalProperties": COUNT}
    events = {"type": "array", "items": ASIDE}
    return found(shapes.shape(events=events, next=shapes.or_null(shapes.TEXT), counts=counts), *parameters)


def one_aside(_: App, __: str) -> Spec:
    """For `GET /parked/NAMESPACE/PARTITION/PLACE`."""
    return found(ONE_ASIDE)


def deciding(_: App, __: str) -> Spec:
    """For `POST /parked/NAMESPACE/PARTITION/PLACE/DECISION`."""
    spec = found(DECIDED)
    told = {"description": "Sent; a worker handles it later.", "content": {"application/json": {"schema": DECIDED}}}
    conflict = {"description": "It is not the first of its key, is quarantined, or was set aside again."}
    spec["responses"] |= {"202": told, "409": conflict}
    body = {"required": True, "content": {"application/json": {"schema": DECISION}}}
    prefer = "wait=5: how many seconds to wait for a worker to carry it out; 10 if nothing is said."
    header = {"name": "Prefer", "in": "header", "description": prefer, "schema": shapes.TEXT}
    return {**spec, "requestBody": body, "parameters": [header]}


WAITING = {"type": shapes.or_null(shapes.TEXT), "namespace": shapes.TEXT, "key": shapes.TEXT, "id": shapes.TEXT}
DATA: Spec = {"type": ["object", "null"]}
TIMER = shapes.shape(**WAITING, due=shapes.TIME, overdue={"type": "boolean"}, data=DATA)
CALL = shapes.shape(**WAITING, since=shapes.TIME, data=DATA)


def timer_list(_: App, __: str) -> Spec:
    """For `GET /waiting/timers`."""
    return _waiting(timers={"type": "array", "items": TIMER})


def call_list(_: App, __: str) -> Spec:
    """For `GET /waiting/calls`."""
    return _waiting(calls={"type": "array", "items": CALL})


def _waiting(**members: Spec) -> Spec:
    parameters = [
        shapes.query("namespace", "Of keys of this namespace."),
        shapes.query("key", "Of this key."),
        shapes.query("_limit", "How many: 50 if nothing is said, 1000 at most.", LIMITED),
        shapes.query("_next", "The `next` of the page before.", shapes.SOME_TEXT),
    ]
    counts = {"type": "object", "additionalProperties": COUNT}
    return found(shapes.shape(**members, next=shapes.or_null(shapes.TEXT), counts=counts), *parameters)


def changing(_: App, __: str) -> Spec:
    """For `GET /live`."""
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": shapes.shape(positions=NAMES)}
    described = {"type": "object", "properties": {"retry": COUNT, "data": data}}
    stream = {"schema": shapes.TEXT, "x-event-schema": described}
    return {"responses": {"200": {"description": "An event for each change.", "content": {"text/event-stream": stream}}}}



def found(body: Spec, *parameters: dict[str, Any]) -> Spec:
    content = {"application/json": {"schema": body}}
    return {"parameters": list(parameters), "responses": {"200": {"description": "Found.", "content": content}}}
