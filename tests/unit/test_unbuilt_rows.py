"""A server whose code has a generation of rows that nobody has built says so: its table does not seem to be empty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streams import App, Projection
from streams.codec import codec_of
from streams.engine import marker
from streams.engine.envelope import version_header
from streams.engine.generations import BuiltTo, built_key, built_to_key, encode_built_to, row_key
from streams.engine.marker import Marker
from streams.engine.records import Counters, Headers
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_readers import StoreReaders
from streams.server.readmodel.table_follower import TableFollower
from streams.server.readmodel.unbuilt_tables import unbuilt_tables
from tests.applications import counted
from tests.applications.bank.events import AccountCredit, AccountRow
from tests.simulator.broker import Entry as TopicEntry
from tests.simulator.clients import MemoryMessage
from tests.support.live import STREAM, following
from tests.support.memory_server import MemoryServer
from tests.support.tokens import Entry, bearer, write_tokens
from tests.unit.test_server_errors import assert_problem
from tests.unit.test_web_sockets import opened

Written = tuple[bytes, bytes, Headers]
ROWS = ("/rows/account", "/rows/account/a", "/rows/account?_count=exact", "/views/accounts")
KEPT = "rows of generation 2 of account, which are not built; workers keep generation 1 in account-0"
CODEC = codec_of(counted.second())


def app_of() -> App:
    """Of generation 2, with a view of its table and a projection of its log."""
    credits = Projection("credits", row=AccountRow)

    @credits.folds(AccountCredit, key=lambda event: event.data.account)
    def fold(row: AccountRow | None, event: Any) -> AccountRow:
        return AccountRow(balance=(row.balance if row else 0) + event.data.amount)

    return replace(counted.second(), projections=[credits])


def mark(generation: int, last: int, **others: Any) -> Written:
    it = Marker(
        first=1, last=last, inbox_next=last, recorded=last, application="counted", topic_ids={}, partitions=1,
        transactional_id="t", counters=Counters(), generation=generation, **others,
    )  # fmt: skip
    return marker.KEY, marker.encode(it), []


def row(key: bytes, balance: int, version: int) -> Written:
    return key, CODEC.encode_row(AccountRow(balance=balance)), [version_header(version)]


def built(sequence: int) -> Written:
    return built_to_key(2), encode_built_to(BuiltTo(generation=2, sequence=sequence, offset=sequence, code="c")), []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(app_of(), tmp_path, answering=True) as server:
        yield server


def statuses(server: MemoryServer) -> list[int]:
    return [server.http.get(url).status_code for url in ROWS]


def test_a_fresh_application_has_empty_tables(server: MemoryServer) -> None:
    """Whatever its generation: there is nothing that could be lacking."""
    assert statuses(server) == [200, 404, 200, 200]
    server.kafka.take_of_table("account", mark(1, 0))
    assert statuses(server) == [200, 404, 200, 200]


def test_rows_that_are_not_built_are_a_problem_of_their_own(server: MemoryServer) -> None:
    """For whoever asks for rows, a view of them or a stream of either: what is there, what not, and what to do. Others are told."""
    server.kafka.take_of_table("account", mark(1, 5))
    for url in ROWS:
        for headers in ({}, STREAM):
            got = server.http.get(url.partition("?")[0] if headers else url, headers=headers)
            assert_problem(got, 503, KEPT, "`retold rebuild start account`")
            assert (got.headers["retry-after"], got.json()["type"]) == ("1", "/-/problems/rows-not-built")
    assert server.http.get("/rows").json()["tables"][0]["rows"] is None
    assert [server.http.get(url).status_code for url in ("/projections/credits", "/events", "/")] == [200, 200, 200]
    with opened(server) as client:
        told = client.asks(op="watch", id=1, url="/rows/account")
        assert (told["status"], KEPT in str(told)) == (503, True)
    with following(server.http, "/live/account") as stream:
        assert stream.begun()


def test_answers_go_on_once_the_rows_are_built(server: MemoryServer) -> None:
    """And once workers have gone over to them, or back to others: then they are told as they were, as to any server of old code."""
    server.kafka.take_of_table("account", mark(1, 5))
    assert statuses(server) == [503] * 4
    server.kafka.take_of_table("account", row(built_key("a", 2), 7, 5), built(5))
    assert statuses(server) == [200] * 4
    assert server.http.get("/rows/account/a").json()["row"]["balance"] == 7
    server.kafka.take_of_table("account", mark(2, 6), row(row_key("a", 2), 8, 6))
    assert (statuses(server), server.http.get("/views/accounts").json()["answer"]) == ([200] * 4, 1)
    server.kafka.take_of_table("account", mark(1, 70_000, complete={2: 6}))
    assert statuses(server) == [200] * 4


def test_a_stream_ends_when_its_rows_are_dropped(server: MemoryServer) -> None:
    """With the problem that whoever comes back gets, too."""
    server.kafka.take_of_table("account", mark(2, 5))
    with following(server.http, "/rows/account?_from=snapshot") as stream:
        assert stream.next()[0] == "ready"
        server.kafka.take_of_table("account", mark(1, 6, complete={2: 5}, dropped=[2]))
        name, told = stream.next()
        assert (name, told["status"], "were dropped for good" in told["detail"]) == ("problem", 503, True)
    assert_problem(server.http.get("/rows/account"), 503, "Give the code a generation that there was not yet")


def test_who_waits_for_an_outcome_hears_why_it_is_not_told(server: MemoryServer) -> None:
    """It is told with its row, which is not there."""
    server.kafka.take_of_table("account", mark(1, 5))
    server.kafka.held = True
    got = server.http.post(
        "/events/account.credit", json={"account": "a", "transfer": "t", "amount": 1}, headers={"Prefer": "wait=0.1"}
    )
    assert_problem(got, 504, "this server tells outcomes with their rows", KEPT)


def test_who_sees_some_rows_alone_is_not_told_that_there_is_nothing(tmp_path: Path) -> None:
    """Of events of rows: nobody knows which of them these are."""
    only: dict[str, Entry] = {"some": {"read": ["rows/account", "events/account"], "only": {"account": "_key=a"}}}
    file = write_tokens(tmp_path / "tokens.toml", only)
    with MemoryServer(app_of(), tmp_path / "state", http_tokens=str(file)) as server:
        server.kafka.publish(AccountCredit(account="a", transfer="t", amount=4))
        headers = bearer("some")
        assert len(server.http.get("/events/account", headers=headers).json()["events"]) == 1
        server.kafka.take_of_table("account", mark(1, 5))
        assert_problem(server.http.get("/events/account", headers=headers), 503, KEPT)


class Reread:
    """The file of a server of generation 1, which one of generation 2 goes on with: it reads the table again beside."""

    def __init__(self, state: Path) -> None:
        self._state, self._offset = state, 0
        self._open(counted.first(), 1)
        self.store.completed()
        self.take(*row(row_key("a", 1), 1, 5))
        self.commit()
        self.store.close()
        self._open(counted.second(), 2)

    def _open(self, app: App, generation: int) -> None:
        self.app, self.store = app, Store(self._state, "", app, CODEC)
        self.store.open()
        self.store._set(partitions=b'{"account": 1}')
        self.store.partitions = {"account": 1}
        self.writer = self.store.writer()
        self._follower = TableFollower(self.writer, ("account", 0), AccountRow, CODEC, generation)

    def take(self, key: bytes, value: bytes, headers: Headers) -> None:
        message = MemoryMessage(("account-table", 0), self._offset, TopicEntry(key, value, headers, 0, None))
        self._follower.take(message, past=True)  # type: ignore[arg-type]  # as a message
        self._offset += 1

    def commit(self) -> None:
        self._follower.flush()
        self.writer.commit()

    def unbuilt(self) -> set[str]:
        readers = StoreReaders()
        readers.open(str(self.store.file))
        try:
            return {*unbuilt_tables(readers, self.app)}
        finally:
            readers.open(None)


def test_rows_that_are_read_again_are_told_to_be_there_or_not_once_they_are_answered(tmp_path: Path) -> None:
    """Until then those before are answered, of which it says nothing; also if the server is started again meanwhile."""
    there = Reread(tmp_path)
    there.take(*mark(1, 5))
    there.commit()
    assert there.unbuilt() == set()
    there.store.close()
    there._open(counted.second(), 2)
    assert there.unbuilt() == set()
    there.store.exchange("account", there.writer)
    assert there.unbuilt() == {"account"}
    there.store.close()
    there._open(counted.second(), 2)
    assert there.unbuilt() == {"account"}
    there.store.close()
