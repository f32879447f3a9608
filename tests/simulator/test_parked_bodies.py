"""A busy key whose first event is parked: what is parked behind it leaves memory, and is handled in order once it may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException, murmur2

from streams.cli.commands.parked_commands import _followed
from streams.engine.changes import ParkedReference, SetAsideRecord
from streams.engine.control import OperatorCommand, encode
from streams.engine.image import Image
from streams.kafka.parked import InboxOffset, ParkedEntry, read_parked, with_bodies
from streams.kafka.topics import topic_names
from streams.worker.parked_bodies import ParkedBodies, exchange
from tests.applications import probe
from tests.applications.probe.events import ProbeDo
from tests.simulator.clients import MemoryConsumer, MemoryMessage, clients
from tests.simulator.time import SkewedClock
from tests.simulator.workers import ENOUGH, PARTITIONS, MemorySite, Worker

TOPICS = topic_names("", "probe")
AT = int(murmur2(b"k", PARTITIONS))
BEHIND = 1_200
"""Events: more than two commands let through."""


class Switch:
    """A handler that raises until it is mended."""

    def __init__(self) -> None:
        self.broken = True

    def __call__(self, row: Any, key: str) -> Any:
        if self.broken:
            raise RuntimeError("a bug")
        return probe.counted(row)


@pytest.fixture
def switch() -> Iterator[Switch]:
    probe.WRONG["switch"] = it = Switch()
    yield it
    del probe.WRONG["switch"]


@pytest.fixture
def site(switch: Switch, tmp_path: Path) -> MemorySite:
    """A hot key, with little memory for what is parked."""
    it = MemorySite(probe.app(), "probe", tmp_path)
    it.parked_bytes = 10_000
    it.publish(ProbeDo(name="k", how="switch", text="first"))
    for number in range(BEHIND):
        it.publish(ProbeDo(name="k", text=f"{number}"))
    return it


def say(site: MemorySite, command: str, offset: int = 0) -> None:
    said = OperatorCommand(command, "k", offset, "ann", "why")  # type: ignore[arg-type]  # one of them
    site.broker.append((TOPICS.inbox, AT), b"k", encode(said), None, None)


def go_on(site: MemorySite, worker: Worker) -> None:
    """Until all is handled; the end of a transaction has an offset, and is nothing to be handled."""
    for _ in range(ENOUGH):
        worker.step()
        inbox, done = site.broker.partition((TOPICS.inbox, AT)), site.markers()
        if AT in done and inbox.readable(done[AT].inbox_next, committed=True) is None:
            return
    raise AssertionError(f"after {ENOUGH} steps events are left: {site.markers()}")


def no_request(_aside: SetAsideRecord) -> str:
    return ""


def image_of(worker: Worker) -> Image:
    return worker.cycle.tasks.images()[AT]


def in_memory(image: Image) -> list[int]:
    """The offsets of what is parked whole."""
    return [it.offset for it in image.parked.get("k", ()) if isinstance(it, SetAsideRecord)]


def logged(site: MemorySite) -> list[bytes | None]:
    """The bodies of the key's log, in order."""
    return [entry.value for entry in site._committed(TOPICS.log, AT) if entry.key is not None]


def published(site: MemorySite) -> list[bytes | None]:
    return [entry.value for entry in site._committed(TOPICS.inbox, AT) if entry.value and entry.value[:1] != b"\x01"]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_hot_key_takes_little_memory_and_is_let_through_in_order(site: MemorySite, switch: Switch, restarted: bool) -> None:
    """By the worker that has parked its events and by one that takes over; what comes meanwhile is handled behind them."""
    worker = Worker(site, 0)
    go_on(site, worker)
    assert len(image_of(worker).parked["k"]) == 1 + BEHIND
    assert len(in_memory(image_of(worker))) < 20
    if restarted:
        worker.stop()
        worker = Worker(site, 0)
        say(site, "retry", 7)  # about none that is first: it does nothing
        go_on(site, worker)
        assert in_memory(image_of(worker)) == []
    switch.broken = False
    say(site, "retry")
    site.publish(ProbeDo(name="k", text="later"))
    go_on(site, worker)
    assert image_of(worker).parked == {}
    assert logged(site) == published(site)
    worker.stop()


def test_what_was_read_for_a_command_leaves_memory_again(site: MemorySite, switch: Switch) -> None:
    """With the first transaction that needs none of it. A retry that fails changes nothing; another one goes on."""
    worker = Worker(site, 0)
    go_on(site, worker)
    say(site, "retry")
    go_on(site, worker)
    site.publish(ProbeDo(name="k", text="later"))
    go_on(site, worker)
    assert len(image_of(worker).parked["k"]) == 2 + BEHIND
    assert len(in_memory(image_of(worker))) < 20
    switch.broken = False
    say(site, "retry")
    go_on(site, worker)
    assert logged(site) == published(site)
    worker.stop()


def test_a_rejection_of_the_first_lets_the_others_through(site: MemorySite) -> None:
    """The log has its body."""
    worker = Worker(site, 0)
    go_on(site, worker)
    say(site, "reject")
    go_on(site, worker)
    assert (image_of(worker).parked, logged(site)) == ({}, published(site))
    worker.stop()


class Silent(MemoryConsumer):
    """A consumer that is told nothing of the parked topic."""

    broken = False

    def consume(self, count: int, timeout: float) -> list[MemoryMessage]:
        if self.broken and any(topic == TOPICS.parked for topic, _ in self._at):
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return super().consume(count, timeout)


def test_a_command_waits_until_the_topic_can_be_read(site: MemorySite, switch: Switch) -> None:
    """Nothing behind it is handled meanwhile, and other partitions go on."""
    site.consumer = Silent
    worker = Worker(site, 0)
    go_on(site, worker)
    switch.broken, Silent.broken = False, True
    say(site, "retry")
    other = next(name for name in "abcdefgh" if murmur2(name.encode(), PARTITIONS) != AT)
    site.publish(ProbeDo(name=other))
    try:
        for _ in range(20):
            worker.step()
    finally:
        Silent.broken = False
    assert (logged(site), site.logged()[other]) == ([], 1)
    go_on(site, worker)
    assert logged(site) == published(site)
    worker.stop()


def test_an_event_that_an_operator_deleted_is_gone_and_the_rest_goes_on(site: MemorySite, switch: Switch) -> None:
    """A worker that still had it in its queue agrees with the topic, as its successor would."""
    worker = Worker(site, 0)
    go_on(site, worker)
    site.broker.append((TOPICS.parked, AT), b"0", None, None, None)
    site.broker.partition((TOPICS.parked, AT)).compact()
    switch.broken = False
    say(site, "retry")
    go_on(site, worker)
    say(site, "retry", 1)
    go_on(site, worker)
    assert (image_of(worker).parked, logged(site)) == ({}, published(site)[1:])
    worker.stop()


def test_of_several_records_of_a_position_the_last_one_counts(site: MemorySite) -> None:
    """An event that is parked again has another reason, and an answer has its request's position."""
    worker = Worker(site, 0)
    go_on(site, worker)
    worker.stop()
    old = next(entry for entry in site._committed(TOPICS.parked, AT) if entry.key == b"0")
    first = site.broker.partition((TOPICS.parked, AT)).end
    for body in (b"old", b"new"):
        site.broker.append((TOPICS.parked, AT), b"0", body, old.headers, None)
    site.broker.append((TOPICS.parked, AT), b"0", b"behind the end", old.headers, None)
    image, there = Image(AT), clients(site.broker)
    image.set_aside(ParkedReference(0, "k", first, first + 2))
    exchange(image, ParkedBodies(TOPICS.parked, no_request, there.consumer, there.admin(), there.clock.sleep).read(image, "k"))
    [it] = image.parked["k"]
    assert isinstance(it, SetAsideRecord)
    assert it.value == b"new"


def test_who_asks_for_one_event_is_given_no_other_body(site: MemorySite) -> None:
    """`retold parked retry` of the first of a million reads why the others wait, and not what they are."""
    worker = Worker(site, 0)
    go_on(site, worker)
    worker.stop()
    first = InboxOffset("probe", AT, 0)
    found = read_parked(clients(site.broker), "", ["probe"], bodies=[first])
    assert [it.inbox_offset.offset for it in found] == [*range(1 + BEHIND)]
    assert [it.inbox_offset for it in found if it.value or it.headers] == [first]
    assert found == [it if it.inbox_offset == first else it._replace(value=b"", headers=[]) for it in everything(site)]


def test_bodies_are_read_one_after_another_for_who_lists_them(site: MemorySite) -> None:
    """In the order of the list, also what was set aside again and stands behind those that wait for it; not what is gone."""
    worker = Worker(site, 0)
    go_on(site, worker)
    worker.stop()
    old = next(entry for entry in site._committed(TOPICS.parked, AT) if entry.key == b"0")
    site.broker.append((TOPICS.parked, AT), b"0", b"again", old.headers, None)
    there = clients(site.broker)
    found = read_parked(there, "", ["probe"], bodies=(), type_of=lambda value: str(len(value)))
    assert [(it.value, it.headers) for it in found] == [(b"", [])] * (1 + BEHIND)
    listed = everything(site)
    assert listed[0].value == b"again"
    assert [it._replace(event_type=None) for it in with_bodies(there, "", found)] == listed
    assert [it.event_type for it in found] == [str(len(it.value)) for it in listed]
    site.broker.append((TOPICS.parked, AT), str(found[3].inbox_offset.position).encode(), None, [], None)
    site.broker.partition((TOPICS.parked, AT)).compact()
    assert [it._replace(event_type=None) for it in with_bodies(there, "", found)] == [*listed[:3], *listed[4:]]


def test_that_an_event_was_parked_before_is_not_what_became_of_it(site: MemorySite) -> None:
    """However far the clock is behind on which `retold parked` runs: it said so of an event that was accepted since."""
    worker, behind = Worker(site, 0), SkewedClock(site.broker.clock)
    go_on(site, worker)
    behind.step(-3600.0)
    session: Any = SimpleNamespace(clients=replace(clients(site.broker), clock=behind), config=SimpleNamespace(prefix=""))
    event = everything(site)[0]
    with _followed(session, event) as outcome:
        assert outcome() is None
        say(site, "reject")
        go_on(site, worker)
        became = outcome()
    worker.stop()
    assert became is not None
    assert (became.outcome, became.reason) == ("rejected", "rejected by ann: why")
    with _followed(session, event._replace(header=msgspec.structs.replace(event.header, status="unanswered"))) as outcome:
        assert outcome() is None


def everything(site: MemorySite) -> list[ParkedEntry]:
    return read_parked(clients(site.broker), "", ["probe"])
