"""`POST /events`: many events in one request, each with a result of its own, in their order."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from streams.errors import StreamsError
from streams.receipt import Receipt, publish_outcome
from streams.server.access.principal import Principal
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import ready, up_to_date
from streams.server.http.batch_lines import BatchLine, checked_lines
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.permitted_rows import told_outcome
from streams.server.http.pools import in_thread
from streams.server.http.problems import STOPS, Problem, problem_of
from streams.server.http.requests import CLOUD_BATCH, LINES, media_type, no_binary_mode, read_body, wait_of
from streams.server.http.write import (
    CONFIRMED_IN,
    IDEMPOTENCY_KEY,
    EventEndpoint,
    endpoints_of,
    outcome_of,
    shown_receipt,
)
from streams.server.readmodel.notifier import until
from streams.server.readmodel.row_json import to_json

MOST_BYTES: Final = 8 * 1024 * 1024
OF_ONE: Final = ("If-Match", "If-None-Match")
Sent = list[tuple[BatchLine, Receipt | Problem]]


async def publish(request: Request) -> Response:
    parts = parts_of(request)
    skips, principal = _skips(request), principal_of(request)
    no_binary_mode(request)
    _refuse_headers_of_one(request)
    kind = media_type(request, (LINES, CLOUD_BATCH))
    body = await read_body(request, MOST_BYTES, " in a batch")
    seconds = wait_of(request)
    if IDEMPOTENCY_KEY in request.headers:
        up_to_date(parts)  # as for one event
    elif seconds is not None:
        ready(parts)
    lines = await in_thread(parts.pools.memory, _checked, parts, endpoints_of(request), kind, body, principal)
    request.state.count_more(len(lines) - 1)
    if not skips:
        _refuse_bad(lines)
    sent = await in_thread(parts.pools.publishing, _publish, request, lines)
    results = [_published(it) for it in sent] if seconds is None else await _settled(parts, sent, seconds, principal)
    results = sorted([*results, *(_refused(line) for line in lines if line.wanted is None)], key=lambda it: int(it["line"]))
    applied = {} if seconds is None else {"Preference-Applied": f"wait={seconds:g}"}
    content = b"".join(to_json(it) + b"\n" for it in results)
    return Response(content, 202 if seconds is None else 200, applied, media_type=LINES)


def _skips(request: Request) -> bool:
    given = known_params(request.query_params.multi_items(), "_bad").get("_bad")
    if given not in (None, "skip"):
        raise Problem(422, f"_bad is {given[:80]!r}; skip, or none at all, was expected", field="_bad", kind="wrong-value")
    return given is not None


def _refuse_headers_of_one(request: Request) -> None:
    for name in OF_ONE:
        if name in request.headers:
            raise Problem(400, f"the header {name} is about the row of one event; a batch has several", field=name)


def _checked(
    parts: ServerParts, endpoints: Mapping[str, EventEndpoint], kind: str, body: bytes, principal: Principal
) -> list[BatchLine]:
    return [*checked_lines(parts, endpoints, kind, body, principal)]


def _refuse_bad(lines: Iterable[BatchLine]) -> None:
    """Raises a 422 problem that names every line that may not be published; a 403 problem if a right is all that is missing."""
    refused = [line for line in lines if line.wanted is None]
    bad = [line.error for line in refused]
    if bad and all(line.status == 403 for line in refused):
        detail = f"nothing was published; line {bad[0]['line']}: {bad[0]['detail']}"
        raise Problem(403, detail, kind="missing-right", errors=bad)
    if bad:
        first, count = bad[0], "one line is" if len(bad) == 1 else f"{len(bad)} lines are"
        detail = f"nothing was published, since {count} no event; line {first['line']}: {first['detail']}"
        raise Problem(422, detail, kind="invalid-lines", errors=bad)


def _publish(request: Request, lines: Iterable[BatchLine]) -> Sent:
    """Hand all to Kafka in their order, then wait until it has them. What one cannot is a problem of its own. Blocks.

    Raises a 400 problem, before any is sent, for an Idempotency-Key that one of them cannot have.
    """
    named = [
        (line, line.wanted, line.endpoint, line.endpoint.id_of(request, line.wanted.asked, f"POST /events, line {line.number}"))
        for line in lines if line.wanted is not None and line.endpoint is not None
    ]  # fmt: skip
    sent: list[tuple[BatchLine, str | None, Receipt | Problem]] = []
    for line, wanted, endpoint, event_id in named:
        try:
            sent.append((line, event_id, endpoint.send(request, wanted, event_id)))
        except (StreamsError, Problem) as error:
            sent.append((line, event_id, problem_of(error)))
    deadline = time.monotonic() + CONFIRMED_IN
    return [(line, _confirmed(line, event_id, receipt, deadline)) for line, event_id, receipt in sent]


def _confirmed(line: BatchLine, event_id: str | None, sent: Receipt | Problem, deadline: float) -> Receipt | Problem:
    if isinstance(sent, Problem) or line.endpoint is None:
        return sent
    try:
        line.endpoint.confirm(sent, max(0.001, deadline - time.monotonic()), repeatable=event_id is not None)
    except (StreamsError, Problem) as error:
        return problem_of(error)
    return sent


async def _settled(parts: ServerParts, sent: Sent, seconds: float, principal: Principal) -> list[dict[str, Any]]:
    """The results with outcomes, as far as there are some in so many seconds, for all together."""
    deadline, model, results = time.monotonic() + seconds, parts.model, list[dict[str, Any]]()
    for line, receipt in sent:
        result = _published((line, receipt))
        if isinstance(receipt, Receipt):
            at, offset = (receipt.namespace, receipt.partition or 0), receipt.offset or 0
            left = max(0.001, deadline - time.monotonic())
            became = await until(model.notifier, lambda at=at, offset=offset: model.became(at, offset), left)  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
            if became is None:
                detail = STOPS if model.notifier.ended else f"it was not handled after {seconds:g} s"
                result |= {"status": 503 if model.notifier.ended else 504, "detail": f"{detail}; see {result['url']}"}
            else:
                told = told_outcome(parts, principal, receipt.namespace, receipt.key, became)
                result |= outcome_of(told) | {"status": 200}
                try:
                    publish_outcome(receipt, told).raise_for_outcome()
                except StreamsError as error:
                    result |= {"status": error.status, "detail": str(error)}
        results.append(result)
    return results


def _published(sent: tuple[BatchLine, Receipt | Problem]) -> dict[str, Any]:
    line, receipt = sent
    if isinstance(receipt, Problem):
        return {"line": line.number, "status": receipt.status, "field": receipt.field, "detail": receipt.detail}
    return {"line": line.number, "status": 202, **shown_receipt(receipt)}


def _refused(line: BatchLine) -> dict[str, Any]:
    return {**line.error, "status": line.status}
