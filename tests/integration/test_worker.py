"""The worker on a real broker: what it commits, what it refuses, and what it goes on from."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from confluent_kafka import TopicPartition

from streams import App
from streams.codec import AvroCodec, prefix_of
from streams.config import Config
from streams.engine import control
from streams.engine.control import OperatorCommand
from streams.engine.engine import Engine
from streams.engine.envelope import ParkedHeader, log_header, parked_header
from streams.engine.fold import fold
from streams.engine.records import Counters
from streams.errors import NamespaceStopped, NamespaceTaken, TopicMismatch
from streams.kafka.bounded_read import headers_of
from streams.kafka.quarantine_commands import CommandSearch, QuarantineCommandReader
from streams.kafka.schemas_topic import publish_schemas
from streams.kafka.topics import ensure, topic_names
from tests.applications import probe
from tests.applications.probe.events import EchoHear, EchoRow, ProbeDo, ProbeRow
from tests.support import raw_header
from tests.support.group_offsets import commit
from tests.support.inbox import Foreign
from tests.support.workers import Running, until


def test_an_event_becomes_a_row_a_log_record_and_what_it_emits(config: Config, broker: str, foreign: Foreign) -> None:
    """One transaction holds the log, the row, the marker and the emission, which its own namespace handles in turn."""
    with Running(probe.app(), config, broker) as worker:
        foreign.publish(ProbeDo(name="k", how="echo"), ce_id="a")
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=1)}, "the emission was not handled")
        assert worker.rows("probe") == {"k": ProbeRow(count=1, texts={})}
    [logged] = foreign.read("probe-log")
    assert (logged.key(), log_header(headers_of(logged)).outcome) == (b"k@1", "accepted")
    [heard] = foreign.read("echo-log")
    assert dict(headers_of(heard))["ce_causationid"] == b"a"
    assert sum(marker.inbox_next for marker in foreign.markers("probe").values()) == 1


def test_a_worker_goes_on_where_the_last_one_stopped(config: Config, broker: str, foreign: Foreign) -> None:
    """Rows, versions, duplicates and parked keys are what they were."""
    with Running(probe.app(), config, broker) as worker:
        foreign.publish(ProbeDo(name="k"), ce_id="a")
        foreign.publish(ProbeDo(name="bad", how="raise"), ce_id="b")
        until(
            lambda: worker.counted("probe", "parked") == 1 and worker.counted("probe", "accepted") == 1, "not handled"
        )
    foreign.publish(ProbeDo(name="k"), ce_id="a")
    foreign.publish(ProbeDo(name="bad", how="raise"), ce_id="b")
    foreign.publish(ProbeDo(name="bad"), ce_id="c")
    foreign.publish(ProbeDo(name="k"), ce_id="d")
    with Running(probe.app(), config, broker) as worker:
        until(lambda: worker.counted("probe", "accepted") == 2, "the new event was not handled")
        until(lambda: worker.counted("probe", "parked") == 2, "what is behind the parked event was not set aside")
        assert worker.rows("probe") == {"k": ProbeRow(count=2, texts={})}
        assert worker.counted("probe", "duplicates") == 2
    entities = [parked_header(headers_of(m)).key for m in foreign.read("probe-parked")]
    assert entities == ["bad", "bad"]


def test_a_fold_of_the_log_gives_the_live_rows_byte_for_byte(config: Config, broker: str, foreign: Foreign) -> None:
    """Law 4, and canonical bytes (rule 21)."""
    with Running(probe.app(), config, broker) as worker:
        for n in range(60):
            how = ["count", "echo", "delete", "refuse", "raise"][n % 5] if n < 50 else "count"
            foreign.publish(ProbeDo(name=f"k{n % 7}" if how != "raise" else f"bad{n}", how=how, text=f"t{n}"))
        until(
            lambda: sum(worker.counted("probe", name) for name in ("accepted", "rejected", "parked")) == 60, "not done"
        )
    engine = Engine(probe.app(), "probe", foreign.codec)
    folded = {}
    for partition in (0, 1):
        records = [(m.value() or b"", headers_of(m)) for m in foreign.read("probe-log") if m.partition() == partition]
        rows = fold(engine, engine.image(partition), records).rows
        folded |= {key: foreign.codec.encode_row(row) for key, (row, _) in rows.items() if row is not None}
    assert folded == foreign.rows("probe")
    assert folded


def test_a_handler_gone_wrong_parks_its_event_and_its_key_and_nobody_else(
    config: Config, broker: str, foreign: Foreign
) -> None:
    """In each way: the event is kept with the reason, later ones of the key wait behind it in order, other keys go on."""
    ways = sorted(probe.WRONG)
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        for how in ways:
            foreign.publish(
                ProbeDo(name=how), ProbeDo(name=how, how=how), ProbeDo(name=how), ProbeDo(name=f"not {how}")
            )
        until(lambda: worker.counted("probe", "parked") == 2 * len(ways), "not parked")
        until(lambda: worker.counted("probe", "accepted") == 2 * len(ways), "the others did not go on")
        assert all(row == ProbeRow(count=1, texts={}) for row in worker.rows("probe").values())
    kept: dict[str | None, list[ParkedHeader]] = {}
    for message in foreign.read("probe-parked"):
        header = parked_header(headers_of(message))
        kept.setdefault(header.key, []).append(header)
    assert sorted(key or "" for key in kept) == ways
    for first, second in kept.values():
        assert (first.status, second.reason) == ("parked", "an event of this key before it is parked")
        assert "Traceback" in first.detail


def test_bad_records_are_quarantined_with_their_bytes_and_the_rest_goes_on(
    config: Config, broker: str, foreign: Foreign
) -> None:
    """No Avro, no value, a header not UTF-8, another namespace's event, an empty key: kept, and nobody waits."""
    good = foreign.codec.encode(ProbeDo(name="k"))
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        foreign.write("probe", b"no Avro at all", b"k")
        foreign.write("probe", None, b"k")
        foreign.write("probe", good[:-1], b"k")
        foreign.write("probe", good, b"k", ce_id=b"\xff\xfe")
        foreign.write("probe", foreign.codec.encode(EchoHear(name="k")), b"k")
        foreign.write("probe", good[:5] + b"\0" + good[7:], b"")
        foreign.write("probe", good, b"k", ce_sequence="99", ce_id="a")
        until(lambda: worker.rows("probe") == {"k": ProbeRow(count=1, texts={})}, "the good event was not handled")
        until(lambda: worker.counted("probe", "quarantined") == 6, "not all are quarantined")
    kept = foreign.read("probe-parked")
    assert max(m.value() or b"" for m in kept) == b"no Avro at all"
    assert {parked_header(headers_of(m)).status for m in kept} == {"quarantined"}
    [logged] = foreign.read("probe-log")
    assert log_header(headers_of(logged)).sequence == 1


def test_a_header_whose_name_is_no_text_is_quarantined(config: Config, broker: str, foreign: Foreign) -> None:
    """With its key and bytes. Also once a worker has read many: the client then crashed the process instead of raising."""
    good, inbox = foreign.codec.encode(ProbeDo(name="k")), topic_names(config.prefix, "probe").inbox
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        foreign.publish(*[ProbeDo(name="k")] * 500)
        for partition in (0, 1):
            raw_header.write(broker, inbox, partition, b"k", good, (b"na\xffme", b"1"))
        foreign.publish(ProbeDo(name="k"))
        until(lambda: worker.rows("probe") == {"k": ProbeRow(count=501, texts={})}, "the good events were not handled")
        until(lambda: worker.counted("probe", "quarantined") == 2, "not all are quarantined")
    assert [(m.value(), dict(headers_of(m))["retold_key"]) for m in foreign.read("probe-parked")] == [(good, b"k")] * 2


def test_a_misplaced_event_is_rerouted_and_handled_once_in_its_own_partition(
    config: Config, broker: str, foreign: Foreign
) -> None:
    """A null key, a wrong key and a wrong partition end where the data's key belongs."""
    value = foreign.codec.encode(ProbeDo(name="k"))
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        foreign.write("probe", value, None, 0)
        foreign.write("probe", value, None, 1)
        foreign.write("probe", value, b"another", ce_id="a")
        foreign.write("probe", value, b"k", 0)
        foreign.write("probe", value, b"k", 1)
        until(lambda: worker.rows("probe") == {"k": ProbeRow(count=5, texts={})}, "not all were handled")
        until(lambda: worker.counted("probe", "moved") == 4, "not moved")
    assert len({m.partition() for m in foreign.read("probe-log")}) == 1


def test_an_unknown_schema_holds_its_partition_until_it_arrives(config: Config, broker: str, foreign: Foreign) -> None:
    """The other partition goes on; when the schema is published, the event is handled, in order."""
    newer = json.dumps({**json.loads(ProbeDo.schemas[-1]), "aliases": ["probe.did"]})
    other = AvroCodec([ProbeDo], [])
    schema_id = other.add_schema(newer)
    value = foreign.codec.encode(ProbeDo(name="k"))
    assert value[:5] != prefix_of(schema_id), "the newer schema is another one"
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        foreign.write("probe", prefix_of(schema_id) + value[5:], b"k")
        foreign.publish(ProbeDo(name="k", text="second"))
        until(lambda: len(worker.blocked("probe")) == 1, "nobody waits")
        [blocked] = worker.blocked("probe").values()
        assert (blocked.offset, str(schema_id) in blocked.reason) == (0, True)
        elsewhere = [f"x{n}" for n in range(8)]
        foreign.publish(*(ProbeDo(name=name) for name in elsewhere))
        until(lambda: 0 < len(worker.rows("probe")) < 9, "the other partition did not go on")
        assert "k" not in worker.rows("probe")
        publish_schemas(foreign.clients, config.prefix, other)
        until(lambda: len(worker.rows("probe")) == 9, "it did not go on when the schema arrived")
        assert worker.rows("probe")["k"] == ProbeRow(count=2, texts={"second": "k"})


def test_a_blocking_record_is_quarantined_by_command_and_what_is_behind_goes_on(
    config: Config, broker: str, foreign: Foreign
) -> None:
    """By an order that lies behind it, also from while no worker ran; one about another record does nothing."""
    unknown = prefix_of(12345) + b"whatever"
    one = replace(config, partitions=1)

    def order(offset: int) -> None:
        foreign.write("probe", control.encode(OperatorCommand("quarantine", "", offset, "ada", "obsolete")), b"", 0)

    with Running(probe.app(), one, broker, ["probe"]) as worker:
        foreign.publish(ProbeDo(name="k", text="1"))
        foreign.write("probe", unknown, b"k", theirs="kept")
        foreign.publish(ProbeDo(name="k", text="2"))
        until(lambda: 0 in worker.blocked("probe"), "nobody waits")
        order(2)
        foreign.write("probe", control.PREFIX + b"no order", b"")
        until(lambda: worker.looked_ahead("probe").get(0) == 5, "nobody looked ahead")
        assert worker.rows("probe") == {"k": ProbeRow(count=1, texts={"1": "k"})}
        order(1)
        foreign.write("probe", unknown, b"k")
        foreign.publish(ProbeDo(name="k", text="3"))
        until(
            lambda: worker.blocked("probe").get(0, (0,))[0] == 6, "it was not set aside, or the next one does not wait"
        )
        assert worker.rows("probe") == {"k": ProbeRow(count=2, texts={"1": "k", "2": "k"})}
    order(6)
    order(2)
    with Running(probe.app(), one, broker, ["probe"]) as worker:
        until(lambda: worker.counted("probe", "control") == 4, "the order from before the start was not obeyed")
        assert worker.rows("probe") == {"k": ProbeRow(count=3, texts={"1": "k", "2": "k", "3": "k"})}
    kept = [(parked_header(headers_of(m)), m) for m in foreign.read("probe-parked")]
    assert [(m.key(), m.value(), header.reason) for header, m in kept if header.offset in (1, 6)] == [
        (b"1", unknown, "set aside by ada: obsolete"),
        (b"6", unknown, "set aside by ada: obsolete"),
    ]
    assert ("theirs", b"kept") in headers_of(kept[0][1])
    [marker] = foreign.markers("probe").values()
    assert marker.counters == Counters(accepted=3, quarantined=3, control=4)
    assert marker.inbox_next == 10


def test_a_quarantine_command_is_seen_once_and_again_after_a_restart(config: Config, broker: str, foreign: Foreign) -> None:
    """A partition that was revoked and assigned again is blocked at the same record, and the command still lies behind it."""
    ensure(foreign.clients.admin(), config, ["probe"])
    said = OperatorCommand("quarantine", "", 0, "ada", "obsolete")
    foreign.write("probe", b"waits", b"k", 0)
    foreign.write("probe", control.encode(said), b"", 0)
    reader = QuarantineCommandReader(foreign.clients, f"{config.prefix}probe")
    found: list[dict[int, OperatorCommand]] = []

    def sees(count: int, record: CommandSearch) -> bool:
        found.append(reader.look({0: record}))
        return len([each for each in found if each]) == count

    once, again = CommandSearch(0, 1), CommandSearch(0, 1)
    until(lambda: sees(1, once), "the order was not seen")
    assert not sees(2, once)
    until(lambda: sees(2, again), "the order was not seen again")
    assert found[-1] == {0: said}
    reader.close()


def test_another_application_may_not_take_a_namespace(config: Config, broker: str, foreign: Foreign) -> None:
    """Law 1 across deployments: the marker names who handles it."""
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: len(worker.rows("echo")) == 1, "not handled")
    rival = App(name="rival", namespaces=[probe.probe, probe.echo])
    with Running(rival, config, broker, ["echo"]) as worker:
        until(worker.ended, "the rival goes on")
    [error] = worker.errors
    assert isinstance(error, NamespaceTaken)
    assert "'probe'" in str(error)


def test_a_committed_offset_ahead_of_the_marker_is_refused(config: Config, broker: str, foreign: Foreign) -> None:
    """Somebody else commits for our group: rows would miss events (rule 1c). What the sentence says to do then works."""
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: len(worker.rows("echo")) == 1, "not handled")
    [record] = foreign.read("echo")
    at = [TopicPartition(f"{config.prefix}echo", record.partition() or 0, 100)]  # of the other one less is said
    group, admin = f"{config.prefix}retold.echo", foreign.clients.admin()
    commit(broker, group, at)
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        until(worker.ended, "the worker goes on")
    assert isinstance(worker.errors[0], TopicMismatch)
    said = " ".join(str(error) for error in worker.errors)
    assert "@100" in said
    assert f"delete the group's offsets (kafka-consumer-groups --delete --group {group}), and handling goes on at 1" in said
    admin.client.delete_consumer_groups([group])[group].result(20)
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=2)}, "it does not go on")


def test_lost_group_offsets_do_no_harm(config: Config, broker: str, foreign: Foreign) -> None:
    """The marker says where handling goes on, and no committed offset."""
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"), EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=2)}, "not handled")
    admin, group = foreign.clients.admin(), f"{config.prefix}retold.echo"
    admin.client.delete_consumer_groups([group])[group].result(20)
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: worker.rows("echo") == {"k": EchoRow(heard=3)}, "handled again, or not at all")


def test_a_deleted_and_recreated_inbox_is_refused(config: Config, broker: str, foreign: Foreign) -> None:
    """Its offsets mean something else, and the marker knows the topic's id."""
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        foreign.publish(EchoHear(name="k"))
        until(lambda: len(worker.rows("echo")) == 1, "not handled")
    topic, admin = f"{config.prefix}echo", foreign.clients.admin()
    admin.client.delete_topics([topic])[topic].result(20)
    until(lambda: topic not in admin.client.list_topics(timeout=10).topics, "the topic is still there")
    with Running(probe.app(), config, broker, ["echo"]) as worker:
        until(worker.ended, "the worker goes on")
    assert "made again" in str(worker.errors[0])


def test_a_namespace_stops_before_a_bad_deploy_parks_everything_and_goes_on_once_mended(
    config: Config, broker: str, foreign: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over 20 keys in a minute: nothing of that batch is committed, and the traceback is logged; nothing is missing after."""
    ensure(foreign.clients.admin(), config, ["probe"])
    foreign.publish(*(ProbeDo(name=f"k{n}", how="raise") for n in range(50)))
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        until(worker.ended, "the namespace goes on")
    assert isinstance(worker.errors[0], NamespaceStopped)
    assert "told to raise" in str(worker.errors[0])
    assert [foreign.read(f"probe-{topic}") for topic in ("log", "parked", "table")] == [[], [], []]
    monkeypatch.setitem(probe.WRONG, "raise", lambda row, key: probe.counted(row))
    with Running(probe.app(), config, broker, ["probe"]) as worker:
        until(lambda: worker.rows("probe") == {f"k{n}": ProbeRow(count=1, texts={}) for n in range(50)}, "not handled")
    assert foreign.read("probe-parked") == []


def test_two_workers_share_the_partitions_and_one_takes_over(config: Config, broker: str, foreign: Foreign) -> None:
    """Each handles its own; when one leaves, the other goes on from its markers, and every event is handled once."""
    keys = [f"k{n}" for n in range(40)]
    with Running(probe.app(), config, broker, ["echo"]) as one:
        with Running(probe.app(), config, broker, ["echo"]) as two:
            until(lambda: len(one.held("echo")) == len(two.held("echo")) == 1, "the partitions are not shared")
            foreign.publish(*(EchoHear(name=key) for key in keys))
            until(lambda: len(one.rows("echo")) + len(two.rows("echo")) == 40, "not all handled")
            assert not set(one.rows("echo")) & set(two.rows("echo"))
        until(lambda: len(one.rows("echo")) == 40, "the rows of the one that left were not taken over")
        foreign.publish(*(EchoHear(name=key) for key in keys))
        until(lambda: one.rows("echo") == {key: EchoRow(heard=2) for key in keys}, "not handled once each")
    assert len(foreign.read("echo-log")) == 80
