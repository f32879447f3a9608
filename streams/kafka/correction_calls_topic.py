"""Calls that corrections have made wrong, each a record of its own in the topic of corrections: so any number of them can be kept.

Key: `APPLICATION#REFERENCE` of the request. Value: JSON, a `CorrectionCall`; the last one counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec
from confluent_kafka import Message

from streams.engine.readable import harmless
from streams.errors import UNREADABLE_JSON
from streams.history.correction.correction_calls import CLOSED, CorrectionCall, open_call
from streams.kafka.clients import Clients
from streams.kafka.corrections_topic import CALLS, corrections_records
from streams.kafka.corrections_writer import CorrectionRecord, CorrectionsWriter

log = logging.getLogger("retold.corrections")


def read_calls(clients: Clients, prefix: str, application: str) -> dict[str, CorrectionCall]:
    """All that are kept, by the reference of the request, in the order of their decisions. Raises BrokerError."""
    records = CallRecords(application)
    for message in corrections_records(clients, prefix):
        records.take(message)
    return records.found


class CallRecords:
    """What records of the topic, each taken in its turn, say together: `found` has the calls by the reference of the request."""

    def __init__(self, application: str) -> None:
        self.found: dict[str, CorrectionCall] = {}
        self._begin = application.encode() + CALLS

    def take(self, message: Message) -> None:
        key, value = message.key() or b"", message.value()
        if key.startswith(self._begin):
            reference = key.removeprefix(self._begin).decode(errors="replace")
            self.found.pop(reference, None)
            if value is not None and (call := _read(value)) is not None:
                self.found[reference] = call


def _read(value: bytes) -> CorrectionCall | None:
    """It is shown to people, so what drives a terminal is spelt."""
    try:
        call = msgspec.json.decode(value, type=CorrectionCall)
    except UNREADABLE_JSON as error:
        log.warning("what the topic of corrections holds is no call: %s", harmless(str(error)))
        return None
    return msgspec.structs.replace(call, by=harmless(call.by), why=harmless(call.why))


def write_calls(
    clients: Clients, prefix: str, changed: Iterable[CorrectionCall], over: Iterable[CorrectionCall] = ()
) -> None:
    """Returns when the broker has them. Raises BrokerError."""
    records: list[CorrectionRecord] = [(_key(it), msgspec.json.encode(it)) for it in changed]
    if records := [*records, *((_key(it), None) for it in over)]:
        CorrectionsWriter(clients, prefix).write(records)


def close_call(clients: Clients, prefix: str, application: str, request: str, by: str, why: str) -> CorrectionCall:
    """Say that a person has seen to the open call of a request, by its id or the beginning of it. Raises as `open_call`."""
    found = open_call(read_calls(clients, prefix, application), request)
    closed = msgspec.structs.replace(found, state=CLOSED, by=by, why=why, at=clients.clock.now())
    write_calls(clients, prefix, [closed])
    return closed


def _key(call: CorrectionCall) -> bytes:
    return call.application.encode() + CALLS + call.reference.encode()
