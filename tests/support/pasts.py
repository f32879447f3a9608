"""Pasts of the test applications, as the engine made them: several partitions, random batches, late events, timers, gateways."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from streams import App
from streams.data import EventData
from streams.engine.changes import HandledRecord
from streams.engine.records import Headers
from streams.engine.stored import log_record
from streams.engine.wire_format import WireFormat
from streams.event import Event
from streams.history.past import MemoryPast
from streams.history.recorded_event import RecordedEvent, read_recorded
from tests.applications import bank, permits, shop, timed
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.applications.shop.events import (
    Line,
    OrderCancel,
    OrderPlace,
    PaymentCharge,
    PaymentCharged,
    PaymentRefund,
    PaymentRefunded,
    StockReceive,
)
from tests.applications.timed.events import AlarmTouch, BellRing
from tests.support.partitions import Partitions
from tests.support.permits import cases

START = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ["bank", "shop", "timed", "permits"]
ALL_KINDS = [*KINDS, "waiting", "repeated"]


def log_of(there: Partitions) -> list[tuple[str, int, int, str, bytes, Headers]]:
    """Namespace, partition, sequence, key, value and headers of all log records."""
    found = []
    for (namespace, partition), handled in there.logs.items():
        for it in handled:
            key, value, headers = log_record(it)
            assert value is not None
            found.append((namespace, partition, it.sequence, key.rpartition(b"@")[0].decode(), value, headers))
    return found


class ReadLogs:
    """Of one application, whose logs go on: a record is read once, and the past is another one where a log has changed."""

    def __init__(self) -> None:
        self._records: list[HandledRecord] = []
        self._events: dict[int, RecordedEvent] = {}
        self._past = MemoryPast([])

    def past(self, there: Partitions) -> MemoryPast:
        handled = [it for log in there.logs.values() for it in log]
        if len(handled) != len(self._records) or any(a is not b for a, b in zip(handled, self._records, strict=True)):
            events = self._read(there)
            self._past = MemoryPast(events.values())
            self._events, self._records = events, handled
        return self._past

    def _read(self, there: Partitions) -> dict[int, RecordedEvent]:
        wire = WireFormat(there.codec, there.engines[next(iter(there.engines))].limits)
        found: dict[int, RecordedEvent] = {}  # the records live as long as this, so no other object has their ids
        for (namespace, partition), log in there.logs.items():
            for it in log:
                known = self._events.get(id(it))
                if known is None:
                    _, value, headers = log_record(it)
                    assert value is not None
                    known = read_recorded(wire, namespace, partition, value, headers)
                found[id(it)] = known
        return found


_read: WeakKeyDictionary[Partitions, ReadLogs] = WeakKeyDictionary()


def past_of(there: Partitions) -> MemoryPast:
    return _read.setdefault(there, ReadLogs()).past(there)


def made(kind: str, seed: int, app: App | None = None) -> tuple[random.Random, Partitions]:
    """An application that has run, and what chose. `app`: the same by other code."""
    chosen = random.Random(seed)
    makers = {
        "bank": a_bank, "shop": a_shop, "timed": some_alarms, "permits": some_permits, "waiting": waiting_alarms,
        "repeated": repeated_ids,
    }  # fmt: skip
    return chosen, makers[kind](chosen, seed, app)


def _some_steps(there: Partitions, chosen: random.Random, most: int) -> None:
    for _ in range(chosen.randint(0, most)):
        there.step()


def a_bank(chosen: random.Random, seed: int, app: App | None = None) -> Partitions:
    """Transfers between a few accounts, some of them late, some of more than there is, some to nobody."""
    there = Partitions(app or bank.app(), chosen.randint(1, 4), now=START, seed=seed, most=6)
    accounts = [f"a{number}" for number in range(chosen.randint(2, 6))]
    for name in accounts:
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", there.now)
    for number in range(chosen.randint(1, 40)):
        source, target = chosen.sample([*accounts, "nobody"], 2)
        there.now += timedelta(seconds=10)
        late = timedelta(seconds=chosen.choice([0, 0, 0, 45, 200]))
        data = TransferStart(transfer=f"t{number}", source=source, target=target, amount=chosen.randint(1, 90))
        there.publish(data, f"start-{number}", there.now - late)
        _some_steps(there, chosen, 6)
    there.settle()
    return there


def a_shop(chosen: random.Random, seed: int, app: App | None = None) -> Partitions:
    """Orders that are reserved, paid over a gateway, cancelled or expired by a timer."""
    there = Partitions(app or shop.app(), chosen.randint(1, 3), now=START, seed=seed, most=5)
    for sku in "xyz":
        there.publish(StockReceive(sku=sku, quantity=chosen.randint(1, 12), price=3), f"receive-{sku}", there.now)
    for number in range(chosen.randint(1, 25)):
        lines = tuple(
            Line(sku=chosen.choice("xyzq"), quantity=chosen.randint(1, 3)) for _ in range(chosen.randint(1, 2))
        )
        there.publish(OrderPlace(order=f"o{number}", customer="c", lines=lines), f"place-{number}", there.now)
        there.now += timedelta(minutes=chosen.randint(0, 8))
        if chosen.random() < 0.2:
            there.publish(OrderCancel(order=f"o{chosen.randint(0, number)}", why="no"), f"cancel-{number}", there.now)
        _some_steps(there, chosen, 9)
        if chosen.random() < 0.5:
            there.settle()
    there.now += timedelta(hours=1)
    there.settle()
    return there


def some_alarms(chosen: random.Random, seed: int, app: App | None = None) -> Partitions:
    """Timers of a key's own and of another namespace's."""
    there = Partitions(app or timed.app(), chosen.randint(1, 3), now=START, seed=seed, most=5)
    for number in range(chosen.randint(1, 25)):
        data = AlarmTouch(
            name=chosen.choice("abc"),
            number=chosen.randint(0, 9),
            after=chosen.randint(0, 6),
            other=chosen.choice(["", "z"]),
        )
        there.publish(data, f"touch-{number}", there.now)
        there.now += timedelta(hours=chosen.randint(0, 3))
        _some_steps(there, chosen, 4)
        if chosen.random() < 0.5:
            there.settle()
    there.now += timedelta(hours=40)
    there.settle()
    return there


def some_permits(chosen: random.Random, seed: int, app: App | None = None) -> Partitions:
    """Real cases that came one after the other, and in the end the time in which they should have been closed is over."""
    first, count = chosen.randrange(len(cases()) - 3), chosen.randint(1, 3)
    events = sorted((it for case in cases()[first : first + count] for it in case), key=lambda it: it[1])
    there = Partitions(app or permits.app(), chosen.randint(1, 3), now=events[0][1], seed=seed, most=5)
    for number, (data, time) in enumerate(events):
        there.now = max(there.now, time + timedelta(days=chosen.choice([0, 0, 0, 0, 1])))
        there.publish(data, f"event-{number}", time)
        _some_steps(there, chosen, 5)
        if chosen.random() < 0.3:
            there.settle()
    there.now += timedelta(days=60)
    there.settle()
    return there


def waiting_alarms(chosen: random.Random, seed: int, app: App | None = None) -> Partitions:
    """Timers that nobody has waited for."""
    there = Partitions(app or timed.app(), chosen.randint(1, 3), now=START, seed=seed, most=5)
    for number in range(chosen.randint(1, 12)):
        data = AlarmTouch(
            name=chosen.choice("abc"),
            number=chosen.choice([1, 2, 4, 5]),
            after=chosen.randint(0, 30),
            other=chosen.choice(["", "z", "a"]),
        )
        there.publish(data, f"touch-{number}", there.now)
        there.now += timedelta(hours=chosen.randint(0, 3))
        _some_steps(there, chosen, 4)
    there.settle()
    return there


def repeated_ids(chosen: random.Random, seed: int, app: App | None = None) -> Partitions:
    """Few ids for many events: of several keys, and of one again after more events than a worker remembers.

    Not while a timer of the one before waits: it has the same id, so a worker keeps the later one alone.
    """
    there = Partitions(app or timed.app(), chosen.randint(1, 3), now=START, seed=seed, most=5, window=1)
    used = set[tuple[str, str]]()
    for number in range(chosen.randint(2, 12)):
        name = f"touch-{chosen.randint(0, 3)}"
        for key in chosen.sample("abc", chosen.randint(1, 2)):
            if (name, key) in used:
                there.settle()
                there.now += timedelta(hours=40)
                there.settle()  # what rings by then stands before the fillers
                for filler in range(8):  # so that no emission is a duplicate either
                    there.publish(BellRing(name=f"f{filler}", number=0), f"{number}{key}{filler}", there.now)
                there.settle()
                used.clear()
            used.add((name, key))
            other = chosen.choice(["", f"z{number}{key}"])
            data = AlarmTouch(name=key, number=chosen.randint(0, 9), after=chosen.randint(0, 6), other=other)
            there.publish(data, name, there.now)
        there.now += timedelta(hours=chosen.choice([0, 1]))
        _some_steps(there, chosen, 4)
    there.settle()
    return there


def live_rows(there: Partitions) -> dict[tuple[str, str], object]:
    return {(name, key): row for name in there.engines for key, row in there.rows(name).items()}


def answered(event: Event[Any]) -> EventData:
    """What the shop's gateways answer."""
    if isinstance(event.data, PaymentCharge):
        return PaymentCharged(order=event.key, receipt=event.reference)
    assert isinstance(event.data, PaymentRefund)
    return PaymentRefunded(order=event.key, receipt=event.data.receipt)
