"""What the OpenAPI says of operations: bodies, headers, parameters, filters and answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streams.app import App
from streams.data import EventData, Record
from streams.query.filters import operators_of
from streams.query.query import CAP, FACET_VALUES, LIMIT, MOST, MOST_FACETS
from streams.query.row_fields import ALL_OPERATORS, EQUAL, KEY, OPERATORS, fields_of
from streams.server.http import shapes
from streams.server.http.json_schema import AT, Spec, reference
from streams.server.http.requests import CLOUD_BATCH, CLOUD_EVENT, JSON, LINES, LONGEST_WAIT
from streams.server.http.row_forms import FORMS

DEPTH = shapes.whole(0, 1_000)


def row_types(app: App) -> list[type[Record]]:
    return [space.row_type for space in app.namespaces]


def projected_types(app: App) -> list[type[Record]]:
    return [it.row_type for it in app.projections]


def publishing(data: type[EventData]) -> Spec:
    """For `POST /events/TYPE`."""
    ref = reference(data)
    wait = f"wait=5: answer with the outcome, if there is one in so many seconds ({LONGEST_WAIT:.0f} at most)."
    texts = {
        "specversion": {"type": "string", "enum": ["1.0"]}, "type": {"type": "string", "enum": [data.event_type]},
        **dict.fromkeys(("id", "source", "subject"), shapes.SOME_TEXT), "time": shapes.TIME,
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
            _header("Idempotency-Key", "A request repeated with its key publishes nothing again.", shapes.IDEMPOTENCY_KEY),
            _header("If-Match", "The ETag of the row: the event is handled only if it has this version.", shapes.ROW_VERSION),
            _header("If-None-Match", "*: the event is handled only if there is no row.", shapes.one_of("*")),
            _header("Prefer", wait),
            _header("traceparent", "The trace that the event and what it leads to belong to, as in W3C's Trace Context."),
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


def publishing_many(_: App) -> Spec:
    """For `POST /events`."""
    lines = {LINES: {"schema": shapes.TEXT}}
    event = {"type": "object", "description": "A CloudEvent, as for one event."}
    return {
        "parameters": [
            _query("_bad", "skip: publish the lines that are right; else nothing if one is wrong.", shapes.one_of("skip")),
            _header("Idempotency-Key", "A request repeated with its key publishes nothing again.", shapes.IDEMPOTENCY_KEY),
            _header("Prefer", f"wait=5: answer with the outcomes that there are in so many seconds ({LONGEST_WAIT:.0f} at most)."),
            _header("traceparent", "The trace that the events belong to, as in W3C's Trace Context."),
        ],
        "requestBody": {"required": True, "content": {**lines, CLOUD_BATCH: {"schema": {"type": "array", "items": event}}}},
        "responses": {
            "200": {"description": "A result a line, with outcomes, as `Prefer: wait` asked.", "content": lines},
            "202": {"description": "Published: a result a line, in their order.", "content": lines},
        },
    }


def listing(app: App) -> Spec:
    """For `GET /rows/NAMESPACE`."""
    types = row_types(app)
    return _asking_rows(types, shapes.page(shapes.of_table(_chosen_of(types)), unreadable=shapes.UNREADABLE))


def one_row(app: App) -> Spec:
    """For `GET /rows/NAMESPACE/KEY`."""
    found = shapes.of_table(_any_of(row_types(app)))
    return _asking(_times(), shapes.shape(*shapes.PAST, **found["properties"], **shapes.PAST))


def projected(app: App) -> Spec:
    """For `GET /projections/NAME`."""
    types = projected_types(app)
    return _asking_rows(types, shapes.page(shapes.of_projection(_chosen_of(types))))


def one_projected(app: App) -> Spec:
    """For `GET /projections/NAME/KEY`."""
    return _asking(_times(), shapes.true_at(**shapes.of_projection(_any_of(projected_types(app)))["properties"]))


def viewing(app: App) -> Spec:
    """For `GET /views/PATH`."""
    known = ", ".join(view.path for view in app.views) or "none"
    path = {"name": "path", "in": "path", "required": True, "description": f"One of {known}.", "schema": shapes.TEXT}
    return _asking([path, *_times()], shapes.true_at(answer={}))


def becoming(_: App) -> Spec:
    """For `GET /events/NAMESPACE/PARTITION/OFFSET`."""
    return _asking([], shapes.BECAME)


def story_of_event(_: App) -> Spec:
    """For `GET /events/EVENT/story`."""
    return _asking([_query("_depth", "Levels of consequences that are told: 10 if nothing is said.", DEPTH)], shapes.STORY)


def story_of_row(app: App) -> Spec:
    """For `GET /rows/NAMESPACE/KEY/story`."""
    parameters = [
        _query("_depth", "Levels of consequences that are told: 1 if nothing is said.", DEPTH),
        _query("_last", "Events of the row that are told: the last 20 if nothing is said, 200 at most.", shapes.whole(1, 200)),
    ]
    return _asking(parameters, shapes.key_story(_any_of(row_types(app))))


def asking_what_if(_: App) -> Spec:
    """For `POST /what-if`."""
    body = {"required": True, "content": {"application/json": {"schema": shapes.CHANGE}}}
    line = {LINES: {"schema": shapes.TEXT, "x-line-schema": shapes.DIFFERENCE}}
    return {
        "requestBody": body,
        "parameters": [_query("_min_position", "Answer once this position is reached, such as user-3:977.", shapes.POSITIONS)],
        "responses": {"200": {"description": "One difference a line, and a summary.", "content": line}},
    }


def watching(_: App) -> Spec:
    """For `GET /live/NAMESPACE`, and of a key. OpenAPI 3.1 has no word for what the events of a stream are, so it is ours."""
    described = {"type": "object", "properties": shapes.STREAM}
    events = {"text/event-stream": {"schema": shapes.TEXT, "x-event-schema": described}}
    return {
        "parameters": [
            _query("_from", "beginning: from the first event on; now, if nothing is said.", shapes.one_of("now", "beginning")),
            _header("Last-Event-ID", "The id of the last event that was seen: the stream goes on after it."),
        ],
        "responses": {"200": {"description": "Events as they come.", "content": events}},
    }


def document(_: App) -> Spec:
    """For `GET /asyncapi.json`."""
    return {"responses": {"200": _json("The document.", {"type": "object"})}}


def _asking(parameters: list[Spec], body: Spec) -> Spec:
    return {
        "parameters": [
            *parameters,
            _query("_min_position", "Answer once this position is reached, such as user-3:977.", shapes.POSITIONS),
            _header("If-None-Match", "The ETag of an answer that is there: 304 if it is still the same."),
        ],
        "responses": {"200": _json("Found.", body), "304": {"description": "It is still the same."}},
    }


def _asking_rows(types: Sequence[type[Record]], body: Spec) -> Spec:
    """For a list of rows, which has more than one form."""
    found = _asking([*_filters(types), *_listing(), *_times()], body)
    lines = {FORMS["ndjson"]: {"schema": shapes.TEXT}, "text/csv": {"schema": shapes.TEXT}}
    found["responses"]["200"]["content"] |= lines
    return found


def _chosen_of(types: Sequence[type[Record]]) -> Spec:
    """Rows, of which `_select` leaves some fields."""
    chosen = {"type": "object", "description": "With _select: the chosen fields alone."}
    return {"anyOf": [*_any_of(types).get("anyOf", []), chosen]}


def _any_of(types: Iterable[type[Record]]) -> Spec:
    found = [reference(each) for each in dict.fromkeys(types)]
    return {"anyOf": found} if found else {}


def _filters(types: Iterable[type[Record]]) -> list[Spec]:
    """One parameter for each field, with the rows that have it and its operators, since one route serves all tables."""
    found: dict[str, list[str]] = {}
    operators: dict[str, set[str]] = {}
    for cls in dict.fromkeys(types):
        for each, field in fields_of(cls).items():
            name = f"{each}__has" if field.kind == "array" else each
            if field.path and operators_of(field):
                found.setdefault(name, []).append(reference(cls)["$ref"].removeprefix(AT))
                operators.setdefault(name, set()).update(operators_of(field))
    listed = {name: [each for each in ALL_OPERATORS if each in there] for name, there in operators.items()}
    return [
        _query(name, f"Rows where it is so: a field of {', '.join(rows)}.{_with(name, listed[name])}")
        for name, rows in found.items()
    ] + [_query(KEY.name, f"The row of this key.{_with(KEY.name, OPERATORS[KEY.kind])}")]


def _with(name: str, operators: Iterable[str]) -> str:
    found = [f"{name}__{each}" for each in operators if each not in (EQUAL, "has")]
    return f" With an operator it is {', '.join(found)}." if found else ""


def _listing() -> list[Spec]:
    return [
        _query("_sort", "At most three fields with commas between them, and _key; with - before one, the largest come first."),
        _query("_limit", f"Rows a page: {LIMIT} if nothing is said, {MOST} at most.", shapes.whole(0, MOST)),
        _query("_next", "The `next` of the page before.", shapes.SOME_TEXT),
        _query("_select", "The fields of rows that are wanted, with commas between them; all if nothing is said."),
        _query(
            "_count", f"exact, or capped, which ends at {CAP}: how many rows there are on all pages (`count`, `more`).",
            shapes.one_of("exact", "capped"),
        ),
        _query("_facet", f"At most {MOST_FACETS} fields: how often their {FACET_VALUES} commonest values are there (`facets`)."),
        _query("_form", "Whatever is accepted. ndjson and csv without _limit give all rows.", shapes.one_of(*FORMS)),
    ]


def _times() -> list[Spec]:
    return [
        _query("_as_of", "As it was then, by the times of events: a time, or the Retold-As-Of of an answer.", shapes.TIMES),
        _query("_known", "As it was known then, by the times of recording: a time with a zone.", shapes.TIME),
    ]


def _json(description: str, schema: Spec) -> Spec:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _header(name: str, description: str, schema: Spec = shapes.TEXT) -> Spec:
    return {"name": name, "in": "header", "description": description, "schema": schema}


def _query(name: str, description: str, schema: Spec = shapes.TEXT) -> Spec:
    return {"name": name, "in": "query", "description": description, "schema": schema}
