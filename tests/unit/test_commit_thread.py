"""While much is read, a transaction ends in a thread of its own, and what follows is prepared meanwhile."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streams.codec import codec_of
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_writer import StoreWriter
from tests.applications import bank

AT = ("log", "account", 0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    app = bank.app()
    found = Store(tmp_path, "", app, codec_of(app))
    found.open()
    yield found
    found.close()


def give(writer: StoreWriter, sequences: range, value: object = b"value") -> None:
    """Records, some of which have values at their end that others do not have."""
    for number in sequences:
        more: tuple[Any, ...] = ((), (5,), (5, "version", "why", 3))[number % 3]
        writer.put_records([
            (number, "account", 0, number, 0, f"k{number}", "account.open", f"id-{number}", number, "root", 0, 1, number, value,
             b"headers", *more)
        ])  # fmt: skip
    writer.reached(AT, sequences.stop, sequences.stop - 1, 0)


def in_file(store: Store) -> tuple[list[tuple[Any, ...]], int]:
    """What another reader finds: records, and the next offset."""
    with closing(sqlite3.connect(store.file, isolation_level=None)) as db:
        db.execute("begin")  # so that both are of one moment
        columns = "seq, id, causeh, by, reason, expected"
        found = db.execute(f"select {columns} from record order by seq").fetchall()
        [offset] = db.execute("select coalesce(max(next_offset), 0) from position").fetchone()
        return found, offset


def expected(last: int) -> list[tuple[Any, ...]]:
    ends: list[tuple[Any, ...]] = [(None, None, None, None), (5, None, None, None), (5, "version", "why", 3)]
    return [(number, f"id-{number}", *ends[number % 3]) for number in range(1, last + 1)]


def test_what_is_committed_beside_is_whole(store: Store) -> None:
    """Each transaction is seen with its records and positions, however many statements they take; the next one follows it."""
    writer = store.writer()
    give(writer, range(1, 2001))
    writer.commit(wait=False)
    assert writer.has_changes, "nobody knows yet that it is in the file"
    give(writer, range(2001, 2004))
    writer.commit(wait=False)
    assert in_file(store) in [(expected(2000), 2001), (expected(2003), 2004)]
    writer.commit()
    assert not writer.has_changes
    assert in_file(store) == (expected(2003), 2004)
    writer.close()


def test_an_error_of_what_is_committed_beside_is_raised_later(store: Store) -> None:
    """By the next commit: nothing of that transaction is in the file, and a new writer stands where the file ends."""
    writer = store.writer()
    give(writer, range(1, 10))
    writer.commit()
    give(writer, range(10, 20), value=object())
    writer.commit(wait=False)
    with pytest.raises(sqlite3.Error):
        writer.commit()
    writer.close()
    assert in_file(store) == (expected(9), 10)
    assert store.writer().positions[AT].next_offset == 10


def test_a_writer_that_is_closed_has_ended_its_transaction(store: Store) -> None:
    """Else the file would be closed while a thread writes it."""
    writer = store.writer()
    give(writer, range(1, 1001))
    writer.commit(wait=False)
    writer.close()
    assert in_file(store) == (expected(1000), 1001)
    assert not [it for it in threading.enumerate() if it.name.startswith("retold-store")]
