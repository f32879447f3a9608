"""What the OpenAPI says of operations: bodies, headers, parameters, filters and answers."""

from __future__ import annotations

from streams.app import App
from streams.data import Record
from streams.server.http import shapes
from streams.server.http.filter_parameters import row_parameters
from streams.server.http.json_schema import Spec, reference
from streams.server.http.requests import CLOUD_BATCH, CLOUD_EVENT, JSON, LINES, LONGEST_WAIT
from streams.server.http.row_forms import FORMS
from streams.server.http.stream_spec import with_answers, with_changes

DEPTH = shapes.whole(0, 1_000)
MIN_POSITION = shapes.query("_min_position", "Answer once this position is reached, such as user-3:977.", shapes.POSITIONS)
ORIGIN = shapes.one_of("now", "beginning")


def publishing(app: App, event_type: str) -> Spec:
    """For `POST /events/TYPE`."""
    data = app.event_types()[event_type]
    ref = reference(data)
    wait = f"wait=5: answer with the outcome, if there is one in so many seconds ({LONGEST_WAIT:.0f} at most)."
    texts = {
        "specversion": {"type": "string", "enum": ["1.0"]}, "type": {"type": "string", "enum": [data.event_type]},
        **dict.fromkeys(("id", "subject"), shapes.SOME_TEXT), "source": shapes.SOURCE, "time": shapes.TIME,
        "datacontenttype": {"type": "string", "enum": [JSON]}, "traceparent": shapes.TRACE,
    }  # fmt: skip
    cloud_event = {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {**texts, "expectedversion": shapes.whole(0, 2**63 - 1), "data": ref},
        "additionalProperties": False,
    }
    return {
        "parameters": [
            shapes.header("Idempotency-Key", "A request repeated with its key publishes nothing again.", shapes.IDEMPOTENCY_KEY),
            shapes.header("If-Match", "The ETag of the row: the event is handled only if it has this version.", shapes.ROW_VERSION),
            shapes.header("If-None-Match", "*: the event is handled only if there is no row.", shapes.one_of("*")),
            shapes.header("Prefer", wait),
            shapes.header("traceparent", "The trace that the event and what it leads to belong to, as in W3C's Trace Context."),
        ],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": ref}, CLOUD_EVENT: {"schema": cloud_event}},
        },
        "responses": {
            "200": _json("Accepted, as `Prefer: wait` asked to know.", shapes.SETTLED),
            "202": _json("Published: `Location` tells what became of it.", shapes.RECEIPT),
            "409": {"description": "The handler rejected it."},
            "412": {"description": "The row was not at the expected version."},
            "500": {"description": "It was parked or quarantined, and is kept."},
            "503": {"description": "Kafka does not answer; the event may still arrive, if `detail` says so."},
            "504": {"description": "No outcome in the time given; the event is published."},
        },
    }


def publishing_many(_: App, __: str) -> Spec:
    """For `POST /events`."""
    lines = {LINES: {"schema": shapes.TEXT}}
    event = {"type": "object", "description": "A CloudEvent, as for one event."}
    return {
        "parameters": [
            shapes.query("_bad", "skip: publish the lines that are right; else nothing if one is wrong.", shapes.one_of("skip")),
            shapes.header("Idempotency-Key", "A request repeated with its key publishes nothing again.", shapes.IDEMPOTENCY_KEY),
            shapes.header(
                "Prefer", f"wait=5: answer with the outcomes that there are in so many seconds ({LONGEST_WAIT:.0f} at most)."
            ),
            shapes.header("traceparent", "The trace that the events belong to, as in W3C's Trace Context."),
        ],
        "requestBody": {"required": True, "content": {**lines, CLOUD_BATCH: {"schema": {"type": "array", "items": event}}}},
        "responses": {
            "200": {"description": "A result a line, with outcomes, as `Prefer: wait` asked.", "content": lines},
            "202": {"description": "Published: a result a line, in their order.", "content": lines},
        },
    }


def listing(app: App, namespace: str) -> Spec:
    """For `GET /rows/NAMESPACE`."""
    row_type = app.namespace(namespace).row_type
    row = shapes.of_table(_chosen_of(row_type))
    return with_changes(_asking_rows(row_type, shapes.page(row, unreadable=shapes.UNREADABLE)), row)


def one_row(app: App, namespace: str) -> Spec:
    """For `GET /rows/NAMESPACE/KEY`."""
    found = shapes.of_table(reference(app.namespace(namespace).row_type))
    return with_changes(_asking(_times(), shapes.shape(*shapes.PAST, **found["properties"], **shapes.PAST)), found)


def projected(app: App, name: str) -> Spec:
    """For `GET /projections/NAME`."""
    row_type = _projected_type(app, name)
    row = shapes.of_projection(_chosen_of(row_type))
    return with_changes(_asking_rows(row_type, shapes.page(row)), row)


def one_projected(app: App, name: str) -> Spec:
    """For `GET /projections/NAME/KEY`."""
    row = shapes.of_projection(reference(_projected_type(app, name)))
    return with_changes(_asking(_times(), shapes.true_at(**row["properties"])), row)


def _projected_type(app: App, name: str) -> type[Record]:
    return next(it.row_type for it in app.projections if it.name == name)


def viewing(_: App, __: str) -> Spec:
    """For `GET /views/PATH`."""
    return with_answers(_asking([*_times()], shapes.true_at(answer={})))


def becoming(_: App, __: str) -> Spec:
    """For `GET /events/NAMESPACE/PARTITION/OFFSET`."""
    found = _asking([], shapes.BECAME)
    found["responses"]["403"] = {"description": "Neither may the events of its namespace be read, nor such an event be published."}
    return found


def story_of_event(_: App, __: str) -> Spec:
    """For `GET /events/EVENT/story`."""
    return _asking([shapes.query("_depth", "Levels of consequences that are told: 10 if nothing is said.", DEPTH)], shapes.STORY)


def story_of_row(app: App, namespace: str) -> Spec:
    """For `GET /rows/NAMESPACE/KEY/story`."""
    parameters = [
        shapes.query("_depth", "Levels of consequences that are told: 1 if nothing is said.", DEPTH),
        shapes.query(
            "_last", "Events of the row that are told: the last 20 if nothing is said, 200 at most.", shapes.whole(1, 200)
        ),
    ]
    return _asking(parameters, shapes.key_story(reference(app.namespace(namespace).row_type)))


def asking_what_if(_: App, __: str) -> Spec:
    """For `POST /what-if`."""
    body = {"required": True, "content": {"application/json": {"schema": shapes.CHANGE}}}
    line = {LINES: {"schema": shapes.TEXT, "x-line-schema": shapes.DIFFERENCE}}
    return {
        "requestBody": body,
        "parameters": [MIN_POSITION],
        "responses": {"200": {"description": "One difference a line, and a summary.", "content": line}},
    }


def watching(_: App, __: str) -> Spec:
    """For `GET /live/NAMESPACE`, and of a key. OpenAPI 3.1 has no word for what the events of a stream are, so it is ours."""
    described = {"type": "object", "properties": shapes.STREAM}
    events = {"text/event-stream": {"schema": shapes.TEXT, "x-event-schema": described}}
    return {
        "parameters": [
            shapes.query("_from", "beginning: from the first event on; now, if nothing is said.", ORIGIN),
            shapes.header("Last-Event-ID", "The id of the last event that was seen: the stream goes on after it."),
        ],
        "responses": {"200": {"description": "Events as they come.", "content": events}},
    }


def document(_: App, __: str) -> Spec:
    """For `GET /asyncapi.json`."""
    return {"responses": {"200": _json("The document.", {"type": "object"})}}


def _asking(parameters: list[Spec], body: Spec) -> Spec:
    return {
        "parameters": [
            *parameters,
            MIN_POSITION,
            shapes.header("If-None-Match", "The ETag of an answer that is there: 304 if it is still the same."),
        ],
        "responses": {"200": _json("Found.", body), "304": {"description": "It is still the same."}},
    }


def _asking_rows(row_type: type[Record], body: Spec) -> Spec:
    """For a list of rows, which has more than one form."""
    found = _asking([*row_parameters(row_type), *_times()], body)
    lines = {FORMS["ndjson"]: {"schema": shapes.TEXT}, "text/csv": {"schema": shapes.TEXT}}
    found["responses"]["200"]["content"] |= lines
    return found


def _chosen_of(row_type: type[Record]) -> Spec:
    """Rows, of which `_select` leaves some fields."""
    return {"anyOf": [reference(row_type), {"type": "object", "description": "With _select: the chosen fields alone."}]}


def _times() -> list[Spec]:
    return [
        shapes.query("_as_of", "As it was then, by the times of events: a time, or the Retold-As-Of of an answer.", shapes.TIMES),
        shapes.query("_known", "As it was known then, by the times of recording: a time with a zone.", shapes.TIME),
    ]


def _json(description: str, schema: Spec) -> Spec:
    return {"description": description, "content": {JSON: {"schema": schema}}}
