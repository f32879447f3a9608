"""The shop with a card company that is slow, fails, declines, and writes down each call that it takes.

CHAOS_CALLS names the file: a line for each call, in JSON. Workers are killed at any time, so a call is written down before it is
answered, in one write.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import msgspec

from streams import App, Event
from streams.data import EventData
from tests.applications import shop
from tests.applications.shop.events import (
    PaymentCharge,
    PaymentCharged,
    PaymentDeclined,
    PaymentRefund,
    PaymentRefunded,
)

CALLS = "CHAOS_CALLS"
FAILS, FAILS_LATE = 0.1, 0.1
"""How often a call fails before it is taken, and after."""


class Call(msgspec.Struct, frozen=True):
    """`reference` is its idempotency key, `data` what it says, as text."""

    reference: str
    event_type: str
    data: str


@dataclass(frozen=True)
class CardCompany(shop.CardApi):
    """What it answers depends on the request alone; whether it fails on chance."""

    file: Path
    dice: random.Random

    async def charge(self, event: Event[PaymentCharge]) -> PaymentCharged | PaymentDeclined:
        await self._take(event)
        if crc32(event.key.encode()) % 10 == 0:
            return PaymentDeclined(order=event.key, why="no money")
        return PaymentCharged(order=event.key, receipt=event.id)

    async def refund(self, event: Event[PaymentRefund]) -> PaymentRefunded:
        await self._take(event)
        return PaymentRefunded(order=event.key, receipt=event.data.receipt)

    async def _take(self, event: Event[PaymentCharge] | Event[PaymentRefund]) -> None:
        await asyncio.sleep(self.dice.uniform(0, 0.05))
        if self.dice.random() < FAILS:
            raise ConnectionError("the card company does not answer")
        append(self.file, call_of(event.reference, event.data))
        if self.dice.random() < FAILS_LATE:
            raise ConnectionError("the card company has hung up")


def call_of(reference: str, data: EventData) -> Call:
    return Call(reference, data.event_type, repr(data))


def append(file: Path, call: Call) -> None:
    opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(opened, msgspec.json.encode(call) + b"\n")
    finally:
        os.close(opened)


def read(file: Path) -> Iterator[Call]:
    """All calls that were taken."""
    if file.exists():
        with file.open("rb") as lines:
            yield from (msgspec.json.decode(line, type=Call) for line in lines)


def app() -> App:
    return shop.app(CardCompany(Path(os.environ[CALLS]), random.Random(os.getpid())))
