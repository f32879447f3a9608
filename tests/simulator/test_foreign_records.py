"""Another program wrote into a topic that only workers write: what it concerns is named with its place, and all else goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import murmur2

from streams.cli.output.attention import attention
from streams.codec import codec_of
from streams.errors import UndecodableRecord
from streams.kafka.alarms import checks
from streams.kafka.backlog import BacklogReader
from streams.kafka.status import status
from streams.kafka.topics import topic_names
from tests.applications import probe
from tests.applications.probe.events import ProbeDo
from tests.simulator.clients import clients
from tests.simulator.workers import PARTITIONS, MemorySite, Worker, go_on

NAMES = topic_names("", "probe")
AT = int(murmur2(b"k", PARTITIONS))


@pytest.fixture
def site(tmp_path: Path) -> MemorySite:
    return MemorySite(probe.app(), "probe", tmp_path)


def another(site: MemorySite) -> None:
    """Started to handle an event, which it can only once it has restored."""
    site.publish(ProbeDo(name="k", text="text"))
    worker = Worker(site, 0)
    go_on(site, worker)
    worker.stop()


@pytest.mark.parametrize("topic", [NAMES.log, NAMES.table, NAMES.parked])
def test_a_worker_says_where_a_record_is_that_does_not_read(site: MemorySite, topic: str) -> None:
    """Topic, partition and offset: so somebody can look at it, and find who wrote it."""
    key = b"\xff" if topic == NAMES.table else b"rubbish"
    offset = site.broker.append((topic, AT), key, b"rubbish", [], None)
    with pytest.raises(UndecodableRecord, match=f"^{topic}-{AT} cannot be read at offset {offset}: "):
        another(site)


def test_a_worker_names_what_is_due_and_does_not_read(site: MemorySite) -> None:
    """With its topic and offset."""
    site.broker.append((NAMES.due, AT), b"rubbish", b"rubbish", [], None)
    with pytest.raises(UndecodableRecord, match=f"^{NAMES.due}-{AT} cannot be read at offset 0: "):
        another(site)


@pytest.mark.parametrize("topic", [NAMES.parked, NAMES.due])
def test_a_status_names_it_and_tells_all_else(site: MemorySite, topic: str) -> None:
    """As long as it is the last record of its key; the worker that runs needs nobody yet."""
    another(site)
    app, backlog = probe.app(), BacklogReader(clients(site.broker))
    offset = site.broker.append((topic, AT), b"rubbish", b"rubbish", [], None)
    for _ in range(2):  # the second look reads nothing again
        found = status(clients(site.broker), "", ["probe", "echo"], codec_of(app), backlog)
        told = {it.name: it for it in checks(found, 0)}
        assert (told["probe.foreign"].state, told["echo.foreign"].state) == ("bad", "good")
        assert told["probe.foreign"].detail.startswith(f"{topic}-{AT} cannot be read at offset {offset}: ")
        [space, _] = found.namespaces
        assert space.counters.accepted == 1
        assert any(told["probe.foreign"].detail in it for it in attention(space, datetime.now(UTC)))
    site.broker.append((topic, AT), b"rubbish", None, None, None)
    assert status(clients(site.broker), "", ["probe"], codec_of(app), backlog).namespaces[0].foreign == ()


def test_only_so_many_are_named(site: MemorySite) -> None:
    """Whoever may write there can write any number."""
    for number in range(150):
        site.broker.append((NAMES.due, AT), b"%d" % number, b"rubbish", [], None)
    found = status(clients(site.broker), "", ["probe"], codec_of(probe.app()))
    [check] = [it for it in checks(found, 0) if it.name == "probe.foreign"]
    assert check.detail.endswith(" Records beside it that do not read: 99.")
    [space] = found.namespaces
    told = [it for it in attention(space, datetime.now(UTC)) if NAMES.due in it or "like these" in it]
    assert (len(space.foreign), len(told)) == (100, 11)
    assert told[-1] == "90 more records of probe are like these; `--json` has all."
