"""What the OpenAPI says of a route that is an event stream, too, for who asks for one by its header Accept."""

from __future__ import annotations

from collections.abc import Sequence

from streams.server.http import shapes
from streams.server.http.json_schema import Spec
from streams.server.http.stream_text import MEDIA_TYPE

GONE = shapes.shape(key=shapes.TEXT)
UNREADABLE_ROW = shapes.shape(key=shapes.TEXT, problem=shapes.TEXT)
READY = shapes.shape("unreadable", rows=shapes.NUMBER, unreadable=shapes.NUMBER)
ANSWER = shapes.shape(answer={}, positions=shapes.TEXTS, lag=shapes.or_null(shapes.NUMBER))
ROW_EVENTS = ("put", "gone", "unreadable", "ready", "reset")


def with_changes(spec: Spec, row: Spec) -> Spec:
    """Of rows: `put`, `gone`, `unreadable`, and `reset`, rows and `ready` where a client begins."""
    return _streamed(spec, {"anyOf": [row, GONE, UNREADABLE_ROW, READY, {"type": "object"}]}, ("now", "snapshot"), *ROW_EVENTS)


def with_answers(spec: Spec) -> Spec:
    """Of a view: its whole answer each time."""
    return _streamed(spec, ANSWER, ("now", "snapshot"), "answer")


def with_log(spec: Spec) -> Spec:
    """Of event logs."""
    correlation = _parameter("correlation", "A root event's id: it, and what followed.")
    return _streamed(spec, shapes.LOGGED, ("now", "beginning"), more=[correlation])


def _streamed(spec: Spec, data: Spec, begins: tuple[str, ...], *names: str, more: Sequence[Spec] = ()) -> Spec:
    """What the stream takes beside is not among the parameters: the other forms of the answer refuse it."""
    body: Spec = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    members = {"id": shapes.TEXT, "retry": shapes.NUMBER, "data": body}
    if names:
        members = {"event": shapes.one_of(*names, "problem"), **members}
    beside = [
        _parameter("_from", "Where it begins; now if nothing is said.", shapes.one_of(*begins)),
        _parameter("_after", "The id of the last event that was seen: it goes on after it."),
        *more,
    ]
    told = {"type": "object", "properties": members}
    content = {MEDIA_TYPE: {"schema": shapes.TEXT, "x-event-schema": told, "x-parameters": beside}}
    header = shapes.header("Last-Event-ID", "With text/event-stream: as its _after, as browsers send it when they come back.")
    found = spec["responses"]["200"]
    responses = {**spec["responses"], "200": {**found, "content": {**found["content"], **content}}}
    return {**spec, "parameters": [*spec.get("parameters", ()), header], "responses": responses}


def _parameter(name: str, description: str, schema: Spec = shapes.TEXT) -> Spec:
    return {"name": name, "in": "query", "description": description, "schema": schema}
