"""What a publisher holds of an event: where it is (a receipt), and later what became of it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from streams.engine.envelope import LogHeader, ParkedHeader, from_micros
from streams.engine.records import ACCEPTED, REJECTED
from streams.errors import EventRejected, EventSetAside, WrongVersion


class Receipt:
    """`partition`, `offset` and `timestamp` (the broker's, ms since 1970) are None until the broker has confirmed it.

    `error` says why it will never be delivered.
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
        return self.offset is not None

    @property
    def what(self) -> str:
        """For sentences: `item.receive of 'tea'`."""
        return f"{self.event_type} of {self.key!r}"

    @property
    def place(self) -> str:
        """Where it is in the inbox, once it is delivered: `item-2@12`."""
        return f"{self.namespace}-{self.partition}@{self.offset}"

    def __repr__(self) -> str:
        where = f" at {self.place}" if self.delivered else ""
        return f"<Receipt: {self.what}, id {self.id}{where}>"


class Became(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an event: `outcome` is accepted, rejected, parked, unanswered or quarantined.

    A duplicate has the outcome of the first event of its id. `sequence` is its place in the partition's event log,
    and the row's version if it was accepted; None for what was set aside. `wrong_version`: it was rejected because the
    row was not at the version that its publisher expected.
    """

    outcome: str
    sequence: int | None = None
    recorded: datetime | None = None
    reason: str | None = None
    duplicate: bool = False
    wrong_version: bool = False


class Settled(Became, frozen=True, kw_only=True):
    """What became of a published event."""

    receipt: Receipt
    partition: int

    def raise_for_outcome(self) -> Settled:
        """Itself if accepted. Raises EventRejected, WrongVersion or EventSetAside."""
        receipt, reason = self.receipt, self.reason or "an event of this id came before"
        what = f"{receipt.what} (id {receipt.id}) was {self.outcome}: {reason}"
        if self.outcome == REJECTED:
            raise WrongVersion(what) if self.wrong_version else EventRejected(what)
        if self.outcome != ACCEPTED:
            raise EventSetAside(f"{what}. It is kept: `retold parked list {receipt.namespace}` shows it")
        return self


def settled(receipt: Receipt, became: Became) -> Settled:
    facts = {name: getattr(became, name) for name in Became.__struct_fields__}
    return Settled(receipt=receipt, partition=receipt.partition or 0, **facts)


def logged(header: LogHeader) -> Became:
    """What an event log says."""
    return Became(
        outcome=header.outcome,
        sequence=header.sequence,
        recorded=from_micros(header.recorded),
        reason=header.reason,
        wrong_version=bool(header.wrong_version),
    )


def set_aside(header: ParkedHeader) -> Became:
    """What the parked topic says."""
    return Became(outcome=header.status, recorded=from_micros(header.recorded), reason=header.reason)


def repeated(outcome: str, sequence: int) -> Became:
    """What a marker says of a duplicate."""
    return Became(outcome=outcome, sequence=sequence if outcome in (ACCEPTED, REJECTED) else None, duplicate=True)
