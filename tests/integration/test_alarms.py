"""What pages somebody: each fault turns a metric and the server's health, and both turn back when it is over."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams import App, Event, Namespace, Outcome
from streams.codec import AvroCodec, prefix_of
from streams.config import Config
from streams.kafka import alarms
from streams.kafka.schemas_topic import publish_schemas
from streams.kafka.topics import ensure
from streams.localbroker import embedded
from streams.server.readmodel import observed_status
from tests.applications import probe
from tests.applications.probe.events import ProbeDo, ProbeRow
from tests.integration.test_restore import shorten
from tests.integration.test_server import Serving
from tests.support.inbox import Foreign
from tests.support.processes import PROJECT, Process, broker_began, descendants, environment, retold, stand_still
from tests.support.workers import Running, settings, until

APP = "tests.applications.probe:app"


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix, http_port="0")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is bad after half a minute or more is bad after some seconds."""
    monkeypatch.setattr(alarms, "LAG_BAD", 4.0)
    monkeypatch.setattr(alarms, "LAG_WARN", 2.0)
    monkeypatch.setattr(alarms, "BLOCKED_BAD", 2.0)
    monkeypatch.setattr(observed_status, "EVERY", 1.0)


@contextmanager
def serving(config: Config, broker: str, app: App) -> Iterator[Serving]:
    foreign = Foreign(app, config, broker)
    ensure(foreign.clients.admin(), config, [space.name for space in app.namespaces])
    with Serving(config, broker, app) as server:
        yield server


def bad(server: Serving) -> set[str]:
    """The names of the checks that are bad; empty if the answer is a 200."""
    got = server.http.get("/-/health")
    found = {it["name"] for it in got.json().get("checks", []) if it["state"] == "bad"}
    assert (got.status_code == 503) == bool(found)
    return found


def figure(server: Serving, name: str) -> float:
    """The largest of a metric's values, -1 if there is none."""
    values = re.findall(rf"(?m)^{name}(?:{{.*}})? (\S+)$", server.http.get("/-/metrics").text)
    return max((float(value) for value in values), default=-1.0)


def test_a_worker_that_is_frozen(config: Config, broker: str, tmp_path: Path) -> None:
    """It keeps its partitions for a while; what waits grows old all the same. `retold status --check` says the same."""
    env = environment(broker, config.prefix, config.state, app=APP, partitions="2")
    alone = env | {"PYTHONPATH": str(PROJECT)}  # in a folder without schema files
    process = Process("worker", env=alone, log=tmp_path / "log", folder=tmp_path)
    with process as worker, serving(config, broker, probe.app()) as server:
        until(lambda: not bad(server) and figure(server, "retold_partition_owned") == 1, "it is not good to begin with")
        stand_still(worker.process.pid)
        try:
            Foreign(probe.app(), config, broker).publish(ProbeDo(name="k"))
            until(lambda: "probe.lag" in bad(server), "nobody is paged")
            assert figure(server, "retold_inbox_oldest_seconds") > 4
            assert figure(server, "retold_inbox_lag") >= 1
            # The command's limits are longer than those of this process.
            until(lambda: "probe." in retold("status", "--check", env=env).stdout, "the command calls it well")
        finally:
            os.kill(worker.process.pid, signal.SIGCONT)
        until(lambda: not bad(server), "it stays bad")
        assert figure(server, "retold_inbox_oldest_seconds") == 0
        until(lambda: retold("status", "--check", env=env).returncode == 0, "the command calls it bad")
    until(lambda: retold("status", "--check", env=env).returncode == 1, "without a worker all is well")


def test_a_partition_that_is_blocked(config: Config, broker: str) -> None:
    """At a schema that nobody knows; once it is known, all goes on."""
    foreign = Foreign(probe.app(), config, broker)
    newer = json.dumps({**json.loads(ProbeDo.schemas[-1]), "aliases": ["probe.did"]})
    other = AvroCodec([ProbeDo], [])
    value = prefix_of(other.add_schema(newer)) + foreign.codec.encode(ProbeDo(name="k"))[5:]
    with serving(config, broker, probe.app()) as server, Running(probe.app(), config, broker):
        until(lambda: not bad(server), "it is not good to begin with")
        foreign.write("probe", value, b"k")
        until(lambda: "probe.blocked.schema" in bad(server), "nobody is paged")
        assert figure(server, "retold_waiting") == 1
        assert figure(server, "retold_waiting_seconds") > 2
        publish_schemas(foreign.clients, config.prefix, other)
        until(lambda: not bad(server), "it stays bad")
        assert figure(server, "retold_waiting") == 0


def test_a_handler_that_does_not_return(config: Config, broker: str) -> None:
    """Its worker is in the group and owns everything."""
    go, space = threading.Event(), Namespace("probe", row=ProbeRow)

    @space.handles(ProbeDo)
    def do(row: ProbeRow | None, event: Event[ProbeDo]) -> Outcome[ProbeRow]:
        assert go.wait(120)
        return Outcome(ProbeRow(count=1, texts={}))

    app = App(name="hangs", namespaces=[space])
    with serving(config, broker, app) as server, Running(app, config, broker):
        until(lambda: not bad(server), "it is not good to begin with")
        try:
            Foreign(app, config, broker).publish(ProbeDo(name="k"))
            until(lambda: "probe.lag" in bad(server), "nobody is paged")
            assert figure(server, "retold_inbox_oldest_seconds") > 4
        finally:
            go.set()
        until(lambda: not bad(server), "it stays bad")


def test_keys_that_are_parked(config: Config, broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One warns; many are bad. Once they are rejected, all is well."""
    monkeypatch.setattr(alarms, "KEYS_BAD", 1)
    foreign = Foreign(probe.app(), config, broker)
    env = environment(broker, config.prefix, config.state, app=APP, partitions="2")
    with serving(config, broker, probe.app()) as server, Running(probe.app(), config, broker):
        until(lambda: not bad(server), "it is not good to begin with")
        foreign.publish(ProbeDo(name="a", how="raise"), ProbeDo(name="b", how="raise"))
        until(lambda: "probe.parked" in bad(server), "nobody is paged")
        assert (figure(server, "retold_parked_keys"), figure(server, "retold_parked_events")) == (2, 2)
        listed = retold("parked", "list", "probe", "--json", env=env).stdout.splitlines()
        places = [str(value) for line in listed for value in json.loads(line).values() if "@" in str(value)]
        retold("parked", "reject", places[0], "--why", "a test", env=env)
        until(lambda: not bad(server), "it stays bad")
        until(lambda: figure(server, "retold_parked_keys") == 1, "the metric does not follow")


def test_a_table_whose_records_are_deleted(config: Config, broker: str) -> None:
    """While its setting is wrong that is bad, and afterwards what is gone, until somebody has accepted it; workers go on."""
    foreign = Foreign(probe.app(), config, broker)
    env = environment(broker, config.prefix, config.state, app=APP, partitions="2")
    with serving(config, broker, probe.app()) as server, Running(probe.app(), config, broker) as worker:
        foreign.publish(ProbeDo(name="k"))
        until(lambda: len(worker.rows("probe")) == 1 and not bad(server), "it is not good to begin with")
        foreign.alter("probe-table", "cleanup.policy", "delete")
        until(lambda: bad(server) == {"settings"}, "nobody is paged")
        said = retold("status", "--check", env=env)
        assert (said.returncode, "probe-table has cleanup.policy=delete" in said.stdout) == (1, True)
        [number] = [partition for partition, last in foreign.markers("probe").items() if last.last]
        shorten(foreign, f"{config.prefix}probe-table", number)
        foreign.publish(ProbeDo(name="k"))
        until(lambda: bad(server) == {"probe.deleted"}, "nobody is paged")
        said = retold("status", "--check", env=env)
        found = re.search(r"RETOLD_ACCEPTED_STARTS=(\S+);", said.stdout)
        assert (said.returncode, found is not None) == (1, True)
        assert found is not None
        assert found[1].startswith(f"{config.prefix}probe-table-{number}@")
        assert retold("status", "--check", env=env | {"RETOLD_ACCEPTED_STARTS": found[1]}).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_broker_that_is_frozen(tmp_path: Path) -> None:
    """The server answers of itself while Kafka does not, and says that it knows nothing of the application."""
    before = descendants(os.getpid())
    with embedded.start(tmp_path / "broker") as kafka:
        java = broker_began(before)
        config = settings(tmp_path, "frozen.", http_port="0")
        app = probe.app()
        with serving(config, kafka.address, app) as server, Running(app, config, kafka.address):
            until(lambda: not bad(server), "it is not good to begin with")
            stand_still(java)
            try:
                until(lambda: bool(bad(server) & {"kafka", "status", "server"}), "nobody is paged")
                until(lambda: figure(server, "retold_broker_up") == 0, "the metric does not turn")
                assert server.http.get("/-/live").status_code == 200
            finally:
                os.kill(java, signal.SIGCONT)
            until(lambda: not bad(server), "it stays bad")
            assert figure(server, "retold_broker_up") == 1
