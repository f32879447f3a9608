"""The corrections of an application: what each changed, by whom and why, and whether it is applied, in a topic of their own.

Key: the correction's id. Value: JSON, a `CorrectionState`; the last one counts. Calls are in records of their own
(`correction_calls_topic.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
from confluent_kafka import Message

from streams.config import Config
from streams.engine.readable import harmless, named, one_line
from streams.errors import UNREADABLE_JSON, InvalidChange, StalePlan, TopicMismatch
from streams.history.correction.corrected_log import KnownCorrection
from streams.history.correction.correction_calls import ASK
from streams.history.correction.correction_plan import StoredChange
from streams.kafka.clients import Clients
from streams.kafka.corrections_writer import CorrectionRecord, CorrectionsWriter
from streams.kafka.renewed_client import Admin
from streams.kafka.topic_contents import read_whole
from streams.kafka.topics import corrections_topic, describe, ensure

log = logging.getLogger("retold.corrections")

PLANNED, APPLYING, APPLIED = "planned", "applying", "applied"
"""A plan that is kept changes nothing yet, and counts among no corrections."""
CALLS = b"#"
"""In the keys of calls, and in no id of a correction."""
READING = 10.0
"""s to read the topic."""
ROOM = 1024
"""Bytes of a record beside its value: its key, and what Kafka adds."""


class CorrectionState(msgspec.Struct, frozen=True, omit_defaults=True):
    """`number` counts the corrections of an application from 1, in their order. `begun` and `seen` in µs since 1970.

    While it is `applying`, its `coordinator` says at `seen` that it is at work; of what was read, that is Kafka's own time, which
    is the same for all machines. `claim` is the offset of this coordinator's first state; -1: this is the first one. `first` is the
    first event of the log that it was planned on, by which that is known again. `calls` says what to do about calls of gateways
    that it has made wrong. `sent`: steps of it may be in inboxes. `touches` are the namespaces of which its plan has said that
    something will be otherwise; None: it is not known. `stopped` says why the last coordinator ended before its end.
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
    claim: int = -1
    first: str | None = None
    calls: str = ASK
    sent: bool = False
    digest: str = ""
    touches: tuple[str, ...] | None = None
    stopped: str = ""

    @property
    def known(self) -> KnownCorrection:
        """What the past is told with."""
        return KnownCorrection(self.correction, self.by, self.why, self.begun, self.change, self.state == APPLIED)


class Corrections(NamedTuple):
    """Of an application: `states` has the last state of each correction, in their order, and `claims` that of each claim.

    Plans that are kept come first. `now` is Kafka's time of the last record in the topic (µs since 1970).
    """

    states: list[CorrectionState]
    claims: dict[int, CorrectionState]
    now: int = 0


def ensure_corrections(admin: Admin, config: Config, namespaces: Iterable[str]) -> None:
    """Make topics that are missing. Raises TopicMismatch if corrections would not be safe in theirs, and what `ensure` raises."""
    reports = [it for it in ensure(admin, config, namespaces) if it.kind == "corrections"]
    if problems := [problem for it in reports for problem in it.problems]:
        raise TopicMismatch("nothing is corrected, since corrections would not be safe: " + "; ".join(problems))


def read_corrections(clients: Clients, prefix: str, application: str) -> list[CorrectionState]:
    """Those of an application that were begun, in their order; none if the topic is missing. Raises BrokerError."""
    return [it for it in read_claims(clients, prefix, application).states if it.state != PLANNED]


def read_claims(clients: Clients, prefix: str, application: str) -> Corrections:
    """The same, with each coordinator's claim. Raises BrokerError."""
    records = CorrectionRecords(application)
    for message in corrections_records(clients, prefix):
        records.take(message)
    return records.found()


class CorrectionRecords:
    """What records of the topic, each taken in its turn, say together about the corrections of an application."""

    def __init__(self, application: str) -> None:
        self._application = application
        self._states: dict[bytes, CorrectionState] = {}
        self._claims: dict[int, CorrectionState] = {}
        self._now = 0

    def take(self, message: Message) -> None:
        key, offset, self._now = message.key() or b"", message.offset() or 0, _time(message)
        if CALLS in key:
            return
        if message.value() is None:  # taken back
            self._states.pop(key, None)
            self._claims = {at: it for at, it in self._claims.items() if it.correction.encode() != key}
        elif (state := _read(message)) is not None and state.application == self._application:
            self._states[key] = state
            if state.state != PLANNED:
                self._claims[offset if state.claim < 0 else state.claim] = state

    def found(self) -> Corrections:
        return Corrections(sorted(self._states.values(), key=_order), dict(self._claims), self._now)


def corrections_records(clients: Clients, prefix: str) -> Iterator[Message]:
    """All records of the topic; none if it is missing. Raises BrokerError."""
    topic = corrections_topic(prefix)
    if topic not in describe(clients.admin(), [topic]):
        return
    yield from read_whole(clients, "retold-corrections", [(topic, 0)], timeout=READING)


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
        stopped=harmless(state.stopped), seen=_time(message),
    )  # fmt: skip


def _time(message: Message) -> int:
    return message.timestamp()[1] * 1000


def state_record(state: CorrectionState, largest: int) -> CorrectionRecord:
    """Raises InvalidChange for one that is larger than a record of the topic may be; `largest` in bytes."""
    value = msgspec.json.encode(state)
    if len(value) + ROOM > largest:
        raise InvalidChange(
            f"the correction {state.correction} takes {len(value)} bytes to keep, and {largest - ROOM} are allowed: correct less "
            "at once, or raise max_event_bytes"
        )
    return state.correction.encode(), value


def time_record(name: str) -> CorrectionRecord:
    """It says nothing but what time it is for Kafka; `name` is its writer's."""
    return f"time of {name}".encode(), None


def gone_record(correction: str) -> CorrectionRecord:
    """As if it had never been begun."""
    return correction.encode(), None


def write_correction(clients: Clients, prefix: str, state: CorrectionState) -> int:
    """Returns its offset, when the broker has it. Raises BrokerError, and InvalidChange for one that is too large."""
    return CorrectionsWriter(clients, prefix).write([state_record(state, clients.largest)])


def find_correction(found: Corrections, name: str) -> CorrectionState:
    """By its id, or the beginning of it. Raises StalePlan if there is none, or several."""
    chosen = [it for it in found.states if it.correction.startswith(name)] if name else []
    if len(chosen) != 1:
        what = f"{len(chosen)} corrections have" if chosen else "no correction has"
        raise StalePlan(f"{what} an id that begins with {named(name)}: `retold correct list` has their ids")
    return chosen[0]


def take_back(clients: Clients, prefix: str, correction: str) -> None:
    """Raises BrokerError."""
    CorrectionsWriter(clients, prefix).write([gone_record(correction)])
