"""What partitions do, as it is seen from outside: by `retold status`, by its JSON, and by a server."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from confluent_kafka import TopicPartition
from msgspec.structs import astuple

from streams.codec import AvroCodec, prefix_of
from streams.config import Config
from streams.engine.times import from_micros
from streams.errors import BrokerError, PartitionLost
from streams.kafka.clients import Clients
from streams.kafka.schemas_topic import publish_schemas
from streams.kafka.status import PartitionStatus, status
from streams.kafka.task_reports import ReadReport, Report, ReportReader, ReportWriter
from streams.kafka.topics import describe, ensure, group_of, tasks_topic
from streams.server.readmodel.state_counts import StateCounts, StateObserver
from streams.worker import reporter
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow, ProbeDo
from tests.support.inbox import Foreign, of_probe
from tests.support.processes import PROJECT, Process, answer, environment, retold
from tests.support.workers import Running, settings, until

APP = "tests.applications.probe:app"
SPACES = ["probe", "echo"]


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix)


@pytest.fixture
def foreign(config: Config, broker: str) -> Foreign:
    return of_probe(config, broker)


@pytest.fixture
def env(config: Config, broker: str) -> dict[str, str]:
    return environment(broker, config.prefix, config.state, app=APP)


def look(foreign: Foreign, namespace: str) -> list[PartitionStatus]:
    [space] = status(foreign.clients, foreign.config.prefix, [namespace], foreign.codec).namespaces
    return list(space.partitions)


def states(foreign: Foreign, namespace: str) -> list[str | None]:
    return [part.state for part in look(foreign, namespace)]


def nothing(*_: object) -> None:
    """For a callback that a test has no use for."""


def test_the_status_shows_a_restore_and_what_it_waits_for(config: Config, broker: str, foreign: Foreign) -> None:
    """Then that the partition runs, and then that nobody handles it: its worker left the group and need not say so."""
    name = f"{config.prefix}retold.other.echo.frozen.0"  # who takes over ends it, if it is of this application
    frozen = foreign.clients.transactional_producer(name, "frozen", nothing, timeout=60.0)
    frozen.init_transactions(20)
    frozen.begin_transaction()
    consumer = foreign.clients.group_consumer(group_of(config.prefix, "echo"), "frozen")
    here = TopicPartition(f"{config.prefix}echo", 0, 0)
    consumer.committed([here], 20)  # a new broker makes its topic of offsets now: librdkafka's next call would wait for minutes
    frozen.send_offsets_to_transaction([here], consumer.consumer_group_metadata(), 20)
    consumer.close()
    before, seen = time.time_ns() // 1000, list[PartitionStatus]()

    def held() -> bool:
        seen[:] = [part for part in look(foreign, "echo") if part.state_why.startswith(reporter.HELD)]
        return bool(seen)

    def end_it() -> None:
        try:
            until(held, "no restore is shown")
        finally:
            frozen.abort_transaction(20)

    thread = threading.Thread(target=end_it)
    thread.start()
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        thread.join()
        assert {part.state for part in seen} == {"restoring"}
        assert before <= min(part.state_since or 0 for part in seen) <= time.time_ns() // 1000
        until(lambda: states(foreign, "echo") == ["running"] * 2, "it does not run once the transaction is over")
        foreign.publish(EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=1)}, "not handled")
    until(lambda: states(foreign, "echo") == ["no worker"] * 2, "it left, and is shown all the same")
    assert [part.state_since for part in look(foreign, "echo")] == [None, None]


def test_a_blocked_partition_is_reported_once_with_since_when_and_why(
    config: Config, broker: str, foreign: Foreign, env: dict[str, str]
) -> None:
    """In the sentence that has its record and the command; the other partition runs. Later it runs again."""
    newer = json.dumps({**json.loads(ProbeDo.schemas[-1]), "aliases": ["probe.did"]})
    other = AvroCodec([ProbeDo], [])
    schema_id = other.add_schema(newer)
    value = foreign.codec.encode(ProbeDo(name="k"))
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        until(lambda: states(foreign, "probe") == ["running"] * 2, "it does not run")
        foreign.write("probe", prefix_of(schema_id) + value[5:], b"k")
        seen: list[PartitionStatus] = []

        def is_blocked() -> bool:
            seen[:] = look(foreign, "probe")
            return sorted(str(part.state) for part in seen) == ["blocked", "running"]

        until(is_blocked, "it is not shown as blocked")
        [blocked] = [part for part in seen if part.state == "blocked"]
        assert f"schema id {schema_id}" in blocked.state_why
        assert blocked.state_since is not None
        said = [line for line in retold("status", env=env).stdout.splitlines() if str(schema_id) in line]
        since = f"{from_micros(blocked.state_since):%Y-%m-%dT%H:%M:%SZ}"
        assert len(said) == 1
        assert said[0].startswith(f"{config.prefix}probe-{blocked.partition} is blocked at offset 0 since {since} (")
        found = answer("status", env=env)["namespaces"][0]["partitions"][blocked.partition]
        assert (found["state"], found["state_since"], found["state_why"]) == (
            "blocked", blocked.state_since, blocked.state_why,
        )  # fmt: skip
        publish_schemas(foreign.clients, config.prefix, other)
        until(lambda: states(foreign, "probe") == ["running"] * 2, "it is shown as blocked for ever")
        until(lambda: len(worker.rows("probe")) == 1, "its record was not handled")


def test_a_killed_workers_last_words_are_not_believed(
    config: Config, foreign: Foreign, env: dict[str, str], tmp_path: Path
) -> None:
    """Its report says for ever that it runs; the group says that nobody owns the partition."""
    alone = {**env, "RETOLD_PARTITIONS": "2", "PYTHONPATH": str(PROJECT)}  # in a folder without the demonstration's schemas
    with Process("worker", "echo", env=alone, log=tmp_path / "worker.log", folder=tmp_path) as worker:
        until(lambda: states(foreign, "echo") == ["running"] * 2, "it does not run")
        worker.process.send_signal(signal.SIGKILL)
        worker.ended(60)
        until(lambda: states(foreign, "echo") == ["no worker"] * 2, "the dead worker is believed")
    reports = ReportReader(foreign.clients, foreign.clients.admin(), config.prefix).read()
    assert reports is not None
    assert {key: report.state for key, report in reports.items()} == {"echo-0": "running", "echo-1": "running"}
    told = retold("status", env=env).stdout
    assert "no worker" in told
    assert "Some partitions of echo have no worker: if none is just restarting, start one with " in told


@pytest.mark.slow
def test_without_the_topic_a_worker_handles_and_the_status_answers(
    config: Config, broker: str, foreign: Foreign, monkeypatch: pytest.MonkeyPatch, env: dict[str, str]
) -> None:
    """One warning, and no state; once the topic is there again, so are the states."""
    monkeypatch.setattr(reporter, "LATER", 0.5)
    admin, topic = foreign.clients.admin(), tasks_topic(config.prefix)
    with structlog.testing.capture_logs() as said, Running(probe.app(), config, broker, ["probe"]) as worker:
        until(lambda: states(foreign, "probe") == ["running"] * 2, "it does not run")
        admin.client.delete_topics([topic])[topic].result(20)
        until(lambda: not describe(admin, [topic]), "the topic is still there")
        foreign.write("probe", prefix_of(12345) + b"whatever", b"k")
        until(lambda: bool(warnings(said)), "that reports are not taken is not said")
        foreign.publish(*(ProbeDo(name=f"x{n}") for n in range(8)))
        until(lambda: len(worker.rows("probe")) > 0, "the other partition did not go on")
        assert states(foreign, "probe") == [None, None]
        assert retold("status", env=env).returncode == 0
        until(lambda: "is missing" in attempt(foreign), "somebody has made the topic")
        assert [entry["namespace"] for entry in warnings(said)] == ["probe"]
        ensure(admin, config, SPACES)
        until(lambda: sorted(map(str, states(foreign, "probe"))) == ["blocked", "running"], "no state is told any more")


def warnings(said: list[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [entry for entry in list(said) if "cannot show the states of partitions" in str(entry["event"])]


def attempt(foreign: Foreign) -> str:
    """What writing a report raises."""
    writer = ReportWriter(foreign.clients, foreign.clients.admin(), foreign.config.prefix)
    with pytest.raises(BrokerError) as raised:
        writer.write({"probe-0": Report("running", 1, "nobody")})
    return str(raised.value)


def test_a_reader_reads_on_and_begins_again_in_a_new_topic(config: Config, foreign: Foreign) -> None:
    """The last report of each partition; those of a topic that was deleted are forgotten."""
    admin, topic = foreign.clients.admin(), tasks_topic(config.prefix)
    writer, reader = ReportWriter(foreign.clients, admin, config.prefix), ReportReader(foreign.clients, admin, config.prefix)
    first, second, third = (Report("running", since, "w") for since in (1, 2, 3))
    assert reader.read() == {}
    writer.write({"probe-0": first, "probe-1": first})
    assert as_written(reader.read()) == {"probe-0": first, "probe-1": first}
    writer.write({"probe-1": second})
    assert as_written(reader.read()) == {"probe-0": first, "probe-1": second}
    writer.close()
    admin.client.delete_topics([topic])[topic].result(20)
    until(lambda: not describe(admin, [topic]), "the topic is still there")
    began = time.monotonic()
    assert reader.read() is None
    assert time.monotonic() - began < 5, "a topic that is not there was waited for"
    ensure(admin, config, SPACES)
    writer.write({"probe-1": third})
    assert as_written(reader.read()) == {"probe-1": third}


def as_written(found: Mapping[str, ReadReport] | None) -> dict[str, Report]:
    return {key: Report(*astuple(it)[: len(Report.__struct_fields__)]) for key, it in (found or {}).items()}


def test_a_report_that_nobody_wants_any_more_is_given_up(config: Config) -> None:
    """A worker that stops does not wait for a broker that is away."""
    away = Clients("127.0.0.1:1")
    with pytest.raises(PartitionLost):
        ReportWriter(away, away.admin(), config.prefix).write({"probe-0": Report("running", 1, "w")}, lambda: True)


def test_a_server_counts_partitions_by_state(config: Config, broker: str, foreign: Foreign) -> None:
    """In a thread of its own, so that no answer waits for Kafka; of a broker that is away it knows nothing."""
    counts, stopped = StateCounts(), threading.Event()
    partitions = [("echo", 0), ("echo", 1)]
    looking = StateObserver(foreign.clients, config.prefix, lambda: partitions, counts)
    thread = threading.Thread(target=looking.run, args=(stopped,))
    thread.start()
    until(lambda: counts.counts.get(("echo", "no worker")) == 2, "nothing is counted")
    with Running(probe.app(), config, broker, ["echo"]):
        until(lambda: counts.counts.get(("echo", "running")) == 2, "that it runs is not seen")
        assert counts.counts["echo", "no worker"] == 0
    stopped.set()
    thread.join(30)
    assert not thread.is_alive()


def test_an_error_that_ends_a_namespace_ends_its_worker_and_is_shown(
    config: Config, foreign: Foreign, env: dict[str, str], tmp_path: Path
) -> None:
    """With its own exit code; `status` gives the reason and the last traceback, the server is not healthy, also later."""
    foreign.publish(*(ProbeDo(name=f"k{n}", how="raise") for n in range(50)))
    log, env = tmp_path / "worker.log", {**env, "PYTHONPATH": str(PROJECT), "RETOLD_PARTITIONS": "2"}
    for _ in range(2):
        with Process("worker", env=env, log=log, folder=tmp_path) as worker:
            assert worker.ended(60) == 1
    assert foreign.read("probe-parked") == []
    lines = log.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("RuntimeError: told to raise for k")]
    assert not [line for line in lines if "\\n" in line]
    shown = retold("status", env=env).stdout
    assert "A worker ended probe at 2" in shown
    assert "because its handlers raised for too many events" in shown
    assert "\nRuntimeError: told to raise for k" in shown
    assert "partitions of probe have no worker" not in shown
    counts, stopped = StateCounts(), threading.Event()
    partitions = [(space, number) for space in SPACES for number in range(2)]
    observer = StateObserver(foreign.clients, config.prefix, lambda: partitions, counts)
    looking = threading.Thread(target=observer.run, args=(stopped,))
    looking.start()
    try:
        until(lambda: "probe" in counts.ended, "the server does not know")
        assert list(counts.ended) == ["probe"]
    finally:
        stopped.set()
        looking.join()


def test_others_go_on_if_they_are_told_to(
    config: Config, foreign: Foreign, env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--keep-going`; the exit code is that of the error all the same. What runs again afterwards has not ended."""
    env = {**env, "PYTHONPATH": str(PROJECT), "RETOLD_PARTITIONS": "2"}
    foreign.publish(*(ProbeDo(name=f"k{n}", how="raise") for n in range(50)))
    with Process("worker", "--keep-going", env=env, log=tmp_path / "worker.log", folder=tmp_path) as worker:
        until(lambda: "A worker ended probe" in retold("status", env=env).stdout, "it has not ended")
        foreign.publish(EchoHear(name="x"))
        until(lambda: "x" in foreign.rows("echo"), "the other namespace does not go on")
        assert worker.stop() == 1
    monkeypatch.setitem(probe.WRONG, "raise", lambda row, key: probe.counted(row))
    with Running(probe.app(), config, foreign.clients.address, ["probe"]) as mended:
        until(lambda: len(mended.rows("probe")) == 50, "not handled")
        until(lambda: "A worker ended" not in retold("status", env=env).stdout, "it is said to have ended")
    assert "A worker ended" not in retold("status", env=env).stdout
