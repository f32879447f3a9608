"""What is wrong with a server turns its health and a metric, and both turn back when it is over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams import Event, Projection
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


RED = {
    "ended": (
        replace(FINE, ended=NamespaceEnd("w", 1, "it raised")), (), "order.ended", 'retold_namespace_ended{namespace="order"}',
    ),
    "missing": (
        NamespaceStatus("order", "shop", missing=MissingTopics(("order-log",), "create it")), (), "order.workers",
        'retold_topics_missing{namespace="order"}',
    ),
    "hangs": (FINE, (OPEN,), "transactions", "retold_hanging_transactions"),
}  # fmt: skip


@pytest.mark.parametrize(("space", "held", "check", "series"), RED.values(), ids=RED)
def test_an_application_that_needs_somebody(
    server: MemoryServer, space: NamespaceStatus, held: tuple[OpenTransaction, ...], check: str, series: str
) -> None:
    """A namespace that was ended, a topic that is gone, a transaction that hides records: each has a check and a metric."""
    observed = server.parts.observed
    observed.saw(Status("b", "", (space,), held))
    assert (states(server), figure(server, series)) == ({check: "bad"}, 1)
    assert figure(server, "retold_open_transactions") == len(held)
    assert (figure(server, "retold_open_transaction_oldest_seconds") > 30) == bool(held)
    observed.saw(Status("b", "", (FINE,)))
    assert (states(server), figure(server, series)) == ({}, 0)
