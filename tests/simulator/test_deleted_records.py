"""The first records of a table, a due or a parked topic were deleted, by a retention: it is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from confluent_kafka import murmur2

from streams.cli.output.attention import attention
from streams.codec import codec_of
from streams.engine import marker
from streams.kafka.alarms import checks
from streams.kafka.cluster_verification import verify_cluster
from streams.kafka.deleted_records import accepted_starts
from streams.kafka.status import NamespaceStatus, Status, status
from streams.kafka.topics import TOPICS, topic_names
from tests.applications import probe
from tests.applications.probe.events import ProbeDo
from tests.simulator.clients import clients
from tests.simulator.test_topics_change import stopped
from tests.simulator.workers import PARTITIONS, MemorySite, Worker, go_on

NAMES = topic_names("", "probe")
AT = int(murmur2(b"k", PARTITIONS))
KEPT = [NAMES.table, NAMES.due, NAMES.parked]


@pytest.fixture
def site(tmp_path: Path) -> MemorySite:
    """Whose worker has handled two events of one key, in two transactions, and has gone."""
    it = MemorySite(probe.app(), "probe", tmp_path)
    worker = Worker(it, 0)
    for text in ("first", "second"):
        it.publish(ProbeDo(name="k", text=text))
        go_on(it, worker)
    worker.stop()
    return it


def another(site: MemorySite) -> None:
    """Started to handle one more event, which it can only once it has restored."""
    site.publish(ProbeDo(name="k", text="third"))
    worker = Worker(site, 0)
    go_on(site, worker)
    worker.stop()


def delete_first(site: MemorySite, topic: str) -> str:
    """As a retention does: of a table, all before its last transaction. Where the partition begins now."""
    partition = site.broker.partition((topic, AT))
    if topic == NAMES.table:
        partition.low = [offset for offset, it in partition.committed() if it.key == marker.KEY][-1]
    else:
        site.broker.append((topic, AT), b"0", None, None, None)
        partition.low = partition.end
    return f"{topic}-{AT}@{partition.low}"


def look(site: MemorySite, accepted: str = "") -> Status:
    app = probe.app()
    return status(clients(site.broker), "", ["probe"], codec_of(app), accepted=accepted_starts(accepted))


def told(space: NamespaceStatus) -> list[str]:
    return [it for it in attention(space, datetime.now(UTC)) if "begins at offset" in it or "RETOLD_ACCEPTED" in it]


@pytest.mark.parametrize("topic", KEPT)
def test_a_status_names_what_was_deleted_until_it_is_accepted(site: MemorySite, topic: str) -> None:
    """Its sentences and its checks, with the first offset; records that are deleted later are named again."""
    assert [it.state for it in checks(look(site), 0) if it.name == "probe.deleted"] == ["good"]
    where = delete_first(site, topic)
    found = look(site)
    [check] = [it for it in checks(found, 0) if it.name == "probe.deleted"]
    assert check.state == "bad"
    assert f"{topic}-{AT} begins at offset {where.rpartition('@')[2]}: " in check.detail
    assert f"RETOLD_ACCEPTED_STARTS={where}" in check.do
    assert told(found.namespaces[0]) == [check.detail, check.do]
    assert told(look(site, where).namespaces[0]) == []
    site.broker.append((topic, AT), b"1", None, None, None)
    site.broker.partition((topic, AT)).low += 1
    assert len(told(look(site, where).namespaces[0])) == 2


def test_one_setting_accepts_all_that_was_deleted(site: MemorySite) -> None:
    """As the check says it, whatever the topics are; each remedy is said once."""
    everything = [delete_first(site, topic) for topic in KEPT]
    [check] = [it for it in checks(look(site), 0) if it.name == "probe.deleted"]
    assert f"RETOLD_ACCEPTED_STARTS={','.join(everything)};" in check.do
    assert (check.do.count("retold rebuild start"), check.do.count("cleanup.policy")) == (1, 1)
    assert told(look(site, ",".join(everything)).namespaces[0]) == []


@pytest.mark.parametrize("topic", [NAMES.log, NAMES.inbox])
def test_a_log_or_an_inbox_may_begin_later(site: MemorySite, topic: str) -> None:
    """Of an inbox what was handled may go; what a log lacks is for `retold verify` to say."""
    site.broker.partition((topic, AT)).low = 1
    assert told(look(site).namespaces[0]) == []


@pytest.mark.parametrize("topic", KEPT)
def test_a_worker_that_restores_warns_and_goes_on(site: MemorySite, topic: str) -> None:
    """Once for each partition: rows are built anew while it works."""
    where = delete_first(site, topic)
    with structlog.testing.capture_logs() as said:
        another(site)
    [warning] = [it for it in said if it["event"] == "records were deleted from a topic that must keep them"]
    assert (warning["log_level"], warning["topic"], warning["partition"]) == ("warning", topic, AT)
    assert f"RETOLD_ACCEPTED_STARTS={where}" in warning["detail"]


@pytest.mark.parametrize("topic", KEPT)
def test_a_verification_calls_it_damage_until_it_is_accepted(site: MemorySite, topic: str) -> None:
    """Whatever else it finds missing."""
    where, app = delete_first(site, topic), probe.app()
    for accepted, count in (("", 1), (where, 0)):
        report = verify_cluster(
            clients(site.broker), "", app, codec_of(app), window=100, accepted=accepted_starts(accepted)
        )
        found = [it for it in report.findings if it.kind.name == "deleted records" and it.kind.damage]
        assert [(it.namespace, it.partition) for it in found] == [("probe", AT)] * count


@pytest.mark.parametrize("name", ["cleanup.policy", "message.timestamp.type"])
@pytest.mark.parametrize("wrong", [*NAMES[1:], "retold-schemas"])
def test_a_status_names_a_setting_by_which_records_are_deleted(site: MemorySite, wrong: str, name: str) -> None:
    """As a worker does when it starts. Who may not see settings is not told of them."""
    assert look(site).wrong_settings == ()
    kinds = dict(zip(NAMES[1:], TOPICS, strict=False)) | {f"retold-{it.name}": it for it in TOPICS[len(NAMES) - 1 :]}
    site.broker.settings = {topic: {it.name: it.value for it in kind.settings} for topic, kind in kinds.items()}
    assert look(site).wrong_settings == ()
    site.broker.settings[wrong][name] = "odd"
    [check] = [it for it in checks(look(site), 0) if it.name == "settings"]
    assert (check.state, f"The topic {wrong} has {name}=odd; " in check.detail) == ("bad", True)


@pytest.fixture
def passed(site: MemorySite) -> str:
    """An inbox of which an event was deleted before it was handled, and another one comes behind it. Where it begins."""
    site.publish(ProbeDo(name="k", text="lost"))
    partition = site.broker.partition((NAMES.inbox, AT))
    partition.low = partition.end
    return f"{NAMES.inbox}-{AT}@{partition.low}"


def test_what_was_deleted_before_it_was_handled_ends_a_namespace_until_it_is_accepted(site: MemorySite, passed: str) -> None:
    """The sentence has the setting; the worker goes on behind what is missing then, and later ones need no setting."""
    worker = Worker(site, 1)
    assert f"accept it: RETOLD_ACCEPTED_STARTS={passed}, beside" in stopped(worker)
    worker.stop()
    refused, site.config = site.config, replace(site.config, accepted_starts=passed)
    another(site)
    site.config = refused
    another(site)
    assert site.logged() == {"k": 4}


def test_what_was_accepted_is_remembered_while_nothing_is_published(site: MemorySite, passed: str) -> None:
    """A start without the setting goes on: the one with it has noted where, though there was nothing to handle."""
    refused, site.config = site.config, replace(site.config, accepted_starts=passed)
    first = Worker(site, 1)
    go_on(site, first)
    first.stop()
    site.config = refused
    with structlog.testing.capture_logs() as said:
        second = Worker(site, 2)
        go_on(site, second)
        second.stop()
    assert not [it for it in said if "passed over" in it["event"]]
    another(site)
    assert site.logged() == {"k": 3}


def test_a_verification_names_what_was_deleted_before_it_was_handled(site: MemorySite, passed: str) -> None:
    """Until it is accepted. It said that nothing is wrong in what can be checked."""
    app = probe.app()
    for accepted, count in (("", 1), (passed, 0)):
        report = verify_cluster(clients(site.broker), "", app, codec_of(app), window=100, accepted=accepted_starts(accepted))
        found = [(it.kind.name, it.where) for it in report.findings]
        assert found == [("deleted records", f"probe-{AT}@2")] * count
