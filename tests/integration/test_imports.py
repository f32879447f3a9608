"""Real sign-ups on a real broker, each user heard of again when they were last seen: who gets a reminder, however they come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from processors.events import EmailSend
from streams.cli.commands.publish_import import FileImport, importing, publish_as_it_happened
from streams.client import Client
from streams.codec import codec_of
from streams.config import Config
from streams.data import EventData
from streams.engine import control
from streams.engine.control import ClockCommand
from streams.engine.envelope import log_header
from streams.kafka.bounded_read import headers_of
from streams.prepared_event import PreparedEvent, prepare
from streams.prepared_publisher import PreparedPublisher
from streams.testing import World
from tests.support.inbox import Foreign
from tests.support.signups import FIRST, REMINDERS, app, history
from tests.support.workers import Running, settings, until

History = Sequence[tuple[EventData, datetime]]
Publish = Callable[[Client, FileImport, History, Foreign], None]
USERS = ["user"]


@pytest.fixture
def config(tmp_path: Path, prefix: str, broker: str) -> Config:
    return replace(settings(tmp_path, prefix), broker=broker)


def bulk(client: Client, its_clock: FileImport, events: History, _: Foreign) -> None:
    """All of them, and the worker comes to them later."""
    its_clock.begin(min(time for _, time in events))
    for data, time in events:
        client.publish(data, time=time)
    client.flush()


def trickling(client: Client, its_clock: FileImport, events: History, foreign: Foreign) -> None:
    """The worker is faster than the publisher: it has read all there is, many times."""
    its_clock.begin(min(time for _, time in events))
    for number, (data, time) in enumerate(events):
        client.publish(data, time=time)
        if number % 300 == 0:
            client.flush()
            published = number + 1
            until(lambda: handled(foreign) >= published, "it was not handled")  # noqa: B023 - it is asked at once


def handled(foreign: Foreign) -> int:
    """Events of publishers."""
    counters = [last.counters for last in foreign.markers("user").values()]
    return sum(it.accepted + it.rejected - it.fired for it in counters)


def reminded(foreign: Foreign) -> list[str]:
    """The users whose reminder was asked for."""
    values = [m.value() or b"" for m in foreign.read("email")]
    mails = [foreign.codec.decode(value) for value in values if value[:1] != control.PREFIX]
    return sorted(mail.key for mail in mails if isinstance(mail, EmailSend) and mail.template == "reminder")


@pytest.mark.parametrize("publish", [bulk, trickling])
def test_an_import_reminds_who_was_not_heard_of(publish: Publish, config: Config, broker: str) -> None:
    """As many as if it had happened then, in bulk or trickling in."""
    events, foreign = list(history()), Foreign(app(), config, broker)
    with (
        Running(app(), config, broker, USERS) as worker,
        importing(config, app(), "signups.tsv") as its_clock,
        Client(app(), config=config) as client,
    ):
        publish(client, its_clock, events, foreign)
        client.flush()
        until(lambda: handled(foreign) == len(events), "not all was handled")
        while_it_goes_on = len(reminded(foreign))
        its_clock.end()
        until(lambda: worker.counted("user", "fired") == FIRST, "not every timer has fired")
    assert while_it_goes_on < REMINDERS
    assert len(reminded(foreign)) == REMINDERS
    assert all(last.imports == {} for last in foreign.markers("user").values())


def prepared(events: History) -> list[PreparedEvent]:
    codec = codec_of(app())
    return [prepare(data, codec.encode(data), str(uuid4()), "test", time) for data, time in events]


@pytest.mark.parametrize(("users", "step"), [(15, None), (FIRST, timedelta(days=30))])
def test_an_import_as_it_happened_reminds_the_same(users: int, step: timedelta | None, config: Config, broker: str) -> None:
    """From one due time to the next, or in steps, each of which is told; a World that plays the events says who."""
    events, foreign, told = list(history(users)), Foreign(app(), config, broker), list[int]()
    with Running(app(), config, broker) as worker:
        with (
            importing(config, app(), "signups.tsv") as its_clock,
            PreparedPublisher(app(), foreign.codec, config, "test") as publisher,
        ):
            publish_as_it_happened(publisher, config, app(), its_clock, prepared(events), step, told.append)
            assert worker.counted("user", "fired") == users
        until(lambda: all(last.imports == {} for last in foreign.markers("user").values()), "the import is not over")
    assert told == sorted(told)
    assert told[-1] == len(events)
    assert len(set(told)) > 3, "who waits is not told how far it is"
    found = reminded(foreign)
    if users == FIRST:
        assert len(found) == REMINDERS
        return
    world = World(app()).play(events).advance(timedelta(0))
    assert found == sorted(call.key for call in world.calls if isinstance(call, EmailSend) and call.template == "reminder")
    times = [log_header(headers_of(m)) for m in foreign.read("user-log")]
    assert sum(bool(header.timer) for header in times) == users


def interrupted(config: Config, events: History, foreign: Foreign) -> None:
    with importing(config, app(), "signups.tsv") as its_clock, Client(app(), config=config) as client:
        bulk(client, its_clock, events, foreign)
        raise KeyboardInterrupt


def test_an_import_whose_publisher_died_waits_until_it_is_released(config: Config, broker: str) -> None:
    """Also for a worker that starts meanwhile: the clock is in the marker."""
    events, foreign = list(history(20)), Foreign(app(), config, broker)
    with Running(app(), config, broker, USERS):
        with pytest.raises(KeyboardInterrupt):
            interrupted(config, events, foreign)
        until(lambda: handled(foreign) == len(events), "not all was handled")
    marker = next(iter(foreign.markers("user").values()))
    [(name, clock)] = marker.imports.items()
    assert name.startswith("signups.tsv-")
    assert clock.at > 0
    with Running(app(), config, broker, USERS) as worker:
        before = worker.counted("user", "fired")
        for partition in foreign.markers("user"):
            foreign.write("user", control.encode(ClockCommand("clock", name, None)), b"", partition)
        until(lambda: worker.counted("user", "fired") == 20, "the timers did not fire")
    assert before < 20
