"""A transaction that stays open holds up what is behind it: the worker and `retold status` say whose it is, and what ends it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from confluent_kafka import Producer, TopicPartition

from streams.config import Config
from streams.kafka.clients import Clients
from streams.kafka.offsets import ends, stable_ends
from streams.kafka.open_transactions import OpenTransaction, open_transactions, sentence
from streams.kafka.status import Status, status
from streams.kafka.topics import group_of, topic_names
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow
from tests.support.inbox import Foreign, of_probe
from tests.support.processes import PROJECT, answer, environment, retold
from tests.support.workers import Running, settings, until

SOON = 15.0
"""s within which a worker says what it waits for."""


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix)


@pytest.fixture
def foreign(config: Config, broker: str) -> Foreign:
    return of_probe(config, broker)


class Said:
    """What workers log, as long as the block lasts."""

    def __init__(self, entries: list[MutableMapping[str, Any]]) -> None:
        self._entries = entries

    def about(self, *words: str) -> list[str]:
        """The details with all of these words."""
        details = [str(entry.get("detail", "")) for entry in list(self._entries)]
        return [text for text in details if all(word in text for word in words)]


@pytest.fixture
def said() -> Iterator[Said]:
    with structlog.testing.capture_logs() as entries:
        yield Said(entries)


def nothing(*_: object) -> None:
    """For callbacks that a test has no use for."""


def opened(foreign: Foreign, name: str, topic: str = "", seconds: float = 60.0) -> Producer:
    """A producer with an open transaction, that has written an event into the first partition of `topic`."""
    producer = foreign.clients.transactional_producer(name, "foreign", nothing, timeout=seconds)
    producer.init_transactions(20)
    producer.begin_transaction()
    if topic:
        producer.produce(topic, foreign.codec.encode(EchoHear(name="never")), b"never", 0)
        assert producer.flush(20) == 0
    return producer


def look(foreign: Foreign) -> Status:
    return status(foreign.clients, foreign.config.prefix, ["probe", "echo"], foreign.codec)


def test_a_foreign_transaction_in_an_inbox_is_reported_and_its_end_too(
    config: Config, broker: str, foreign: Foreign, said: Said
) -> None:
    """With topic, partition, producer, since when and what ends it; what waits is lag; afterwards all is handled."""
    inbox, name = f"{config.prefix}echo", f"{config.prefix}billing"
    keys = {f"k{number}" for number in range(10)}
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        producer = opened(foreign, name, inbox)
        foreign.publish(*(EchoHear(name=key) for key in keys))
        until(lambda: bool(said.about(inbox)), "the worker did not say it", seconds=SOON)
        until(lambda: bool(look(foreign).open_transactions), "the status does not report it", seconds=30)
        now = look(foreign)
        [held] = now.open_transactions
        behind = ends(foreign.clients.admin(), [(inbox, 0)])[inbox, 0]
        assert (held.topic, held.partition, held.first_offset, held.behind) == (inbox, 0, 0, behind)
        assert (held.transactional_id, held.timeout, held.hangs, held.unknown) == (name, 60.0, False, "")
        assert held.producer_id is not None
        assert held.since is not None
        assert 0 < (datetime.now(UTC) - held.since).total_seconds() < held.timeout
        [space] = [space for space in now.namespaces if space.name == "echo"]
        assert (space.lag, space.partitions[0].lag) == (behind, behind)
        assert said.about(inbox) == [sentence(held, broker, config.prefix)]
        told = retold("status", env=environment(broker, config.prefix, config.state, app="tests.applications.probe:app"))
        assert said.about(inbox)[0] in told.stdout
        producer.abort_transaction(20)
        until(lambda: worker.rows("echo") == dict.fromkeys(keys, EchoRow(heard=1)), "not handled once it was over")
        until(lambda: bool(said.about(f"{inbox}-0 is readable again")), "the end was not reported")
    assert look(foreign).open_transactions == ()


def test_the_status_as_json_has_all_of_it(config: Config, broker: str, foreign: Foreign) -> None:
    """For who looks after it by a program; a younger one is normal traffic and not reported."""
    producer = opened(foreign, f"{config.prefix}billing", f"{config.prefix}echo-log")
    assert look(foreign).open_transactions == ()
    until(lambda: bool(look(foreign).open_transactions), "the status does not report it", seconds=30)
    env = environment(broker, config.prefix, config.state, app="tests.applications.probe:app")
    [held] = answer("status", env=env)["open_transactions"]
    assert (held["topic"], held["transactional_id"], held["behind"]) == (
        f"{config.prefix}echo-log", f"{config.prefix}billing", 1,
    )  # fmt: skip
    producer.abort_transaction(20)


def test_a_restore_that_waits_for_the_groups_offset_says_so(
    config: Config, broker: str, foreign: Foreign, said: Said
) -> None:
    """And so does the status. A worker that froze after it sent the offset has written nothing: only Kafka's topic shows it."""
    name = f"{config.prefix}retold.other.echo.frozen.0"  # who takes over ends it, if it is of this application
    frozen = opened(foreign, name)
    consumer = foreign.clients.group_consumer(group_of(config.prefix, "echo"), "frozen")
    here = TopicPartition(f"{config.prefix}echo", 0, 0)
    frozen.send_offsets_to_transaction([here], consumer.consumer_group_metadata(), 20)
    consumer.close()
    began, heard, statuses = time.monotonic(), list[float](), list[Status]()

    def end_it() -> None:
        until(lambda: bool(said.about("__consumer_offsets-", name, "a worker of retold")), "it was not said")
        heard.append(time.monotonic() - began)
        statuses.append(look(foreign))
        frozen.abort_transaction(20)

    thread = threading.Thread(target=end_it)
    thread.start()
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=1)}, "not handled once it was over")
    thread.join()
    assert heard[0] < SOON + 30  # a worker takes a while to start, on a busy machine a long one
    [held] = statuses[0].open_transactions
    assert (held.topic, held.transactional_id, held.hangs) == ("__consumer_offsets", name, False)


def test_with_other_security_it_is_reported_without_its_producer(
    config: Config, broker: str, foreign: Foreign, caplog: pytest.LogCaptureFixture
) -> None:
    """And says what tells it; no secret is in it, nor in any log."""
    inbox = topic_names(config.prefix, "echo").inbox
    producer = opened(foreign, f"{config.prefix}billing", inbox)
    options = {"security.protocol": "sasl_plaintext", "sasl.mechanisms": "PLAIN"}
    wrong = Clients(broker, {**options, "sasl.username": "who", "sasl.password": "sesame"})
    admin = foreign.clients.admin()
    [held] = open_transactions(wrong, admin, [(inbox, 0), (inbox, 1)])
    assert held == OpenTransaction(inbox, 0, 0, 1, unknown=held.unknown)
    text = sentence(held, broker, config.prefix)
    assert f"kafka-transactions.sh --bootstrap-server {broker} describe-producers --topic {inbox} --partition 0" in text
    assert "sesame" not in text + caplog.text
    producer.abort_transaction(20)
    until(lambda: stable_ends(admin, [(inbox, 0)]) == ends(admin, [(inbox, 0)]), "it is still open")
    assert open_transactions(foreign.clients, admin, [(inbox, 0)]) == []


REFUSED = """
import sys
from streams.kafka.clients import Clients
from streams.kafka.active_producers import active_producers
options = {"security.protocol": "sasl_plaintext", "sasl.mechanisms": "PLAIN", "sasl.username": "who", "sasl.password": "sesame"}
print(active_producers(Clients(sys.argv[1], options), [("t", 0)])["t", 0])
"""


def test_a_refusal_is_one_answer_and_nothing_else_on_the_screen(broker: str) -> None:
    """The library that asks logs each attempt, with the user's name: none of it reaches whoever ran a command."""
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, broker], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("asking failed with KafkaConnectionError\n", "")
