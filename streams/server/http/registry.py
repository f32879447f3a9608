"""The read API of a Confluent schema registry, so that a stock Avro consumer or a Kafka UI decodes our topics.

A subject is the name of an event or a row (Confluent's record name strategy).
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streams.codec import AvroCodec
from streams.errors import InvalidSchema, SchemaNotFound, did_you_mean
from streams.schemas.avro import parse
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.pools import in_thread
from streams.server.http.problems import Problem
from streams.server.readmodel.row_json import to_json

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
NO_SUBJECT, NO_VERSION, NO_SCHEMA = 40401, 40402, 40403
ROOTS = ("/schemas/", "/subjects/", "/config/")
ASKED_FOR = ("/associations/", "/contexts/", "/mode/", "/v1/")
"""Paths that stock clients try too: they continue after a 404, and give up after a 401."""
Subjects = dict[str, dict[int, int]]


def is_registry(path: str) -> bool:
    """Whether a path belongs to the registry API, which reads nothing but schemas."""
    return f"{path}/".startswith(ROOTS + ASKED_FOR)


async def by_id(request: Request) -> Response:
    parts, schema_id = parts_of(request), request.path_params["schema_id"]
    return _answer({"schema": await in_thread(parts.pools.kafka, _text, parts, schema_id)})


async def text_by_id(request: Request) -> Response:
    parts, schema_id = parts_of(request), request.path_params["schema_id"]
    return _answer(json.loads(await in_thread(parts.pools.kafka, _text, parts, schema_id)))


async def versions_by_id(request: Request) -> Response:
    parts, schema_id = parts_of(request), request.path_params["schema_id"]
    await in_thread(parts.pools.kafka, _text, parts, schema_id)
    wanted = int(schema_id)
    uses = [(name, number) for name, found in (await _subjects(parts)).items() for number in found if found[number] == wanted]
    return _answer([{"subject": name, "version": number} for name, number in uses])


async def types(_: Request) -> Response:
    return _answer(["AVRO"])


async def config(_: Request) -> Response:
    return _answer({"compatibilityLevel": "FULL_TRANSITIVE"})


async def subjects(request: Request) -> Response:
    parts = parts_of(request)
    return _answer(sorted(await _subjects(parts)))


async def versions(request: Request) -> Response:
    parts, subject = parts_of(request), request.path_params["subject"]
    return _answer(sorted(await _subject(parts, subject)))


async def version(request: Request) -> Response:
    parts = parts_of(request)
    subject, asked = request.path_params["subject"], request.path_params["version"]
    found = await _subject(parts, subject)
    number = max(found) if asked in ("latest", "-1") else int(asked) if _is_number(asked) else 0
    if number not in found:
        known = ", ".join(map(str, sorted(found)))
        raise _problem(404, NO_VERSION, f"{subject} has no version {asked[:40]!r}; it has {known}, and latest")
    text = parts.codec.schema_text(found[number])
    return _answer({"subject": subject, "version": number, "id": found[number], "schema": text})


def _text(parts: ServerParts, schema_id: str) -> str:
    """The text of a schema that is known here or was published. May block."""
    if not _is_number(schema_id):
        raise _problem(422, 42201, f"the schema id is {schema_id[:40]!r}; a whole number was expected")
    try:
        return parts.codec.schema_text(int(schema_id))
    except SchemaNotFound:
        published = parts.archive.schemas()
    if int(schema_id) not in published:
        raise _problem(404, NO_SCHEMA, f"nobody has published a schema with the id {schema_id}")
    for text in published.values():
        try:
            parts.codec.add_schema(text)
        except InvalidSchema:
            continue  # another program's mistake; the requested schema is returned as it is
    return published[int(schema_id)]


async def _subjects(parts: ServerParts) -> Subjects:
    """The id of each version of each subject. There may be many texts to be read, so this is done in a thread."""
    return await in_thread(parts.pools.memory, _read_subjects, parts.codec)


def _read_subjects(codec: AvroCodec) -> Subjects:
    found: Subjects = {}
    for schema_id, name in codec.schema_ids().items():
        found.setdefault(name, {})[_version_of(codec.schema_text(schema_id))] = schema_id
    return found


@lru_cache(10_000)
def _version_of(text: str) -> int:
    return parse(text, written=True).version


async def _subject(parts: ServerParts, name: str) -> dict[int, int]:
    subjects = await _subjects(parts)
    found = subjects.get(name)
    if found is None:
        near = did_you_mean(name, subjects)
        raise _problem(404, NO_SUBJECT, f"there is no subject {name[:200]!r}{near}; /subjects lists them")
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def _problem(status: int, code: int, detail: str) -> Problem:
    """A problem with the members that Confluent's clients show."""
    return Problem(status, detail, error_code=code, message=detail)


def _answer(body: Any) -> Response:
    return Response(to_json(body), media_type=MEDIA_TYPE)
