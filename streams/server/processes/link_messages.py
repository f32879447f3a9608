"""What the HTTP processes of a server and the process that owns them tell each other: MessagePack of declared types."""

from __future__ import annotations

from typing import Final

import msgspec

from streams.receipt import Receipt
from streams.server.processes.summed_figures import Family
from streams.server.readmodel.follower_report import FollowerReport

YOURS: Final = "yours"
"""Of an Idempotency-Key: who asked is to publish, and to tell what became of that."""
OTHER: Final = "other"
"""It came before with another request."""


class DeliveredEvent(msgspec.Struct, frozen=True):
    """A receipt of an event that Kafka has."""

    namespace: str
    event_type: str
    key: str
    id: str
    partition: int
    offset: int
    timestamp: int | None

    def receipt(self) -> Receipt:
        made = Receipt(self.namespace, self.event_type, self.key, self.id)
        made.partition, made.timestamp, made.offset = self.partition, self.timestamp, self.offset
        return made


def delivered(receipt: Receipt) -> DeliveredEvent | None:
    """None: it will never be delivered."""
    if receipt.partition is None or receipt.offset is None:
        return None
    return DeliveredEvent(
        receipt.namespace, receipt.event_type, receipt.key, receipt.id, receipt.partition, receipt.offset, receipt.timestamp
    )


class Reported(msgspec.Struct, frozen=True, tag="reported"):
    """To a process: what the follower tells. The first has all that is known."""

    report: FollowerReport


class Claim(msgspec.Struct, frozen=True, tag="claim"):
    """Of a process that would publish with an Idempotency-Key, by the id of its event and the digest of the request."""

    number: int
    id: str
    digest: bytes


class Claimed(msgspec.Struct, frozen=True, tag="claimed"):
    """The answer: YOURS, OTHER, or the event that was published. It may take as long as another process takes to publish."""

    number: int
    verdict: str | DeliveredEvent


class Settled(msgspec.Struct, frozen=True, tag="settled"):
    """What became of a claim that was granted. None: nothing was published, and nothing will be."""

    id: str
    event: DeliveredEvent | None


class FiguresWanted(msgspec.Struct, frozen=True, tag="wanted"):
    """To a process."""

    number: int


class OwnFigures(msgspec.Struct, frozen=True, tag="figures"):
    """Its answer."""

    number: int
    families: list[Family]


class Scrape(msgspec.Struct, frozen=True, tag="scrape"):
    """Of a process that was asked for metrics, with its own."""

    number: int
    families: list[Family]


class Scraped(msgspec.Struct, frozen=True, tag="scraped"):
    """The answer: those of all processes together."""

    number: int
    families: list[Family]


ToProcess = Reported | Claimed | FiguresWanted | Scraped
ToOwner = Claim | Settled | OwnFigures | Scrape
