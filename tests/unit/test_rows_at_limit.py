"""Rows whose first events were never in the file: from what Kafka's table has of them on, they are told as with all of the past."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streams.engine import marker
from streams.engine.marker import Marker
from streams.engine.records import Counters
from streams.engine.times import to_micros
from streams.history.cut_past import Cut
from streams.server.readmodel.row_writer import RowWriter
from streams.server.readmodel.rows_at_limit import keep_rows
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_meta import meta_value
from streams.server.readmodel.store_schema import row_table
from tests.applications import bank
from tests.applications.bank.events import AccountClose, AccountOpen
from tests.support.partitions import Partitions
from tests.support.pasts import KINDS, START, made, past_of
from tests.unit.test_checkpoints import make, rows_of
from tests.unit.test_left_out import NOW, few, read_anew, told
from tests.unit.test_past_times import a_cut

PUT_MARKER = "insert or replace into position(kind, ns, part, next_offset, marker) values('table', ?, ?, 0, ?)"


def keep(there: Partitions, store: Store) -> None:
    store.write(lambda db: keep_rows(db, there.app, there.codec, time.monotonic() + 60))


def read_tables(there: Partitions, store: Store, behind: int = 0) -> None:
    """Put into the file what the tables have; their markers say that so many records of each log are not in them yet."""
    rows = dict[tuple[str, str], tuple[int, Any, int]]()
    for place, changes in there.changes:
        rows |= {(place[0], key): (place[1], row, version) for key, (row, version) in changes.rows.items()}
    for space in there.app.namespaces:
        writer = RowWriter(row_table(space.name), space.row_type)
        for (namespace, key), (part, row, version) in rows.items():
            if namespace == space.name:
                raw = there.codec.encode_row(row) if row is not None and writer.keeps_raw else b""
                writer.put(key, part, version, row, raw)
        store.write(writer.write)
    for (namespace, part), log in there.logs.items():
        last = len(log) - behind
        said = Marker(
            first=1, last=last, inbox_next=0, recorded=0, application=there.app.name, topic_ids={}, partitions=there.count,
            transactional_id="t", counters=Counters(),
        )  # fmt: skip
        values = namespace, part, marker.encode(said)
        store.write(lambda db, values=values: db.execute(PUT_MARKER, values))


@few
@given(st.sampled_from([*KINDS, "waiting"]), st.integers(0, 10**6))
def test_a_row_is_told_from_what_its_table_has_of_it_on(kind: str, seed: int) -> None:
    """All of them are told now, and each as with all of the past, as of any time; or it is refused."""
    chosen, there = made(kind, seed)
    whole = past_of(there)
    events = list(whole.events())
    before = chosen.choice(events).order.recorded
    cuts = [a_cut(chosen, whole) for _ in range(6)]
    with read_anew(there, before) as store:
        make(there, store)
        read_tables(there, store)
        keep(there, store)
        assert told(there, store, whole, NOW) == len({it.place for it in events})
        for cut in cuts:
            told(there, store, whole, cut)
        make(there, store, "other code")
        assert told(there, store, whole, NOW, "other code") == len({it.place for it in events})


def test_a_row_that_is_gone_is_not_told_as_gone_before() -> None:
    """It was there until the event that took it away, which is kept: what it was until then is not known."""
    there = Partitions(bank.app(), 1, now=START)
    there.publish(AccountOpen(account="a", balance=0), "open", START)
    there.settle()
    there.now += timedelta(days=40)
    there.publish(AccountOpen(account="b", balance=0), "other", there.now)
    there.settle()
    there.now += timedelta(days=1)
    there.publish(AccountClose(account="a"), "close", there.now)
    there.settle()
    whole, between = past_of(there), to_micros(there.now - timedelta(hours=1))
    with read_anew(there, to_micros(START + timedelta(days=30))) as store:
        make(there, store)
        read_tables(there, store)
        keep(there, store)
        assert told(there, store, whole, NOW) == 2
        assert told(there, store, whole, Cut(between)) == 1
        rows = rows_of(there, store, NOW)
        assert rows.entry(("account", "a")) == (None, 3)


def test_nothing_is_kept_before_the_tables_are_read() -> None:
    """A row of a table that is behind its log is not what the events made of it that are left out."""
    _, there = made("bank", 3)
    whole = past_of(there)
    before = [*whole.events()][-1].order.recorded
    with read_anew(there, before) as store:
        make(there, store)
        refused = told(there, store, whole, NOW)
        keep(there, store)
        assert meta_value(store._db, "rows_at_limit") is None
        read_tables(there, store, behind=2)
        keep(there, store)
        assert meta_value(store._db, "rows_at_limit") is None
        assert told(there, store, whole, NOW) == refused
        read_tables(there, store)
        keep(there, store)
        assert meta_value(store._db, "rows_at_limit") == 1
        assert told(there, store, whole, NOW) == len({it.place for it in whole.events()}) > refused
