"""`retold verify` on a real broker: a healthy cluster, one that works meanwhile, and topics that were altered."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streams.codec import codec_of
from streams.config import Config
from streams.engine import marker
from streams.engine.records import Headers
from streams.history.verification.verification_findings import VerificationReport
from streams.kafka.bounded_read import headers_of
from streams.kafka.cluster_verification import verify_cluster
from streams.kafka.topics import topic_names
from tests.applications import shop
from tests.applications.shop.events import Line, OrderCancel, OrderPlace, StockReceive
from tests.support.inbox import Foreign
from tests.support.processes import environment, retold
from tests.support.workers import Running, settings, until


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix)


@pytest.fixture
def foreign(config: Config, broker: str) -> Foreign:
    return Foreign(shop.app(), config, broker)


def verified(foreign: Foreign, *, patience: float = 25.0) -> VerificationReport:
    return verify_cluster(
        foreign.clients, foreign.config.prefix, foreign.app, codec_of(foreign.app), window=200_000, patience=patience
    )


def sold(foreign: Foreign, worker: Running, first: int, last: int) -> None:
    """Orders of which some are paid, some refused and some cancelled; each publishes a timer."""
    for number in range(first, last):
        lines = (Line(sku="A1", quantity=1 + number % 3), Line(sku="B2", quantity=1))
        foreign.publish(OrderPlace(order=f"o{number}", customer="c", lines=lines), ce_time=datetime.now(UTC).isoformat())
    foreign.publish(OrderCancel(order=f"o{first}", why="no"))
    until(lambda: len(worker.rows("order")) == last, "the orders were not handled")


def found(report: VerificationReport) -> list[tuple[str, str, str, str]]:
    return [(it.where, it.kind.name, it.expected, it.found) for it in report.findings]


@pytest.fixture
def worked(foreign: Foreign, config: Config, broker: str) -> Foreign:
    """After a worker has gone, and verified again and again while it was there."""
    with Running(shop.app(), config, broker) as worker:
        foreign.publish(StockReceive(sku="A1", quantity=20, price=3), StockReceive(sku="B2", quantity=9, price=2))
        until(lambda: len(worker.rows("stock")) == 2, "the stock was not received")
        for first in range(0, 20, 5):
            sold(foreign, worker, first, first + 5)
            assert found(verified(foreign)) == [], "while events are handled"
    return foreign


def rewrite(foreign: Foreign, topic: str, partition: int, key: bytes, value: bytes | None, headers: Headers) -> None:
    producer: Producer = foreign.clients.producer()
    producer.produce(foreign.config.prefix + topic, value, key, partition, headers=headers)
    assert producer.flush(30) == 0


def test_a_cluster_is_verified_while_it_works_and_after(worked: Foreign) -> None:
    """Nothing is found. A record more in a log, a row, a marker: each is named."""
    report = verified(worked)
    assert found(report) == []
    assert report.read.log > 60
    assert report.read.pending > 0
    assert report.not_checked == []

    config, shops = worked.config, {"app": "tests.applications.shop:app", "schemas": "tests/applications/shop/schemas"}
    env = environment(worked.clients.address, config.prefix, config.state, **shops)
    note = config.state / "healthy.note"
    healthy = retold("verify", "--note", str(note), env=env)
    assert (healthy.returncode, healthy.stdout) == (0, ""), healthy.stderr
    assert "all is as it should be.\n" in healthy.stderr
    logs = json.loads(note.read_bytes())["logs"]
    assert sum(it["last"] for it in logs.values()) == report.read.log

    row = next(m for m in worked.read("stock-table") if m.key() == b"A1")
    rewrite(worked, "stock-table", row.partition() or 0, b"A1", row.value(), headers_of(row))
    [(where, kind, *_)] = found(verified(worked))
    version = dict(headers_of(row))["retold_version"].decode()
    assert kind == "wrong row"
    assert where.startswith(f"stock-{row.partition()}:")
    assert version != where.partition(":")[2]
    accepted = note.with_name("accepted.json")
    altered = retold(
        "verify", "--since", str(note), "--note", str(note.with_name("other.note")), "--save", str(accepted), env=env
    )
    assert altered.returncode == 1
    assert "There is damage, so no note was written" in altered.stderr
    assert f"of {report.read.log} log records: all of them are as they were." in altered.stderr
    assert not note.with_name("other.note").exists()
    assert altered.stdout.startswith(f"wrong row: 1\n  {where}  expected: ")
    assert "1 finding of damage, 0 events and rows that this code decides otherwise" in altered.stderr
    assert accepted.read_bytes() == b"[]\n", "damage is never accepted"
    again = retold("verify", "--json", "--accept", str(accepted), env=env)
    assert again.returncode == 1
    finding, summary = map(json.loads, again.stdout.splitlines())
    assert (finding["where"], finding["damage"], summary["damage"]) == (where, True, 1)


def test_a_marker_and_a_log_that_were_written_by_hand_are_named(worked: Foreign) -> None:
    """A record that is there twice, and a marker that counts one less."""
    logged = worked.read("order-log")[0]
    rewrite(worked, "order-log", logged.partition() or 0, logged.key() or b"", logged.value(), headers_of(logged))
    last = worked.markers("stock")
    partition, said = next((number, it) for number, it in last.items() if it.counters.accepted)
    said.counters.accepted -= 1
    rewrite(worked, "stock-table", partition, marker.KEY, marker.encode(said), [])
    kinds = {(where, kind) for where, kind, *_ in found(verified(worked))}
    sequence = json.loads(dict(headers_of(logged))["retold"])[0]
    assert (f"order-{logged.partition()}:{sequence}", "repeated record") in kinds
    assert (f"stock-{partition}:{said.last}", "wrong marker") in kinds


def test_an_open_transaction_is_found_once_it_has_lasted(worked: Foreign) -> None:
    """What it hides is not taken for lost."""
    clients = worked.clients
    writer = clients.transactional_producer("left open", "left open", lambda *_: None, timeout=60.0)
    writer.init_transactions(30)
    writer.begin_transaction()
    topic = topic_names(worked.config.prefix, "order").log
    writer.produce(topic, b"hidden", b"k@1", 0)
    assert writer.flush(30) == 0
    try:
        report = verified(worked, patience=2.0)
        assert [(it.where, it.kind.name) for it in report.findings] == [("order-0", "open transaction")]
    finally:
        writer.abort_transaction(30)
    assert found(verified(worked)) == []
