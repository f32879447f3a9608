"""The corrections of an application: what each changed, by whom and why, and whether it is applied, in a topic of their own.

Key: the correction's id. Value: JSON, a `CorrectionState`; the last one counts.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec
from confluent_kafka import KafkaError, Message

from streams.engine.readable import harmless
from streams.errors import BrokerError
from streams.history.correction.correction_plan import PlannedCall, StoredChange
from streams.kafka.bounded_read import read_to
from streams.kafka.clients import Clients
from streams.kafka.offsets import ends, starts
from streams.kafka.topics import corrections_topic, describe

log = logging.getLogger("retold.corrections")

APPLYING, APPLIED = "applying", "applied"
READING = 10.0
"""s to read the topic."""
CONFIRMED = 15.0
"""s that the broker has to confirm a state."""


class CorrectionState(msgspec.Struct, frozen=True, omit_defaults=True):
    """`number` counts the corrections of an application from 1, in their order. `begun` and `seen` in µs since 1970.

    While it is `applying`, its `coordinator` says at `seen` that it is at work. `open` are calls that a person must see to.
    """

    application: str
    correction: str
    number: int
    by: str
    why: str
    change: StoredChange
    state: str
    begun: int
    seen: int
    coordinator: str = ""
    steps: int = 0
    open: tuple[PlannedCall, ...] = ()


def read_corrections(clients: Clients, prefix: str, application: str) -> list[CorrectionState]:
    """All corrections of an application, in their order; none if the topic is missing. Raises BrokerError."""
    admin, topic = clients.admin(), corrections_topic(prefix)
    if topic not in describe(admin, [topic]):
        return []
    at = topic, 0
    span = {at: (starts(admin, [at])[at], ends(admin, [at])[at])}
    found: dict[bytes, CorrectionState] = {}
    consumer = clients.consumer("retold-corrections")
    try:
        for message in read_to(consumer, span, clock=clients.clock, timeout=READING):
            if (state := _read(message)) is not None and state.application == application:
                found[message.key() or b""] = state
    finally:
        consumer.close()
    return sorted(found.values(), key=lambda it: it.number)


def _read(message: Message) -> CorrectionState | None:
    """None, and a warning, for what retold did not write. It is shown to people, so what drives a terminal is spelt."""
    if message.value() is None:
        return None
    try:
        state = msgspec.json.decode(message.value() or b"", type=CorrectionState)
    except msgspec.MsgspecError as error:
        log.warning("%s@%s is no correction: %s", message.topic(), message.offset(), harmless(str(error)))
        return None
    return msgspec.structs.replace(state, by=harmless(state.by), why=harmless(state.why))


def write_corrections(clients: Clients, prefix: str, states: Sequence[CorrectionState]) -> None:
    """Returns when the broker has them. Raises BrokerError."""
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    producer = clients.producer("retold-corrections", delivery=CONFIRMED - 5.0, on_delivery=delivered)
    for state in states:
        producer.produce(corrections_topic(prefix), msgspec.json.encode(state), state.correction.encode())
    if producer.flush(CONFIRMED) or failed:
        why = failed[0].str() if failed else f"no confirmation in {CONFIRMED:.0f} s"
        raise BrokerError(f"the state of a correction could not be written to {corrections_topic(prefix)}: {why}")
