"""`POST /events/TYPE`: an event is checked, published, confirmed, and waited for if the request prefers to wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from streams.codec import check_key
from streams.data import EventData
from streams.engine.identity import request_id
from streams.errors import InvalidEvent, OutcomeTimeout, StreamsError
from streams.receipt import Receipt, Settled
from streams.server import openapi
from streams.server.answers import Standing, ready, to_json
from streams.server.bell import until
from streams.server.parameters import known_params
from streams.server.parts import Parts
from streams.server.problems import Problem
from streams.server.recent import Became
from streams.server.requests import (
    Asked,
    Keys,
    expected_version,
    media_type,
    no_binary_mode,
    one_line,
    read_asked,
    read_body,
    wait_of,
)
from streams.sources.convert import Converter

SOURCE = "retold/server"
KEY_LENGTH = 256
Route = Callable[[Request], Awaitable[Response]]


def routes(parts: Parts) -> APIRouter:
    """One route an event, so that each has its schema in the OpenAPI, and one that names them all."""
    router = APIRouter(tags=["events"])
    keys = Keys()
    for name, data in parts.app.event_types().items():
        door = Door(parts, keys, data)
        router.add_api_route(
            f"/events/{name}", door.route(), methods=["POST"], status_code=202, operation_id=f"publish {name}",
            summary=f"Publish {name}", response_class=Response, openapi_extra=openapi.publishing(data),
        )  # fmt: skip

    @router.post("/events/{event_type}", include_in_schema=False)
    async def unknown(event_type: str) -> Response:
        known = ", ".join(sorted(parts.app.event_types()))
        raise Problem(404, f"{parts.app.name} handles no event {event_type[:100]!r}; it handles {known}")

    return router


class Door:
    """Where events of one type come in."""

    def __init__(self, parts: Parts, keys: Keys, data: type[EventData]) -> None:
        self._parts, self._keys, self._type = parts, keys, data.event_type
        self._convert = Converter(data, texts=False, noun="field")

    def route(self) -> Route:
        async def publish(request: Request) -> Response:
            return await self.publish(request)

        return publish

    async def publish(self, request: Request) -> Response:
        known_params(request.query_params.multi_items())
        no_binary_mode(request)
        kind = media_type(request)
        body = await read_body(request, self._parts.config.max_event_bytes)
        seconds = wait_of(request)
        if seconds is not None:
            ready(self._parts)
        receipt = await run_in_threadpool(self._take, request, kind, body)
        if seconds is None:
            return _answer(202, _shown(receipt), receipt)
        return await self._wait(receipt, seconds)

    def _take(self, request: Request, kind: str, body: bytes) -> Receipt:
        """The receipt of what the body says. Blocks: a large body takes some 100 ms, in which other requests are answered."""
        asked = read_asked(kind, body, self._type)
        data = self._convert(asked.data)
        content = self._checked(data)
        if asked.subject not in (None, data.key):
            raise InvalidEvent(f"the subject is {asked.subject!r:.100}; the event's key, {data.key!r:.100}", "subject")
        return self._publish(request, asked, data, content, self._version(request, asked))

    def _version(self, request: Request, asked: Asked) -> int | None:
        version = expected_version(request)
        if version is not None and asked.expected_version not in (None, version):
            raise Problem(
                400, f"the headers expect the version {version}, the attribute expectedversion {asked.expected_version}; one "
                "of them is enough", field="expectedversion",
            )  # fmt: skip
        return asked.expected_version if version is None else version

    def _checked(self, data: EventData) -> bytes:
        """Its bytes. Raises InvalidEvent for what only the codec finds, the size aside."""
        try:
            check_key(data.key, f"{self._type}.{data.key_field}")
        except InvalidEvent as error:
            error.field = data.key_field
            raise
        return self._parts.codec.encode(data)

    def _publish(
        self, request: Request, asked: Asked, data: EventData, content: bytes, version: int | None
    ) -> Receipt:
        """The receipt, confirmed by the broker. Blocks."""

        def publish() -> Receipt:
            return self._parts.publisher.publish(
                data, id=event_id, time=asked.time, expected_version=version, source=asked.source or SOURCE
            )

        event_id, key = asked.id, one_line(request, "Idempotency-Key")
        if key is None:
            receipt = publish()
        else:
            event_id = self._id(request, key, asked)
            receipt = self._keys.once(key, event_id, content + f"@{version}".encode(), publish)
        self._parts.publisher.confirm(receipt)
        return receipt

    def _id(self, request: Request, key: str, asked: Asked) -> str:
        if asked.id is not None:
            raise Problem(
                400, "a CloudEvent has an id of its own: send it without an Idempotency-Key", field="Idempotency-Key"
            )
        if not 0 < len(key) <= KEY_LENGTH:
            raise Problem(
                400, f"the Idempotency-Key has {len(key)} characters; 1 to {KEY_LENGTH} were expected",
                field="Idempotency-Key",
            )  # fmt: skip
        return request_id(request.state.principal, f"POST /events/{self._type}", key)

    async def _wait(self, receipt: Receipt, seconds: float) -> Response:
        followed, shown = self._parts.followed, _shown(receipt)
        place = receipt.namespace, receipt.partition or 0
        became = await until(followed.bell, lambda: followed.became(place, receipt.offset or 0), seconds)
        headers = {"Preference-Applied": f"wait={seconds:g}"}
        try:
            if became is None:
                raise OutcomeTimeout(f"{receipt!r} is published, and not handled after {seconds:g} s; see {url_of(receipt)}")
            settled(receipt, became).raise_for_outcome()
        except StreamsError as error:
            known = {} if became is None else outcome_of(became)
            raise Problem(
                error.status, str(error), headers={**headers, "Location": url_of(receipt)}, receipt=shown, **known
            ) from None
        answer = _answer(200, {**shown, **outcome_of(became)}, receipt)
        answer.headers.update(headers)
        if became.sequence is not None:
            at = Standing({place: became.sequence}, followed.lag(["table"], [place]))
            answer.headers.update({**at.headers, "ETag": f'"{became.sequence}"'})
        return answer


def url_of(receipt: Receipt) -> str:
    return f"/events/{receipt.namespace}/{receipt.partition}/{receipt.offset}"


def _shown(receipt: Receipt) -> dict[str, Any]:
    return {
        "type": receipt.event_type,
        "key": receipt.key,
        "id": receipt.id,
        "namespace": receipt.namespace,
        "partition": receipt.partition,
        "offset": receipt.offset,
        "url": url_of(receipt),
    }


def outcome_of(became: Became) -> dict[str, Any]:
    """As members of an answer."""
    return {
        "outcome": became.outcome,
        "reason": became.reason,
        "duplicate": became.duplicate,
        "sequence": became.sequence,
        "recorded": became.recorded,
    }


def settled(receipt: Receipt, became: Became) -> Settled:
    return Settled(
        receipt, became.outcome, became.duplicate, receipt.partition or 0, became.sequence, became.recorded, became.reason
    )


def _answer(status: int, body: dict[str, Any], receipt: Receipt) -> Response:
    return Response(to_json(body), status, {"Location": url_of(receipt)}, media_type="application/json")
