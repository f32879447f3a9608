"""A server follows a table that has rows of several generations: it shows those of its own code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams import App, Namespace
from streams.codec import codec_of
from streams.engine import marker
from streams.engine.envelope import version_header
from streams.engine.generations import BuiltTo, built_key, built_to_key, encode_built_to, row_key, rows_there
from streams.engine.marker import Marker
from streams.engine.records import Counters
from streams.server.readmodel import table_follower
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_schema import fingerprints
from streams.server.readmodel.table_follower import TableFollower
from tests.applications.bank.events import AccountRow
from tests.simulator.broker import Entry
from tests.simulator.clients import MemoryMessage

AT = ("account", 0)


def app_of(generation: int) -> App:
    return App(name="bank", namespaces=[Namespace("account", row=AccountRow, generation=generation)])


CODEC = codec_of(app_of(1))


class Followed:
    """A table of one partition, and the file of a server whose code is at generation 2."""

    def __init__(self, state: Path) -> None:
        self._store = Store(state, "", app_of(2), CODEC)
        self._store.drop()
        self._store.open()
        self._store.partitions = {"account": 1}
        self._offset = 0
        self.follow()

    def follow(self) -> None:
        """As a server that goes on with what is in the file."""
        self.writer = self._store.writer()
        self._follower = TableFollower(self.writer, AT, AccountRow, CODEC, 2)

    def take(self, key: bytes, value: bytes, version: int | None = None, *, past: bool = False) -> None:
        headers = [] if version is None else [version_header(version)]
        entry = Entry(key, value, headers, 0, None)
        self._follower.take(MemoryMessage(("account-table", 0), self._offset, entry), past)  # type: ignore[arg-type]  # as a message
        self._offset += 1

    def mark(self, generation: int, last: int) -> None:
        it = Marker(
            first=1, last=last, inbox_next=last, recorded=last, application="bank", topic_ids={}, partitions=1,
            transactional_id="t", counters=Counters(), generation=generation,
        )  # fmt: skip
        self.take(marker.KEY, marker.encode(it))

    def rows(self) -> dict[str, int]:
        """Versions by key."""
        self._follower.flush()
        self.writer.commit()
        found: dict[str, int] = dict(self._store._db.execute("select key, version from r_account").fetchall())
        return found

    def remembered(self) -> int:
        """How many deleted rows are in memory, or given and not written."""
        return len(self._follower._deleted) + len(self._follower._rows)

    def noted(self) -> int:
        """How many deleted rows are noted in the file."""
        [count] = self._store._db.execute("select count(*) from deleted").fetchone()
        return int(count)

    def lack(self) -> str:
        """What is wrong with its rows, by the file."""
        self.rows()
        found = self._store._db.execute("select marker from position where kind = 'there'").fetchone()
        return "" if found is None else rows_there(found[0], 2).lack

    def position(self) -> int:
        return self.writer.positions["table", *AT].sequence

    def close(self) -> None:
        self._store.close()


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Followed]:
    followed = Followed(tmp_path)
    yield followed
    followed.close()


def row(balance: int) -> bytes:
    return CODEC.encode_row(AccountRow(balance=balance))


def test_rows_of_other_generations_are_not_shown_nor_their_position(there: Followed) -> None:
    """Nothing says yet how far its own have everything; once workers keep them, their transactions do."""
    there.mark(1, 5)
    there.take(row_key("a", 1), row(1), 5)
    there.take(built_key("b", 2), row(1), 3)
    there.take(built_to_key(2), encode_built_to(BuiltTo(generation=2, sequence=3, offset=3, code="c")))
    assert (there.rows(), there.position()) == ({"b": 3}, 0)
    there.mark(2, 6)
    there.take(row_key("a", 2), row(2), 6)
    assert (there.rows(), there.position()) == ({"a": 6, "b": 3}, 6)


def test_a_built_row_that_comes_late_changes_nothing(there: Followed) -> None:
    """A worker has written a newer one, or has deleted it."""
    there.mark(2, 8)
    there.take(row_key("a", 2), row(2), 8)
    there.take(row_key("b", 2), b"", 7)
    assert there.rows() == {"a": 8}
    there.take(built_key("a", 2), row(1), 6)
    there.take(built_key("b", 2), row(1), 6)
    assert there.rows() == {"a": 8}


def test_what_the_table_says_of_its_rows_is_kept(there: Followed) -> None:
    """Whoever goes on with the file goes on with that; a file that says nothing of what was read leaves it open."""
    assert there.lack() == ""
    there.mark(1, 5)
    assert there.lack() == "are not built"
    there.follow()
    there.mark(1, 6)
    assert there.lack() == "are not built"
    there.writer._db.execute("delete from position where kind = 'there'")
    there.follow()
    there.mark(1, 7)
    assert there.lack() == ""
    there.mark(2, 8)
    there.mark(1, 9)
    assert there.lack() == "are not built"


ORDERS = st.permutations([("w", "a", 8), ("b", "a", 6), ("w", "b", 7), ("b", "b", 6), ("b", "c", 5)])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=ORDERS)
def test_the_newest_row_of_each_key_is_read_in_whatever_order_compaction_has_left(
    tmp_path: Path, order: list[tuple[str, str, int]]
) -> None:
    """What is built lies behind a worker's row as well as before it; b was deleted by a worker."""
    there = Followed(tmp_path)
    for kind, key, version in order:
        of = row_key if kind == "w" else built_key
        there.take(of(key, 2), b"" if (kind, key) == ("w", "b") else row(version), version, past=True)
        there.rows()  # in the file
    there.mark(2, 8)
    assert there.rows() == {"a": 8, "c": 5}
    there.close()


def test_a_row_that_was_deleted_stays_deleted_after_a_restart(there: Followed) -> None:
    """Of a first reading: what was built behind it comes afterwards."""
    there.take(row_key("b", 2), b"", 7, past=True)
    assert there.rows() == {}
    there.follow()
    there.take(built_key("b", 2), row(1), 6, past=True)
    there.take(built_key("c", 2), row(1), 6, past=True)
    assert there.rows() == {"c": 6}


def test_deleted_rows_are_not_kept_in_memory(there: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor in the file, once the table is read: there may be more of them than rows."""
    monkeypatch.setattr(table_follower, "PENDING", 3)
    most = 0
    for number in range(20):
        there.take(row_key(f"k{number}", 2), b"", 7, past=True)
        most = max(most, there.remembered())
    assert most <= 3
    there.take(built_key("k0", 2), row(1), 6, past=True)
    there.take(row_key("a", 2), row(1), 8)
    assert (there.rows(), there.remembered(), there.noted()) == ({"a": 8}, 0, 0)


def test_a_file_of_another_generation_is_read_again() -> None:
    """As one whose rows have another schema; the first generation is as it always was."""
    first, second = (fingerprints(app_of(generation), CODEC)["r_account"] for generation in (1, 2))
    assert first != second
    assert "/" not in first
