"""What the OpenAPI says of corrections."""

from __future__ import annotations

from typing import Any

from streams.app import App
from streams.history.correction.correction_calls import POLICIES
from streams.server.http import shapes
from streams.server.http.json_schema import Spec
from streams.server.http.overview_spec import LIMITED, found

ROW: Spec = {"type": ["object", "null"]}
EVENT = shapes.shape(
    **dict.fromkeys(("type", "key", "id", "name", "outcome", "because"), shapes.TEXT), what=shapes.TEXTS, data=ROW, before=ROW,
    time=shapes.or_null(shapes.TIME),
)  # fmt: skip
EVENTS: Spec = {"type": "array", "items": EVENT}
SET_ROW = shapes.shape(
    namespace=shapes.TEXT, key=shapes.TEXT, version=shapes.NUMBER, before=ROW, after=ROW, timers_added=shapes.NUMBER,
    timers_dropped=shapes.NUMBER,
)  # fmt: skip
PLANNED_CALL = shapes.shape(**dict.fromkeys(("kind", "type", "key", "id"), shapes.TEXT), undo=shapes.or_null(shapes.TEXT))
CHANGES: Spec = {
    **shapes.shape(
        rows={"type": "array", "items": SET_ROW}, missing=EVENTS, surplus=EVENTS, changed=EVENTS,
        calls={"type": "array", "items": PLANNED_CALL}, open=shapes.NUMBER, projections=shapes.TEXTS,
    ),
    "type": ["object", "null"],
}  # fmt: skip
CALL = shapes.shape(
    **dict.fromkeys(("application", "correction", "reference", "kind", "type", "key", "id", "state"), shapes.TEXT),
    undo=shapes.or_null(shapes.TEXT), event=shapes.TEXT, by=shapes.TEXT, why=shapes.TEXT, at=shapes.NUMBER,
)  # fmt: skip
CALLS: Spec = {"type": "array", "items": CALL}
LISTED = {
    **dict.fromkeys(("correction", "by", "why", "state", "calls", "at_work", "stopped"), shapes.TEXT),
    "number": shapes.NUMBER, "begun": shapes.TIME, "rows": shapes.NUMBER,
    **dict.fromkeys(("remove", "replace", "insert", "again", "assumed"), shapes.TEXTS),
}  # fmt: skip
CORRECTION = shapes.shape(
    **LISTED, digest=shapes.TEXT, touches=shapes.TEXTS, changes=CHANGES, untold=shapes.or_null(shapes.TEXT), wrong_calls=CALLS
)
CHANGING = ("insert", "remove", "replace")
ASKED = shapes.closed(
    shapes.shape(
        *CHANGING, "assume_answers", why=shapes.SOME_TEXT, assume_answers={"type": "boolean"},
        **{name: shapes.CHANGE["properties"][name] for name in CHANGING},
    ),
    anyOf=[{"required": [name]} for name in CHANGING],
)


def planning(_: App, __: str) -> Spec:
    """For `POST /corrections`."""
    return {"requestBody": _body(ASKED), "responses": {"201": _answer("Planned and kept; nothing has happened.", CORRECTION)}}


def correction_list(_: App, __: str) -> Spec:
    """For `GET /corrections`."""
    listed = {"type": "array", "items": shapes.shape(**LISTED)}
    return found(
        shapes.shape(corrections=listed, next=shapes.or_null(shapes.TEXT)),
        _query("state", "planned, applying or applied.", shapes.one_of("planned", "applying", "applied")),
        _query("_limit", "Corrections a page: 50 if nothing is said, 1000 at most.", LIMITED),
        _query("_next", "The `next` of the page before.", shapes.SOME_TEXT),
    )


def one_correction(_: App, __: str) -> Spec:
    """For `GET /corrections/ID`."""
    return found(CORRECTION)


def applying(_: App, __: str) -> Spec:
    """For `POST /corrections/ID/apply`."""
    asked = shapes.closed(shapes.shape("calls", calls=shapes.one_of(*POLICIES)))
    return {
        "parameters": [
            _header("If-Match", "The ETag of the plan that was seen. One that was begun goes on without it."),
            _header("Prefer", "wait=5: how many seconds to wait for its end."),
        ],
        "requestBody": _body(asked),
        "responses": {
            "200": _answer("It is applied to its end.", shapes.shape(**LISTED)),
            "202": _answer("It is being applied: `Location` tells how it stands.", shapes.shape(**LISTED)),
            "409": {"description": "Another one is being applied, or was not applied to its end."},
            "412": {"description": "The plan is not the one that was seen."},
            "428": {"description": "`If-Match` is missing."},
        },
    }


def withdrawing(_: App, __: str) -> Spec:
    """For `POST /corrections/ID/withdraw`."""
    told = found(shapes.shape(**LISTED))
    told["responses"]["409"] = {"description": "It may have changed something, and stays in the log."}
    return told


def wrong_calls(_: App, __: str) -> Spec:
    """For `GET /corrections/calls`."""
    return found(shapes.shape(calls=CALLS), _query("state", "open, or all.", shapes.one_of("open", "all")))


def closing(_: App, __: str) -> Spec:
    """For `POST /corrections/calls/REQUEST/close`."""
    asked = shapes.closed(shapes.shape(why=shapes.SOME_TEXT))
    told = {**found(CALL), "requestBody": _body(asked)}
    told["responses"]["409"] = {"description": "No open call has this request."}
    return told


def _body(schema: Spec) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _answer(description: str, schema: Spec) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": shapes.TEXT}


def _query(name: str, description: str, schema: Spec) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}
