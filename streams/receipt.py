"""What a publisher has of an event: the receipt with its inbox offset, and later its outcome."""

from __future__ import annotations

from datetime import datetime

import msgspec

from streams.engine.envelope import LogHeader, ParkedHeader
from streams.engine.records import ACCEPTED, REJECTED
from streams.engine.times import from_micros
from streams.errors import EventRejected, EventSetAside, WrongVersion


class Receipt:
    """What `Client.publish` returns: which event it is, and where it is once the broker has confirmed it.

    Attributes:
        namespace (str): The event's namespace.
        event_type (str): The event's name, such as `user.signup`.
        key (str): The event's key.
        id (str): The event's id.
        partition: The partition of the inbox; None until it is confirmed.
        offset: The offset in the inbox; None until it is confirmed.
        timestamp: The broker's time, in ms since 1970; None until it is confirmed.
        error: Why it will never be delivered, in Kafka's words; None otherwise.

    """

    __slots__ = ("error", "event_type", "id", "key", "namespace", "offset", "partition", "timestamp")

    def __init__(self, namespace: str, event_type: str, key: str, event_id: str) -> None:
        self.namespace, self.event_type, self.key, self.id = namespace, event_type, key, event_id
        self.partition: int | None = None
        self.offset: int | None = None
        self.timestamp: int | None = None
        self.error: str | None = None

    @property
    def delivered(self) -> bool:
        """Whether the broker has confirmed it."""
        return self.offset is not None

    @property
    def what(self) -> str:
        """For sentences: `item.receive of 'tea'`."""
        return f"{self.event_type} of {self.key!r}"

    @property
    def inbox_offset(self) -> str:
        """Where it is in the inbox, once it is delivered: `item-2@12`."""
        return f"{self.namespace}-{self.partition}@{self.offset}"

    def __repr__(self) -> str:
        where = f" at {self.inbox_offset}" if self.delivered else ""
        return f"<Receipt: {self.what}, id {self.id}{where}>"


class EventOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event; a PublishOutcome has these fields, too.

    Attributes:
        outcome: `accepted`, `rejected`, `parked`, `unanswered` (parked, because its gateway gave no answer) or `quarantined`.
            A duplicate has the outcome of the first event of its id.
        sequence: Its sequence in the partition's event log, and the version of the row if it wrote one; None for what was set
            aside.
        recorded: When it was handled, in UTC; None for a duplicate.
        reason: Why it was rejected or set aside.
        duplicate: Whether an event of this id was handled before.
        wrong_version: Whether it was rejected because the row was not at the version that its publisher expected.

    """

    outcome: str
    sequence: int | None = None
    recorded: datetime | None = None
    reason: str | None = None
    duplicate: bool = False
    wrong_version: bool = False


class PublishOutcome(EventOutcome, frozen=True, kw_only=True):
    """What `Client.wait` returns: what became of a published event, in the fields of EventOutcome, and where it is.

    Attributes:
        receipt: The receipt that was waited for.
        partition: The partition of the inbox, the event log and the table.

    """

    receipt: Receipt
    partition: int

    def raise_for_outcome(self) -> PublishOutcome:
        """Itself, if the event was accepted: `client.wait(receipt).raise_for_outcome()`.

        Raises:
            WrongVersion: The row was not at the expected version.
            EventRejected: It was rejected.
            EventSetAside: It is parked, unanswered or quarantined.

        """
        receipt, reason = self.receipt, self.reason or "an event of this id came before"
        what = f"{receipt.what} (id {receipt.id}) was {self.outcome}: {reason}"
        if self.outcome == REJECTED:
            raise WrongVersion(what) if self.wrong_version else EventRejected(what)
        if self.outcome != ACCEPTED:
            raise EventSetAside(f"{what}. It is kept: `retold parked list {receipt.namespace}` shows it")
        return self


def publish_outcome(receipt: Receipt, became: EventOutcome) -> PublishOutcome:
    facts = {name: getattr(became, name) for name in EventOutcome.__struct_fields__}
    return PublishOutcome(receipt=receipt, partition=receipt.partition or 0, **facts)


def logged_outcome(header: LogHeader) -> EventOutcome:
    """The outcome in an event log."""
    return EventOutcome(
        outcome=header.outcome,
        sequence=header.sequence,
        recorded=from_micros(header.recorded),
        reason=header.reason,
        wrong_version=bool(header.wrong_version),
    )


def parked_outcome(header: ParkedHeader) -> EventOutcome:
    """The outcome in the parked topic."""
    return EventOutcome(outcome=header.status, recorded=from_micros(header.recorded), reason=header.reason)


def duplicate_outcome(outcome: str, sequence: int) -> EventOutcome:
    """The outcome of a duplicate in a marker."""
    return EventOutcome(outcome=outcome, sequence=sequence if outcome in (ACCEPTED, REJECTED) else None, duplicate=True)
