"""An inbox that is not the one that was handled: Kafka lost its end, or an older copy of it was put back (rule 32)."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.codec import codec_of
from streams.engine.control import PREFIX as CONTROL
from streams.kafka.cancellable_steps import never_cancelled
from streams.worker.log_tail import LoggedOrigin
from tests.applications import probe
from tests.applications.probe.events import EchoHear
from tests.simulator.broker import GAP, Partition
from tests.simulator.clients import MemoryMessage
from tests.simulator.test_topics_change import handle, stopped
from tests.simulator.workers import MemorySite, Worker

HANDLED = 5


@pytest.fixture
def site(tmp_path: Path) -> MemorySite:
    """Its worker has handled five events of one key, and has stopped."""
    it = MemorySite(probe.app(), "echo", tmp_path)
    publish(it, *range(HANDLED))
    worker = Worker(it, 0)
    handle(it, worker)
    worker.stop()
    return it


def publish(site: MemorySite, *names: int) -> None:
    """Events of one key with these numbers as their ids."""
    at = ("echo", 0)
    for name in names:
        site.broker.append(at, b"k", codec_of(site.app).encode(EchoHear(name="k")), [("ce_id", str(name).encode())], None)


def inbox_of(site: MemorySite) -> Partition:
    return site.broker.partition(("echo", 0))


def lose(site: MemorySite, count: int) -> None:
    """The last records of the inbox."""
    inbox = inbox_of(site)
    del inbox.entries[inbox.end - count :]
    inbox._over = 0


def test_a_worker_refuses_an_inbox_that_ends_before_what_was_handled(site: MemorySite) -> None:
    """It would pass over what is published next, and nobody would know."""
    lose(site, 2)
    text = stopped(Worker(site, 1))
    assert "handling of echo-0 should go on at offset 5, and the topic ends at 3: Kafka lost its end" in text
    assert "Stop this namespace's workers and copy the topics" in text


@pytest.mark.parametrize("count", [2, 4])
def test_a_worker_refuses_an_inbox_that_has_other_events_where_it_has_handled_some(site: MemorySite, count: int) -> None:
    """They were published after the loss, and would be passed over."""
    lose(site, 2)
    publish(site, *range(100, 100 + count))
    text = stopped(Worker(site, 1))
    assert "echo-0@4 is another record than the one that was handled, which the log has" in text
    assert "Those before offset 5 would be passed over" in text
    assert site.logged() == {"k": HANDLED}


def test_a_worker_that_runs_says_that_its_inbox_is_another_one(site: MemorySite) -> None:
    """It ends, since its rows may be of events that Kafka does not have; the one that is started next compares."""
    worker = Worker(site, 1)
    publish(site, 5)
    handle(site, worker)
    lose(site, 2)
    text = stopped(worker)
    assert "Kafka has other records of echo than this worker has read" in text
    assert "Start the worker again" in text


def test_an_end_that_is_behind_for_a_moment_is_waited_for(site: MemorySite) -> None:
    """As where another broker has just become the leader of a partition."""
    lost = inbox_of(site).entries[-1]
    lose(site, 1)
    worker, since = Worker(site, 1), site.broker.clock.monotonic()
    while site.broker.clock.monotonic() < since + 2:
        worker.step()
    inbox_of(site).entries.append(lost)
    publish(site, 100)
    handle(site, worker)
    assert site.logged() == {"k": HANDLED + 1}


@pytest.mark.parametrize("change", ["more", "deleted", "gap", "command"])
def test_an_inbox_that_goes_on_is_read_on(site: MemorySite, change: str) -> None:
    """Also where handled records were deleted, or nothing is known of the last one."""
    inbox = inbox_of(site)
    publish(site, 100)
    last = inbox.entries[HANDLED - 1]
    if change == "deleted":
        inbox.low = HANDLED
    elif change == "gap":
        inbox.entries[HANDLED - 1] = GAP
    elif change == "command":
        inbox.entries[HANDLED - 1] = last._replace(value=CONTROL + b"{}")
    handle(site, Worker(site, 1))
    assert site.logged() == {"k": HANDLED + 1}


def test_what_no_marker_counts_as_handled_is_not_compared(site: MemorySite) -> None:
    """As where a log is ahead of its marker: its inbox may end before, and a look beyond that end would be made again for ever."""
    restorer = Worker(site, 1).cycle.tasks._restorer
    image = restorer.empty(0).reading.image()
    assert image.inbox_next == 0
    lose(site, HANDLED)
    [last] = site.broker.partition(("echo-log", 0)).entries[HANDLED - 1 : HANDLED]
    origin = LoggedOrigin(HANDLED - 1, MemoryMessage("echo-log", 0, HANDLED - 1, last))  # type: ignore[arg-type]  # the simulator's
    assert list(restorer._elsewhere.compare_inbox(origin, image, never_cancelled)) == []
