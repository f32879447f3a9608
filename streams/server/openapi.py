"""What the generated OpenAPI cannot know by itself: the schemas of events and rows, headers, filters, errors."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from streams.app import App
from streams.data import EventData, Record
from streams.server.json_schema import AT, Spec, components, reference
from streams.server.pages import LIMIT, MOST
from streams.server.problems import MEDIA_TYPE
from streams.server.requests import CLOUD_EVENT, JSON, LONGEST_WAIT

PROBLEM: Spec = {
    "type": "object",
    "description": "An error (RFC 9457); `errors` names the field or parameter that is wrong.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}

UNREADABLE: Spec = {
    "type": "object",
    "description": "Rows that are there and do not read here: a newer deployment wrote them. Not all keys if they are many.",
    "properties": {
        "count": {"type": "integer"},
        "keys": {"type": "array", "items": {"type": "string"}},
    },
}


def types_of(app: App) -> list[type[Record]]:
    """Every event and every row, also of projections."""
    rows = [space.row_type for space in app.namespaces] + [it.row_type for it in app.projections]
    return [*app.event_types().values(), *rows]


def publishing(data: type[EventData]) -> Spec:
    """For `POST /events/TYPE`."""
    ref = reference(data)
    wait = f"wait=5: answer with the outcome, if there is one in so many seconds ({LONGEST_WAIT:.0f} at most)."
    cloud_event = {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            **{name: {"type": "string"} for name in ("specversion", "id", "source", "type", "time", "subject")},
            "expectedversion": {"type": "integer"},
            "data": ref,
        },
    }
    return {
        "parameters": [
            _header("Idempotency-Key", "A request repeated with its key publishes nothing again."),
            _header("If-Match", "The ETag of the row: the event is handled only if its row has this version."),
            _header("Prefer", wait),
        ],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": ref}, CLOUD_EVENT: {"schema": cloud_event}},
        },
        "responses": {
            "200": {"description": "Accepted, as `Prefer: wait` asked to know."},
            "202": {"description": "Published: `Location` tells what became of it."},
            "409": {"description": "The handler rejected it."},
            "412": {"description": "The row was not at the expected version."},
            "504": {"description": "No outcome in the time given; the event is published."},
        },
    }


def listing(app: App) -> Spec:
    """For `GET /rows/NAMESPACE`."""
    types = [space.row_type for space in app.namespaces]
    return {"parameters": _paging(), "responses": _found(types, many=True, unreadable=True)}


def one_row(app: App) -> Spec:
    """For `GET /rows/NAMESPACE/KEY`."""
    types = [space.row_type for space in app.namespaces]
    return {"parameters": [_min_position()], "responses": _found(types, many=False)}


def projected(app: App) -> Spec:
    """For `GET /projections/NAME`."""
    return {"parameters": _paging(), "responses": _found([it.row_type for it in app.projections], many=True)}


def _found(types: list[type[Record]], *, many: bool, unreadable: bool = False) -> Spec:
    of_row = {"anyOf": [reference(each) for each in dict.fromkeys(types)]} if types else {}
    row = {
        "type": "object",
        "properties": {"key": {"type": "string"}, "version": {"type": "integer"}, "row": of_row},
    }
    lists = {
        "type": "object",
        "properties": {
            "rows": {"type": "array", "items": row},
            "next": {"type": ["string", "null"]},
            **({"unreadable": UNREADABLE} if unreadable else {}),
            "positions": {"type": "array", "items": {"type": "string"}},
            "lag": {"type": "integer"},
        },
    }
    return {"200": {"description": "Found.", "content": {JSON: {"schema": lists if many else row}}}}


def _paging() -> list[Spec]:
    return [
        _query("_sort", "A field, or _key; with - before it, the largest come first."),
        _query("_limit", f"Rows a page: {LIMIT} if nothing is said, {MOST} at most."),
        _query("_next", "The `next` of the page before."),
        _min_position(),
    ]


def _min_position() -> Spec:
    return _query("_min_position", "Answer once this position is reached, such as user-3@1042.")


def _header(name: str, description: str) -> Spec:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _query(name: str, description: str) -> Spec:
    return {"name": name, "in": "query", "description": description, "schema": {"type": "string"}}


def install(api: FastAPI, app: App) -> None:
    """Computed once, when somebody asks."""

    def openapi() -> Spec:
        if api.openapi_schema is None:
            spec = get_openapi(title=api.title, version=api.version, description=api.description, routes=api.routes)
            parts = spec.setdefault("components", {}).setdefault("schemas", {})
            for unused in ("HTTPValidationError", "ValidationError"):
                parts.pop(unused, None)
            parts |= {**components(types_of(app)), "Problem": PROBLEM}
            for operations in spec["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
                    operation["responses"]["default"] = {
                        "description": "What went wrong, in a sentence.",
                        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{AT}Problem"}}},
                    }
            api.openapi_schema = spec
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to change what it generates
