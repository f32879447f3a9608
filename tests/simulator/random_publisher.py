"""Who publishes in a seeded run: random events of an application, some of them late, and some published twice."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

from confluent_kafka import murmur2

from streams.codec import AvroCodec
from streams.data import EventData, namespace_of
from streams.engine.attributes import time_text
from streams.engine.records import Headers
from streams.engine.times import from_micros
from streams.kafka.topics import topic_names
from streams.testing.world_io import headers_of
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.applications.shop.events import Line, OrderCancel, OrderPlace, StockReceive
from tests.applications.timed.events import AlarmTouch
from tests.simulator.broker import MemoryBroker


@dataclass
class Published:
    namespace: str
    partition: int
    event_id: str
    key: str


class RandomPublisher:
    """`kind` is the application: bank, timed or shop. `dice` decides, and is shared with the run.

    `old`: events are of the past, as in an import, so that what is scheduled comes due between events of its key.
    """

    def __init__(self, kind: str, broker: MemoryBroker, codec: AvroCodec, dice: random.Random) -> None:
        self._broker, self._codec, self._dice = broker, codec, dice
        self._make = {"bank": self._bank, "timed": self._alarm, "shop": self._order}[kind]
        self._old = dice.random() < 0.5
        self._sent: list[tuple[EventData, Headers]] = []
        self.published: list[Published] = []
        """Each event once."""

    def publish(self) -> None:
        """One event; or one again, as a publisher does that got no answer."""
        number = len(self.published)
        if number > 5 and self._dice.random() < 0.05:
            self._send(*self._dice.choice(self._sent))
            return
        data = self._make(number)
        late = timedelta(seconds=self._dice.choice([0, 0, 0, 30, 300]))
        time = from_micros(self._broker.clock.now()) - late
        if self._old:
            time += number * timedelta(minutes=20) - timedelta(hours=120)
        headers = headers_of(data, f"e{number}", "test", time_text(time))
        self._sent.append((data, headers))
        at = self._send(data, headers)
        self.published.append(Published(namespace_of(data.event_type), at, f"e{number}", data.key))

    def _send(self, data: EventData, headers: Headers) -> int:
        """The partition."""
        key, inbox = data.key.encode(), topic_names("", namespace_of(data.event_type)).inbox
        at = int(murmur2(key, len(self._broker.topics[inbox])))
        self._broker.append((inbox, at), key, self._codec.encode(data), headers, None)
        return at

    def _bank(self, number: int) -> EventData:
        accounts = [f"a{it}" for it in range(6)]
        if number < len(accounts):
            return AccountOpen(account=accounts[number], balance=1000)
        source, target = self._dice.sample([*accounts, "nobody"], 2)
        return TransferStart(transfer=f"t{number}", source=source, target=target, amount=self._dice.randint(1, 90))

    def _order(self, number: int) -> EventData:
        skus, dice = "xyz", self._dice
        if number < len(skus):
            return StockReceive(sku=skus[number], quantity=300, price=3)
        if dice.random() < 0.1:
            return OrderCancel(order=f"o{dice.randint(3, number)}", why="no")
        lines = tuple(Line(sku=dice.choice("xyzq"), quantity=dice.randint(1, 3)) for _ in range(dice.randint(1, 2)))
        return OrderPlace(order=f"o{number}", customer="c", lines=lines)

    def _alarm(self, _number: int) -> EventData:
        dice = self._dice
        return AlarmTouch(
            name=dice.choice("abcdefgh"), number=dice.randint(0, 9), after=dice.choice([0, 0, 1, 2, 6]),
            other=dice.choice(["", "z", "y"]),
        )  # fmt: skip
