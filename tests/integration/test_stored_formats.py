"""A worker of today on the topics that one of an earlier commit left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from streams import Event
from streams.engine import control
from streams.engine.control import OperatorCommand
from streams.engine.envelope import log_header
from streams.kafka.bounded_read import headers_of
from streams.kafka.topics import ensure
from tests.applications import combined, probe, shop
from tests.applications.probe.events import EchoRow, ProbeDo, ProbeRow
from tests.applications.shop.events import PaymentCharge, PaymentCharged, PaymentDeclined
from tests.support.inbox import Foreign
from tests.support.stored import FILES, Stored
from tests.support.workers import Running, settings, until

TOPICS = ("", "-log", "-table", "-parked", "-due")


class Cards(shop.CardApi):
    def __init__(self) -> None:
        self.calls: list[str] = []

    async def charge(self, event: Event[PaymentCharge]) -> PaymentCharged | PaymentDeclined:
        self.calls.append(event.reference)
        return PaymentCharged(order=event.key, receipt="at last")


@pytest.fixture
def mended() -> Iterator[None]:
    """The probe's handler as it is once its bug is gone."""
    wrong = probe.WRONG["raise"]
    probe.WRONG["raise"] = lambda row, key: probe.counted(row)
    yield
    probe.WRONG["raise"] = wrong


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def kept(request: pytest.FixtureRequest) -> Stored:
    return Stored.read(request.param)


@pytest.fixture
def foreign(kept: Stored, tmp_path: Path, prefix: str, broker: str) -> Foreign:
    """To topics that hold what was kept, to the byte and the offset.

    The markers name topics without a prefix and their ids: none of these, so there is nothing that they could contradict.
    """
    app, config = combined.app(), settings(tmp_path, prefix)
    foreign = Foreign(app, config, broker)
    spaces = [space.name for space in app.namespaces]
    ensure(foreign.clients.admin(), config, spaces)
    kept.write(foreign.clients, prefix)
    for topic in [*(space + kind for space in spaces for kind in TOPICS), "retold-schemas"]:
        there = [(m.partition(), m.offset(), m.key(), m.value(), headers_of(m)) for m in foreign.read(topic)]
        assert there == [tuple(record[1:]) for record in kept.records if record.name == topic]
    return foreign


@pytest.mark.usefixtures("mended")
def test_a_worker_restores_what_an_earlier_one_stored_and_goes_on(kept: Stored, foreign: Foreign) -> None:
    """What lay in the inbox is handled, timers fire, the pending call is made, an operator's word frees what was parked."""
    cards = Cards()
    with Running(combined.app(cards), foreign.config, foreign.clients.address) as worker:
        until(lambda: value(worker, "probe", "k1") == row(3, "first", "two", "third"), "the inbox was not handled")
        say(foreign, "probe", OperatorCommand("retry", "k4", first(kept, "probe", "k4"), "ada"))
        say(foreign, "payment", OperatorCommand("retry", "closed", first(kept, "payment", "closed"), "ada"))
        foreign.publish(ProbeDo(name="k2", text="again"), ce_expectedversion="5")
        mended = row(5, "before", "behind", "behind that", "last")
        until(lambda: value(worker, "probe", "k4") == mended, "the parked events were not handled")
        until(lambda: value(worker, "echo", "k4") == EchoRow(heard=1), "what they emit did not come")
        until(lambda: value(worker, "probe", "k2") == row(1, "again"), "a deleted row has lost its version")
        until(lambda: len(cards.calls) == 3, "the calls were not made")
        until(lambda: pending(foreign, "order") == {"century"}, "the timers that are due did not fire")
        # Either its money comes first or its last day does.
        until(lambda: {status(worker, key) for key in ("hangs", "closed")} <= {"paid", "cancelled"}, "orders did not end")
        until(lambda: pending(foreign, "payment") == set(), "the calls were not answered")
    assert worker.errors == []
    assert len(set(cards.calls)) == 3
    assert set(cards.calls) > {reference for image in kept.images.values() for reference in image["calls"]}
    assert_logs(foreign, kept)
    before, after = kept.images["probe-1"]["counters"], foreign.markers("probe")[1].counters
    assert after.duplicates == before["duplicates"] + 1


def row(count: int, *texts: str) -> ProbeRow:
    key = {"first": "k1", "before": "k4", "again": "k2"}[texts[0]]
    return ProbeRow(count=count, texts=MappingProxyType(dict.fromkeys(texts, key)))


def value(worker: Running, namespace: str, key: str) -> Any:
    return worker.rows(namespace).get(key)


def status(worker: Running, key: str) -> str:
    return str(getattr(value(worker, "order", key), "status", ""))


def first(kept: Stored, namespace: str, key: str) -> int:
    [queue] = [image["parked"][key] for name, image in kept.images.items() if key in image["parked"]]
    return int(queue[0][0])


def say(foreign: Foreign, namespace: str, command: OperatorCommand) -> None:
    foreign.write(namespace, control.encode(command), command.key.encode())


def pending(foreign: Foreign, namespace: str) -> set[str]:
    """The keys of what the due topic still holds."""
    last = {m.key(): m.value() for m in foreign.read(f"{namespace}-due")}
    return {foreign.codec.decode(value).key for value in last.values() if value is not None}


def assert_logs(foreign: Foreign, kept: Stored) -> None:
    """What was logged stays as it was, and what came to it counts on."""
    for place, image in kept.images.items():
        namespace, _, partition = place.partition("-")
        logged = [m for m in foreign.read(f"{namespace}-log") if m.partition() == int(partition)]
        sequences = [log_header(headers_of(m)).sequence for m in logged]
        assert sequences == list(range(1, len(logged) + 1))
        assert len(logged) >= image["sequence"]
        assert [m.value() for m in logged[: image["sequence"]]] == [
            it.value() for it in kept.of(f"{namespace}-log", int(partition))
        ]
