"""`GET /events/NAMESPACE/PARTITION/OFFSET`: the outcome of a published event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from streams.data import namespace_of
from streams.history.recorded_event import NamespacePartition
from streams.query.filters import hold
from streams.server.access.principal import Principal, Right
from streams.server.http.access_checks import missing, principal_of
from streams.server.http.answers import answer, at_least, ready, standing
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.permitted_rows import hidden_keys
from streams.server.http.pools import in_thread
from streams.server.http.problems import Problem
from streams.server.http.table_rows import known_namespace
from streams.server.http.write import outcome_of
from streams.server.readmodel.known_outcome import KnownOutcome, known_outcome

PENDING = KnownOutcome(outcome="pending")


async def event(request: Request) -> Response:
    parts = parts_of(request)
    namespace, partition, offset = (request.path_params[it] for it in ("namespace", "partition", "offset"))
    principal = principal_of(request)
    _refuse(principal, namespace, [name for name in parts.app.event_types() if namespace_of(name) == namespace])
    model = ready(parts)
    at, number = _parsed(parts, namespace, partition, offset)
    known_params(request.query_params.multi_items(), "_min_position")
    await at_least(request, model, ["table"])
    became = model.became(at, number)
    if became is None or became.key is None:
        became = await in_thread(parts.pools.kafka, _look, parts, at, number, became)
    _refuse(principal, namespace, [became.event_type or ""])
    if not await in_thread(parts.pools.kafka, _is_told, parts, principal, at, number, became):
        raise Problem(404, _nothing_at(at, number))
    body: dict[str, Any] = {
        "type": became.event_type, "key": became.key, "id": became.id,
        "namespace": namespace, "partition": at[1], "offset": number, **outcome_of(became),
    }  # fmt: skip
    if became.sequence is not None:
        body["position"] = f"{namespace}-{at[1]}:{became.sequence}"
    return answer(request, body, standing(model, ["table"], [at]))


def _refuse(principal: Principal, namespace: str, types: Iterable[str]) -> None:
    """Raises a 403 problem. Whoever may publish an event may see what became of it."""
    reading = Right("read", f"events/{namespace}")
    if not (principal.may(reading) or principal.some("publish", "", types)):
        raise missing(principal, reading, Right("publish", f"{namespace}.…"))


def _is_told(parts: ServerParts, principal: Principal, at: NamespacePartition, offset: int, became: KnownOutcome) -> bool:
    """Whether its row is there for this principal, or its data are such as this principal may publish. Blocks."""
    namespace, conditions = at[0], principal.publish_only.get(became.event_type or "")
    if namespace in principal.only:
        if became.key is not None and not hidden_keys(parts, principal, [(namespace, became.key)]):
            return True
    elif conditions is None or principal.may(Right("read", f"events/{namespace}")):
        return True
    data = None if conditions is None else parts.archive.data(at, offset)
    return conditions is not None and data is not None and hold(conditions, data.key, data)


def _parsed(parts: ServerParts, namespace: str, partition: str, offset: str) -> tuple[NamespacePartition, int]:
    known_namespace(parts, namespace)
    for name, text in (("partition", partition), ("offset", offset)):
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise Problem(422, f"the {name} is {text[:80]!r}; a whole number was expected", field=name)
    at, count = (namespace, int(partition)), parts.model.counts.get(namespace, 0)
    if at[1] >= count:
        raise Problem(404, f"{namespace} has no partition {partition}; it has {count}, counted from 0")
    return at, int(offset)


def _nothing_at(at: NamespacePartition, offset: int) -> str:
    return f"the inbox {at[0]}-{at[1]} holds no event at offset {offset}, or not any more"


def _look(parts: ServerParts, at: NamespacePartition, offset: int, became: KnownOutcome | None) -> KnownOutcome:
    """The outcome, read from Kafka as far as the read model does not have it. Blocks."""
    receipt = parts.archive.receipt(at, offset)
    if receipt is None:
        raise Problem(404, _nothing_at(at, offset))
    if became is None:
        last = parts.model.markers.get(at)
        handled = last is not None and last.inbox_next > offset
        became = (parts.archive.became(receipt) if handled else None) or PENDING
    return known_outcome(became, receipt.event_type or None, receipt.key, receipt.id or None)
