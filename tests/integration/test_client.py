"""Publishing by the client, and what became of what was published."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams.client import Client, LoopClient
from streams.config import Config
from streams.engine.envelope_reader import EnvelopeReader
from streams.errors import (
    BrokerError,
    BrokerUnavailable,
    ClientClosed,
    EventRejected,
    EventSetAside,
    InvalidEvent,
    OutcomeTimeout,
    WrongVersion,
)
from streams.kafka.bounded_read import headers_of
from streams.kafka.clients import Clients
from streams.kafka.schemas_topic import all_schemas
from streams.kafka.topics import describe, ensure, schemas_topic, topic_names
from tests.applications import bank, probe, shop
from tests.applications.bank.events import AccountOpen
from tests.applications.probe.events import EchoHear, ProbeDo
from tests.support.inbox import Foreign
from tests.support.pages import run
from tests.support.workers import Running, until

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
EARLY = datetime.fromisoformat("0001-01-01T00:00:00+14:00")
"""A time that UTC does not have."""


@pytest.fixture
def topics(config: Config, broker: str) -> None:
    ensure(Clients.of(config, broker).admin(), config, ["probe", "echo"])


def test_a_missing_topic_of_schemas_is_reported_at_once(config: Config, broker: str) -> None:
    """Somebody has deleted it, and no worker has started since: trying again, as was said, would not help."""
    admin = Clients.of(config, broker).admin()
    ensure(admin, config, ["probe"])
    topic = schemas_topic(config.prefix)
    admin.client.delete_topics([topic])[topic].result(20)
    with Client(probe.app(), broker, config=config) as client:
        until(lambda: topic not in describe(admin, [topic]), "it is not deleted")
        with pytest.raises(BrokerError, match="retold-schemas is missing: start a worker, or make it with"):
            client.publish(ProbeDo(name="k"))


@pytest.mark.usefixtures("topics")
def test_an_event_leaves_with_what_it_says_of_itself(config: Config, broker: str) -> None:
    """Key, wire format and CloudEvents headers are those that a worker reads; the receipt says where the record is."""
    app, time_of_it = probe.app(), datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    with Client(app, broker, config=config, source="test") as client:
        receipt = client.publish(ProbeDo(name="k"), id="a", time=time_of_it, expected_version=3)
        assert not receipt.delivered
    assert receipt.delivered
    foreign = Foreign(app, config, broker)
    [record] = foreign.read("probe")
    envelope = EnvelopeReader().read(headers_of(record))
    assert (record.key(), foreign.codec.decode(record.value() or b"")) == (b"k", ProbeDo(name="k"))
    assert (envelope.id, envelope.source, envelope.type) == ("a", "test", "probe.do")
    assert (envelope.time, envelope.expected_version) == (time_of_it, 3)
    assert (record.partition(), record.offset()) == (receipt.partition, receipt.offset)
    assert record.timestamp()[1] == receipt.timestamp


@pytest.mark.usefixtures("topics")
def test_a_single_event_does_not_wait_for_others(config: Config, broker: str) -> None:
    """It is confirmed sooner than by a producer that gathers records: mostly, in turns."""
    gathering = Clients.of(config, broker).producer()
    topic, sooner, turns = topic_names(config.prefix, "echo").inbox, 0, 60
    with Client(probe.app(), broker, config=config) as client:
        client.confirm(client.publish(EchoHear(name="first")))
        for turn in range(turns):
            began = time.perf_counter()
            client.confirm(client.publish(EchoHear(name=f"k{turn}")))
            between, done = time.perf_counter(), list[object]()
            gathering.produce(topic, b"", b"k", on_delivery=lambda *_, done=done: done.append(True))
            while not done:
                gathering.poll(1.0)
            sooner += between - began < time.perf_counter() - between
    assert sooner > turns * 2 / 3


@pytest.mark.usefixtures("topics")
def test_a_client_in_a_loop_publishes_at_once_or_not_at_all(config: Config, broker: str) -> None:
    """The first event of a type needs an answer of the broker, so it is not taken; of a later one it hears when it is confirmed."""
    app, told = probe.app(), threading.Event()
    with LoopClient(app, broker, config=config, confirm_each=True) as client:
        assert client.publish_at_once(ProbeDo(name="k")) is None
        client.confirm(client.publish(ProbeDo(name="k"), id="a"))
        receipt = client.publish_at_once(ProbeDo(name="k"), id="b", expected_version=3)
        assert receipt is not None
        client.when_told(receipt, told.set)
        assert told.wait(30.0)
        client.confirm(receipt, 0.0)
        with pytest.raises(InvalidEvent, match="the years 1 to 9999 in UTC"):
            client.publish_at_once(ProbeDo(name="k"), time=EARLY)
    foreign = Foreign(app, config, broker)
    found = [EnvelopeReader().read(headers_of(record)) for record in foreign.read("probe")]
    assert [(it.id, it.expected_version) for it in found] == [("a", None), ("b", 3)]


@pytest.mark.usefixtures("topics")
def test_the_order_of_a_key_is_kept_and_nothing_is_missing(config: Config, broker: str) -> None:
    """Twenty times more events than the producer's queue holds arrive, each key's in the order of publishing."""
    small = replace(config, kafka={"queue.buffering.max.messages": "1000"})
    with Client(probe.app(), broker, config=small) as client:
        receipts = [client.publish(ProbeDo(name=f"k{n % 7}", text=str(n))) for n in range(20_000)]
    assert len({(receipt.partition, receipt.offset) for receipt in receipts}) == 20_000
    for key in range(7):
        offsets = [receipt.offset for receipt in receipts[key::7]]
        assert offsets == sorted(offsets)  # type: ignore[type-var]  # delivered: none is None


@pytest.mark.usefixtures("topics")
def test_a_client_publishes_nothing_after_its_block(config: Config, broker: str) -> None:
    """Nothing would wait for it: at the end of the program it would be lost without a word. Entered again, it goes on."""
    client = Client(probe.app(), broker, config=config)
    with client:
        receipt = client.publish(ProbeDo(name="k"), id="a")
    for use in (lambda: client.publish(ProbeDo(name="k"), id="b"), lambda: client.wait(receipt)):
        with pytest.raises(ClientClosed, match=r"this client is closed: .* within its block, or before close"):
            use()
    with client:
        client.publish(ProbeDo(name="k"), id="c")
    client.close()
    with pytest.raises(ClientClosed):
        client.publish(ProbeDo(name="k"), id="d")
    envelopes = [EnvelopeReader().read(headers_of(record)) for record in Foreign(probe.app(), config, broker).read("probe")]
    assert [it.id for it in envelopes] == ["a", "c"]


@pytest.mark.usefixtures("topics")
def test_who_waits_hears_that_another_thread_has_closed_the_client(config: Config, broker: str) -> None:
    """Soon, by an error of retold's; and who waits for a turn makes no consumer that nobody would close."""
    client, told = Client(probe.app(), broker, config=config), list[BaseException]()
    receipt = client.publish(ProbeDo(name="k"))
    client.flush()

    def wait() -> None:
        try:
            client.wait(receipt, 60)  # no worker handles it
        except BaseException as error:  # noqa: BLE001 - it is told
            told.append(error)

    waiting = [threading.Thread(target=wait, daemon=True) for _ in range(2)]
    for thread in waiting:
        thread.start()
    until(lambda: client._outcomes is not None, "nobody waits")
    began = time.monotonic()
    client.close()
    for thread in waiting:
        thread.join(20)
    assert [type(it) for it in told] == [ClientClosed, ClientClosed]
    assert (client._outcomes, time.monotonic() - began < 30) == (None, True)


@pytest.mark.usefixtures("topics")
def test_an_invalid_event_does_not_leave(config: Config, broker: str) -> None:
    """Data, key, size, time, id and version are checked before anything is sent, and the message names the mistake."""
    with Client(probe.app(), broker, config=config) as client:
        for data, others, said in [
            (ProbeDo(name="k", how=3), {}, r"probe\.do\.how is 3"),
            (ProbeDo(name=""), {}, "expected 1 to 512 bytes"),
            (ProbeDo(name="k", text="x" * 2_000_000), {}, "an event may hold 1048576"),
            (ProbeDo(name="k"), {"time": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001 - that is the mistake
            (ProbeDo(name="k"), {"time": EARLY}, "the years 1 to 9999 in UTC"),
            (ProbeDo(name="k"), {"id": ""}, "expected 1 to 1024 bytes"),
            (ProbeDo(name="k"), {"source": "s" * 1025}, "the source of an event is .*expected 1 to 1024 bytes"),
            (ProbeDo(name="k"), {"expected_version": -1}, "expected a whole number"),
            (AccountOpen(account="a", balance=1), {}, r"handles no event account\.open; it handles: echo\.hear, probe"),
        ]:
            with pytest.raises(InvalidEvent, match=said):
                client.publish(data, **others)
    assert Foreign(probe.app(), config, broker).read("probe") == []


@pytest.mark.usefixtures("topics")
def test_publishing_makes_the_schemas_known(config: Config, broker: str) -> None:
    """A worker that is older than the publisher can look its schemas up."""
    with Client(probe.app(), broker, config=config) as client:
        client.publish(ProbeDo(name="k"))
    found = all_schemas(Clients.of(config, broker), config.prefix)
    assert sorted(schema.count('"name":"probe.do"') for schema in found.values()) == [0, 0, 0, 1]


def test_a_missing_topic_is_reported_at_once(config: Config, broker: str) -> None:
    """Publishing where no worker has ever been names the topic and what to do."""
    began = time.monotonic()
    with Client(bank.app(), broker, config=config) as client, pytest.raises(BrokerError, match="account is missing"):
        client.publish(AccountOpen(account="a", balance=1))
    assert time.monotonic() - began < 20


def test_a_broker_that_is_not_there_is_a_sentence(config: Config) -> None:
    """Within 10 s, naming the address and what to do."""
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1 "):
        Client(probe.app(), "127.0.0.1:1", config=config)
    assert time.monotonic() - began < 10


@pytest.mark.usefixtures("topics")
def test_an_event_that_nobody_handles_times_out(config: Config, broker: str) -> None:
    """Without a worker, waiting ends in time and says that none seems to run."""
    with Client(probe.app(), broker, config=config) as client:
        receipt = client.publish(ProbeDo(name="k"))
        began = time.monotonic()
        with pytest.raises(OutcomeTimeout, match="is a worker running"):
            client.wait(receipt, timeout=1)
        assert time.monotonic() - began < 20


@pytest.mark.usefixtures("topics")
def test_an_exception_in_the_block_still_delivers(config: Config, broker: str) -> None:
    """A script that fails half way has published what it had published."""

    def script() -> None:
        with Client(probe.app(), broker, config=config) as client:
            client.publish(ProbeDo(name="k"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        script()
    assert getattr(caught.value, "__notes__", []) == []
    assert len(Foreign(probe.app(), config, broker).read("probe")) == 1


LONG = 30.0
"""s: the test is about what is reported, and not about how soon."""


def test_every_outcome_is_found(config: Config, broker: str) -> None:
    """Accepted, rejected, wrong version, parked, and a duplicate with the first answer: wait tells each one."""
    with Running(probe.app(), config, broker), Client(probe.app(), broker, config=config) as client:
        accepted = client.wait(client.publish(ProbeDo(name="k"), id="a"), LONG)
        assert (accepted.outcome, accepted.duplicate, accepted.sequence) == ("accepted", False, 1)
        assert accepted.raise_for_outcome() is accepted

        again = client.wait(client.publish(ProbeDo(name="k"), id="a"), LONG)
        assert (again.outcome, again.duplicate, again.sequence) == ("accepted", True, 1)

        conflict = client.wait(client.publish(ProbeDo(name="k", text="another"), id="a"), LONG)
        assert (conflict.outcome, conflict.sequence) == ("quarantined", None)

        refused = client.wait(client.publish(ProbeDo(name="k", how="refuse")), LONG)
        with pytest.raises(EventRejected, match="told to refuse"):
            refused.raise_for_outcome()

        late = client.wait(client.publish(ProbeDo(name="k"), expected_version=7), LONG)
        with pytest.raises(WrongVersion, match="expected 7, the row is at 1"):
            late.raise_for_outcome()

        raised = client.wait(client.publish(ProbeDo(name="k", how="raise")), LONG)
        assert raised.outcome == "parked"
        with pytest.raises(EventSetAside, match="told to raise for k"):
            raised.raise_for_outcome()

        behind = client.wait(client.publish(ProbeDo(name="k")), LONG)
        assert (behind.outcome, behind.reason) == ("parked", "an event of this key before it is parked")


def test_an_outcome_is_found_later_and_among_many(config: Config, broker: str) -> None:
    """Waiting for the first of many events, after all were handled, finds that one and not its neighbour."""
    with Running(probe.app(), config, broker), Client(probe.app(), broker, config=config) as client:
        receipts = [client.publish(EchoHear(name=f"k{n % 3}")) for n in range(300)]
        last = client.wait(receipts[-1], 30)
        first = client.wait(receipts[0])
    assert (first.sequence, first.receipt) == (1, receipts[0])
    assert last.sequence is not None
    assert last.sequence > 1


def test_the_pages_about_the_client_run(config: Config, broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their examples, as a reader would paste them beside a worker of the shop."""
    for name, value in {"broker": broker, "prefix": config.prefix, "state": str(config.state)}.items():
        monkeypatch.setenv(f"RETOLD_{name.upper()}", value)
    with Running(shop.app(), config, broker):
        for page in ("client.md", "receipt.md"):
            run(REFERENCE / page)
