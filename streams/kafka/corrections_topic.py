"""The corrections of an application: what each changed, by whom and why, and whether it is applied, in a topic of their own.

Key: the correction's id. Value: JSON, a `CorrectionState`; the last one counts.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import msgspec
from confluent_kafka import KafkaError, Message

from streams.engine.readable import harmless, one_line
from streams.errors import UNREADABLE_JSON, BrokerError, InvalidChange
from streams.history.correction.corrected_log import KnownCorrection
from streams.history.correction.correction_plan import PlannedCall, StoredChange
from streams.kafka.bounded_read import read_to
from streams.kafka.clients import Clients
from streams.kafka.offsets import ends, starts
from streams.kafka.topics import corrections_topic, describe

log = logging.getLogger("retold.corrections")

APPLYING, APPLIED = "applying", "applied"
READING = 10.0
"""s to read the topic."""
ROOM = 1024
"""Bytes of a record beside its value: its key, and what Kafka adds."""
CONFIRMED = 15.0
"""s that the broker has to confirm a state."""


class CorrectionState(msgspec.Struct, frozen=True, omit_defaults=True):
    """`number` counts the corrections of an application from 1, in their order. `begun` and `seen` in µs since 1970.

    While it is `applying`, its `coordinator` says at `seen` that it is at work; of what was read, that is Kafka's own time, which
    is the same for all machines. `claim` is the offset of this coordinator's first state; -1: this is the first one. `open` are
    calls that a person must see to.
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
    claim: int = -1

    @property
    def known(self) -> KnownCorrection:
        """What the past is told with."""
        return KnownCorrection(self.correction, self.by, self.why, self.begun, self.change)


class Corrections(NamedTuple):
    """Of an application: `states` has the last state of each correction, in their order, and `claims` that of each claim.

    `now` is Kafka's time of the last record in the topic (µs since 1970).
    """

    states: list[CorrectionState]
    claims: dict[int, CorrectionState]
    now: int = 0


def read_corrections(clients: Clients, prefix: str, application: str) -> list[CorrectionState]:
    """All corrections of an application, in their order; none if the topic is missing. Raises BrokerError."""
    return read_claims(clients, prefix, application).states


def read_claims(clients: Clients, prefix: str, application: str) -> Corrections:
    """The same, with each coordinator's claim. Raises BrokerError."""
    admin, topic = clients.admin(), corrections_topic(prefix)
    if topic not in describe(admin, [topic]):
        return Corrections([], {})
    at = topic, 0
    span = {at: (starts(admin, [at])[at], ends(admin, [at])[at])}
    found: dict[bytes, CorrectionState] = {}
    claims: dict[int, CorrectionState] = {}
    now = 0
    consumer = clients.consumer("retold-corrections")
    try:
        for message in read_to(consumer, span, clock=clients.clock, timeout=READING):
            key, offset, now = message.key() or b"", message.offset() or 0, _time(message)
            if message.value() is None:  # taken back
                found.pop(key, None)
                claims = {at: it for at, it in claims.items() if it.correction.encode() != key}
            elif (state := _read(message)) is not None and state.application == application:
                found[key] = state
                claims[offset if state.claim < 0 else state.claim] = state
    finally:
        consumer.close()
    return Corrections(sorted(found.values(), key=_order), claims, now)


def _order(it: CorrectionState) -> tuple[int, int, str]:
    return it.number, it.begun, it.correction


def _read(message: Message) -> CorrectionState | None:
    """None, and a warning, for what retold did not write. It is shown to people, so what drives a terminal is spelt."""
    try:
        state = msgspec.json.decode(message.value() or b"", type=CorrectionState)
    except UNREADABLE_JSON as error:
        log.warning("%s@%s is no correction: %s", message.topic(), message.offset(), harmless(str(error)))
        return None
    return msgspec.structs.replace(
        state, by=harmless(state.by), why=harmless(state.why), coordinator=one_line(state.coordinator),
        seen=_time(message),
    )  # fmt: skip


def _time(message: Message) -> int:
    return message.timestamp()[1] * 1000


def encode_state(state: CorrectionState, largest: int) -> bytes:
    """Raises InvalidChange for one that is larger than a record of the topic may be; `largest` in bytes."""
    value = msgspec.json.encode(state)
    if len(value) + ROOM > largest:
        raise InvalidChange(
            f"the correction {state.correction} takes {len(value)} bytes to keep, and {largest - ROOM} are allowed: correct less "
            "at once, or raise max_event_bytes"
        )
    return value


def write_correction(clients: Clients, prefix: str, state: CorrectionState) -> int:
    """Returns its offset, when the broker has it. Raises BrokerError, and InvalidChange for one that is too large."""
    return _write(clients, prefix, state.correction, encode_state(state, clients.largest))


def note_time(clients: Clients, prefix: str, name: str) -> None:
    """Write a record that says nothing but what time it is for Kafka; `name` is its writer's. Raises BrokerError."""
    _write(clients, prefix, f"time of {name}", None)


def take_back(clients: Clients, prefix: str, correction: str) -> None:
    """As if it had never been begun. Raises BrokerError."""
    _write(clients, prefix, correction, None)


def _write(clients: Clients, prefix: str, correction: str, value: bytes | None) -> int:
    failed: list[KafkaError] = []
    offsets: list[int] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error)
        else:
            offsets.append(message.offset() or 0)

    producer = clients.producer("retold-corrections", delivery=CONFIRMED - 5.0, on_delivery=delivered)
    producer.produce(corrections_topic(prefix), value, correction.encode())
    if producer.flush(CONFIRMED) or not offsets:
        why = failed[0].str() if failed else f"no confirmation in {CONFIRMED:.0f} s"
        raise BrokerError(f"the state of a correction could not be written to {corrections_topic(prefix)}: {why}")
    return offsets[0]
