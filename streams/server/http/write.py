"""`POST /events/TYPE`: checks, publishes and confirms an event, and waits for its outcome with `Prefer: wait`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from streams.codec import check_key
from streams.data import EventData, namespace_of
from streams.deliveries import not_confirmed
from streams.engine.identity import request_id
from streams.errors import BrokerError, InvalidEvent, OutcomeTimeout, StreamsError, did_you_mean
from streams.eventfiles.convert import Converter
from streams.query.filters import hold
from streams.receipt import EventOutcome, Receipt, publish_outcome
from streams.server.access.principal import Principal
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import AnswerPosition, ready, up_to_date
from streams.server.http.handed_over import tell_handed_over
from streams.server.http.idempotency import IdempotencyKeys
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.permitted_rows import permitted_row, refuse_hidden_version, told_outcome
from streams.server.http.plain_answer import PlainAnswer
from streams.server.http.pools import in_thread
from streams.server.http.problems import RETRY_AFTER, STOPS, Problem
from streams.server.http.requests import (
    PublishRequest,
    expected_version,
    media_type,
    no_binary_mode,
    one_line,
    read_asked,
    read_body,
    traceparent_of,
    wait_of,
)
from streams.server.readmodel.key_uses import SOURCE, digest_of
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.notifier import until
from streams.server.readmodel.row_json import to_json

IDEMPOTENCY_KEY = "Idempotency-Key"
KEY_LENGTH = 256
CONFIRMED_IN = 10.0
"""s in which Kafka must have an event."""
SMALL = 8 * 1024
"""Bytes of a body that the event loop reads itself: it takes less than a thread to be told of it, and to tell of it."""


def event_endpoints(parts: ServerParts) -> Mapping[str, EventEndpoint]:
    """What publishes each type of event."""
    link, keys = parts.link, IdempotencyKeys(parts.model.sent)
    if link is not None:
        keys = IdempotencyKeys(parts.model.sent, first=partial(link.first, parts.publisher))
    return {name: EventEndpoint(parts, keys, data) for name, data in parts.app.event_types().items()}


def endpoints_of(request: Request) -> Mapping[str, EventEndpoint]:
    """Those of the server that is asked."""
    found: Mapping[str, EventEndpoint] = request.app.state.endpoints
    return found


async def publish(request: Request) -> Response:
    """Raises a 404 problem for an event that the application does not handle."""
    event_type = request.path_params["event_type"]
    endpoint = endpoints_of(request).get(event_type)
    if endpoint is None:
        raise Problem(404, unknown_event(parts_of(request), event_type))
    return await endpoint.publish(request)


def unknown_event(parts: ServerParts, event_type: str) -> str:
    """Of an event that the application does not handle, with those that it does."""
    names = sorted(parts.app.event_types())
    near, known = did_you_mean(event_type, names), ", ".join(names) or "none"
    return f"{parts.app.name} handles no event {event_type[:100]!r}{near}; it handles {known}"


class CheckedRequest(NamedTuple):
    """A checked request: its data, their bytes, and the version that the row must have."""

    asked: PublishRequest
    data: EventData
    content: bytes
    version: int | None


class EventEndpoint:
    """Publishes events of one type."""

    def __init__(self, parts: ServerParts, keys: IdempotencyKeys, data: type[EventData]) -> None:
        self._parts, self._keys, self._type = parts, keys, data.event_type
        self._namespace = namespace_of(data.event_type)
        self._convert = Converter(data, texts=False, noun="field")

    async def publish(self, request: Request) -> Response:
        if request.scope["query_string"]:
            known_params(request.query_params.multi_items())
        no_binary_mode(request)
        kind = media_type(request)
        body = await read_body(request, self._parts.config.max_event_bytes)
        seconds = wait_of(request)
        if IDEMPOTENCY_KEY in request.headers:
            up_to_date(self._parts)  # before the logs are read, it is not known which keys were used
        elif seconds is not None:
            ready(self._parts)
        # A large body takes some 100 ms, and a slow broker seconds: neither may delay other answers, nor one the other.
        if len(body) <= SMALL:
            wanted = self._read(request, kind, body)
        else:
            wanted = await in_thread(self._parts.pools.memory, self._read, request, kind, body)
        trace, key = wanted.asked.traceparent or traceparent_of(request), one_line(request, IDEMPOTENCY_KEY)
        event_id = self.id_of(request, wanted.asked, f"POST /events/{self._type}")
        receipt = await self.published(wanted, event_id, trace, key)
        return await self.answer(receipt, seconds, principal_of(request))

    async def answer(self, receipt: Receipt, seconds: float | None, principal: Principal) -> Response:
        """Of an event that Kafka has: with its outcome, if that is to be waited for."""
        if seconds is None:
            shown = shown_receipt(receipt)
            return PlainAnswer(202, {"Location": shown["url"]}, to_json(shown))
        return await self._wait(receipt, seconds, principal)

    def _read(self, request: Request, kind: str, body: bytes) -> CheckedRequest:
        """Parse and check the body."""
        asked = read_asked(kind, body, self._type)
        principal = principal_of(request)
        wanted = self.check(asked, principal)._replace(version=self._version(request, asked))
        refuse_hidden_version(self._parts, principal, self._namespace, wanted.data.key, wanted.version)
        return wanted

    def check(self, asked: PublishRequest, principal: Principal) -> CheckedRequest:
        """The data of what is asked for. Raises InvalidEvent, and a 403 or 412 problem for what this principal may not publish."""
        data = self._convert(asked.data)
        conditions = principal.publish_only.get(self._type, ())
        if not hold(conditions, data.key, data):
            fields = ", ".join(each.field.name for each in conditions)
            raise Problem(
                403, f"{principal.name} may publish {self._type} with some data alone (`publish_only`), and what was sent is "
                f"otherwise in one of: {fields}", kind="missing-right", right=f"publish {self._type} with these data",
            )  # fmt: skip
        content = self._checked(data)
        if asked.subject not in (None, data.key):
            raise InvalidEvent(f"the subject is {asked.subject!r:.100}; the event's key, {data.key!r:.100}", "subject")
        refuse_hidden_version(self._parts, principal, self._namespace, data.key, asked.expected_version)
        return CheckedRequest(asked, data, content, asked.expected_version)

    def _version(self, request: Request, asked: PublishRequest) -> int | None:
        version = expected_version(request)
        if version is not None and asked.expected_version not in (None, version):
            raise Problem(
                400, f"the headers expect the version {version}, the attribute expectedversion {asked.expected_version}; one "
                "of them is enough", field="expectedversion",
            )  # fmt: skip
        return asked.expected_version if version is None else version

    def _checked(self, data: EventData) -> bytes:
        """The data's bytes. Raises InvalidEvent for what only the codec checks; the size is checked later."""
        try:
            check_key(data.key, f"{self._type}.{data.key_field}")
        except InvalidEvent as error:
            error.field = data.key_field
            raise
        return self._parts.codec.encode(data)

    async def published(self, wanted: CheckedRequest, event_id: str | None, trace: str | None, key: str | None = None) -> Receipt:
        """The receipt, confirmed by the broker. `key` is the Idempotency-Key that the id is made of."""
        receipt = None
        if key is None:  # what a key was used for is looked up in the file, and others may use it now
            receipt = self._parts.publisher.publish_at_once(wanted.data, content=wanted.content, **_given(wanted, event_id, trace))
        if receipt is None:
            receipt = await in_thread(self._parts.pools.publishing, self._send, wanted, event_id, trace, key)
        tell_handed_over()
        is_told = await self._parts.confirming.told(receipt, CONFIRMED_IN)
        self.confirm(receipt, CONFIRMED_IN if is_told else None, repeatable=event_id is not None)
        return receipt

    def send(self, request: Request, wanted: CheckedRequest, event_id: str | None) -> Receipt:
        """The receipt, not confirmed yet: of the first request with its Idempotency-Key, if there is one. May block."""
        trace = wanted.asked.traceparent or traceparent_of(request)
        return self._send(wanted, event_id, trace, one_line(request, IDEMPOTENCY_KEY))

    def _send(self, wanted: CheckedRequest, event_id: str | None, trace: str | None, key: str | None) -> Receipt:
        def publish() -> Receipt:
            return self._parts.publisher.publish(wanted.data, **_given(wanted, event_id, trace))

        if key is None or event_id is None:
            return publish()
        return self._keys.once(key, event_id, digest_of(wanted.content, wanted.version), publish)

    def confirm(self, receipt: Receipt, seconds: float | None, *, repeatable: bool) -> None:
        """Wait until Kafka has it; None: it was waited for in vain.

        `repeatable`: repeating the request gives the same id, so the error has a Retry-After.
        """
        try:
            if seconds is None:
                raise not_confirmed(receipt, CONFIRMED_IN)
            self._parts.publisher.confirm(receipt, seconds)
        except OutcomeTimeout as error:
            raise Problem(BrokerError.status, str(error), headers=RETRY_AFTER if repeatable else None) from error

    def id_of(self, request: Request, asked: PublishRequest, route: str) -> str | None:
        """The id that the event brings, or that its Idempotency-Key gives it on this route. Raises a 400 problem."""
        key = one_line(request, IDEMPOTENCY_KEY)
        if key is None:
            return asked.id
        if asked.id is not None:
            raise Problem(
                400, "the event has an id of its own: send it without an Idempotency-Key", field=IDEMPOTENCY_KEY
            )
        if not 0 < len(key) <= KEY_LENGTH:
            raise Problem(
                400, f"the Idempotency-Key has {len(key)} characters; 1 to {KEY_LENGTH} were expected",
                field=IDEMPOTENCY_KEY,
            )  # fmt: skip
        return request_id(principal_of(request).name, route, key)

    async def _wait(self, receipt: Receipt, seconds: float, principal: Principal) -> Response:
        model, shown = self._parts.model, shown_receipt(receipt)
        partition = receipt.namespace, receipt.partition or 0
        became = await until(model.notifier, lambda: model.became(partition, receipt.offset or 0), seconds)
        headers = {"Preference-Applied": f"wait={seconds:g}", "Location": shown["url"]}
        if became is None:
            raise _unknown(receipt, seconds, headers, model)
        told = told_outcome(self._parts, principal, receipt.namespace, receipt.key, became)
        if became.sequence is not None:
            headers |= AnswerPosition({partition: became.sequence}, model.lag(["table"], [partition])).headers
        try:
            publish_outcome(receipt, told).raise_for_outcome()
        except StreamsError as error:
            raise Problem(error.status, str(error), headers=headers, receipt=shown, **outcome_of(told)) from None
        kept = permitted_row(self._parts, principal, receipt.namespace, receipt.key)
        if kept is not None:  # another event may have changed it since: the ETag is the present version
            headers["ETag"] = self._parts.row_etag(receipt.namespace, kept.version)
        return PlainAnswer(200, headers, to_json({**shown, **outcome_of(told)}))


def _given(wanted: CheckedRequest, event_id: str | None, trace: str | None) -> dict[str, Any]:
    """What an event is published with, beside its data."""
    asked = wanted.asked
    return {
        "id": event_id, "time": asked.time, "expected_version": wanted.version, "source": asked.source or SOURCE,
        "traceparent": trace,
    }  # fmt: skip


def _unknown(receipt: Receipt, seconds: float, headers: Mapping[str, str], model: ReadModel) -> Problem:
    """The problem for an event whose outcome is not known here yet."""
    if model.notifier.ended:
        detail = f"{STOPS}; {receipt.what} is published at {receipt.inbox_offset}, see {url_of(receipt)}"
        return Problem(503, detail, headers={**headers, **RETRY_AFTER}, receipt=shown_receipt(receipt))
    why = _holds_up(receipt.namespace, model)
    what = f"was not handled after {seconds:g} s" if why is None else f"is handled or will be, {why}"
    detail = f"{receipt.what} is at {receipt.inbox_offset}, and {what}; see {url_of(receipt)}"
    return Problem(OutcomeTimeout.status, detail, headers=headers, receipt=shown_receipt(receipt))


def _holds_up(namespace: str, model: ReadModel) -> str | None:
    """Why this server does not see what a worker may have done."""
    if namespace in model.rebuilding:
        return (
            f"but this server tells outcomes with their rows, and reads the rows of {namespace} again for their present schema: "
            f"{model.rebuilding[namespace]} % are done"
        )
    if namespace in model.unbuilt:
        return f"but this server tells outcomes with their rows: {model.unbuilt[namespace]}"
    return None if model.behind is None else f"but this server does not see it yet: {model.behind}"


def url_of(receipt: Receipt) -> str:
    return f"/events/{receipt.namespace}/{receipt.partition}/{receipt.offset}"


def shown_receipt(receipt: Receipt) -> dict[str, Any]:
    """A receipt as members of an answer."""
    return {
        "type": receipt.event_type,
        "key": receipt.key,
        "id": receipt.id,
        "namespace": receipt.namespace,
        "partition": receipt.partition,
        "offset": receipt.offset,
        "url": url_of(receipt),
    }


def outcome_of(became: EventOutcome) -> dict[str, Any]:
    """An outcome as members of an answer."""
    return {
        "outcome": became.outcome,
        "reason": became.reason,
        "duplicate": became.duplicate,
        "sequence": became.sequence,
        "recorded": became.recorded,
    }
