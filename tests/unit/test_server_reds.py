"""What is wrong with a server turns its health and a metric, and both turn back when it is over."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams import Event, Projection
from streams.kafka import alarms
from streams.kafka.open_transactions import OpenTransaction
from streams.kafka.status import MissingTopics, NamespaceEnd, NamespaceStatus, PartitionStatus, Status
from streams.server.http import server_checks
from streams.server.readmodel.disk_room import DiskRoom, room_of
from tests.applications import shop
from tests.applications.shop.events import OrderPlace, OrdersPerDayRow, StockReceive
from tests.support.memory_server import MemoryServer

OWNED = PartitionStatus(0, "w", 9, 9, 0, 5, 1, "running")
FINE = NamespaceStatus("order", "shop", (OWNED,))
OPEN = OpenTransaction("order", 0, 7, 2, since=datetime(2026, 1, 1, tzinfo=UTC), hangs=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(shop.app(), tmp_path) as server:
        yield server


def states(server: MemoryServer) -> dict[str, str]:
    """The checks that are not good. The status is a 503 if one of them is bad, and their numbers are in the metrics."""
    got = server.http.get("/-/health")
    found = {it["name"]: it["state"] for it in got.json()["checks"]}
    assert got.status_code == (503 if "bad" in found.values() else 200)
    for state in ("warn", "bad"):
        assert figure(server, f'retold_checks{{state="{state}"}}') == [*found.values()].count(state)
    return found


def figure(server: MemoryServer, series: str) -> float:
    [value] = re.findall(rf"(?m)^{re.escape(series)} (\S+)$", server.http.get("/-/metrics").text)
    return float(value)


@pytest.mark.parametrize(("share", "state"), [(0.11, None), (0.09, "warn"), (0.02, "bad")])
def test_a_disk_that_fills(server: MemoryServer, monkeypatch: pytest.MonkeyPatch, share: float, state: str | None) -> None:
    """Little room warns, hardly any is bad; with room all is well again."""
    assert states(server) == {}
    with monkeypatch.context() as patch:
        patch.setattr(server_checks, "room_of", lambda file: DiskRoom(int(share * 1000), 1000))
        assert states(server) == ({} if state is None else {"disk": state})
    assert states(server) == {}


def test_the_room_of_no_disk_is_not_known(tmp_path: Path) -> None:
    """There is no file yet, or its folder is gone: no figure, and no alarm."""
    assert (room_of(None), room_of(tmp_path / "gone" / "file")) == (None, None)
    assert DiskRoom(0, 0).share == 1.0


def test_a_fold_that_raises(tmp_path: Path) -> None:
    """Its projection is bad at once, by its name and with the error; the others are well, and so is it with another fold."""
    broken, faults = Projection("received", row=OrdersPerDayRow), ["a fold of a test"]

    @broken.folds(StockReceive, key=lambda event: event.key)
    def count(row: OrdersPerDayRow | None, event: Event[StockReceive]) -> OrdersPerDayRow:
        if faults:
            raise ZeroDivisionError(faults[0])
        return OrdersPerDayRow(count=(row.count if row else 0) + 1)

    app = replace(shop.app(), projections=[*shop.app().projections, broken], views=[])
    stopped = 'retold_projection_stopped{{projection="{}"}}'.format
    with MemoryServer(app, tmp_path) as server:
        assert states(server) == {}
        server.kafka.publish(StockReceive(sku="A1", quantity=5, price=300))
        assert states(server) == {"projection.received": "bad"}
        assert "a fold of a test" in server.http.get("/-/health").json()["checks"][0]["detail"]
        assert (figure(server, stopped("received")), figure(server, stopped("charges"))) == (1, 0)
        faults.clear()
        server.kafka.begin(1)  # a server with other code folds anew
        server.kafka.tell(waits=None, behind=None)
        assert states(server) == {}
        assert figure(server, stopped("received")) == 0


@pytest.mark.parametrize(
    ("what", "todo"), [("corrections", "Bring the topic back"), ("following", "server's log"), ("order-log-0", "Deploy a server")]
)
def test_a_fault_says_what_to_do(server: MemoryServer, what: str, todo: str) -> None:
    """Each kind its own."""
    server.kafka.tell(faults={what: "it is wrong"})
    [check] = server.http.get("/-/health").json()["checks"]
    assert (check["name"], todo in check["do"]) == (f"reading.{what}", True)
    server.kafka.tell(faults={})


def test_a_file_that_cannot_be_written(server: MemoryServer) -> None:
    """The follower says so: it is counted, and bad until the next transaction is written."""
    server.kafka.tell(store_errors=1, faults={"following": "the file cannot be written: disk full"})
    assert states(server) == {"reading.following": "bad"}
    assert figure(server, "retold_store_errors_total") == 1
    assert figure(server, "retold_faults") == 1
    server.kafka.publish(OrderPlace(order="o1", customer="c", lines=()))
    server.kafka.tell(faults={})
    assert states(server) == {}
    assert figure(server, "retold_faults") == 0


def test_a_broker_that_is_away(server: MemoryServer) -> None:
    """This server cannot be asked what is new, and says so; it is ready again when Kafka answers."""
    server.parts.observed.begun = True
    assert figure(server, "retold_broker_up") == 1
    server.kafka.tell(faults={"broker": "Kafka does not answer"})
    assert states(server) == {"kafka": "bad"}
    assert figure(server, "retold_broker_up") == 0
    assert server.http.get("/-/ready").status_code == 503
    server.kafka.tell(faults={})
    assert states(server) == {}
    assert (figure(server, "retold_broker_up"), server.http.get("/-/ready").status_code) == (1, 200)


def test_a_broker_that_came_back_elsewhere_is_named(server: MemoryServer) -> None:
    """Whether Kafka runs is not what helps then."""
    server.kafka.tell(faults={"broker": "Kafka does not answer"})
    for where, do in (("", "See whether Kafka runs."), ("the Kafka is at b:2 now", "The Kafka is at b:2 now.")):
        parts = replace(server.parts, moved=where.strip)
        assert [it.do for it in server_checks.all_checks(parts) if it.name == "kafka"] == [do]


def test_a_server_that_is_behind(server: MemoryServer) -> None:
    """Of a log: what has been committed for 40 s is not read, so the projections that fold it are as old."""
    at = 'kind="log",namespace="order",partition="0"'
    series = f"retold_read_lag_seconds{{{at}}}", 'retold_projection_lag_seconds{projection="orders_per_day"}'
    server.kafka.tell(lags=[("log", "order", 0, 5, time.monotonic() - 40)])
    assert states(server) == {"reading": "bad"}
    assert [figure(server, each) > 30 for each in series] == [True, True]
    assert figure(server, f"retold_read_lag{{{at}}}") == 5
    server.kafka.tell(lags=[("log", "order", 0, 5, time.monotonic() - 10)])
    assert states(server) == {"reading": "warn"}
    server.kafka.tell(lags=[("log", "order", 0, 0, None)])
    assert states(server) == {}
    assert [figure(server, each) for each in series] == [0, 0]


def test_a_partition_without_a_worker(server: MemoryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It warns at once and is bad after a while, since one that restarts is back by then."""
    observed, owned = server.parts.observed, 'retold_partition_owned{{namespace="order",owner="{}",partition="0"}}'.format
    observed.saw(Status("b", "", (replace(FINE, partitions=(replace(OWNED, owner=None),)),)))
    assert (states(server), figure(server, owned(""))) == ({"order.workers": "warn"}, 0)
    monkeypatch.setattr(alarms, "UNOWNED_BAD", 0.0)
    assert states(server) == {"order.workers": "bad"}
    observed.saw(Status("b", "", (FINE,)))
    assert (states(server), figure(server, owned("w"))) == ({}, 1)


def order(metric: str) -> str:
    return f'{metric}{{namespace="order"}}'


WAITS = replace(OWNED, lag=1, oldest=1, oldest_offset=8)
SLOW = replace(OWNED, state="blocked", state_cause="slow", state_since=1)
MISSING = NamespaceStatus("order", "shop", missing=MissingTopics(("order-log",), "create it"))
RED = {
    "waits": (replace(FINE, partitions=(WAITS,)), "order.lag", 'retold_inbox_oldest_seconds{namespace="order",partition="0"}', 31),
    "blocked": (
        replace(FINE, partitions=(SLOW,)), "order.blocked.slow", 'retold_waiting{namespace="order",partition="0",reason="slow"}', 1,
    ),
    "keys": (replace(FINE, parked=21, parked_keys=21), "order.parked", order("retold_parked_keys"), 21),
    "parked": (replace(FINE, parked=1, parked_oldest=1), "order.parked", order("retold_parked_oldest_seconds"), 3601),
    "timer": (replace(FINE, timers=1, timer_due=1), "order.timers", order("retold_timer_overdue_seconds"), 61),
    "call": (replace(FINE, calls=1, call_asked=1), "order.calls", order("retold_call_oldest_seconds"), 901),
    "ended": (replace(FINE, ended=NamespaceEnd("w", 1, "it raised")), "order.ended", order("retold_namespace_ended"), 1),
    "missing": (MISSING, "order.workers", order("retold_topics_missing"), 1),
}  # fmt: skip


@pytest.mark.parametrize(("space", "check", "series", "least"), RED.values(), ids=RED)
def test_a_namespace_that_needs_somebody(
    server: MemoryServer, space: NamespaceStatus, check: str, series: str, least: float
) -> None:
    """What an alert asks for is above its limit, and the check of the same thing is bad; both are over with the cause."""
    observed = server.parts.observed
    observed.saw(Status("b", "", (space,)))
    assert (states(server), figure(server, series) >= least) == ({check: "bad"}, True)
    observed.saw(Status("b", "", (FINE,)))
    assert (states(server), figure(server, series)) == ({}, 0)


def test_a_transaction_that_hides_records(server: MemoryServer) -> None:
    """One that hangs is counted, and the oldest has its age."""
    names = "retold_open_transactions", "retold_hanging_transactions", "retold_open_transaction_oldest_seconds"
    server.parts.observed.saw(Status("b", "", (FINE,), (OPEN, replace(OPEN, hangs=False, since=None))))
    assert states(server) == {"transactions": "bad"}
    assert [figure(server, each) for each in names[:2]] == [2, 1]
    assert figure(server, names[2]) > 30
    server.parts.observed.saw(Status("b", "", (FINE,)))
    assert (states(server), [figure(server, each) for each in names]) == ({}, [0, 0, 0])
