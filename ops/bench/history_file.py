"""Files of a recorded past, made by the engine and by what a server's follower writes with."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ops.bench import application
from ops.bench.events import BenchSignup
from streams.app import App
from streams.codec import codec_of
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.stored.stored_past import StoredPast
from streams.server.readmodel.checkpoints import make_checkpoints
from streams.server.readmodel.store_high_water import fill_high_water, put_frontier
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.support.partitions import Partitions
from tests.support.stored_pasts import stored
from tests.support.stored_topics import StoredTopics

START = datetime(2026, 1, 1, tzinfo=UTC)
PARTITIONS, ACCOUNTS = 4, 200
BATCH = 500
CODE = "bench"
"""The code that checkpoints are of."""
COPY = """insert into record(ns, part, seq, recorded, time, high, key, type, id, idh, causeh, kind, ordinal, accepted, by, reason,
    expected, inbox, value, headers)
    select ns, part + :parts, seq, recorded + :shift, time, high, key || '-' || :number, type, id || '-' || :number, idh + :shift,
    causeh + :shift, kind, ordinal, accepted, by, reason, expected, inbox, value, headers from record where part < :partitions"""

COPY_ENDS = """insert into position(kind, ns, part, next_offset, seq, recorded)
    select kind, ns, part + :parts, next_offset, seq, recorded from position where kind = 'log' and part < :partitions"""


@dataclass
class HistoryFixture:
    """A file, and what made it. `topics` is what Kafka would have."""

    file: Path
    db: sqlite3.Connection
    handlers: ApplicationHandlers
    topics: StoredTopics
    imported_per_second: float
    transfers: int = 0

    def past(self) -> StoredPast:
        return StoredPast(self.db, self.handlers.codec)

    def close(self) -> None:
        self.db.close()


def a_past_of_transfers(folder: Path, count: int, chosen: random.Random) -> HistoryFixture:
    """Some are late, and some move more than there is."""
    there = Partitions(bank.app(), PARTITIONS, now=START, seed=7, most=BATCH)
    accounts = [f"a{number}" for number in range(ACCOUNTS)]
    for name in accounts:
        there.publish(AccountOpen(account=name, balance=1_000), f"open-{name}", there.now)
    for number in range(count):
        source, target = chosen.sample(accounts, 2)
        there.now += timedelta(seconds=10)
        late = timedelta(seconds=chosen.choice([0, 0, 0, 45, 200]))
        data = TransferStart(transfer=f"t{number}", source=source, target=target, amount=chosen.randint(1, 90))
        there.publish(data, f"start-{number}", there.now - late)
        if number % 20 == 0:
            there.step()
    there.settle()
    return _kept(there, bank.app(), folder, count)


def a_past_of_keys(folder: Path, events: Mapping[str, int]) -> HistoryFixture:
    """Keys with so many events each."""
    there = Partitions(application.app(), 1, now=START, seed=7, most=BATCH)
    for key, count in events.items():
        for number in range(count):
            there.now += timedelta(seconds=1)
            data = BenchSignup(
                user=key, email=f"{key}@example.org", name=key, plan="pro", at=number, credits=number % 1_000
            )  # fmt: skip
            there.publish(data, f"{key}-{number}", there.now)
    there.settle()
    return _kept(there, application.app(), folder)


def with_copies(bank: HistoryFixture, total: int) -> int:
    """Put copies of all records into other partitions, under other keys, until there are so many. Returns how many there are."""
    [own] = bank.db.execute("select count(*) from record").fetchone()
    for number in range(1, max(1, -(-total // own))):
        values = {"parts": number * PARTITIONS, "shift": number, "number": number, "partitions": PARTITIONS}
        bank.db.execute(COPY, values)
        bank.db.execute(COPY_ENDS, {"parts": number * PARTITIONS, "partitions": PARTITIONS})
    [count] = bank.db.execute("select count(*) from record").fetchone()
    return int(count)


def _kept(there: Partitions, app: App, folder: Path, transfers: int = 0) -> HistoryFixture:
    folder.mkdir(parents=True)
    began = time.process_time()
    with closing(stored(there, folder)) as store:
        rate = sum(map(len, there.logs.values())) / (time.process_time() - began)
        file = store.file
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("pragma mmap_size=2147483648")
    while fill_high_water(db, 2**62):
        pass
    put_frontier(db, 2**62)
    codec = codec_of(app)
    make_checkpoints(db, app, codec, CODE, time.monotonic() + 600)
    return HistoryFixture(file, db, ApplicationHandlers(app, codec), StoredTopics.of(there), rate, transfers)
