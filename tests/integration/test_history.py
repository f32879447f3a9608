"""The recorded past, read from Kafka into a file for a command."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from streams import App
from streams.client import Client
from streams.codec import codec_of
from streams.config import Config
from streams.engine.times import to_micros
from streams.errors import NamespaceTaken, TopicMismatch
from streams.history.stored.past_file import HistoryFile
from streams.history.stored.stored_corrections import kept_corrections
from streams.history.stored.stored_past import StoredPast
from streams.kafka.clients import Clients
from streams.kafka.tables_and_logs import Tail
from streams.server.readmodel import follower
from streams.server.readmodel.frontier import IDLE
from streams.server.readmodel.history_reader import HistoryReader
from tests.applications import probe
from tests.applications.probe.events import ProbeDo
from tests.support.processes import environment, retold
from tests.support.workers import PATIENCE, Running, until

APP = probe.app()


@pytest.fixture
def client(config: Config, broker: str) -> Iterator[Client]:
    """A client, with a worker that handles what it publishes."""
    with Running(APP, config, broker), Client(APP, broker, config=config) as client:
        yield client


def read(clients: Clients, config: Config, app: App = APP, told: list[int] | None = None) -> HistoryFile:
    def progress(_done: int, total: int) -> None:
        if told is not None:
            told.append(total)

    return HistoryReader(clients, config, app, codec_of(app)).read(progress)


def names(found: HistoryFile) -> list[str]:
    with closing(found.connect()) as db:
        return [it.name for it in StoredPast(db, codec_of(APP)).events()]


def do(client: Client, *keys: str) -> None:
    for receipt in [client.publish(ProbeDo(name=key)) for key in keys]:
        client.wait(receipt, timeout=PATIENCE)


def test_the_past_is_read_once_and_then_read_on(config: Config, clients: Clients, client: Client) -> None:
    """All that is in the logs, in one order; the next time, only what is new is read."""
    do(client, *map(str, range(50)))
    told: list[int] = []
    first = read(clients, config, told=told)
    logged = list(Tail(clients, config.prefix, ["probe", "echo"], codec_of(APP)).beginning())
    known = names(first)
    assert sorted(known) == sorted(f"{it.namespace}-{it.partition}:{it.sequence}" for it in logged)
    assert max(told) >= len(logged)
    do(client, "d")
    told.clear()
    second = read(clients, config, told=told)
    assert len(names(second)) > len(logged)
    assert names(second)[: len(logged)] == known
    assert (second.file, max(told) < len(logged)) == (first.file, True)


def test_nothing_comes_before_the_frontier(config: Config, clients: Clients, client: Client) -> None:
    """Where all logs are read to their ends it is the clock, less what a clock may differ; what comes later is behind it."""
    do(client, "a")
    before = to_micros(datetime.now(UTC))
    found = read(clients, config)
    known = names(found)
    assert before - IDLE <= found.frontier <= to_micros(datetime.now(UTC))
    do(client, "a", "b")
    again = read(clients, config)
    with closing(again.connect()) as db:
        later = [it for it in StoredPast(db, codec_of(APP)).events() if it.name not in known]
    assert later
    assert all(it.order.recorded > found.frontier for it in later)


def test_the_file_of_a_running_server_is_used(config: Config, clients: Clients, client: Client) -> None:
    """As soon as it has all that is committed; without it, or if it stands still, a file of its own is read."""
    stopped = threading.Event()
    codec = codec_of(APP)
    following = follower.TopicFollower(clients, config.prefix, APP, codec, config.state, lambda _: None)
    thread = threading.Thread(target=following.run, args=(stopped,), daemon=True)
    do(client, "a")
    thread.start()
    try:
        until(lambda: read(clients, config).of_server, "the server's file is not used", pause=0.2)
        do(client, "b")
        found = read(clients, config)
        assert len(names(found)) >= 2
    finally:
        stopped.set()
        thread.join(PATIENCE)
    own = read(clients, config)
    assert (own.of_server, sorted(names(own))) == (False, sorted(names(found)))


def test_the_file_of_a_server_has_a_correction_with_its_first_step(
    config: Config, clients: Clients, client: Client, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it reads all for the first time or follows: what it tells meanwhile would be what was before the correction."""
    monkeypatch.setattr(follower, "BROKER_EVERY", 1e6)
    env = environment(broker, config.prefix, config.state, app="tests.applications.probe:app", partitions="2")
    corrected, stopped = list[str](), threading.Event()

    def correct(key: str) -> None:
        receipt = client.publish(ProbeDo(name=key))
        client.wait(receipt, timeout=PATIENCE)
        plan = retold("correct", "plan", "--remove", receipt.id, "--why", "a test", "--keep", "--json", env=env)
        corrected.append(json.loads(plan.stdout)["correction"])
        done = retold("correct", "apply", corrected[-1], env=env)
        assert (done.returncode, "1 row set" in done.stderr) == (0, True), plan.stderr + done.stderr

    def known() -> list[str]:
        with closing(sqlite3.connect(config.state / "read" / f"{config.prefix}0" / "read.sqlite")) as db:
            return [it.correction for it in kept_corrections(db)]

    correct("a")
    following = follower.TopicFollower(clients, config.prefix, APP, codec_of(APP), config.state, lambda _: None)
    thread = threading.Thread(target=following.run, args=(stopped,), daemon=True)
    thread.start()
    try:
        until(lambda: known() == corrected, "what was corrected before is not known", despite=sqlite3.Error)
        correct("b")
        until(lambda: known() == corrected, "what is corrected now is not known")
    finally:
        stopped.set()
        thread.join(PATIENCE)


def test_a_request_that_is_given_up_ends_the_reading(config: Config, clients: Clients, client: Client) -> None:
    """As where a server takes the file over while Kafka is asked: it gives no file then, and raises nothing."""
    do(client, "a")
    following = follower.TopicFollower(clients, config.prefix, APP, codec_of(APP), config.state, lambda _: None)
    assert following.read_to_ends(lambda *_: {}, lambda: True, lambda *_: None) is None


def test_without_topics_there_is_no_past(config: Config, clients: Clients) -> None:
    """The sentence says how they come to be there."""
    with pytest.raises(TopicMismatch, match="is missing: start a worker, or make it"):
        read(clients, config)


def test_the_past_of_another_application_is_refused(config: Config, clients: Clients, client: Client) -> None:
    """Its events may mean something else there."""
    do(client, "a")
    with pytest.raises(NamespaceTaken, match="the past of probe is that of the application 'probe'; this is 'other'"):
        read(clients, config, replace(APP, name="other"))
