"""What the OpenAPI says of a route that is an event stream, too, for who asks for one by its header Accept."""

from __future__ import annotations

from streams.server.http import shapes
from streams.server.http.json_schema import Spec
from streams.server.http.stream_text import MEDIA_TYPE

GONE = shapes.shape(key=shapes.TEXT)
READY = shapes.shape(rows=shapes.NUMBER)


def with_changes(spec: Spec, row: Spec) -> Spec:
    """Of rows: `put`, `gone`, and `reset`, rows and `ready` where a client begins."""
    return _streamed(spec, {"anyOf": [row, GONE, READY, {"type": "object"}]}, ("now", "snapshot"), "put", "gone", "ready", "reset")


def with_answers(spec: Spec) -> Spec:
    """Of a view: its whole answer each time."""
    answer = shapes.shape(answer={}, positions=shapes.TEXTS, lag=shapes.or_null(shapes.NUMBER))
    return _streamed(spec, answer, ("now", "snapshot"), "answer")


def with_log(spec: Spec) -> Spec:
    """Of event logs."""
    correlation = _parameter("query", "correlation", "With text/event-stream: of a root event's id, it and what followed.")
    found = _streamed(spec, shapes.LOGGED, ("now", "beginning"))
    return {**found, "parameters": [*found["parameters"], correlation]}


def _streamed(spec: Spec, data: Spec, begins: tuple[str, ...], *names: str) -> Spec:
    told: Spec = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    members = {"id": shapes.TEXT, "retry": shapes.NUMBER, "data": told}
    if names:
        members = {"event": shapes.one_of(*names, "problem"), **members}
    content = {MEDIA_TYPE: {"schema": shapes.TEXT, "x-event-schema": {"type": "object", "properties": members}}}
    about = "With text/event-stream"
    parameters = [
        _parameter("query", "_from", f"{about}: where it begins; now if nothing is said.", shapes.one_of(*begins)),
        _parameter("query", "_after", f"{about}: the id of the last event that was seen."),
        _parameter("header", "Last-Event-ID", f"{about}: the same, as browsers send it when they come back."),
    ]
    found = spec["responses"]["200"]
    responses = {**spec["responses"], "200": {**found, "content": {**found["content"], **content}}}
    return {**spec, "parameters": [*spec.get("parameters", ()), *parameters], "responses": responses}


def _parameter(where: str, name: str, description: str, schema: Spec = shapes.TEXT) -> Spec:
    return {"name": name, "in": where, "description": description, "schema": schema}
