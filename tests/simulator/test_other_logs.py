"""A server's file goes on only in the logs that it was read from: an older copy of Kafka's data may have been put back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from streams.codec import codec_of
from streams.server.readmodel.log_record import log_record
from streams.server.readmodel.same_logs import refuse_other_logs
from streams.server.readmodel.store import Store, StoreDoubt
from tests.applications import probe
from tests.applications.probe.events import EchoHear
from tests.simulator.broker import ABORTED, GAP, Entry, MemoryBroker, Transaction
from tests.simulator.clients import MemoryConsumer, clients
from tests.simulator.workers import MemorySite, Worker

LOG = "echo-log"
MakeSite = Callable[..., MemorySite]


@pytest.fixture
def make(tmp_path: Path) -> MakeSite:
    """Makes a broker whose log has events of one key, each published so many seconds after the one before."""

    def site(*pauses: float) -> MemorySite:
        it = MemorySite(probe.app(), "echo", tmp_path / f"site{len([*tmp_path.iterdir()])}")
        worker = Worker(it, 0)
        for pause in pauses:
            it.broker.clock.sleep(pause)
            it.publish(EchoHear(name="k"))
            while not it.handled():
                worker.step()
        worker.stop()
        return it

    return site


def log_of(broker: MemoryBroker) -> tuple[int, list[Entry]]:
    """The number and the records of the log's partition that has any."""
    [number] = [number for number, it in enumerate(broker.topics[LOG]) if it.end]
    return number, broker.topics[LOG][number].entries


def store_of(path: Path) -> Store:
    store = Store(path, "", probe.app(), codec_of(probe.app()))
    store.open()
    return store


def read(path: Path, broker: MemoryBroker, kept: bool = True) -> None:
    """Into a file all that the log has, with its records if they are `kept`."""
    number, entries = log_of(broker)
    consumer = MemoryConsumer(broker, {"group.id": "g", "isolation.level": "read_committed"})
    consumer._at = {(LOG, number): 0}
    with closing(store_of(path)) as store:
        writer = store.writer()
        for message in consumer.consume(100, 0):
            if (value := message.value()) is not None:
                record = log_record(message, "echo", "echo.hear", value)  # type: ignore[arg-type]  # it has what is asked for
                if kept:
                    writer.put_records([record])
                writer.reached(("log", "echo", number), (message.offset() or 0) + 1, record[3], record[0])
        writer.reached(("log", "echo", number), len(entries))
        writer.commit()


def compare(path: Path, broker: MemoryBroker) -> None:
    """What is in the file with what is in Kafka."""
    with closing(store_of(path)) as store:
        refuse_other_logs(clients(broker), store.writer(), {LOG: "echo"}, {(LOG, log_of(broker)[0]): 0})


def abort(broker: MemoryBroker, count: int) -> None:
    """So many records at the log's end are of a transaction that was aborted."""
    _, entries = log_of(broker)
    aborted = Transaction(None, 0, ABORTED)
    entries += [entries[0]._replace(transaction=aborted)] * count + [GAP]


@pytest.mark.parametrize("kept", [True, False], ids=["whole", "without old records"])
@pytest.mark.parametrize("aborted", [0, 70])
def test_a_file_goes_on_in_its_own_log(make: MakeSite, tmp_path: Path, kept: bool, aborted: int) -> None:
    """Also where more was written since, and where what was aborted stands at its position."""
    site = make(1, 1, 1)
    if aborted:
        abort(site.broker, aborted)
    read(tmp_path, site.broker, kept)
    compare(tmp_path, site.broker)
    _, entries = log_of(site.broker)
    entries += entries[-2:]
    compare(tmp_path, site.broker)


@pytest.mark.parametrize("aborted", [0, 70])
def test_a_file_of_another_log_is_doubted(make: MakeSite, tmp_path: Path, aborted: int) -> None:
    """The other log has the same beginning, at least as many records, and another event where the file ends."""
    before, now = make(1, 1, 1), make(1, 1, 7, 1)
    if aborted:
        abort(before.broker, aborted)
        abort(now.broker, aborted)
    read(tmp_path, before.broker)
    with pytest.raises(StoreDoubt, match=r"of echo-log-\d has another event than the file read there: an older copy"):
        compare(tmp_path, now.broker)


def test_events_that_the_file_never_had_are_doubted(make: MakeSite, tmp_path: Path) -> None:
    """Where aborted records stood in the log before, others may stand now."""
    before, now = make(1), make(1, 1, 1, 1)
    abort(before.broker, 3)
    read(tmp_path, before.broker)
    with pytest.raises(StoreDoubt):
        compare(tmp_path, now.broker)


@pytest.mark.parametrize("in_file", [True, False], ids=["erased since", "erased before"])
def test_an_erased_event_is_no_doubt(make: MakeSite, tmp_path: Path, in_file: bool) -> None:
    """The record in front of it is compared: Kafka has removed it, or left its tombstone."""
    site = make(1, 1, 1)
    number, entries = log_of(site.broker)
    last = max(offset for offset, it in enumerate(entries) if not it.control)
    if in_file:
        read(tmp_path, site.broker)
    entries[last] = GAP
    site.broker.append((LOG, number), b"k@3", None, [], None)
    if not in_file:
        read(tmp_path, site.broker)
    compare(tmp_path, site.broker)


def test_a_record_that_no_worker_wrote_is_no_doubt(make: MakeSite, tmp_path: Path) -> None:
    """It tells nothing of the log in front of it."""
    site = make(1, 1)
    read(tmp_path, site.broker)
    _, entries = log_of(site.broker)
    entries[-2] = entries[-2]._replace(headers=[])
    compare(tmp_path, site.broker)
