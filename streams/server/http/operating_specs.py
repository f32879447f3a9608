"""What the OpenAPI says of probes, metrics, types of problems and the schema registry."""

from __future__ import annotations

from typing import Final

from streams.app import App
from streams.server.http import shapes
from streams.server.http.json_schema import Spec
from streams.server.http.overview_spec import CHECK
from streams.server.http.registry import MEDIA_TYPE
from streams.server.http.requests import JSON

STATE: Final = shapes.shape(status=shapes.TEXT)
HEALTH: Final = shapes.shape(
    "checks", status=shapes.TEXT, state=shapes.one_of("good", "warn"), checks={"type": "array", "items": CHECK}
)
TYPE: Final = shapes.shape(**dict.fromkeys(("type", "name", "title", "what", "do"), shapes.TEXT), status=shapes.NUMBER)
NUMBERS: Final[Spec] = {"type": "array", "items": shapes.NUMBER}
USE: Final = shapes.shape(subject=shapes.TEXT, version=shapes.NUMBER)


def probe(_: App, __: str) -> Spec:
    return _answer(STATE)


def health(_: App, __: str) -> Spec:
    return _answer(HEALTH)


def status(_: App, __: str) -> Spec:
    return _answer({"type": "object"})


def metrics(_: App, __: str) -> Spec:
    return _answer(shapes.TEXT, "text/plain")


def problem_types(_: App, __: str) -> Spec:
    return _answer(shapes.shape(problems={"type": "array", "items": TYPE}))


def problem_type(_: App, __: str) -> Spec:
    return _answer(TYPE)


def schema(_: App, __: str) -> Spec:
    return _answer(shapes.shape(schema=shapes.TEXT), MEDIA_TYPE)


def schema_text(_: App, __: str) -> Spec:
    return _answer({"description": "A schema of Avro."}, MEDIA_TYPE)


def schema_uses(_: App, __: str) -> Spec:
    return _answer({"type": "array", "items": USE}, MEDIA_TYPE)


def names(_: App, __: str) -> Spec:
    return _answer(shapes.TEXTS, MEDIA_TYPE)


def compatibility(_: App, __: str) -> Spec:
    return _answer(shapes.shape(compatibilityLevel=shapes.TEXT), MEDIA_TYPE)


def versions(_: App, __: str) -> Spec:
    return _answer(NUMBERS, MEDIA_TYPE)


def version(_: App, __: str) -> Spec:
    return _answer(shapes.shape(subject=shapes.TEXT, version=shapes.NUMBER, id=shapes.NUMBER, schema=shapes.TEXT), MEDIA_TYPE)


def _answer(body: Spec, kind: str = JSON) -> Spec:
    return {"responses": {"200": {"description": "Found.", "content": {kind: {"schema": body}}}}}
