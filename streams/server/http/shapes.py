"""The bodies of answers, as JSON Schema; those of events and rows come from their Avro schemas."""

from __future__ import annotations

from streams.engine.attributes import TRACEPARENT
from streams.event import OURS
from streams.server.http.json_schema import Spec

TEXT: Spec = {"type": "string"}
NUMBER: Spec = {"type": "integer"}
TIME: Spec = {"type": "string", "format": "date-time"}
TEXTS: Spec = {"type": "array", "items": TEXT}
SOME_TEXT: Spec = {"type": "string", "minLength": 1}
IDEMPOTENCY_KEY: Spec = {"type": "string", "minLength": 1, "maxLength": 256}
ROW_VERSION: Spec = {"type": "string", "pattern": r'^"[0-9]{1,18}(\.[0-9]{1,10})?"$'}
ONE_POSITION = "[a-z][a-z0-9_]{0,62}-[0-9]{1,6}:[0-9]{1,18}"
POSITIONS: Spec = {"type": "string", "pattern": f"^{ONE_POSITION}(,{ONE_POSITION})*$"}
DIGITS: Spec = {"type": "string", "pattern": "^[0-9]{1,18}$"}
PARTITION: Spec = {"type": "string", "pattern": "^[0-9]{1,6}$"}
SCHEMA_ID: Spec = {"type": "string", "pattern": "^[0-9]{1,10}$"}
SOURCE: Spec = {**SOME_TEXT, "pattern": f"^(?!{OURS})"}
PLACE: Spec = {"type": "string", "pattern": "^[0-9]{1,18}(-[0-9]{1,9})?$"}
TRACE: Spec = {"type": "string", "pattern": f"^{TRACEPARENT.pattern}$"}
TIMES: Spec = {"anyOf": [TIME, {"type": "string", "pattern": "^[^/]+Z/[^/]+Z$"}]}
"""A time, or the text of a Retold-As-Of."""


def one_of(*values: str) -> Spec:
    return {"type": "string", "enum": [*values]}


def whole(least: int, most: int) -> Spec:
    return {"type": "integer", "minimum": least, "maximum": most}


def closed(spec: Spec, **others: object) -> Spec:
    """An object that is sent: of no members but these."""
    return {**spec, "additionalProperties": False, **others}


def or_null(spec: Spec) -> Spec:
    return {**spec, "type": [spec["type"], "null"]}


def shape(*optional: str, **properties: Spec) -> Spec:
    """An object; all of its members are required, except the optional ones."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def query(name: str, description: str, schema: Spec = TEXT) -> Spec:
    """A parameter of an address."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def header(name: str, description: str, schema: Spec = TEXT) -> Spec:
    return {"name": name, "in": "header", "description": description, "schema": schema}


PROBLEM = shape(
    "errors",
    **dict.fromkeys(("type", "title", "detail", "instance"), TEXT),
    status=NUMBER,
    errors={"type": "array", "items": shape(field=TEXT, detail=TEXT)},
) | {"description": "An error (RFC 9457); `errors` names the field, parameter or header that is wrong."}

INBOX_OFFSET = {"namespace": TEXT, "partition": NUMBER, "offset": NUMBER}
OUTCOME: Spec = {
    "outcome": {"type": "string", "enum": ["accepted", "rejected", "parked", "unanswered", "quarantined", "pending"]},
    "reason": or_null(TEXT),
    "duplicate": {"type": "boolean"},
    "sequence": or_null(NUMBER),
    "recorded": or_null(TIME),
}
LOGGED_OUTCOME: Spec = {"type": "string", "enum": ["accepted", "rejected", "corrected"]}
"""Of what is in an event log: `corrected` is a correction's step."""
BECAME_OUTCOME: Spec = {"type": "string", "enum": [*OUTCOME["outcome"]["enum"], "corrected"]}
"""Of what came to an offset of an inbox, which may be a step, too."""
PUBLISHED = {"type": TEXT, "key": TEXT, "id": TEXT, **INBOX_OFFSET, "url": TEXT}
RECEIPT = shape(**PUBLISHED)
SETTLED = shape(**PUBLISHED, **OUTCOME)
BECAME = shape(
    "position", **{name: or_null(TEXT) for name in ("type", "key", "id")}, **INBOX_OFFSET,
    **{**OUTCOME, "outcome": BECAME_OUTCOME}, position=TEXT,
)  # fmt: skip
LOGGED = shape(
    namespace=TEXT, partition=NUMBER, sequence=NUMBER, position=TEXT, recorded=TIME, outcome=LOGGED_OUTCOME,
    reason=or_null(TEXT), type=TEXT, key=TEXT, id=TEXT, time=TIME, cause=or_null(TEXT), correlation=or_null(TEXT),
    data={"type": "object"},
)  # fmt: skip
UNREADABLE = shape("reasons", count=NUMBER, keys=TEXTS, reasons={"type": "object", "additionalProperties": TEXT}) | {
    "description": "Rows that are there and do not read here: a newer deployment wrote them. As they were: rows that cannot be "
    "told, with a sentence for each. Not all keys if they are many."
}
STREAM: Spec = {
    "id": TEXT,
    "retry": NUMBER,
    "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": LOGGED},
}


def of_table(row: Spec) -> Spec:
    return shape(key=TEXT, version=NUMBER, row=row)


def of_projection(row: Spec) -> Spec:
    return shape(key=TEXT, row=row)


HELD_BACK = shape(events=NUMBER, first=shape(position=TEXT, type=TEXT, time=TIME, counts_from=TIME)) | {
    "description": "How many events had happened by then and are not told, since each depends on a later time; and the first."
}
PAST: Spec = {"as_of": or_null(TIME), "known": TIME, "held_back": or_null(HELD_BACK)}
"""What an answer about the past has."""


def true_at(**properties: Spec) -> Spec:
    """An object with the positions of the answer; or, about the past, with its times."""
    return shape("positions", "lag", *PAST, **properties, positions=TEXTS, lag=or_null(NUMBER), **PAST)


TOLD = {
    **dict.fromkeys(("position", "type", "key", "id", "source"), TEXT),
    "kind": {"type": "string", "enum": ["root", "emitted", "timer", "answer", "step"]},
    "time": TIME,
    "recorded": TIME,
    "outcome": LOGGED_OUTCOME,
    "reason": or_null(TEXT),
    "by": or_null(TEXT),
    "data": {"type": "object"},
    "row": {"type": "string", "enum": ["created", "changed", "deleted", "unchanged", "unknown"]},
    "changes": {"type": "array", "items": shape("before", "after", field=TEXT, before={}, after={})},
    "unknown": TEXT,
    "corrections": {
        "type": "array",
        "items": shape(
            what={"type": "string", "enum": ["taken out", "replaced", "put in", "decided again"]},
            correction=TEXT, by=TEXT, why=TEXT, at=TIME,
            data={"type": ["object", "null"]},
        ),
    },
}
WAITS: Spec = {
    "type": "array",
    "items": shape(
        "due", "since", kind={"type": "string", "enum": ["timer", "call", "parked", "unanswered", "quarantined"]}, type=TEXT,
        namespace=TEXT, key=TEXT, id=TEXT, due=TIME, since=TIME, reason=or_null(TEXT), position=or_null(TEXT),
        data={"type": ["object", "null"]},
    ),
}  # fmt: skip
EFFECTS: Spec = {"type": "array", "items": {"type": "object", "description": "An event with its own effects, and so on."}}
STEP = shape(
    "unknown", "cause", "corrections", **TOLD, cause={"type": "object"}, effects=EFFECTS, left_out=NUMBER, waits=WAITS
)
CAUSES: Spec = {"type": "array", "items": shape("unknown", "corrections", **TOLD, others=NUMBER)}
STORY = true_at(causes=CAUSES, lost_cause=or_null(TEXT), event=STEP) | {
    "description": "`causes` from the root down to the event's own; `event` with all that followed."
}


PLACED = closed(
    shape("time", "id", "after", "source", type=TEXT, data={"type": "object"}, time=TIME, id=TEXT, after=TEXT, source=TEXT)
)
CHANGE = closed(shape(
    "insert", "remove", "replace", "answers", "views",
    insert={"type": "array", "items": PLACED, "minItems": 1}
    | {"description": "Events to put in, each at a time or after another one."},
    remove=TEXTS | {"minItems": 1, "description": "Published events to take out, by id or position (user-3:7)."},
    replace={"type": "object", "additionalProperties": {"type": "object"}, "minProperties": 1}
    | {"description": "Other data, by event."},
    answers={"type": "object", "additionalProperties": shape("data", type=TEXT, data={"type": "object"})}
    | {"description": "What gateways would answer, by the type of the request."},
    views=TEXTS | {"description": "Views to ask before and after, by their paths: orders-of/c7."},
), anyOf=[{"required": [name]} for name in ("insert", "remove", "replace")])  # fmt: skip
DIFFERENCE = shape(difference=TEXT) | {"description": "`difference` says of what kind it is; the last is the summary."}


def key_story(row: Spec) -> Spec:
    return true_at(
        namespace=TEXT, key=TEXT, row={"anyOf": [row, {"type": "null"}]}, version=NUMBER, unknown=or_null(TEXT),
        earlier=NUMBER, events={"type": "array", "items": STEP}, waits=WAITS,
    )  # fmt: skip


FACETS: Spec = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": shape(value={}, count=NUMBER)},
    "description": "By field, how often which value is there, if `_facet` asks for it.",
}


def page(row: Spec, **others: Spec) -> Spec:
    """`count` and `more` are there with `_count`, `facets` with `_facet`."""
    asked: dict[str, Spec] = {"count": NUMBER, "more": {"type": "boolean"}, "facets": FACETS}
    found = true_at(rows={"type": "array", "items": row}, next=or_null(TEXT), **asked, **others)
    return {**found, "required": [name for name in found["required"] if name not in asked]}
