"""The main job on real input: 24 259 sign-ups, two worker processes, one of them stopped and started again in the middle."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Message

from processors import app
from processors.events import FolderRow, UserRow
from processors.publish import from_row
from streams.engine.engine import Engine
from streams.engine.envelope import log_header
from streams.engine.fold import fold
from streams.engine.identity import emitted_id
from streams.kafka.read import headers_of
from tests.support.inbox import Foreign
from tests.support.processes import Process, answer, environment, retold
from tests.support.workers import settings, until

FILE = Path(__file__).parents[1] / "data" / "signups.tsv"
COUNT = 24_259
PUBLISH = ("publish", "user.signup", "--from", str(FILE), "--with", "processors.publish:from_row")


@dataclass
class World:
    """What the module's tests look at, after everything was published twice."""

    foreign: Foreign
    env: dict[str, str]
    logs: dict[str, list[Message]]
    rows: dict[str, dict[str, bytes]]
    logs_before: dict[str, list[tuple[bytes | None, int | None]]]
    rows_before: dict[str, dict[str, bytes]]


@pytest.fixture(scope="module")
def world(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Publish, stop one worker in the middle and start it again, publish once more."""
    state = tmp_path_factory.mktemp("state")
    prefix = f"real{state.name[-1]}."
    config = settings(state, prefix, partitions="4")
    foreign = Foreign(app(), config, broker)
    env = environment(broker, prefix, state, partitions="4", log_level="info")
    log = state / "workers.log"
    with Process("worker", env=env, log=log):
        second = Process("worker", env=env, log=log)
        until(lambda: ready(env), "the workers are not ready", seconds=60)
        publishing = Process(*PUBLISH, env=env, log=state / "publish.log")
        until(lambda: 2_000 < handled(foreign), "nothing is handled", seconds=60)
        assert second.stop() == 0
        assert handled(foreign) < 2 * COUNT, "it was over before the worker stopped: nothing was shown"
        with Process("worker", env=env, log=log):
            assert publishing.ended(120) == 0, (state / "publish.log").read_text()
            until(lambda: handled(foreign) >= 2 * COUNT, "not all was handled", seconds=120)
            logs_before = {name: places(foreign, name) for name in ("user", "folder")}
            rows_before = {name: foreign.rows(name) for name in ("user", "folder")}
            again = retold(*PUBLISH, env=env)
            assert again.returncode == 0, again.stderr
            until(lambda: count(foreign, "user", "duplicates") >= COUNT, "the duplicates were not counted", seconds=120)
            logs = {name: foreign.read(f"{name}-log") for name in ("user", "folder")}
            rows = {name: foreign.rows(name) for name in ("user", "folder")}
            yield World(foreign, env, logs, rows, logs_before, rows_before)


def ready(env: dict[str, str]) -> bool:
    done = retold("status", "--json", env=env)
    return done.returncode == 0 and done.stdout.count('"owner"') >= 8


def count(foreign: Foreign, namespace: str, name: str) -> int:
    return sum(getattr(marker.counters, name) for marker in foreign.markers(namespace).values())


def handled(foreign: Foreign) -> int:
    return count(foreign, "user", "accepted") + count(foreign, "folder", "accepted")


def places(foreign: Foreign, namespace: str) -> list[tuple[bytes | None, int | None]]:
    return [(message.key(), message.partition()) for message in foreign.read(f"{namespace}-log")]


def signups() -> dict[str, dict[str, str]]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file, delimiter="\t")}


def test_every_row_equals_the_file(world: World) -> None:
    """Field by field, for all of them."""
    file = signups()
    assert len(file) == COUNT
    assert world.rows["user"].keys() == file.keys()
    for key, value in world.rows["user"].items():
        data, created = from_row(file[key])
        row = world.foreign.codec.decode_row(UserRow, value)
        assert isinstance(row, UserRow)
        expected = (data.email, data.reputation, data.views, data.up_votes, data.down_votes, data.last_seen, created)
        assert (
            row.email,
            row.reputation,
            row.views,
            row.up_votes,
            row.down_votes,
            row.last_seen,
            row.since,
        ) == expected
    folders = {key: world.foreign.codec.decode_row(FolderRow, value) for key, value in world.rows["folder"].items()}
    assert {key: row.owner for key, row in folders.items() if isinstance(row, FolderRow)} == {key: key for key in file}


def test_every_event_is_in_its_log_exactly_once_and_in_order(world: World) -> None:
    """Accepted, ids unique, causes right, sequences dense per partition, nothing set aside."""
    causes = {key_of(m): dict(headers_of(m))["ce_id"].decode() for m in world.logs["user"]}
    for name in ("user", "folder"):
        messages = world.logs[name]
        assert Counter(log_header(headers_of(m)).outcome for m in messages) == {"accepted": COUNT}
        assert len({dict(headers_of(m))["ce_id"] for m in messages}) == COUNT
        by_partition: dict[int | None, list[int]] = {}
        for m in messages:
            by_partition.setdefault(m.partition(), []).append(log_header(headers_of(m)).sequence)
        assert len(by_partition) == 4
        assert all(found == list(range(1, len(found) + 1)) for found in by_partition.values())
        assert world.foreign.read(f"{name}-parked") == []
    for m in world.logs["folder"]:
        headers, key = dict(headers_of(m)), key_of(m)
        assert headers["ce_causationid"].decode() == causes[key]
        assert headers["ce_id"].decode() == emitted_id(causes[key], "folder.create", key, 0)


def key_of(message: Message) -> str:
    return (message.key() or b"").decode().rpartition("@")[0]


def test_publishing_the_file_again_changes_nothing(world: World) -> None:
    """24 259 counted duplicates, logs and rows as they were."""
    assert count(world.foreign, "user", "duplicates") == COUNT
    assert {name: [(m.key(), m.partition()) for m in found] for name, found in world.logs.items()} == world.logs_before
    assert world.rows == world.rows_before


@pytest.mark.parametrize("namespace", ["user", "folder"])
def test_a_fold_of_the_log_gives_the_live_table_byte_for_byte(world: World, namespace: str) -> None:
    """From scratch, by the same engine (law 4)."""
    engine = Engine(app(), namespace, world.foreign.codec)
    folded = {}
    for partition in range(4):
        records = [(m.value() or b"", headers_of(m)) for m in world.logs[namespace] if m.partition() == partition]
        rows = fold(engine, engine.image(partition), records).rows
        folded |= {key: engine.codec.encode_row(row) for key, (row, _) in rows.items() if row is not None}
    assert folded == world.rows[namespace]


def test_what_a_person_asks_for_is_there(world: World) -> None:
    """`retold get` and `retold status` say the same."""
    row = answer("get", "user", "2", env=world.env)
    assert "2@example.org" in str(row)
    status = answer("status", env=world.env)
    assert str(COUNT) in str(status)


def test_every_offset_of_the_inbox_is_accounted_for(world: World) -> None:
    """Law 3: what was published is in the log, or a counted duplicate."""
    for name, published in (("user", 2 * COUNT), ("folder", COUNT)):
        assert len(world.foreign.read(name)) == published
        totals = [count(world.foreign, name, it) for it in ("accepted", "rejected", "parked", "quarantined", "moved")]
        assert sum(totals) + count(world.foreign, name, "duplicates") == published
