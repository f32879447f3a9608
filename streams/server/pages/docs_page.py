"""The reference of the API as a page: its routes, and the events with who handles them and what they lead to."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

from streams.server.http.requests import JSON
from streams.server.pages.page_request import Page, PageRequest

PUBLISHING = "/events/"


async def docs(asked: PageRequest) -> Page:
    spec = (await asked.answer("/openapi.json", "")).value
    app = asked.parts.app
    flow = app.flow()  # all of it, as in the OpenAPI; that of `GET /` has what the token may see
    causes: dict[str, list[str]] = {}
    for name, out in flow.items():
        for effect in out:
            causes.setdefault(effect, []).append(name)
    calls = {gateway.data.event_type for gateway in app.gateways}
    schemas = spec["components"]["schemas"]
    events = [
        {
            "name": name, "gateway": name in calls, "leads_to": flow.get(name, []), "comes_from": causes.get(name, []),
            "fields": _fields(schemas.get(name, {})), "about": schemas.get(name, {}).get("description", ""),
            "line": _line(asked.api.origin, name, spec["paths"][f"{PUBLISHING}{name}"]["post"]),
        }
        for name in sorted(app.event_types())
    ]  # fmt: skip
    known = {f"{PUBLISHING}{it['name']}" for it in events}
    routes = [
        {"method": method.upper(), "path": path, "summary": it.get("summary", ""), "parameters": _parameters(it)}
        for path, methods in spec["paths"].items()
        if path not in known
        for method, it in methods.items()
    ]
    return Page("docs.html", "API", "/-/docs", {"events": events, "routes": routes}, as_json="/openapi.json")


async def problems(asked: PageRequest) -> Page:
    """All types of problems, or one of them."""
    answer = await asked.answer()
    found = answer.value
    listed = found.get("problems", [found])
    title = "Problems" if "problems" in found else found["title"]
    return Page("problem_types.html", title, "/-/docs", {"problems": listed}, answer)


def _line(origin: str, name: str, operation: Mapping[str, Any]) -> str:
    """A command that publishes the example of an event, and waits for its outcome."""
    data = msgspec.json.encode(operation["requestBody"]["content"][JSON]["example"]).decode()
    return f"curl -s {origin}{PUBLISHING}{name} -H 'Content-Type: {JSON}' -H 'Prefer: wait=5' -d {shlex.quote(data)}"


def _parameters(operation: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each with what it means; a field once, with its operators."""
    found = {it["name"]: it.get("description", "") for it in operation.get("parameters", []) if it["in"] != "path"}
    of_field: dict[str, list[str]] = {}
    for name in found:
        if (field := name.rpartition("__")[0]) in found:
            of_field.setdefault(field, []).append(name)
    operators = {name for names in of_field.values() for name in names}
    return [
        (name, f"{about} Also {', '.join(of_field[name])}." if name in of_field else about)
        for name, about in found.items()
        if name not in operators
    ]


def _fields(schema: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, type and meaning of each field."""
    required = schema.get("required", ())
    return [
        (name, _kind(it) if name in required else f"{_kind(it)}, may be left out", it.get("description", ""))
        for name, it in schema.get("properties", {}).items()
    ]


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_kind(it) for it in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return {"date-time": "time"}.get(schema.get("format", ""), str(schema.get("type", "value")))
