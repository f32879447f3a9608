"""Who publishes in a seeded run: random events of an application, late, twice, with other data, forged, or in a wrong place.

Some expect their row at a version, and some records are broken, or too large for any topic but the inbox.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta

from confluent_kafka import murmur2

from streams.codec import AvroCodec
from streams.data import EventData, namespace_of
from streams.engine import control
from streams.engine.attributes import time_text
from streams.engine.envelope import log_header
from streams.engine.records import ACCEPTED, Headers
from streams.engine.times import from_micros
from streams.kafka.topics import topic_names
from streams.testing.world_io import headers_of
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.applications.shop.events import Line, OrderCancel, OrderPlace, StockReceive
from tests.applications.timed.events import AlarmTouch
from tests.simulator.broken_records import TOO_LONG, broken
from tests.simulator.broker import MemoryBroker, TopicAndPartition
from tests.support.other_data import other_data

FORGED: Headers = [
    ("ce_sequence", b"7"), ("ce_recordedtime", b"2001-01-01T00:00:00Z"), ("ce_outcome", b"rejected"), ("ce_reason", b"forged"),
    ("retold", b'[7,7,7,"rejected","forged","forged"]'), ("retold_version", b"7"), ("retold_due", b"forged"),
    ("retold_parked", b'{"status":"quarantined","reason":"forged"}'),
    ("ce_causationid", b"forged"), ("ce_correlationid", b"forged"),
]  # fmt: skip
"""What only a worker may say, and causes that there never were."""


@dataclass
class Published:
    """`in_order`: it was put behind all that was published before it, where it is handled."""

    namespace: str
    partition: int
    event_id: str
    key: str
    in_order: bool


class RandomPublisher:
    """`kind` is the application: bank, timed or shop. `dice` decides, and is shared with the run.

    `old`: events are of the past, as in an import, so that what is scheduled comes due between events of its key.
    """

    def __init__(self, kind: str, broker: MemoryBroker, codec: AvroCodec, dice: random.Random) -> None:
        self._broker, self._codec, self._dice = broker, codec, dice
        self._kind = kind
        self.make = {"bank": self._bank, "timed": self._alarm, "shop": self._order}[kind]
        self._old = dice.random() < 0.5
        self._sent: list[tuple[EventData, Headers]] = []
        self._misplaced: set[int] = set()
        self.published: list[Published] = []
        """Each event once."""
        self.refused: set[tuple[str, int, int]] = set()
        """Namespace, partition and offset of what must be quarantined, and of nothing else."""

    def publish(self) -> None:
        """One event; or one again, as a publisher does that got no answer; or one that a careless or bad publisher makes."""
        number = len(self.published)
        odd = self._dice.random() if number > 5 else 1.0
        if odd < 0.05:
            self._send(*self._dice.choice(self._sent))
        elif odd < 0.08:
            self._contradict(self._dice.choice([it for at, it in enumerate(self._sent) if at not in self._misplaced]))
        elif odd < 0.09:
            data, headers = self._next("retold/bank/account")
            self.refused.add(self._send(data, headers))
        elif odd < 0.13:
            self._copy()
        elif 0.93 < odd <= 0.96:
            self._break()
        elif 0.96 < odd <= 0.97 and self._kind == "shop":
            self._publish_too_large()
        else:
            self._publish_next(odd)

    def _publish_next(self, odd: float) -> None:
        number = len(self.published)
        data, headers = self._next("test")
        if odd < 0.16:
            headers = [*FORGED, *headers] if self._dice.random() < 0.5 else [*headers, *FORGED]
        elif odd < 0.22:
            headers = [*headers, ("ce_expectedversion", b"%d" % self._expected(data))]
        namespace, key = namespace_of(data.event_type), data.key.encode()
        misplaced = odd > 0.97 and number > 5
        self._sent.append((data, headers))
        if misplaced:
            self._misplaced.add(number)
            self._misplace(data, headers)
        else:
            self._send(data, headers)
        self.published.append(Published(namespace, self._place(namespace, key)[1], f"e{number}", data.key, not misplaced))

    def _next(self, source: str) -> tuple[EventData, Headers]:
        number = len(self.published)
        data = self.make(number)
        late = timedelta(seconds=self._dice.choice([0, 0, 0, 30, 300]))
        time = from_micros(self._broker.clock.now()) - late
        if self._old:
            time += number * timedelta(minutes=20) - timedelta(hours=120)
        return data, headers_of(data, f"e{number}", source, time_text(time))

    def _copy(self) -> None:
        """A record that is there already, whoever wrote it, such as a gateway's answer: something on the way delivers it twice."""
        inboxes = sorted(name for name in self._broker.topics if "-" not in name)
        at = self._dice.choice(inboxes), self._dice.randrange(len(self._broker.topics[inboxes[0]]))
        there = [(offset, it) for offset, it in self._broker.partition(at).committed() if (it.value or b"")[:1] != control.PREFIX]
        if there:
            offset, it = self._dice.choice(there)
            copied = self._broker.append(at, it.key, it.value, it.headers, None)
            if (*at, offset) in self.refused:
                self.refused.add((*at, copied))

    def _break(self) -> None:
        """Into any partition: nobody knows the key of what cannot be read."""
        data, headers = self._next("test")
        inbox, _ = self._place(namespace_of(data.event_type), data.key.encode())
        at = self._dice.randrange(len(self._broker.topics[inbox]))
        value, headers = broken(self._dice, self._codec.encode(data), headers)
        self.refused.add((inbox, at, self._broker.append((inbox, at), data.key.encode(), value, headers, None)))

    def _publish_too_large(self) -> None:
        data = OrderCancel(order=f"o{len(self.published)}", why=TOO_LONG)
        self.refused.add(self._send(data, headers_of(data, f"large{self._broker.clock.now()}", "test", b"2023-11-14T00:00:00Z")))

    def _expected(self, data: EventData) -> int:
        """The version at which a publisher saw the row, which may be another one by now."""
        namespace, key = namespace_of(data.event_type), data.key.encode()
        log = self._broker.partition((topic_names("", namespace).log, self._place(namespace, key)[1]))
        seen = [it for _, it in log.committed() if (it.key or b"").rpartition(b"@")[0] == key]
        accepted = [int((it.key or b"").rpartition(b"@")[2]) for it in seen if log_header(it.headers).outcome == ACCEPTED]
        return self._dice.choice([0, *accepted[-2:], *accepted[-1:]])

    def _contradict(self, sent: tuple[EventData, Headers]) -> None:
        """The same id with other data."""
        data, headers = sent
        self.refused.add(self._send(other_data(data), headers))

    def _misplace(self, data: EventData, headers: Headers) -> None:
        """Under another key, or in another partition."""
        inbox, right = self._place(namespace_of(data.event_type), data.key.encode())
        key = self._dice.choice([data.key.encode(), b"elsewhere", None])
        at = (right + self._dice.randint(1, 2)) % len(self._broker.topics[inbox])
        self._broker.append((inbox, at), key, self._codec.encode(data), headers, None)

    def _place(self, namespace: str, key: bytes) -> TopicAndPartition:
        inbox = topic_names("", namespace).inbox
        return inbox, int(murmur2(key, len(self._broker.topics[inbox])))

    def _send(self, data: EventData, headers: Headers) -> tuple[str, int, int]:
        """Where it is: namespace, partition and offset."""
        namespace, key = namespace_of(data.event_type), data.key.encode()
        at = self._place(namespace, key)
        return namespace, at[1], self._broker.append(at, key, self._codec.encode(data), headers, None)

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
