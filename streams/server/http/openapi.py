"""The OpenAPI of a server, from its routes: one path for each namespace, projection, view and event, so that each is exact."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import version

import msgspec

from streams.app import App
from streams.data import Record
from streams.server.http import shapes
from streams.server.http.error_answers import error_components, with_errors
from streams.server.http.json_schema import Spec, components
from streams.server.http.operations import OPERATIONS
from streams.server.http.route_entry import ANY, RouteEntry
from streams.server.http.spec_examples import add_examples

VERSION = "3.1.1"
DESCRIPTION = """Events go in by name; rows, projections, views and event logs come out as they are committed.

Every answer says up to which position it is true (`Retold-Position`) and how far this server is behind (`Retold-Lag`).
`x-right` is the right that a principal needs."""
CONVERTOR = re.compile(r":\w+}")
PART = re.compile(r"{(\w+)}")
PUBLISHING = "/events/{event_type}"


def types_of(app: App) -> list[type[Record]]:
    """The classes of every event and every row, including projections."""
    rows = [space.row_type for space in app.namespaces]
    return [*app.event_types().values(), *rows, *(it.row_type for it in app.projections)]


def plain_path(path: str) -> str:
    """Without what its names may be: `/rows/{namespace}/{key}`."""
    return CONVERTOR.sub("}", path)


def openapi_document(app: App, routes: Iterable[RouteEntry], *, token: bool) -> Spec:
    """The whole document. `token`: whether one is needed."""
    paths: dict[str, Spec] = {}
    for route in routes:
        for path, operation in _operations(app, route):
            paths.setdefault(path, {})[route.method.lower()] = with_errors(route, path, operation, token=token)
    shared = {
        "openapi": VERSION,
        "info": {"title": app.name, "version": version("retold"), "description": DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": {**components(types_of(app)), "Problem": shapes.PROBLEM},
            "responses": error_components(),
            **({"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}} if token else {}),
        },
        **({"security": [{"token": []}]} if token else {}),
    }
    spec: Spec = msgspec.json.decode(msgspec.json.encode(shared))  # no part is in two places: each gets its own example
    add_examples(spec, app)
    return spec


def _operations(app: App, route: RouteEntry) -> Iterator[tuple[str, Spec]]:
    """Each with its path; none of a route of which there is nothing to say."""
    pattern = plain_path(route.path)
    told = OPERATIONS.get(f"{route.method} {pattern}")
    if told is None:
        return
    for name, path in _paths(app, pattern):
        spec = told.spec(app, name)
        parts = [_part(it) for it in PART.findall(path)]
        parameters = [*parts, *spec.get("parameters", ())]
        yield path, {
            "tags": [told.tag],
            "summary": told.summary.format(name),
            "operationId": f"publish {name}" if pattern == PUBLISHING else f"{route.method.lower()} {path}",
            **_right(route, name),
            **({"parameters": parameters} if parameters else {}),
            **{member: it for member, it in spec.items() if member != "parameters"},
        }


def _paths(app: App, pattern: str) -> Iterator[tuple[str, str]]:
    """The paths of a pattern, each with what it is of."""
    braces, names = _varied(app, pattern)
    if not braces:
        yield "", pattern
    for name in names:
        yield name, pattern.replace(braces, name.strip("/"))


def _varied(app: App, pattern: str) -> tuple[str, Iterable[str]]:
    """What of the pattern has a path for each, and these."""
    if "{namespace}" in pattern:
        return "{namespace}", [it.name for it in app.namespaces]
    if pattern.startswith("/projections/{name}"):
        return "{name}", [it.name for it in app.projections]
    if pattern == "/views/{path}":
        return "{path}", [it.path for it in app.views]
    if pattern == PUBLISHING:
        return "{event_type}", app.event_types()
    return "", ()


def _right(route: RouteEntry, name: str) -> Spec:
    """Nothing where a known principal is enough, and no security where not even that is needed."""
    if route.right.is_open:
        return {"security": []}
    if route.right.right is None:
        return {}
    kind, of = route.right.right
    return {"x-right": f"{kind} {PART.sub(name.strip('/'), of.replace(ANY, '…'))}".strip()}


def _part(name: str) -> Spec:
    return {"name": name, "in": "path", "required": True, "schema": shapes.TEXT}
