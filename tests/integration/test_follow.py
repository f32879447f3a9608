"""Asking Kafka itself: rows of a table, the event log, and how the application is doing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from streams.client import Client
from streams.codec import codec_of, prefix_of
from streams.config import Config
from streams.engine import control
from streams.engine.control import OperatorCommand
from streams.errors import TopicMismatch
from streams.kafka.clients import Clients
from streams.kafka.messages import LogEvent
from streams.kafka.status import NamespaceStatus, status
from streams.kafka.tables_and_logs import Tail, read_table
from streams.kafka.topics import ensure
from tests.applications import probe
from tests.applications.probe.events import EchoHear, ProbeDo, ProbeRow
from tests.support.inbox import Foreign
from tests.support.workers import PATIENCE, Running, until

APP = probe.app()


@pytest.fixture
def client(config: Config, broker: str) -> Iterator[Client]:
    """A client, with a worker that handles what it publishes."""
    with Running(APP, config, broker), Client(APP, broker, config=config) as client:
        yield client


def look(clients: Clients, config: Config) -> dict[str, NamespaceStatus]:
    found = status(clients, config.prefix, ["probe", "echo", "nowhere"], codec_of(APP))
    return {space.name: space for space in found.namespaces}


def test_a_table_has_the_last_committed_rows(config: Config, clients: Clients, client: Client) -> None:
    """Rows with their versions, the deleted one left out, and for each partition the marker that says up to where."""
    for n in range(5):
        client.publish(ProbeDo(name=f"k{n}"))
    client.publish(ProbeDo(name="k0"))
    client.publish(ProbeDo(name="k1", how="delete"))
    client.flush()
    until(lambda: look(clients, config)["probe"].counters.accepted == 7, "not all were handled")
    state = read_table(clients, config.prefix, "probe", codec_of(APP), ProbeRow)
    assert {key: row.count for key, (row, _) in state.rows.items()} == {"k0": 2, "k2": 1, "k3": 1, "k4": 1}
    assert sum(marker.counters.accepted for marker in state.positions.values()) == 7
    assert sum(marker.last for marker in state.positions.values()) == 7
    one = read_table(clients, config.prefix, "probe", codec_of(APP), ProbeRow, key="k0")
    assert (one.rows, len(one.positions)) == ({"k0": state.rows["k0"]}, 1)
    assert read_table(clients, config.prefix, "probe", codec_of(APP), ProbeRow, key="k1").rows == {}


def test_a_table_that_is_not_there_is_a_sentence(config: Config, clients: Clients) -> None:
    """Asking before any worker ran names the topic that is missing."""
    with pytest.raises(TopicMismatch, match="probe-table is missing"):
        read_table(clients, config.prefix, "probe", codec_of(APP), ProbeRow)


def test_a_tail_has_the_past_and_the_present(config: Config, clients: Clients, client: Client) -> None:
    """From the beginning, the last few by time, and what comes: each event once, the types that were asked for."""
    for n in range(4):
        client.wait(client.publish(ProbeDo(name=f"k{n}", how="echo" if n % 2 else "refuse")))
    until(lambda: look(clients, config)["echo"].counters.accepted == 4, "not all echoes were handled")
    tail = Tail(clients, config.prefix, ["probe", "echo"], codec_of(APP))
    only = Tail(clients, config.prefix, ["probe", "echo"], codec_of(APP), types=["probe.do"])
    later = client.publish(ProbeDo(name="later"))
    client.wait(later)

    assert len(list(tail.beginning())) == 8
    assert [(e.event.key, e.outcome, e.reason) for e in only.last(2)] == [
        ("k2", "rejected", "told to refuse"),
        ("k3", "accepted", None),
    ]
    assert {type(e.event.data) for e in tail.last(100)} == {ProbeDo, EchoHear}
    assert first_to_come(tail).event.key == "later"
    echoes = [e for e in tail.beginning() if e.namespace == "echo"]
    assert all(e.event.cause is not None for e in echoes)
    past = {(e.namespace, e.partition, e.offset): e for e in tail.beginning()}
    for entry in tail.entries():
        whole = tail.decoded(entry)
        assert whole == past.pop((entry.namespace, whole.partition, whole.offset))
        assert (entry.header.outcome, entry.header.sequence) == (whole.outcome, whole.sequence)
        assert entry.text("ce_type") == whole.event.data.event_type
    assert past == {}


def first_to_come(tail: Tail) -> LogEvent:
    """Whatever it gives first of what is not the past any more."""
    until_then = time.monotonic() + PATIENCE
    return next(iter(tail.follow(lambda: time.monotonic() > until_then)))


def test_following_stops_on_request(config: Config, clients: Clients, client: Client) -> None:
    """A tail in a thread ends soon after its stop is set, with nothing arriving."""
    client.wait(client.publish(ProbeDo(name="k")))
    tail, stop = Tail(clients, config.prefix, ["probe"], codec_of(APP)), threading.Event()
    thread = threading.Thread(target=lambda: list(tail.follow(stop.is_set)), daemon=True)
    thread.start()
    stop.set()
    thread.join(60)
    assert not thread.is_alive()


def test_status_tells_positions_owners_and_counters(config: Config, clients: Clients, client: Client) -> None:
    """When all is handled there is no lag, whatever control records Kafka keeps at the end; all of it is JSON."""
    for how in ("count", "echo", "refuse", "raise"):
        client.publish(ProbeDo(name=how, how=how), id=how)
    client.publish(ProbeDo(name="count", how="count"), id="count")
    client.flush()
    # The refused one echoes too, so that whoever waits for it hears of it.
    until(lambda: look(clients, config)["echo"].counters.accepted == 2, "the echoes were not handled")
    began = time.monotonic()
    spaces = look(clients, config)
    assert time.monotonic() - began < 8, "an inbox that ends in control records was waited for"
    space = spaces["probe"]
    assert (space.application, space.lag, space.parked, space.quarantined, space.waiting) == ("probe", 0, 1, 0, ())
    counters = space.counters
    assert (counters.accepted, counters.rejected, counters.parked, counters.duplicates) == (2, 1, 1, 1)
    assert sum(partition.sequence for partition in space.partitions) == 3
    assert {partition.owner for partition in space.partitions} == {f"{config.prefix}retold.probe.probe.test.0"}
    assert spaces["echo"].lag == 0
    assert (spaces["nowhere"].application, spaces["nowhere"].partitions) == (None, ())
    found = status(clients, config.prefix, ["probe"], codec_of(APP))
    assert msgspec.json.decode(msgspec.json.encode(found))["namespaces"][0]["parked"] == 1


def test_status_names_the_blocking_record(config: Config, clients: Clients, client: Client, broker: str) -> None:
    """A record of an unknown schema is named with id and offset, and the lag counts what stands behind it."""
    first = client.publish(ProbeDo(name="k"))
    client.wait(first)
    assert first.partition is not None
    foreign = Foreign(APP, config, broker)
    foreign.write("probe", prefix_of(7) + b"x", b"k", first.partition)
    foreign.write("probe", b"no Avro", b"k", first.partition)
    until(lambda: look(clients, config)["probe"].lag == 2, "the lag is not seen")
    [waits] = look(clients, config)["probe"].waiting
    assert (waits.topic, waits.partition, waits.schema_id) == (f"{config.prefix}probe", first.partition, 7)
    assert waits.offset == 1
    assert "schema id 7" in waits.reason
    # An operator's answer is an event too, and other commands hold none.
    ensure(clients.admin(), config, ["nowhere"])
    foreign.write("nowhere", control.encode(OperatorCommand("answer", "k", 0, "ada", "", prefix_of(7) + b"x")), b"k", 0)
    foreign.write("nowhere", control.encode(OperatorCommand("retry", "k", 0, "ada")), b"k", 1)
    [waits] = look(clients, config)["nowhere"].waiting
    assert (waits.partition, waits.offset, waits.schema_id) == (0, 0, 7)


def test_status_is_quick_and_needs_no_worker(config: Config, clients: Clients, broker: str, client: Client) -> None:
    """The last marker lies behind more rows than are looked at first, and is found all the same."""
    for n in range(3_000):
        client.publish(EchoHear(name=f"k{n}"))
    client.flush()
    until(lambda: look(clients, config)["echo"].counters.accepted == 3_000, "not all were handled")
    began = time.monotonic()
    space = look(clients, config)["echo"]
    assert time.monotonic() - began < 8
    assert sum(partition.position for partition in space.partitions) == 3_000
