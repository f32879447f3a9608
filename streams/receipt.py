"""What a publisher holds of an event: where it is (a receipt), and later what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from streams.engine.records import WRONG_VERSION
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


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an event: `outcome` is accepted, rejected, parked or quarantined.

    A duplicate has the outcome of the first event of its id. `sequence` is its place in the partition's event log,
    and the row's version if it was accepted; None for what was set aside.
    """

    receipt: Receipt
    outcome: str
    duplicate: bool
    partition: int
    sequence: int | None = None
    recorded: datetime | None = None
    reason: str | None = None

    def raise_for_outcome(self) -> Settled:
        """Itself if accepted. Raises EventRejected, WrongVersion or EventSetAside."""
        receipt, reason = self.receipt, self.reason or "an event of this id came before"
        what = f"{receipt.what} (id {receipt.id}) was {self.outcome}: {reason}"
        if self.outcome == "rejected":
            raise WrongVersion(what) if reason.startswith(WRONG_VERSION) else EventRejected(what)
        if self.outcome != "accepted":
            raise EventSetAside(f"{what}. It is kept: `retold parked list {receipt.namespace}` shows it")
        return self
