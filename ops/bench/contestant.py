"""Who takes part: how each is started, what its table is called, and how a row is read from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from confluent_kafka.admin import AdminClient

from ops.bench import topic
from ops.bench.environments import python_of
from ops.bench.java_program import kafka_streams as kafka_streams_program
from ops.bench.work import EVENT_FILE, ROW_FILE, Row, decode_body, decode_row
from streams.config import load
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import ensure

KAFKA_STREAMS = "kafka-streams"
PROGRAMS = Path(__file__).parent / "contestants"
RowReader = Callable[[bytes, bytes], tuple[str, Row] | None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Contestant:
    """`table(prefix, inbox)` names its table's topic; `row` reads a record of it (None: not a row).

    One that says itself how far it is has no output to read: `writes` is False. `prepare` makes the inbox, and also what
    else it cannot do without. One with an inbox of its own (`own_inbox`) gets a new one for each run; the others
    read the same again. `settings` are its own, beside what everyone is told.
    """

    name: str
    command: tuple[str, ...]
    table: Callable[[str, str], str]
    row: RowReader
    writes: bool = True
    prepare: Callable[[AdminClient, str], None] = lambda admin, prefix: topic.create(admin, prefix + "bench")
    settings: Mapping[str, str] = field(default_factory=dict)
    own_inbox: bool = False


def environment(prefix: str, name: str, broker: str, state: Path) -> dict[str, str]:
    """What every contestant is told; each reads what it knows."""
    return {
        "BENCH_BROKER": broker,
        "BENCH_NAME": prefix + name,
        "BENCH_INBOX": prefix + "bench",
        "BENCH_LOG": prefix + "bench-log",
        "BENCH_SCHEMA": str(EVENT_FILE),
        "BENCH_ROW_SCHEMA": str(ROW_FILE),
        "BENCH_STATE": str(state),
        "RETOLD_APP": "ops.bench.application:app",
        "RETOLD_SCHEMAS": "ops/bench/schemas",
        "RETOLD_BROKER": broker,
        "RETOLD_PREFIX": prefix,
        "RETOLD_STATE": str(state),
        "PYTHONUNBUFFERED": "1",
    }


def raw(_: Say) -> Contestant:
    return Contestant("raw", (sys.executable, str(PROGRAMS / "raw.py")), lambda *_: "", lambda *_: None, writes=False)


def faust(say: Say) -> Contestant:
    python = python_of("faust", say)
    command = (str(python), str(PROGRAMS / "stock_faust.py"), "--loop", "uvloop", "worker", "-l", "warn", "--without-web")
    return Contestant("faust", command, lambda prefix, _: f"{prefix}faust-users-changelog", _faust_row)


def quix(say: Say) -> Contestant:
    python = python_of("quix", say)
    command = (str(python), str(PROGRAMS / "quix.py"))
    return Contestant("quix", command, lambda prefix, inbox: f"changelog__{prefix}quix--{inbox}--default", _quix_row)


def kafka_streams(say: Say) -> Contestant:
    command = kafka_streams_program(say)
    return Contestant(KAFKA_STREAMS, command, lambda prefix, _: f"{prefix}{KAFKA_STREAMS}-users-changelog", _kafka_streams_row)


def us(_: Say) -> Contestant:
    return retold("us", ["bench"], {})


MAKERS: dict[str, Callable[[Say], Contestant]] = {
    "raw": raw, "faust": faust, "quix": quix, KAFKA_STREAMS: kafka_streams, "us": us,
}  # fmt: skip


def answering() -> Contestant:
    """Not in the race: what is timed is a gateway's answer."""
    return retold("answering", ["ask"], {"RETOLD_APP": "ops.bench.answering:app", "RETOLD_SCHEMAS": "ops/bench/answering/schemas"})


def chain(namespace: str) -> Contestant:
    """One of the two namespaces of `ops.bench.chain`; topics are there for both."""
    settings = {"RETOLD_APP": "ops.bench.chain:app", "RETOLD_SCHEMAS": "ops/bench/chain/schemas"}
    made = retold(f"chain, {namespace}", [namespace], settings)
    return replace(made, prepare=partial(_our_topics, ["bench", "leaf"]))


def story() -> Contestant:
    """The demonstration's three namespaces, without reminders, and with a gateway that answers at once."""
    return retold("story", ["user", "folder", "email"], {"RETOLD_APP": "ops.bench.story:app", "RETOLD_SCHEMAS": "schemas"})


def retold(name: str, namespaces: Sequence[str], settings: Mapping[str, str]) -> Contestant:
    """A worker of ours for these namespaces. Its table is the first one's."""
    program = Path(sys.executable).with_name("retold")
    return Contestant(
        name,
        (str(program), "worker", *namespaces),
        lambda prefix, _: f"{prefix}{namespaces[0]}-table",
        our_row,
        prepare=partial(_our_topics, namespaces),
        settings=settings,
        own_inbox=True,
    )


def _our_topics(namespaces: Sequence[str], admin: AdminClient, prefix: str) -> None:
    """As the worker makes them: it would refuse others."""
    ensure(Admin(lambda: admin), load({"RETOLD_PREFIX": prefix}), list(namespaces))


def _faust_row(key: bytes, value: bytes) -> tuple[str, Row]:
    return json.loads(key), json.loads(value)


def _quix_row(key: bytes, value: bytes) -> tuple[str, Row]:
    """Its keys are `<message key>|"<name of the value>"`."""
    return key.partition(b"|")[0].decode(), json.loads(value)


def _kafka_streams_row(key: bytes, value: bytes) -> tuple[str, Row]:
    return key.decode(), decode_body(value)


def our_row(key: bytes, value: bytes) -> tuple[str, Row] | None:
    """Keys that begin with 0x00 or 0x01 are not rows; the marker is one of them."""
    return None if key[:1] in (b"\x00", b"\x01") else (key.decode(), decode_row(value))
