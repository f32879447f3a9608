"""The OpenAPI of a server, from its routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import version

import msgspec

from streams.app import App
from streams.data import Record
from streams.server.connections import ALWAYS_ANSWERED
from streams.server.http import shapes
from streams.server.http.json_schema import AT, Spec, components
from streams.server.http.operation_specs import projected_types, publishing, row_types
from streams.server.http.operations import OPERATIONS
from streams.server.http.problems import MEDIA_TYPE
from streams.server.http.requests import JSON
from streams.server.http.route_entry import RouteEntry
from streams.server.http.spec_examples import add_examples

VERSION = "3.1.1"
DESCRIPTION = """Events go in by name; rows, projections, views and event logs come out as they are committed.

Every answer says up to which position it is true (`Retold-Position`) and how far this server is behind (`Retold-Lag`)."""
PUBLISHING = "POST /events/{event_type}"
CONVERTOR = re.compile(r":\w+}")


def types_of(app: App) -> list[type[Record]]:
    """The classes of every event and every row, including projections."""
    return [*app.event_types().values(), *row_types(app), *projected_types(app)]


def openapi_document(app: App, routes: Iterable[RouteEntry], *, token: bool) -> Spec:
    """The whole document. `token`: whether one is needed."""
    paths: dict[str, Spec] = {}
    for method, path, operation in _operations(app, routes):
        paths.setdefault(path, {})[method.lower()] = operation
    shared = {
        "openapi": VERSION,
        "info": {"title": app.name, "version": version("retold"), "description": DESCRIPTION},
        "components": {"schemas": {**components(types_of(app)), "Problem": shapes.PROBLEM}},
        "paths": paths,
    }
    spec: Spec = msgspec.json.decode(msgspec.json.encode(shared))  # no part is in two places: each gets its own example
    add_examples(spec, app)
    if token:
        _secure(spec)
    return spec


def _operations(app: App, routes: Iterable[RouteEntry]) -> Iterator[tuple[str, str, Spec]]:
    """Of those routes that there is something to say of; each event has its own."""
    for route in routes:
        path = CONVERTOR.sub("}", route.path)
        name = f"{route.method} {path}"
        if name == PUBLISHING:
            for event_type, data in app.event_types().items():
                one = {"tags": ["events"], "summary": f"Publish {event_type}", "operationId": f"publish {event_type}"}
                yield route.method, f"/events/{event_type}", _with_errors({**one, **publishing(data)})
        elif (told := OPERATIONS.get(name)) is not None:
            operation_id = re.sub(r"\W", "_", f"{route.handler.__name__}{path}_{route.method.lower()}")
            one = {"tags": [told.tag], "summary": told.summary, "operationId": operation_id}
            yield route.method, path, _with_errors({**one, **_described(path, told.spec(app))})


def _described(path: str, spec: Spec) -> Spec:
    """With the parts of the path, and an answer."""
    given = spec.get("parameters", [])
    named = {it["name"] for it in given if it["in"] == "path"}
    parts = [_part(name) for name in re.findall(r"{(\w+)}", path) if name not in named]
    found = {**spec, "responses": {"200": {"description": "Found."}, **spec.get("responses", {})}}
    if path.startswith("/-/"):
        kind = "text/plain" if path == "/-/metrics" else JSON
        found["responses"]["200"] = {"description": "Found.", "content": {kind: {"schema": {}}}}
    return found | ({"parameters": [*parts, *given]} if parts or given else {})


def _part(name: str) -> Spec:
    return {"name": name, "in": "path", "required": True, "schema": shapes.TEXT}


def _with_errors(operation: Spec) -> Spec:
    """Give every error response the shape of a problem."""
    responses = {**operation["responses"], "default": {"description": "What went wrong, in a sentence."}}
    problem = {MEDIA_TYPE: {"schema": {"$ref": f"{AT}Problem"}}}
    told = {status: {**it, "content": problem} if _is_error(status) else it for status, it in responses.items()}
    return {**operation, "responses": told}


def _is_error(status: str) -> bool:
    return status == "default" or status >= "400"


def _secure(spec: Spec) -> None:
    spec["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    spec["security"] = [{"token": []}]
    for path in ALWAYS_ANSWERED:
        spec["paths"][path]["get"]["security"] = []
