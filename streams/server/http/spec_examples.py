"""Examples in the OpenAPI and the AsyncAPI, made from the schemas that they are examples of: valid by construction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from streams.app import App
from streams.data import EventData, namespace_of
from streams.schemas.schema_ids import id_of
from streams.server.http import shapes
from streams.server.http.json_schema import AT, Spec, components, reference
from streams.server.http.problem_types import PROBLEM_TYPES
from streams.server.http.requests import CLOUD_BATCH, CLOUD_EVENT, LINES

TIME = "2026-01-01T12:00:00Z"
ID = "0a4e2c1c-6d0b-4b1e-9a56-3f5d8c1f7e21"
DEEPEST = 5
"""A schema may contain itself: below so many levels, lists are empty and what may be nothing is."""
FORMATS = {"date-time": TIME, "email": "ada@example.org"}
NUMBERED = {"partition": shapes.PARTITION, "offset": shapes.DIGITS, "schema_id": shapes.SCHEMA_ID, "place": shapes.PLACE}
"""Parts of paths that are numbers."""
LARGEST = 3
"""Of a number, where its schema allows it."""


class Samples:
    """Values that fit schemas. A text is named after its field (`order-1`); `texts` are those of fields that are no event's own."""

    def __init__(self, schemas: Mapping[str, Spec], texts: Mapping[str, str] | None = None) -> None:
        self._schemas, self._texts = schemas, texts or {}

    def of(self, schema: Spec, name: str = "value", depth: int = 0) -> Any:
        """A value with the members that are required."""
        if "$ref" in schema:
            return self.of(self._schemas[schema["$ref"].removeprefix(AT)], name, depth + 1)
        if "anyOf" in schema:
            return self.of(schema["anyOf"][-1 if depth > DEEPEST else 0], name, depth)
        if "enum" in schema:
            return schema["enum"][0]
        kinds = schema.get("type", [])
        kind = kinds[0] if isinstance(kinds, list) and kinds else kinds
        return getattr(self, f"_{kind}", self._anything)(schema, name, depth) if kind else self._anything(schema, name, depth)

    def _object(self, schema: Spec, name: str, depth: int) -> dict[str, Any]:
        members = schema.get("properties", {})
        found = {each: self.of(members[each], each, depth) for each in schema.get("required", ())}
        others = schema.get("additionalProperties")
        return {"name": self.of(others, name, depth)} if not members and isinstance(others, dict) and depth <= DEEPEST else found

    def _array(self, schema: Spec, name: str, depth: int) -> list[Any]:
        return [] if depth > DEEPEST else [self.of(schema.get("items", {}), name, depth + 1)]

    def _string(self, schema: Spec, name: str, _: int) -> str:
        if "contentEncoding" in schema:
            return "aGVsbG8="
        if name in self._texts:
            return self._texts[name]
        return FORMATS.get(schema.get("format", "email" if name.endswith("email") else ""), f"{name}-1")

    def _integer(self, schema: Spec, _: str, __: int) -> int:
        return int(max(schema.get("minimum", 0), min(LARGEST, schema.get("maximum", LARGEST))))

    def _number(self, _: Spec, __: str, ___: int) -> float:
        return 1.5

    def _boolean(self, _: Spec, __: str, ___: int) -> bool:
        return True

    def _null(self, _: Spec, __: str, ___: int) -> None:
        return None

    def _anything(self, _: Spec, name: str, __: int) -> str:
        return self._texts.get(name, f"{name}-1")


def event_sample(data: type[EventData]) -> dict[str, Any]:
    """An event's data, with the fields that it must have."""
    found: dict[str, Any] = Samples(components([data])).of(reference(data))
    return found


def cloud_sample(data: type[EventData]) -> dict[str, Any]:
    """An event as a CloudEvent. Its id is its type's: an id is of one event."""
    inner = event_sample(data)
    return {
        "specversion": "1.0", "id": f"example-{data.event_type}", "source": "https://shop.example/checkout",
        "type": data.event_type, "time": TIME, "subject": inner[data.key_field], "data": inner,
    }  # fmt: skip


class PathSamples:
    """What may stand in the braces of a path, so that the examples of events have led to it."""

    def __init__(self, app: App) -> None:
        self._types = list(app.event_types().values())
        self._namespaces = {it.name for it in app.namespaces}

    def event(self, path: str) -> type[EventData]:
        """That whose example the operation is about: of its namespace, if it is about one."""
        names = self._namespaces & {*path.split("/")[2:3]}
        return next((it for it in self._types if namespace_of(it.event_type) in names), self._types[0])

    def text(self, name: str, path: str) -> str:
        data = self.event(path)
        known = {
            "correction": ID, "request": ID,
            "key": str(event_sample(data)[data.key_field]), "partition": "0", "offset": "0", "place": "0", "decision": "reject",
            "event": f"{namespace_of(data.event_type)}-0:1", "subject": data.event_type, "version": "1",
            "schema_id": str(id_of(data.schemas[-1])), "name": PROBLEM_TYPES[0].name,
        }  # fmt: skip
        return known.get(name, f"{name}-1")


CHOICES: Final = {"decision": ["retry", "reject", "answer"], "name": [it.name for it in PROBLEM_TYPES]}
"""Parts of paths that have few values."""


def add_examples(spec: Spec, app: App) -> None:
    """To every operation: of what is in its path, of what it takes, and of what it answers."""
    paths, schemas = PathSamples(app), spec["components"]["schemas"]
    for path, operation in _operations(spec):
        samples = Samples(schemas, texts_of_answers(paths.event(path)))
        for it in operation.get("parameters", ()):
            if it["in"] == "path":
                name = it["name"]
                it["example"] = paths.text(name, path)
                it["schema"] = shapes.one_of(*CHOICES[name]) if name in CHOICES else NUMBERED.get(name, shapes.SOME_TEXT)
        for kind, media in operation.get("requestBody", {}).get("content", {}).items():
            media["example"] = _sent(path, kind, media, app, samples)
        for status, response in operation["responses"].items():
            for kind, media in response.get("content", {}).items():
                if status < "300" and (example := _answered(kind, media, samples)) is not None:
                    media["example"] = example


def _operations(spec: Spec) -> Iterator[tuple[str, Spec]]:
    for path, methods in spec["paths"].items():
        for operation in methods.values():
            yield path, operation


def texts_of_answers(data: type[EventData]) -> dict[str, str]:
    """Texts of members that answers have, as in an answer about the example of this event."""
    namespace, key = namespace_of(data.event_type), str(event_sample(data)[data.key_field])
    return {
        "namespace": namespace, "key": key, "type": data.event_type, "id": ID, "correlation": ID, "cause": ID,
        "position": f"{namespace}-0:1", "positions": f"{namespace}-0:1", "next": "WyJvcmRlciJd", "outcome": "accepted",
        "url": f"/events/{namespace}/0/0", "source": "retold/server",
    }  # fmt: skip


def _sent(path: str, kind: str, media: Spec, app: App, samples: Samples) -> Any:
    """An example of a body that the operation takes."""
    data = app.event_types().get(path.removeprefix("/events/"), next(iter(app.event_types().values())))
    inner = event_sample(data)
    if kind == CLOUD_EVENT:
        return cloud_sample(data)
    if kind == CLOUD_BATCH:
        return [cloud_sample(data)]
    if kind == LINES:
        return msgspec.json.encode({"type": data.event_type, "data": inner}).decode() + "\n"
    if path in ("/what-if", "/corrections"):
        change = {"insert": [{"type": data.event_type, "data": inner, "time": TIME}]}
        return change if path == "/what-if" else {"why": "it was forgotten", **change}
    return {"why": "a typo"} if path.startswith("/parked/") else samples.of(media["schema"])


def _answered(kind: str, media: Spec, samples: Samples) -> Any:
    """An example of a body that the operation gives; None for text whose lines are not described."""
    if (each := media.get("x-event-schema")) is not None:
        data = each["properties"]["data"]["contentSchema"]
        return f"id: 0:1\ndata: {msgspec.json.encode(samples.of(data)).decode()}\n\n"
    if (each := media.get("x-line-schema")) is not None:
        return msgspec.json.encode(samples.of(each)).decode() + "\n"
    return samples.of(media["schema"]) if kind.endswith("json") and kind != LINES and media.get("schema") else None
