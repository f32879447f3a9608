"""An application's fold may take long: it holds up nothing but what waits for its result."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from streams import Event, Projection
from streams.engine.marker import Marker
from streams.engine.records import Counters
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, AccountRow
from tests.applications.shop.events import OrdersPerDayRow
from tests.support.memory_server import MemoryServer
from tests.support.sse import watched
from tests.support.workers import until


class Held:
    """A server with two projections; the fold of the first hangs at the account "slow" until `go` is set."""

    def __init__(self, path: Path) -> None:
        self.go, self.hangs = threading.Event(), threading.Event()
        slow, quick = (Projection(name, row=OrdersPerDayRow) for name in ("slow", "quick"))

        @quick.folds(AccountOpen, key=lambda event: event.key)
        @slow.folds(AccountOpen, key=lambda event: event.key)
        def fold(row: OrdersPerDayRow | None, event: Event[AccountOpen]) -> OrdersPerDayRow:
            if event.key == "slow":
                self.hangs.set()
                assert self.go.wait(60)
            return OrdersPerDayRow(count=1)

        self.server = MemoryServer(replace(bank.app(), projections=[slow, quick]), path)

    def fold(self) -> threading.Thread:
        """Follows the log's second record, in a thread as the follower is one."""
        slow = AccountOpen(account="slow", balance=1)
        thread = threading.Thread(target=self.server.kafka.publish, args=(slow,), daemon=True)
        thread.start()
        assert self.hangs.wait(60)
        return thread


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    held = Held(tmp_path)
    with held.server as server:
        server.kafka.publish(AccountOpen(account="a", balance=1))
        thread = held.fold()
        try:
            yield held
        finally:
            held.go.set()
            thread.join(60)


@pytest.mark.parametrize(
    "url",
    [
        "/-/health", "/-/status", "/-/metrics", "/rows/account/a", "/rows/account", "/projections/quick/a",
        "/projections/quick", "/projections/slow/a", "/events/account/0/0",
    ],
)  # fmt: skip
def test_a_fold_that_hangs_slows_no_answer(held: Held, url: str) -> None:
    """It is the application's own function, and so it runs while nobody waits for a lock."""
    assert held.server.http.get(url, timeout=45).status_code == 200  # the fold would hang for longer


def test_streams_go_on_while_a_fold_hangs(held: Held) -> None:
    """What was read before is in the answer."""
    assert [name for name, _ in watched(held.server.http, "/live/account?_from=beginning", 1)] == ["0:1"]


def test_an_event_counts_as_folded_once_all_its_folds_are_in(held: Held) -> None:
    """Until then neither projection shows it, and none says that it is true up to there."""
    http = held.server.http
    for name in ("slow", "quick"):
        got = http.get(f"/projections/{name}/slow")
        assert (got.status_code, got.headers["retold-position"]) == (404, "account-0:1")
    held.go.set()
    until(lambda: held.server.model.log_position(("account", 0)) == 2, "the fold has not ended")
    for name in ("slow", "quick"):
        got = http.get(f"/projections/{name}/slow")
        assert (got.status_code, got.headers["retold-position"]) == (200, "account-0:2")


def test_a_list_is_of_one_moment_and_says_of_which(tmp_path: Path) -> None:
    """While another thread commits transactions of two rows, a list holds both of one, at the position it names."""
    with MemoryServer(bank.app(), tmp_path) as server:
        ended = threading.Event()

        def commit() -> None:
            for number in range(1, 1_000):
                for key in ("a", "b"):
                    server.kafka.writer.put_row("account", 0, key, number, AccountRow(balance=number))
                server.kafka.writer.put_marker("account", 0, marker(number))
                server.kafka.commit()
            ended.set()

        thread = threading.Thread(target=commit, daemon=True)
        thread.start()
        while not ended.is_set():
            body = server.http.get("/rows/account").json()
            seen = {row["row"]["balance"] for row in body["rows"]} | {row["version"] for row in body["rows"]}
            assert not seen or body["positions"] == [f"account-0:{number}" for number in seen]
        thread.join(60)


def marker(last: int) -> Marker:
    return Marker(
        first=1, last=last, inbox_next=last, recorded=0, application="bank", topic_ids={}, partitions=1,
        transactional_id="t", counters=Counters(),
    )  # fmt: skip


@pytest.mark.parametrize("key", [None, 7, ("a", "b")])
def test_a_key_that_is_no_text_stops_its_projection_alone(tmp_path: Path, key: Any) -> None:
    """A field that may be nothing is soon taken as a key: the file takes none, and is read again in vain if it is given one."""
    odd, good = (Projection(name, row=OrdersPerDayRow) for name in ("odd", "good"))

    @odd.folds(AccountOpen, key=lambda event: key if event.key == "b" else event.key)
    @good.folds(AccountOpen, key=lambda event: event.key)
    def fold(row: OrdersPerDayRow | None, event: Event[AccountOpen]) -> OrdersPerDayRow:
        return OrdersPerDayRow(count=1)

    with MemoryServer(replace(bank.app(), projections=[odd, good]), tmp_path) as server:
        for name in ("a", "b", "c"):
            server.kafka.publish(AccountOpen(account=name, balance=1))
        http = server.http
        stopped = http.get("/projections/odd/a")
        assert stopped.status_code == 500
        assert "the projection odd stands still" in stopped.json()["detail"]
        [fault, nothing] = [it["fault"] for it in http.get("/projections").json()["projections"]]
        assert ("the projection odd gave the key" in fault, nothing) == (True, None)
        for there in ("/projections/good/c", "/rows/account/c"):
            assert http.get(there).status_code == 200
