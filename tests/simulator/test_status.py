"""The status of an application, read from a Kafka in memory."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from streams.cli.output.attention import attention
from streams.codec import codec_of, prefix_of
from streams.engine.records import SCHEMA
from streams.errors import BrokerUnavailable
from streams.kafka.alarms import checks
from streams.kafka.status import NamespaceStatus, status
from streams.kafka.task_reports import end_of
from streams.kafka.topics import topic_names
from tests.applications import probe
from tests.simulator.broker import MemoryBroker
from tests.simulator.clients import MuteConsumer, clients
from tests.simulator.time import VirtualClock

ECHO = topic_names("", "echo")


@pytest.fixture
def kafka() -> MemoryBroker:
    it = MemoryBroker(VirtualClock())
    it.create(["retold-schemas", "retold-tasks"], 1)
    return it


def echo(kafka: MemoryBroker) -> NamespaceStatus:
    [found] = status(clients(kafka), "", ["echo"], codec_of(probe.app())).namespaces
    return found


def sentences(found: NamespaceStatus) -> list[str]:
    return list(attention(found, datetime.now(UTC)))


def test_a_namespace_of_which_nothing_exists_may_be_started(kafka: MemoryBroker) -> None:
    """It is new: a worker makes all of its topics."""
    found = echo(kafka)
    names = "echo, echo-log, echo-table, echo-parked, echo-due"
    advice = "Start a worker, or create them with `retold topics --create`"
    assert sentences(found) == [f"echo cannot be handled: {names} are missing. {advice}."]


def test_a_record_that_nobody_here_can_handle_has_its_cause(kafka: MemoryBroker) -> None:
    """Whether a schema or a handler is missing decides what an operator is told."""
    kafka.create(ECHO[1:], 1)
    kafka.append(("echo", 0), b"k", prefix_of(12345) + b"whatever", [], None)
    [waits] = echo(kafka).waiting
    assert (waits.offset, waits.schema_id, waits.cause) == (0, 12345, SCHEMA)


def test_a_status_that_cannot_be_read_is_no_status_without_lag(kafka: MemoryBroker) -> None:
    """While events wait, a lag of 0 would be wrong."""
    kafka.create(ECHO[1:], 1)
    kafka.append(("echo", 0), b"k", b"value", [], None)
    assert echo(kafka).lag == 1
    with pytest.raises(BrokerUnavailable, match="echo-0 at 0: not readable for 10 s"):
        status(clients(kafka, MuteConsumer), "", ["echo"], codec_of(probe.app()))


@pytest.mark.parametrize(
    ("missing", "then"),
    [
        (["echo-log"], "that no longer fit: echo-table, echo-parked, echo-due, and the group's offsets, too: "),
        (["echo"], "--group retold.echo; then start a worker: it handles echo from its first record"),
        (["echo-log", "echo-table", "echo-parked", "echo-due"], "Stop this namespace's workers, delete the group's offsets, too: "),
    ],
)
def test_a_topic_that_is_missing_is_named_and_not_simply_made_again(kafka: MemoryBroker, missing: list[str], then: str) -> None:
    """A topic made anew would not fit those that exist (rule 34). Why the namespace ended is reported all the same."""
    kafka.create([topic for topic in ECHO[1:] if topic not in missing], 2)
    end = msgspec.json.encode(end_of("echo", "w", 5, "echo-log was deleted")["echo"])
    kafka.append(("retold-tasks", 0), b"echo", end, [], None)
    found = echo(kafka)
    assert found.missing is not None
    assert found.missing.topics == tuple(missing)
    first, ended = sentences(found)
    assert f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing. " in first
    assert then in first
    assert "--create" not in first
    assert ended.startswith("A worker ended echo at 1970-01-01T00:00:00Z")
    told = {it.name: it for it in checks(status(clients(kafka), "", ["echo"], codec_of(probe.app())), 0)}
    assert (told["echo.workers"].state, told["echo.ended"].state) == ("bad", "bad")
    assert then in told["echo.workers"].do
