"""What is still to be handled of events that are otherwise in the corrected past: it would change rows later."""

from __future__ import annotations

from collections.abc import Iterator, Set

from streams.app import App
from streams.engine.identity import answer_id
from streams.engine.readable import named
from streams.engine.records import QUARANTINED, UNANSWERED
from streams.event import reference_of
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.past import Past
from streams.history.recorded_event import RecordedEvent
from streams.kafka.clients import Clients
from streams.kafka.due_topics import read_open_requests
from streams.kafka.parked import ParkedEntry, read_parked


def why_unsettled(
    clients: Clients, prefix: str, app: App, handlers: ApplicationHandlers, past: Past, otherwise: Set[str]
) -> str:
    """What such an event led to that is to be handled later, in a sentence; empty: nothing is. Raises BrokerError.

    `otherwise` are references of events. A request that an operator has given up is answered by nobody any more, and the log
    does not tell.
    """
    spaces = [space.name for space in app.namespaces]
    unanswered = list(_unanswered(handlers, past, otherwise))
    called = read_open_requests(clients, prefix, spaces) if unanswered else set()
    parked = read_parked(clients, prefix, spaces)  # after the others: a call that fails comes here
    aside = {(it.inbox_offset.namespace, *_id(handlers, it)) for it in parked if it.header.status == UNANSWERED}
    for request in unanswered:
        name = request.namespace, request.event.source, request.event.id
        if (request.namespace, request.reference) in called or name in aside:
            return f"{request.event_type} of {named(request.key)} is otherwise in the corrected past, and was not answered yet"
    for entry in parked:
        if entry.header.status == QUARANTINED:  # it may be for its headers, which nobody can read
            continue
        envelope = handlers.wire.envelopes.read(entry.headers)
        cause = "" if envelope.cause is None else reference_of(envelope.cause_source, envelope.cause)
        if cause in otherwise:
            return f"{entry.inbox_offset} is parked, and follows from an event that is otherwise in the corrected past"
    return ""


def _unanswered(handlers: ApplicationHandlers, past: Past, otherwise: Set[str]) -> Iterator[RecordedEvent]:
    for reference in sorted(otherwise):
        for it in past.find_all(reference):
            handler = handlers.handler_of(it.namespace, it.event)
            if it.accepted and handler is not None and handler.function is None and past.find(answer_id(reference)) is None:
                yield it


def _id(handlers: ApplicationHandlers, entry: ParkedEntry) -> tuple[str, str]:
    """Of an event that is set aside: its source and its id."""
    envelope = handlers.wire.envelopes.read(entry.headers)
    return envelope.source, envelope.id or entry.header.id or ""
